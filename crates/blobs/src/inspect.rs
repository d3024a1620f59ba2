//! Says what a file is by looking at its content, and refuses what it is not.

use crate::{Refusal, qcow2};
use holm_model::images::{ImageFormat, ImageKind};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What is known of an acceptable file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// How its bytes are laid out.
    pub format: ImageFormat,
    /// Bytes the guest sees.
    pub virtual_size: u64,
}

/// Largest kernel, bytes.
const LARGEST_KERNEL: u64 = 512 << 20;
/// Largest initial RAM disk, bytes.
const LARGEST_INITRD: u64 = 4 << 30;

/// Largest file for context media and largest archive of a directory, bytes.
const LARGEST_FILE: u64 = 4 << 30;

/// Looks at an open file of this size.
///
/// # Errors
/// When reading fails; inside, why the file is not acceptable.
pub fn file(file: &File, size: u64, kind: ImageKind) -> io::Result<Result<Facts, Refusal>> {
    let want = usize::try_from(size).unwrap_or(usize::MAX).min(qcow2::HEAD);
    let mut head = vec![0; want];
    file.read_exact_at(&mut head, 0)?;
    let ending = want.min(512);
    let mut tail = vec![0; ending];
    file.read_exact_at(&mut tail, size - ending as u64)?;
    Ok(bytes(&head, &tail, size, kind))
}

/// Looks at an open file of this size that is to be what was written over a base: a qcow2 file that may say which file it
/// lay over, and refers to nothing else.
///
/// # Errors
/// When reading fails; inside, why the file is not acceptable.
pub fn overlay(file: &File, size: u64) -> io::Result<Result<qcow2::Qcow2Facts, Refusal>> {
    let mut head = vec![0; usize::try_from(size).unwrap_or(usize::MAX).min(qcow2::HEAD)];
    file.read_exact_at(&mut head, 0)?;
    Ok(qcow2::inspect_overlay(&head, size))
}

/// Looks at the beginning (2 MiB or all of it) and the end (512 bytes or all of it) of a file of this size.
///
/// # Errors
/// Why it is not acceptable.
pub fn bytes(head: &[u8], tail: &[u8], size: u64, kind: ImageKind) -> Result<Facts, Refusal> {
    if size == 0 {
        return Err(Refusal::new("is empty", "Import the file itself."));
    }
    match kind {
        ImageKind::Disk | ImageKind::Cdrom | ImageKind::Datablock => disk(head, tail, size),
        ImageKind::Kernel => kernel(head, size),
        ImageKind::Initrd => initrd(head, size),
        // Whatever it is, only guests read it.
        ImageKind::Context => opaque("a context file", size),
        ImageKind::Backup | ImageKind::Filesystem => Err(Refusal::new(
            "cannot be imported: nobody unpacks backups or shared directories yet",
            "Import it as a disk or as a context file.",
        )),
    }
}

fn opaque(what: &str, size: u64) -> Result<Facts, Refusal> {
    if size > LARGEST_FILE {
        return Err(Refusal::new(format!("has {size} bytes, too many for {what}"), "Give a smaller file."));
    }
    Ok(Facts { format: ImageFormat::Raw, virtual_size: size })
}

/// Formats that QEMU knows and that are not accepted, by their place and mark, and files that hold an image packed.
const OTHERS: &[(usize, &[u8], &str)] = &[
    (0, b"KDMV", "a VMDK image"),
    (0, b"COWD", "a VMDK image"),
    (0, b"# Disk DescriptorFile", "a VMDK image"),
    (0x40, b"\x7f\x10\xda\xbe", "a VDI image"),
    (0, b"vhdxfile", "a VHDX image"),
    (0, b"conectix", "a VHD image"),
    (0, b"QED\0", "a QED image"),
    (0, b"WithoutFreeSpace", "a Parallels image"),
    (0, b"WithouFreSpacExt", "a Parallels image"),
    (0, b"Bochs Virtual HD Image", "a Bochs image"),
    (0, b"LUKS\xba\xbe", "an encrypted disk"),
    (0, b"\x1f\x8b\x08", "compressed with gzip"),
    (0, b"\xfd7zXZ\0", "compressed with xz"),
    (0, b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (0, b"\x04\x22\x4d\x18", "compressed with lz4"),
    (0, b"BZh", "compressed with bzip2"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x7fELF", "a program"),
    (0, b"!<arch>\n", "a package or library"),
    (0, b"%PDF-", "a PDF document"),
];

fn disk(head: &[u8], tail: &[u8], size: u64) -> Result<Facts, Refusal> {
    if head.starts_with(&qcow2::MAGIC) {
        let facts = qcow2::inspect(head, size)?;
        return Ok(Facts { format: ImageFormat::Qcow2, virtual_size: facts.virtual_size });
    }
    for (at, mark, what) in OTHERS {
        if head.get(*at..).is_some_and(|rest| rest.starts_with(mark)) {
            return Err(Refusal::new(
                format!("is not a raw or qcow2 disk image: it is {what}"),
                "Unpack it, or convert it with qemu-img convert -O qcow2 OLD NEW, and import the result.",
            ));
        }
    }
    if let Some(text) = text_at(head) {
        return Err(Refusal::new(
            format!("is not a disk image: it begins with '{text}'"),
            "Check the URL or the file; servers send such pages instead of files that are not there.",
        ));
    }
    if tail.starts_with(b"conectix") {
        return Err(Refusal::new(
            "is not a raw or qcow2 disk image: it is a VHD image",
            "Convert it: qemu-img convert -O qcow2 OLD NEW.",
        ));
    }
    if !size.is_multiple_of(512) {
        return Err(Refusal::new(
            format!("is not a disk image: its {size} bytes are not a multiple of 512"),
            "A raw disk consists of whole sectors; the file was probably cut off. Import the whole file.",
        ));
    }
    if size > qcow2::LARGEST {
        return Err(Refusal::new(format!("has {size} bytes, more than 64 TiB"), "Import a smaller disk."));
    }
    Ok(Facts { format: ImageFormat::Raw, virtual_size: size })
}

fn wrong(what: &str, wanted: &str, head: &[u8]) -> Refusal {
    let begins = match text_at(head) {
        Some(text) => format!("'{text}'"),
        None => format!("the bytes {}", hex::encode(&head[..head.len().min(8)])),
    };
    Refusal::new(format!("is not {what}: it begins with {begins}"), format!("Give {wanted}."))
}

fn kernel(head: &[u8], size: u64) -> Result<Facts, Refusal> {
    let at = |from: usize, mark: &[u8]| head.get(from..).is_some_and(|rest| rest.starts_with(mark));
    // Linux's boot protocol: the boot flag of old and the header of new bzImages; ELF (vmlinux); gzip (arm64's
    // Image.gz); arm64's own header.
    let bz_image = at(0x1fe, &[0x55, 0xaa]) && at(0x202, b"HdrS");
    if !(bz_image || at(0, b"\x7fELF") || at(0, b"\x1f\x8b\x08") || at(56, b"ARM\x64")) {
        return Err(wrong("a Linux kernel", "a bzImage (vmlinuz), an ELF vmlinux or an Image.gz", head));
    }
    if size > LARGEST_KERNEL {
        return Err(Refusal::new(format!("has {size} bytes, too many for a kernel"), "Import the kernel alone."));
    }
    Ok(Facts { format: ImageFormat::Raw, virtual_size: size })
}

fn initrd(head: &[u8], size: u64) -> Result<Facts, Refusal> {
    let marks: [&[u8]; 9] = [
        b"\x1f\x8b\x08",
        b"\xfd7zXZ\0",
        b"\x28\xb5\x2f\xfd",
        b"\x04\x22\x4d\x18",
        b"\x02\x21\x4c\x18",
        b"\x5d\x00\x00",
        b"BZh",
        b"070701",
        b"070702",
    ];
    if !marks.iter().any(|mark| head.starts_with(mark)) {
        return Err(wrong(
            "an initial RAM disk",
            "a cpio archive, plain or packed with gzip, xz, zstd, lz4, lzma or bzip2",
            head,
        ));
    }
    if size > LARGEST_INITRD {
        return Err(Refusal::new(format!("has {size} bytes, too many for an initial RAM disk"), "Make it smaller."));
    }
    Ok(Facts { format: ImageFormat::Raw, virtual_size: size })
}

/// The first words, when the file begins as text does: at least 16 (or all) bytes that are printable or blank, not only
/// blanks. No boot sector and no partition table begins so.
fn text_at(head: &[u8]) -> Option<String> {
    let sample = &head[..head.len().min(512)];
    // A byte-order mark is text as well.
    let sample = sample.strip_prefix(b"\xef\xbb\xbf").unwrap_or(sample);
    let printable = sample.iter().take_while(|b| matches!(b, b' '..=b'~' | b'\n' | b'\r' | b'\t')).count();
    let is_text = printable >= 16.min(sample.len()) && printable > 0;
    let first = std::str::from_utf8(&sample[..printable]).ok()?.split_whitespace().next()?;
    let markup = first.starts_with('<') && printable >= 5;
    (is_text || markup).then(|| first.chars().take(40).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(content: &[u8], kind: ImageKind) -> Result<Facts, Refusal> {
        let tail = &content[content.len() - content.len().min(512)..];
        bytes(content, tail, content.len() as u64, kind)
    }

    fn padded(start: &[u8], size: usize) -> Vec<u8> {
        let mut content = start.to_vec();
        content.resize(size, 0);
        content
    }

    #[test]
    fn content_decides_what_a_disk_is() {
        assert_eq!(look(&vec![0; 4096], ImageKind::Disk).expect("an empty raw disk").format, ImageFormat::Raw);
        let mbr = padded(b"\xeb\x63\x90GRUB", 1024);
        assert_eq!(look(&mbr, ImageKind::Disk).expect("a boot sector").virtual_size, 1024);
        let qcow2 = look(&qcow2::tests::sound(), ImageKind::Disk).expect("a qcow2");
        assert_eq!((qcow2.format, qcow2.virtual_size), (ImageFormat::Qcow2, 1 << 30));
    }

    #[test]
    fn what_is_no_disk_says_so() {
        let page = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head></html>".to_vec();
        let refusal = look(&page, ImageKind::Disk).expect_err("a page");
        assert_eq!(refusal.why, "is not a disk image: it begins with '<!DOCTYPE'");
        for (content, says) in [
            (b"not found".to_vec(), "begins with 'not'"),
            (b"\xef\xbb\xbf<html>\xff".to_vec(), "begins with '<html>'"),
            (padded(b"KDMV", 1024), "VMDK"),
            (padded(b"\x1f\x8b\x08", 1024), "gzip"),
            (padded(b"\x7fELF", 1024), "a program"),
            (padded(b"x\0", 1000), "multiple of 512"),
            (padded(b"QFI\xfb\0\0\0\x03", 1024), "cluster bits"),
            (vec![], "empty"),
            ([vec![0; 512], padded(b"conectix", 512)].concat(), "VHD"),
        ] {
            let refusal = look(&content, ImageKind::Disk).expect_err(says);
            assert!(refusal.why.contains(says), "{refusal}");
        }
    }

    #[test]
    fn kernels_and_ram_disks_are_told_from_other_files() {
        let mut bz = vec![0; 1024];
        bz[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
        bz[0x202..0x206].copy_from_slice(b"HdrS");
        assert!(look(&bz, ImageKind::Kernel).is_ok());
        assert!(look(&padded(b"\x7fELF", 64), ImageKind::Kernel).is_ok());
        assert!(look(&padded(b"070701", 64), ImageKind::Initrd).is_ok());
        assert!(look(&padded(b"\x28\xb5\x2f\xfd", 64), ImageKind::Initrd).is_ok());
        for kind in [ImageKind::Kernel, ImageKind::Initrd] {
            assert!(look(&qcow2::tests::sound(), kind).is_err());
            assert!(look(b"<!DOCTYPE html>", kind).expect_err("a page").why.contains("'<!DOCTYPE'"));
            assert!(look(b"\0", kind).is_err());
        }
        assert!(look(&bz, ImageKind::Initrd).is_err());
    }
}
