//! Where the programs under test and the guest are.

use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The built binary `name`, from `HOLM_BIN_DIR` or else next to the test.
///
/// # Errors
/// When it is not built.
pub fn binary(name: &str) -> Result<PathBuf> {
    let dir = match std::env::var_os("HOLM_BIN_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => {
            let test = std::env::current_exe()?;
            let dir = test.ancestors().find(|d| d.join(name).is_file());
            dir.context("the programs are not built; run `cargo xtask test`")?.to_path_buf()
        }
    };
    let path = dir.join(name);
    if !path.is_file() {
        bail!("{} is not built; run `cargo xtask test`", path.display());
    }
    Ok(path)
}

/// The files of the first guest image.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Linux kernel.
    pub kernel: PathBuf,
    /// Initial RAM disk; enough to run the guest by itself.
    pub initrd: PathBuf,
    /// Bootable qcow2 disk.
    pub disk: PathBuf,
}

/// The first guest image, built into `HOLM_GUEST_DIR` or else the target directory.
///
/// # Errors
/// When it cannot be built.
pub fn guest() -> Result<Guest> {
    let dir = match std::env::var_os("HOLM_GUEST_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/guest"),
    };
    let guest =
        Guest { kernel: dir.join("tiny-vmlinuz"), initrd: dir.join("tiny-initrd"), disk: dir.join("tiny.qcow2") };
    if ![&guest.kernel, &guest.initrd, &guest.disk].iter().all(|f| f.is_file()) {
        let done = Command::new(binary("holmd")?).arg("image").arg("--out").arg(&dir).output()?;
        if !done.status.success() {
            bail!("cannot build the guest image: {}", String::from_utf8_lossy(&done.stderr));
        }
    }
    Ok(guest)
}
