//! `qemu-img`, for disks that no guest has open and for looking at those that one has.

use crate::run::{find_program, last_words};
use holm_driver::Fault;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use tokio::process::Command;

/// Runs `qemu-img` and gives what it says. It is killed when the caller goes away.
///
/// # Errors
/// A transient fault with its last words.
pub(super) async fn image<S: AsRef<OsStr>>(what: &str, arguments: &[S]) -> Result<Vec<u8>, Fault> {
    let program = find_program("qemu-img").ok_or_else(|| {
        Fault::transient(format!("cannot {what}: qemu-img is not installed; run: apt-get install -y qemu-utils"))
    })?;
    let output = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|e| Fault::transient(format!("cannot {what}: qemu-img cannot be run: {e}")))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let words = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
    Err(Fault::transient(format!("cannot {what}: {}", last_words(words))))
}

/// What `qemu-img info` says of a disk, also while a guest has it open.
///
/// # Errors
/// When it cannot be read.
pub(super) async fn info(what: &str, path: &Path) -> Result<serde_json::Value, Fault> {
    let arguments = ["info", "-U", "-f", "qcow2", "--output=json"].map(OsStr::new);
    let bytes = image(what, &[&arguments[..], &[path.as_os_str()]].concat()).await?;
    serde_json::from_slice(&bytes).map_err(|e| Fault::unknown(format!("cannot {what}: qemu-img says no JSON: {e}")))
}
