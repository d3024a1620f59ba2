//! Log files that another process appends to, kept within bounds.

use rustix::fs::FallocateFlags;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Opens the file for appending, for root alone, making it when it is not there.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// Shortens the file to about its last `keep` bytes when it is longer than `limit`. Its writer must append (O_APPEND):
/// it goes on at the new end. Where the file system can cut off the head of a file nothing is lost; elsewhere what is
/// written during the copy of the tail is.
pub(super) fn trim(path: &Path, limit: u64, keep: u64) -> io::Result<bool> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e),
    };
    let metadata = file.metadata()?;
    if metadata.len() <= limit {
        return Ok(false);
    }
    let block = metadata.blksize().max(1);
    let head = metadata.len().saturating_sub(keep) / block * block;
    if head > 0 && rustix::fs::fallocate(&file, FallocateFlags::COLLAPSE_RANGE, 0, head).is_ok() {
        return Ok(true);
    }
    let kept = tail(&file, keep)?;
    file.set_len(0)?;
    // Appending, so that bytes which the other process wrote in between are not overwritten.
    let mut appending = OpenOptions::new().append(true).open(path)?;
    appending.write_all(&kept)?;
    Ok(true)
}

/// The last `limit` bytes of the file; nothing when it is not there.
pub(super) fn last(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    match File::open(path) {
        Ok(file) => tail(&file, limit),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(e),
    }
}

fn tail(mut file: &File, limit: u64) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(limit)))?;
    let mut bytes = Vec::new();
    // Bounded although the writer may be faster than the reader.
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What a dying program had to say from `from` on: its last lines, joined to one of bounded length.
pub(super) fn last_words(path: &Path, from: u64) -> String {
    let words = File::open(path).and_then(|file| {
        let length = file.metadata()?.len();
        let start = from.min(length).max(length.saturating_sub(4096));
        let mut bytes = vec![0; usize::try_from(length - start).unwrap_or(0)];
        file.read_exact_at(&mut bytes, start)?;
        Ok(bytes)
    });
    let text = String::from_utf8_lossy(&words.unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let joined = lines[lines.len().saturating_sub(4)..].join("; ");
    joined.chars().filter(|c| !c.is_control()).take(600).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_loses_its_head_while_its_writer_goes_on() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("log");
        let mut writer = open(&path).expect("made");
        for line in 0..20_000 {
            writeln!(writer, "line {line:06}").expect("written");
        }
        assert!(!trim(&path, 1 << 20, 4096).expect("short enough"));
        assert!(trim(&path, 64 << 10, 16 << 10).expect("trimmed"));
        let length = std::fs::metadata(&path).expect("there").len();
        assert!(((16 << 10)..(32 << 10)).contains(&length), "{length}");
        writeln!(writer, "the end").expect("written");
        let text = String::from_utf8(last(&path, 1 << 20).expect("read")).expect("no holes");
        assert!(text.ends_with("line 019999\nthe end\n"), "the writer went on at the end");
        assert!(!text.contains('\0') && !text.contains("line 000000"));
        assert_eq!(last(&path, 4).expect("read"), b"end\n");
    }

    #[test]
    fn nothing_is_no_error() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("log");
        assert!(!trim(&path, 0, 0).expect("nothing to trim"));
        assert_eq!(last(&path, 10).expect("nothing"), b"");
        assert_eq!(last_words(&path, 0), "");
    }

    #[test]
    fn last_words_are_one_short_line() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("log");
        std::fs::write(&path, "before\na\n\nb\x1b\nc\nd\ne\n").expect("written");
        assert_eq!(last_words(&path, 7), "b; c; d; e");
        std::fs::write(&path, "x".repeat(10_000)).expect("written");
        assert_eq!(last_words(&path, 0).len(), 600);
        assert_eq!(last_words(&path, 1 << 30), "");
    }
}
