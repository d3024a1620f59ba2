//! Debian's cloud kernel and the modules a guest needs, out of the package's file, which is not installed.

use super::FirstImageError;
use crate::run;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What is taken from the kernel's package.
pub struct Kernel {
    /// Its release, as `uname -r` will say in the guest.
    pub release: String,
    /// The kernel itself.
    pub image: Vec<u8>,
    /// The modules by name, without their signatures.
    pub modules: BTreeMap<String, Vec<u8>>,
}

/// The name of the package that holds the newest cloud kernel.
pub fn package() -> Result<String, FirstImageError> {
    let depends = run::run(run::command("apt-cache").args(["depends", "linux-image-cloud-amd64"]))
        .map_err(|source| FirstImageError::Kernel(source.to_string()))?;
    depends
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends:"))
        .map(|name| name.trim().to_owned())
        .filter(|name| name.starts_with("linux-image-"))
        .ok_or_else(|| {
            FirstImageError::Kernel("linux-image-cloud-amd64 is not in the package lists; run: apt-get update".into())
        })
}

/// The version of a package that would be downloaded.
pub fn candidate(package: &str) -> Result<String, FirstImageError> {
    let policy = run::run(run::command("apt-cache").args(["policy", package]))
        .map_err(|source| FirstImageError::Kernel(source.to_string()))?;
    policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate:"))
        .map(|version| version.trim().to_owned())
        .filter(|version| version != "(none)")
        .ok_or_else(|| FirstImageError::Kernel(format!("{package} is not in the package lists; run: apt-get update")))
}

/// Has the package's file in `directory`, downloading it when it is not there.
pub fn download(package: &str, version: &str, directory: &Path) -> Result<PathBuf, FirstImageError> {
    // apt writes a colon of the version as %3a in file names.
    let name = format!("{package}_{}_amd64.deb", version.replace(':', "%3a"));
    let file = directory.join(name);
    if file.is_file() {
        return Ok(file);
    }
    let failed = |says: String| FirstImageError::Download { package: package.to_owned(), says };
    let part = directory.join("download");
    let _ = std::fs::remove_dir_all(&part);
    std::fs::create_dir_all(&part).map_err(|e| failed(e.to_string()))?;
    run::run(
        run::command("apt-get")
            .args(["-q", "-o", "Acquire::Retries=2", "-o", "APT::Sandbox::User=root", "download"])
            .arg(format!("{package}={version}"))
            .current_dir(&part),
    )
    .map_err(|e| failed(e.to_string()))?;
    let found = std::fs::read_dir(&part)
        .map_err(|e| failed(e.to_string()))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|e| e == "deb"))
        .ok_or_else(|| failed("apt-get left no file".into()))?;
    std::fs::rename(&found, &file).map_err(|e| failed(e.to_string()))?;
    let _ = std::fs::remove_dir_all(&part);
    Ok(file)
}

/// Unpacks a package's file into `into`, which is emptied first.
pub fn unpack(deb: &Path, into: &Path) -> Result<(), FirstImageError> {
    let _ = std::fs::remove_dir_all(into);
    run::run(run::command("dpkg-deb").arg("-x").arg(deb).arg(into))
        .map(drop)
        .map_err(|source| FirstImageError::Unpack { file: deb.to_owned(), says: source.to_string() })
}

/// Reads the kernel and the wanted modules, with those they depend on, from an unpacked package. Modules this kernel
/// does not have are left out: they are built in, or the machine type they serve needs them not.
pub fn read(unpacked: &Path, wanted: &[&str]) -> Result<Kernel, FirstImageError> {
    let bad = |says: String| FirstImageError::Kernel(says);
    let releases = unpacked.join("lib/modules");
    let release = std::fs::read_dir(&releases)
        .map_err(|e| bad(format!("the kernel's package has no {}: {e}", releases.display())))?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .next()
        .ok_or_else(|| bad("the kernel's package has no modules".into()))?;
    let image_file = unpacked.join(format!("boot/vmlinuz-{release}"));
    let image = std::fs::read(&image_file).map_err(|e| bad(format!("cannot read {}: {e}", image_file.display())))?;
    let mut files = BTreeMap::new();
    collect(&releases.join(&release), &mut files).map_err(|e| bad(format!("cannot list the kernel's modules: {e}")))?;
    let mut modules = BTreeMap::new();
    let mut pending: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
    while let Some(name) = pending.pop() {
        let Some(file) = files.get(&name) else { continue };
        if modules.contains_key(&name) {
            continue;
        }
        let module = load(file).map_err(|says| bad(format!("cannot read {}: {says}", file.display())))?;
        pending.extend(depends(&module));
        modules.insert(name, module);
    }
    Ok(Kernel { release, image, modules })
}

fn collect(directory: &Path, files: &mut BTreeMap<String, PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            collect(&path, files)?;
        } else if let Some(stem) =
            entry.file_name().to_string_lossy().split_once(".ko").map(|(stem, _)| stem.to_owned())
        {
            files.insert(stem.replace('-', "_"), path);
        }
    }
    Ok(())
}

fn load(file: &Path) -> Result<Vec<u8>, String> {
    let module = if file.extension().is_some_and(|e| e == "xz") {
        let output = run::output(run::command("xz").arg("-dc").arg(file), None).map_err(|e| e.to_string())?;
        if !output.status.success() {
            return Err(run::last_words(&output.stderr));
        }
        output.stdout
    } else {
        std::fs::read(file).map_err(|e| e.to_string())?
    };
    Ok(without_signature(module))
}

/// Cuts the signature off: checking it costs time at each boot, and the initial RAM disk that would have to be
/// trusted with it is not signed itself.
fn without_signature(mut module: Vec<u8>) -> Vec<u8> {
    const MAGIC: &[u8] = b"~Module signature appended~\n";
    // Before the magic stand twelve bytes that end with the signature's length.
    let Some(end) = module.len().checked_sub(MAGIC.len() + 12).filter(|_| module.ends_with(MAGIC)) else {
        return module;
    };
    let length = module[end + 8..end + 12].iter().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
    module.truncate(end.saturating_sub(length));
    module
}

/// The names of the modules this one needs, as its `.modinfo` section says.
fn depends(module: &[u8]) -> Vec<String> {
    // The section is a row of texts that end in zeros; splitting at zeros finds it without reading the file's format.
    let Some(text) = module.split(|byte| *byte == 0).find_map(|text| text.strip_prefix(b"depends=")) else {
        return Vec::new();
    };
    String::from_utf8_lossy(text)
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

impl Kernel {
    /// `modules.dep` as busybox reads it: each module with everything it needs, what is loaded first last.
    #[must_use]
    pub fn modules_dep(&self) -> String {
        let needs: BTreeMap<&str, Vec<String>> =
            self.modules.iter().map(|(name, module)| (name.as_str(), depends(module))).collect();
        let mut text = String::new();
        for name in self.modules.keys() {
            let mut order = Vec::new();
            walk(&needs, name, &mut order);
            text.push_str(&format!("{name}.ko:"));
            for needed in order.iter().rev().filter(|needed| *needed != name) {
                text.push_str(&format!(" {needed}.ko"));
            }
            text.push('\n');
        }
        text
    }
}

fn walk(needs: &BTreeMap<&str, Vec<String>>, name: &str, order: &mut Vec<String>) {
    if order.iter().any(|known| known == name) {
        return;
    }
    let Some(needed) = needs.get(name) else { return };
    for other in needed {
        walk(needs, other, order);
    }
    order.push(name.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(depends: &str) -> Vec<u8> {
        format!("\x7fELF..\0license=GPL\0depends={depends}\0name=x\0").into_bytes()
    }

    #[test]
    fn modules_are_loaded_after_what_they_need() {
        let modules =
            [("blk", "virtio,ring"), ("ring", "virtio"), ("virtio", ""), ("net", "fail-over"), ("fail_over", "")]
                .map(|(name, needs)| (name.to_owned(), module(needs)));
        let kernel = Kernel { release: "6".into(), image: Vec::new(), modules: modules.into() };
        let text = kernel.modules_dep();
        assert!(text.contains("blk.ko: ring.ko virtio.ko\n"), "{text}");
        assert!(text.contains("net.ko: fail_over.ko\n"), "{text}");
        assert!(text.contains("virtio.ko:\n"), "{text}");
    }

    #[test]
    fn a_signature_is_cut_off_and_nothing_else() {
        let plain = module("");
        let mut signed = plain.clone();
        signed.extend_from_slice(b"SIGNATURE");
        signed.extend_from_slice(&[0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
        signed.extend_from_slice(b"~Module signature appended~\n");
        assert_eq!(without_signature(signed), plain);
        assert_eq!(without_signature(plain.clone()), plain);
        // A length beyond the file's start must not panic.
        let mut lying = vec![0xff; 12];
        lying.extend_from_slice(b"~Module signature appended~\n");
        assert!(without_signature(lying).is_empty());
    }
}
