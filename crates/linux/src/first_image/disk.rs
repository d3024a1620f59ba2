//! The bootable disk: one FAT partition that SYSLINUX starts under BIOS and systemd-boot under UEFI.

use super::FirstImageError;
use crate::run;
use std::path::Path;

const SECTOR: u64 = 512;
/// Where the partition begins: 1 MiB, as everybody expects.
const START: u64 = 2048;
/// Kernel arguments of a disk boot. The serial line is the machine's console.
pub const ARGUMENTS: &str = "console=ttyS0 quiet net.ifnames=0 panic=1";

/// What goes onto the disk.
pub struct Parts<'a> {
    /// The kernel's file.
    pub kernel: &'a Path,
    /// The initial RAM disk's file.
    pub initrd: &'a Path,
    /// The UEFI boot loader, where there is one.
    pub uefi_loader: Option<&'a Path>,
}

/// Makes the disk as a qcow2 file at `out`, working in `work`.
pub fn make(parts: &Parts<'_>, work: &Path, out: &Path) -> Result<(), FirstImageError> {
    let failed = |what: &str, says: String| FirstImageError::Disk { what: what.to_owned(), says };
    let io =
        |what: &'static str| move |e: std::io::Error| FirstImageError::Disk { what: what.into(), says: e.to_string() };
    let size = |path: &Path| path.metadata().map(|m| m.len());
    let content =
        size(parts.kernel).map_err(io("measure the kernel"))? + size(parts.initrd).map_err(io("measure the initrd"))?;
    // Room for the loaders, FAT's own tables and rounding.
    let sectors = ((content + (3 << 20)).next_multiple_of(1 << 20)) / SECTOR;
    let partition = work.join("partition.fat");
    let file = std::fs::File::create(&partition).map_err(io("make the partition"))?;
    file.set_len(sectors * SECTOR).map_err(io("make the partition"))?;
    drop(file);
    let tool = |name: &str| {
        let mut command = run::command(name);
        // Fixed times make the same bytes of the same inputs.
        command
            .env("SOURCE_DATE_EPOCH", "315619200")
            .env("TZ", "UTC")
            .env("MTOOLS_SKIP_CHECK", "1")
            .env_remove("MTOOLSRC");
        command
    };
    let image = partition.as_os_str();
    run::run(tool("mformat").arg("-i").arg(image).args(["-T", &sectors.to_string(), "-h", "64", "-s", "32"]).args([
        "-H",
        &START.to_string(),
        "-v",
        "HOLM",
        "-N",
        "484f4c4d",
        "::",
    ]))
    .map_err(|e| failed("format its partition", e.to_string()))?;
    let syslinux = format!(
        "DEFAULT tiny\nPROMPT 0\nTIMEOUT 0\nLABEL tiny\n  LINUX /vmlinuz\n  INITRD /initrd\n  APPEND {ARGUMENTS}\n"
    );
    let loader = "default tiny.conf\ntimeout 0\neditor no\n";
    let entry = format!("title Holm's first image\nlinux /vmlinuz\ninitrd /initrd\noptions {ARGUMENTS}\n");
    let mut copies = vec![("vmlinuz", parts.kernel.to_owned()), ("initrd", parts.initrd.to_owned())];
    let mut texts = vec![("syslinux.cfg", syslinux)];
    if let Some(program) = parts.uefi_loader {
        run::run(tool("mmd").arg("-i").arg(image).args(["::EFI", "::EFI/BOOT", "::loader", "::loader/entries"]))
            .map_err(|e| failed("make its directories", e.to_string()))?;
        copies.push(("EFI/BOOT/BOOTX64.EFI", program.to_owned()));
        texts.push(("loader/loader.conf", loader.to_owned()));
        texts.push(("loader/entries/tiny.conf", entry));
    }
    for (name, text) in texts {
        let file = work.join(name.replace('/', "_"));
        std::fs::write(&file, text).map_err(io("write its loader's settings"))?;
        copies.push((name, file));
    }
    for (name, file) in copies {
        run::run(tool("mcopy").arg("-i").arg(image).arg(&file).arg(format!("::{name}")))
            .map_err(|e| failed(&format!("copy {name} onto it"), e.to_string()))?;
    }
    run::run(tool("syslinux").arg("--install").arg(image))
        .map_err(|e| failed("install SYSLINUX on it", e.to_string()))?;
    let raw = work.join("disk.raw");
    assemble(&partition, &raw, sectors).map_err(|says| failed("write its partition table", says))?;
    run::run(run::command("qemu-img").args(["convert", "-f", "raw", "-O", "qcow2"]).arg(&raw).arg(out))
        .map_err(|e| failed("convert it to qcow2", e.to_string()))?;
    Ok(())
}

/// Writes boot code, partition table and partition into one raw disk.
fn assemble(partition: &Path, raw: &Path, sectors: u64) -> Result<(), String> {
    const BOOT_CODE: &str = "/usr/lib/syslinux/mbr/mbr.bin";
    let code =
        std::fs::read(BOOT_CODE).map_err(|e| format!("cannot read {BOOT_CODE} (package syslinux-common): {e}"))?;
    if code.len() > 440 {
        return Err(format!("{BOOT_CODE} has {} bytes, more than fit into a boot sector", code.len()));
    }
    let mut disk = vec![0u8; usize::try_from(START * SECTOR).unwrap_or(0)];
    disk[..code.len()].copy_from_slice(&code);
    disk[440..444].copy_from_slice(b"HOLM");
    let count = u32::try_from(sectors).map_err(|_| "the partition is too large".to_owned())?;
    let entry = &mut disk[446..462];
    // Active; FAT addressed by block; the old cylinder numbers say "see the block numbers".
    entry[..8].copy_from_slice(&[0x80, 0xfe, 0xff, 0xff, 0x0e, 0xfe, 0xff, 0xff]);
    entry[8..12].copy_from_slice(&2048u32.to_le_bytes());
    entry[12..16].copy_from_slice(&count.to_le_bytes());
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk.extend_from_slice(&std::fs::read(partition).map_err(|e| e.to_string())?);
    std::fs::write(raw, disk).map_err(|e| e.to_string())
}
