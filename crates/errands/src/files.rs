//! Opens files of the front-end's own disk that may become images.
//!
//! A path comes from a user, the file is opened by the front-end, which can read more than the user may. What counts is
//! where the opened file really is, so a link that is put in its place in between gains nothing.

use nix::fcntl::OFlag;
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// Opens a file that lies in one of the directories and says how many bytes it has.
pub(crate) fn open(path: &str, dirs: &[PathBuf]) -> Result<(File, u64), String> {
    let shown: String = path.chars().take(200).collect();
    let failed = |error: std::io::Error| format!("the file {shown:?} of the front-end cannot be read: {error}");
    // Opening a pipe for reading would wait for somebody to write.
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(format!("{shown:?} is no plain file"));
    }
    let real = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).map_err(failed)?;
    let allowed = dirs.iter().filter_map(|dir| std::fs::canonicalize(dir).ok()).any(|dir| real.starts_with(dir));
    if !allowed {
        return Err(format!("{shown:?} is not in a directory that images may be imported from"));
    }
    Ok((file, metadata.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    #[test]
    fn only_plain_files_that_really_lie_there_are_opened() {
        let ground = tempfile::tempdir().expect("a directory");
        let at = |name: &str| ground.path().join(name);
        for dir in ["in", "in/deep", "out"] {
            std::fs::create_dir(at(dir)).expect("made");
        }
        std::fs::write(at("in/deep/disk"), b"disk").expect("written");
        std::fs::write(at("out/secret"), b"secret").expect("written");
        symlink(at("out/secret"), at("in/link")).expect("linked");
        symlink(at("out"), at("in/way")).expect("linked");
        symlink(at("in"), at("entry")).expect("linked");
        nix::unistd::mkfifo(&at("in/pipe"), nix::sys::stat::Mode::S_IRWXU).expect("made");
        let dirs = [at("entry"), at("not-there")];
        let look = |path: &str| {
            let (path, dirs) = (at(path).display().to_string(), dirs.clone());
            // A pipe must not keep anybody waiting.
            let (done, outcome) = std::sync::mpsc::channel();
            std::thread::spawn(move || done.send(open(&path, &dirs).map(|(_, size)| size)));
            outcome.recv_timeout(Duration::from_secs(10)).expect("nothing hangs")
        };
        assert_eq!(look("in/deep/disk"), Ok(4));
        assert_eq!(look("entry/deep/disk"), Ok(4));
        for (path, says) in [
            ("in/link", "is not in a directory"),
            ("in/way/secret", "is not in a directory"),
            ("in/deep/../../out/secret", "is not in a directory"),
            ("out/secret", "is not in a directory"),
            ("in/deep", "is no plain file"),
            ("in/pipe", "is no plain file"),
            ("in/nothing", "cannot be read"),
        ] {
            let why = look(path).expect_err(path);
            assert!(why.contains(says), "{path}: {why}");
        }
    }
}
