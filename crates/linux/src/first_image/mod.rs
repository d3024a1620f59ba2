//! The first image: a small Linux made from Debian packages on the machine itself, so that a fresh installation has
//! something to boot that nobody had to download from us.
//!
//! It holds Debian's cloud kernel, busybox and dropbear, lives in memory, reads its context from either medium, answers
//! HTTP on port 80 (`/` and `/cgi-bin/info`), SSH by key alone, and offers a root shell on its serial line, which only
//! reaches those who may use the VM's console. The same inputs give the same bytes.

mod cpio;
mod disk;
mod kernel;

use crate::run;
use cpio::Tree;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The kernel arguments for a direct boot of the first image.
pub const KERNEL_ARGUMENTS: &str = disk::ARGUMENTS;

/// Grows whenever this module makes something else of the same packages.
const RECIPE: u32 = 1;

/// What the guest's first process loads, or may load, by name.
const MODULES: &[&str] = &[
    "virtio_pci",
    "virtio_mmio",
    "virtio_blk",
    "virtio_net",
    "isofs",
    "virtio_scsi",
    "ata_piix",
    "sr_mod",
    "sd_mod",
    "button",
    "evdev",
    "virtio_balloon",
    "virtio_rng",
    "virtio_console",
];

/// The commands that exist before all of busybox is installed by name.
const APPLETS: &[&str] = &[
    "awk", "base64", "cat", "chmod", "cp", "cttyhack", "dd", "echo", "head", "hostname", "httpd", "ip", "kill", "ls",
    "mke2fs", "mount", "nproc", "poweroff", "ps", "reboot", "sed", "setsid", "sh", "sleep", "sync", "tr", "udhcpc",
    "umount", "usleep", "wc",
];

/// The programs and settings whose versions decide what comes out.
const INPUTS: &[&str] = &[
    "busybox-static",
    "dropbear-bin",
    "libc6",
    "libtomcrypt1",
    "libtommath1",
    "zlib1g",
    "libcrypt1",
    "libgmp10",
    "syslinux",
    "syslinux-common",
    "mtools",
    "qemu-utils",
];

/// The files of the first image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstImage {
    /// Kernel for direct boot.
    pub kernel: PathBuf,
    /// Initial RAM disk for direct boot; the whole system is in it.
    pub initrd: PathBuf,
    /// Bootable disk (qcow2; BIOS, and UEFI where its loader's package could be had).
    pub disk: PathBuf,
}

/// Why the first image could not be made.
#[derive(Debug, Error)]
pub enum FirstImageError {
    /// The machine is no x86-64 PC.
    #[error("the first image is made for x86_64 and this machine is {0}; import an image of your own instead")]
    Architecture(&'static str),
    /// A package is not installed.
    #[error("making the first image needs the package {package}: {says}")]
    Needs {
        /// Its name.
        package: &'static str,
        /// What is missing of it.
        says: String,
    },
    /// No kernel.
    #[error("cannot get a kernel for the first image: {0}")]
    Kernel(String),
    /// A package could not be downloaded.
    #[error("cannot download the package {package} for the first image: {says}")]
    Download {
        /// Its name.
        package: String,
        /// Why.
        says: String,
    },
    /// A package could not be unpacked.
    #[error("cannot unpack {}: {says}", .file.display())]
    Unpack {
        /// Its file.
        file: PathBuf,
        /// Why.
        says: String,
    },
    /// The disk could not be made.
    #[error("cannot make the first image's disk: could not {what}: {says}")]
    Disk {
        /// Which step.
        what: String,
        /// Why.
        says: String,
    },
    /// A file could not be read or written.
    #[error("cannot {what} {}: {source}", .path.display())]
    Io {
        /// What was attempted.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
}

fn io<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> FirstImageError + 'a {
    move |source| FirstImageError::Io { what, path: path.to_owned(), source }
}

/// Has the first image in `out_dir`, making it when it is not there or when the packages it is made of have changed.
/// `progress` is told what takes time. Two callers at once do not disturb each other.
///
/// # Errors
/// When a package is missing or cannot be downloaded, or a file cannot be written.
pub fn build(out_dir: &Path, progress: &mut dyn FnMut(&str)) -> Result<FirstImage, FirstImageError> {
    if std::env::consts::ARCH != "x86_64" {
        return Err(FirstImageError::Architecture(std::env::consts::ARCH));
    }
    std::fs::create_dir_all(out_dir).map_err(io("make the directory", out_dir))?;
    let lock_path = out_dir.join("lock");
    let lock = std::fs::File::create(&lock_path).map_err(io("open", &lock_path))?;
    lock.lock().map_err(io("lock", &lock_path))?;

    let image = FirstImage {
        kernel: out_dir.join("tiny-vmlinuz"),
        initrd: out_dir.join("tiny-initrd"),
        disk: out_dir.join("tiny.qcow2"),
    };
    let stamp = out_dir.join("inputs");
    let made_of = std::fs::read_to_string(&stamp).unwrap_or_default();
    let complete = !made_of.is_empty() && [&image.kernel, &image.initrd, &image.disk].iter().all(|f| f.is_file());
    let own = own_inputs()?;
    let kernel = kernel::package().and_then(|package| Ok((kernel::candidate(&package)?, package)));
    let (version, package) = match kernel {
        Ok(found) => found,
        // Without package lists an image that was made earlier is still as good as it was.
        Err(_) if complete && made_of.starts_with(&own) => return Ok(image),
        Err(error) => return Err(error),
    };
    let inputs = format!("{own}{package} {version}\n");
    if complete && made_of == inputs {
        return Ok(image);
    }

    let work = out_dir.join("work");
    let _ = std::fs::remove_dir_all(&work);
    std::fs::create_dir_all(&work).map_err(io("make the directory", &work))?;
    progress(&format!("fetching {package} {version}"));
    let deb = kernel::download(&package, &version, out_dir)?;
    forget_others(out_dir, "linux-image-", &deb);
    let unpacked = work.join("kernel");
    progress("unpacking the kernel");
    kernel::unpack(&deb, &unpacked)?;
    let kernel = kernel::read(&unpacked, MODULES)?;
    let loader = match uefi_loader(out_dir, &work) {
        Ok(loader) => Some(loader),
        Err(error) => {
            progress(&format!("the disk will start under BIOS only: {error}"));
            None
        }
    };

    progress("making kernel, initial RAM disk and disk");
    let initrd = tree(&kernel)?.archive();
    let new = |name: &str| work.join(name);
    let (new_kernel, new_initrd, new_disk) = (new("vmlinuz"), new("initrd"), new("disk.qcow2"));
    std::fs::write(&new_kernel, &kernel.image).map_err(io("write", &new_kernel))?;
    std::fs::write(&new_initrd, &initrd).map_err(io("write", &new_initrd))?;
    disk::make(
        &disk::Parts { kernel: &new_kernel, initrd: &new_initrd, uefi_loader: loader.as_deref() },
        &work,
        &new_disk,
    )?;
    // The stamp goes first and comes last: files of two builds are never taken for one image.
    let _ = std::fs::remove_file(&stamp);
    for (from, to) in [(&new_kernel, &image.kernel), (&new_initrd, &image.initrd), (&new_disk, &image.disk)] {
        std::fs::rename(from, to).map_err(io("put in place", to))?;
    }
    std::fs::write(&stamp, inputs).map_err(io("write", &stamp))?;
    let _ = std::fs::remove_dir_all(&work);
    Ok(image)
}

/// Versions of everything but the kernel, and this module's own files, one line each.
fn own_inputs() -> Result<String, FirstImageError> {
    let versions = crate::packages::installed(INPUTS)
        .map_err(|e| FirstImageError::Needs { package: "dpkg", says: e.to_string() })?;
    let mut text = format!("recipe {RECIPE} {:016x}\n", fingerprint());
    for (package, version) in INPUTS.iter().zip(versions) {
        text.push_str(&format!("{package} {}\n", version.as_deref().unwrap_or("none")));
    }
    Ok(text)
}

const INIT: &str = include_str!("guest/init");
const INFO: &str = include_str!("guest/info.cgi");
const UDHCPC: &str = include_str!("guest/udhcpc.script");
const CIDATA: &str = include_str!("guest/cidata.awk");
const PROFILE: &str = include_str!("guest/profile");

/// FNV-1a over the guest's own files: they change while this is being developed, and then the image must change too.
fn fingerprint() -> u64 {
    [INIT, INFO, UDHCPC, CIDATA, PROFILE, disk::ARGUMENTS]
        .iter()
        .flat_map(|text| text.bytes().chain([0]))
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn forget_others(directory: &Path, prefix: &str, keep: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(prefix) && name.ends_with(".deb") && path != keep {
            let _ = std::fs::remove_file(&path);
        }
    }
}

fn uefi_loader(out_dir: &Path, work: &Path) -> Result<PathBuf, FirstImageError> {
    const PACKAGE: &str = "systemd-boot-efi";
    let deb = kernel::download(PACKAGE, &kernel::candidate(PACKAGE)?, out_dir)?;
    forget_others(out_dir, PACKAGE, &deb);
    let unpacked = work.join("loader");
    kernel::unpack(&deb, &unpacked)?;
    let file = unpacked.join("usr/lib/systemd/boot/efi/systemd-bootx64.efi");
    if !file.is_file() {
        return Err(FirstImageError::Unpack { file: deb, says: "it has no systemd-bootx64.efi".into() });
    }
    Ok(file)
}

/// The guest's whole file system.
fn tree(kernel: &kernel::Kernel) -> Result<Tree, FirstImageError> {
    let mut tree = Tree::default();
    for directory in [
        "proc",
        "sys",
        "dev",
        "run",
        "tmp",
        "mnt/context",
        "data",
        "root/.ssh",
        "etc/dropbear",
        "var/log",
        "var/run",
        "sbin",
    ] {
        tree.directory(directory);
    }
    let busybox = program("busybox", "busybox-static")?;
    tree.file("bin/busybox", 0o755, read(&busybox)?);
    for applet in APPLETS {
        tree.link(&format!("bin/{applet}"), "busybox");
    }
    // The kernel calls this one by its full path.
    tree.link("sbin/modprobe", "../bin/busybox");
    let dropbear = program("dropbear", "dropbear-bin")?;
    tree.file("usr/sbin/dropbear", 0o755, read(&dropbear)?);
    for library in libraries(&dropbear)? {
        let name = library.file_name().unwrap_or_default().to_string_lossy().into_owned();
        tree.file(&format!("lib64/{name}"), 0o755, read(&library)?);
    }
    tree.link("lib/x86_64-linux-gnu", "../lib64");
    tree.file("init", 0o755, INIT);
    tree.file("www/cgi-bin/info", 0o755, INFO);
    tree.file("etc/udhcpc.script", 0o755, UDHCPC);
    tree.file("etc/cidata.awk", 0o644, CIDATA);
    tree.file("etc/profile", 0o644, PROFILE);
    tree.file("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\n");
    // No password fits: the serial line gives its shell without one and SSH takes keys only.
    tree.file("etc/shadow", 0o600, "root:*:19000:0:99999:7:::\n");
    tree.file("etc/group", 0o644, "root:x:0:\n");
    tree.file("etc/shells", 0o644, "/bin/sh\n");
    let modules = format!("lib/modules/{}", kernel.release);
    for (name, module) in &kernel.modules {
        tree.file(&format!("{modules}/{name}.ko"), 0o644, module.clone());
    }
    tree.file(&format!("{modules}/modules.dep"), 0o644, kernel.modules_dep());
    Ok(tree)
}

fn read(path: &Path) -> Result<Vec<u8>, FirstImageError> {
    std::fs::read(path).map_err(io("read", path))
}

fn program(name: &str, package: &'static str) -> Result<PathBuf, FirstImageError> {
    run::find_program(name).ok_or_else(|| FirstImageError::Needs {
        package,
        says: format!("there is no {name}; run: apt-get install -y {package}"),
    })
}

/// The shared libraries a program needs, its loader included, in a fixed order.
fn libraries(program: &Path) -> Result<Vec<PathBuf>, FirstImageError> {
    let listed = run::run(run::command("ldd").arg(program))
        .map_err(|e| FirstImageError::Needs { package: "libc-bin", says: e.to_string() })?;
    let mut found: Vec<PathBuf> = listed
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect();
    // User names are looked up through a library that ldd does not see.
    found.extend(
        ["/lib/x86_64-linux-gnu/libnss_files.so.2"].iter().map(PathBuf::from).filter(|library| library.is_file()),
    );
    found.sort();
    found.dedup();
    Ok(found)
}
