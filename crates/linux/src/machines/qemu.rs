//! The QEMU that is installed here, and its firmware.

use crate::settings::LinuxSettings;
use holm_driver::Fault;
use std::path::PathBuf;

/// The QEMU program.
///
/// # Errors
/// When it is not there.
pub fn program(settings: &LinuxSettings) -> Result<PathBuf, Fault> {
    let found = match &settings.qemu {
        Some(path) => path.is_file().then(|| path.clone()),
        None => std::env::var_os("PATH")
            .iter()
            .flat_map(std::env::split_paths)
            .map(|dir| dir.join("qemu-system-x86_64"))
            .find(|path| path.is_file()),
    };
    found.ok_or_else(|| match &settings.qemu {
        Some(path) => Fault::transient(format!("there is no QEMU at {}; correct the setting", path.display())),
        None => Fault::transient("QEMU is not installed; install the package qemu-system-x86"),
    })
}

/// Version of the installed QEMU, such as `7.2.22`; `None` when there is none or it does not say.
pub async fn version(settings: &LinuxSettings) -> Option<String> {
    let program = program(settings).ok()?;
    let output = tokio::process::Command::new(program).arg("--version").kill_on_drop(true).output();
    let output = tokio::time::timeout(std::time::Duration::from_secs(10), output).await.ok()?.ok()?;
    version_in(&String::from_utf8_lossy(&output.stdout))
}

fn version_in(text: &str) -> Option<String> {
    let rest = text.split_once("version ")?.1;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    (end > 0).then(|| rest[..end].to_owned())
}

/// UEFI firmware: its code, and the template of a guest's variables. The two must be of one size.
pub fn uefi(settings: &LinuxSettings) -> Option<(PathBuf, PathBuf)> {
    [("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"), ("OVMF_CODE.fd", "OVMF_VARS.fd")]
        .map(|(code, vars)| (settings.ovmf_dir.join(code), settings.ovmf_dir.join(vars)))
        .into_iter()
        .find(|(code, vars)| code.is_file() && vars.is_file())
}

/// Frequency of the time stamp counter, kHz, as far as /proc/cpuinfo tells.
pub(super) fn tsc_khz() -> Option<u64> {
    tsc_khz_in(&std::fs::read_to_string("/proc/cpuinfo").ok()?)
}

fn tsc_khz_in(cpuinfo: &str) -> Option<u64> {
    let line = cpuinfo.lines().find(|l| l.starts_with("cpu MHz"))?;
    let (mhz, fraction) = line.split_once(':')?.1.trim().split_once('.')?;
    let thousandths: String = fraction.chars().chain("000".chars()).take(3).collect();
    Some(mhz.parse::<u64>().ok()? * 1000 + thousandths.parse::<u64>().ok()?).filter(|khz| *khz > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_frequencies_are_read() {
        let debian = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright";
        assert_eq!(version_in(debian).as_deref(), Some("7.2.22"));
        assert_eq!(version_in("something else"), None);
        assert_eq!(tsc_khz_in("processor : 0\ncpu MHz\t\t: 2595.124\n"), Some(2_595_124));
        assert_eq!(tsc_khz_in("cpu MHz : 2000.5"), Some(2_000_500));
        assert_eq!(tsc_khz_in("cpu MHz : 0.000"), None);
        assert_eq!(tsc_khz_in("cpu MHz : garbage"), None);
    }
}
