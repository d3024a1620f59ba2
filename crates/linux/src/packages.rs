//! Installs the Debian packages that a purpose needs.

use crate::run::{self, RunError};
use std::collections::BTreeSet;
use std::path::Path;
use thiserror::Error;

/// What packages are needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Running guests on this machine.
    Host,
    /// Making the first image.
    FirstImage,
    /// Running the project's tests.
    Tests,
}

impl Purpose {
    /// The packages, by name.
    #[must_use]
    pub fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Host => &["qemu-system-x86", "qemu-utils", "ovmf", "nftables", "dnsmasq-base", "iproute2"],
            Self::FirstImage => {
                &["busybox-static", "dropbear-bin", "syslinux", "syslinux-common", "mtools", "qemu-utils", "xz-utils"]
            }
            Self::Tests => {
                &["xorriso", "genisoimage", "openssh-client", "curl", "python3", "python3-venv", "busybox-static"]
            }
        }
    }
}

/// Why packages could not be installed.
#[derive(Debug, Error)]
pub enum PackageError {
    /// There is no dpkg.
    #[error(
        "this machine has no dpkg, so the packages it lacks cannot be installed by themselves; install QEMU \
         (qemu-system-x86_64, qemu-img), OVMF, nftables, dnsmasq and iproute2 with the system's own tools"
    )]
    NotDebian,
    /// Only root may install.
    #[error("{} not installed and only root may install packages; run as root: apt-get install -y {}", be(.0), .0.join(" "))]
    NotRoot(Vec<String>),
    /// The package lists could not be fetched.
    #[error(
        "cannot fetch the package lists; check that this machine reaches its mirrors in /etc/apt/sources.list: {0}"
    )]
    Lists(#[source] RunError),
    /// apt-get refused.
    #[error("cannot install {}: {source}; try by hand: apt-get install {}", .packages.join(", "), .packages.join(" "))]
    Install {
        /// What was to be installed.
        packages: Vec<String>,
        /// What apt-get said.
        source: RunError,
    },
    /// dpkg could not be asked.
    #[error("cannot find out which packages are installed: {0}")]
    Query(#[source] RunError),
}

fn be(packages: &[String]) -> String {
    format!("{} {}", packages.join(", "), if packages.len() == 1 { "is" } else { "are" })
}

/// The installed version of each package given, `None` for those that are not (completely) installed.
///
/// # Errors
/// When there is no dpkg or it cannot be run.
pub fn installed(packages: &[&str]) -> Result<Vec<Option<String>>, PackageError> {
    let output = run::output(
        run::command("dpkg-query").arg("-W").arg("-f=${db:Status-Abbrev}|${Package}|${Version}\n").args(packages),
        None,
    )
    .map_err(|e| if e.is_missing() { PackageError::NotDebian } else { PackageError::Query(e) })?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(packages
        .iter()
        .map(|wanted| {
            text.lines().find_map(|line| {
                let mut parts = line.split('|');
                let (status, package, version) = (parts.next()?, parts.next()?, parts.next()?);
                (status.starts_with("ii") && package == *wanted).then(|| version.to_owned())
            })
        })
        .collect())
}

/// Those packages for the purposes that are not installed, each once.
///
/// # Errors
/// As [`installed`].
pub fn missing(purposes: &[Purpose]) -> Result<Vec<String>, PackageError> {
    let wanted: BTreeSet<&str> = purposes.iter().flat_map(|p| p.packages()).copied().collect();
    let wanted: Vec<&str> = wanted.into_iter().collect();
    let versions = installed(&wanted)?;
    Ok(wanted
        .iter()
        .zip(versions)
        .filter(|(_, version)| version.is_none())
        .map(|(name, _)| (*name).to_owned())
        .collect())
}

/// Installs what is missing for the purposes and tells `progress` what it does. Returns what it installed.
///
/// # Errors
/// When packages are missing and cannot be installed: not Debian, not root, no network, conflicts.
pub fn ensure(purposes: &[Purpose], progress: &mut dyn FnMut(&str)) -> Result<Vec<String>, PackageError> {
    let missing = missing(purposes)?;
    if missing.is_empty() {
        return Ok(missing);
    }
    if !nix::unistd::geteuid().is_root() {
        return Err(PackageError::NotRoot(missing));
    }
    let mut updated = false;
    if !has_lists(Path::new("/var/lib/apt/lists")) {
        update(progress)?;
        updated = true;
    }
    let mut request = missing.clone();
    if let Err(source) = try_out(&request) {
        if !updated {
            update(progress)?;
            updated = true;
        }
        if try_out(&request).is_err() {
            // Nothing was installed so far: all of this was a rehearsal.
            match older_tools(&missing) {
                Some(pinned) => {
                    progress(&format!(
                        "qemu-utils is installed in a version no package source has; taking it back to {pinned}"
                    ));
                    request.retain(|package| package != "qemu-utils");
                    request.push(format!("qemu-utils={pinned}"));
                    try_out(&request).map_err(|source| PackageError::Install { packages: missing.clone(), source })?;
                }
                None => return Err(PackageError::Install { packages: missing, source }),
            }
        }
    }
    progress(&format!("installing {}", missing.join(", ")));
    if let Err(source) = install(&request, false) {
        // Lists that name files the mirror no longer has are the usual cause.
        if updated {
            return Err(PackageError::Install { packages: missing, source });
        }
        update(progress)?;
        install(&request, false).map_err(|source| PackageError::Install { packages: missing.clone(), source })?;
    }
    Ok(missing)
}

fn has_lists(directory: &Path) -> bool {
    std::fs::read_dir(directory)
        .map(|entries| entries.flatten().any(|e| e.file_name().to_string_lossy().contains("_Packages")))
        .unwrap_or(false)
}

fn update(progress: &mut dyn FnMut(&str)) -> Result<(), PackageError> {
    progress("fetching the package lists");
    run::run(run::command("apt-get").args([
        "-q",
        "-o",
        "DPkg::Lock::Timeout=120",
        "-o",
        "Acquire::Retries=2",
        "update",
    ]))
    .map(drop)
    .map_err(PackageError::Lists)
}

fn try_out(packages: &[String]) -> Result<(), RunError> {
    install(packages, true)
}

fn install(packages: &[String], rehearse: bool) -> Result<(), RunError> {
    let mut command = run::command("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args([
        "-q",
        "-y",
        "-o",
        "DPkg::Lock::Timeout=120",
        "-o",
        "Acquire::Retries=2",
        "-o",
        "Dpkg::Options::=--force-confold",
        "--no-install-recommends",
        // Left to itself, apt-get makes room by taking away what somebody has installed.
        "--no-remove",
    ]);
    // Only a version that was named may go down; apt-get refuses to take any other package back by itself.
    if packages.iter().any(|package| package.contains('=')) {
        command.arg("--allow-downgrades");
    }
    if rehearse {
        command.arg("-s");
    }
    run::run(command.arg("install").args(packages)).map(drop)
}

/// The version `qemu-utils` must be taken back to so that `qemu-system-x86` can be installed next to it: QEMU's parts
/// must be of one version, and an installed version that no package source has (from a backports archive that is no
/// longer configured) stands in the way.
fn older_tools(missing: &[String]) -> Option<String> {
    if !missing.iter().any(|package| package == "qemu-system-x86") {
        return None;
    }
    let installed = installed(&["qemu-utils"]).ok()?.pop().flatten()?;
    let policy = run::run(run::command("apt-cache").args(["policy", "qemu-system-x86"])).ok()?;
    let candidate = candidate_in(&policy)?;
    let known = run::run(run::command("apt-cache").args(["madison", "qemu-utils"])).ok()?;
    let offers = versions_in_madison(&known);
    (installed != candidate && offers.contains(&candidate)).then_some(candidate)
}

fn candidate_in(policy: &str) -> Option<String> {
    policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate:"))
        .map(|version| version.trim().to_owned())
        .filter(|version| version != "(none)")
}

fn versions_in_madison(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.split('|').nth(1)).map(|version| version.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_installed_is_told_from_what_is_not() {
        let versions = installed(&["dpkg", "no-such-package-as-this"]).expect("dpkg answers");
        assert!(versions[0].is_some() && versions[1].is_none(), "{versions:?}");
    }

    #[test]
    fn versions_are_read_as_apt_writes_them() {
        let policy = "qemu-system-x86:\n  Installed: (none)\n  Candidate: 1:7.2+dfsg-7+deb12u18+b3\n  Version table:\n";
        assert_eq!(candidate_in(policy).as_deref(), Some("1:7.2+dfsg-7+deb12u18+b3"));
        assert_eq!(candidate_in("x:\n  Candidate: (none)\n"), None);
        assert_eq!(candidate_in(""), None);
        let madison = " qemu-utils | 1:7.2+b3 | http://deb.debian.org bookworm/main amd64 Packages\n";
        assert_eq!(versions_in_madison(madison), ["1:7.2+b3"]);
    }

    #[test]
    fn a_refusal_names_packages_and_remedy() {
        let text = PackageError::NotRoot(vec!["ovmf".into(), "mtools".into()]).to_string();
        assert!(text.contains("ovmf, mtools are not installed"), "{text}");
        assert!(text.contains("apt-get install -y ovmf mtools"), "{text}");
    }
}
