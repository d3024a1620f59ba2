//! Reads what little of a qcow2 file's header is needed to decide that nothing is to be done.

use holm_model::host_plan::DiskPlan;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The facts of a qcow2 header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes the guest sees.
    pub virtual_size: u64,
    /// The file underneath, as written in the header.
    pub backing: Option<PathBuf>,
    /// Whether the guest's data lie in another file.
    pub external_data: bool,
}

/// Why a header could not be read.
#[derive(Debug, Error)]
pub enum HeaderError {
    /// The file could not be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no qcow2 file, or a damaged one.
    #[error("{} is no sound qcow2 file: {says}", .path.display())]
    Unsound {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        says: &'static str,
    },
}

impl HeaderError {
    /// Whether there is no such file.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }
}

/// Whether the file lies over the disk's own base, as far as names tell: bases are named by their digest on every host.
///
/// # Errors
/// What is wrong, for a sentence about the disk.
pub fn lies_over(header: &Header, disk: &DiskPlan) -> Result<(), String> {
    let named = header.backing.as_ref().map(|path| path.file_name().unwrap_or_default().to_string_lossy().into_owned());
    let wanted = disk.base.as_ref().map(|base| base.digest.clone());
    if named == wanted {
        return Ok(());
    }
    let shown = |name: Option<String>| name.map_or("nothing".into(), |name| name.chars().take(64).collect::<String>());
    Err(format!("it lies over {}, not over {}", shown(named), shown(wanted)))
}

/// Reads the header of the file at `path`.
///
/// # Errors
/// When the file cannot be read or is no qcow2 file.
pub fn read(path: &Path) -> Result<Header, HeaderError> {
    let failed = |source| HeaderError::Read { path: path.to_owned(), source };
    // The header proper, its extensions and the backing file's name all lie in the first cluster, which is never
    // smaller than 512 bytes; names are at most 1023 bytes.
    let mut bytes = Vec::with_capacity(4096);
    File::open(path).map_err(failed)?.take(65_536).read_to_end(&mut bytes).map_err(failed)?;
    parse(&bytes).map_err(|says| HeaderError::Unsound { path: path.to_owned(), says })
}

fn parse(bytes: &[u8]) -> Result<Header, &'static str> {
    let u32_at = |at: usize| {
        bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes).ok_or("it ends within its header")
    };
    let u64_at = |at: usize| {
        bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map(u64::from_be_bytes).ok_or("it ends within its header")
    };
    if bytes.get(..4) != Some(b"QFI\xfb") {
        return Err("it does not begin as one");
    }
    let version = u32_at(4)?;
    if !matches!(version, 2 | 3) {
        return Err("its version is neither 2 nor 3");
    }
    let (offset, length) = (u64_at(8)?, u32_at(16)?);
    let backing = if offset == 0 {
        None
    } else {
        if length == 0 || length > 1023 {
            return Err("the length of its backing file's name makes no sense");
        }
        let start = usize::try_from(offset).map_err(|_| "its backing file's name lies beyond its end")?;
        let name = start
            .checked_add(length as usize)
            .and_then(|end| bytes.get(start..end))
            .ok_or("its backing file's name lies beyond its first cluster")?;
        Some(PathBuf::from(std::str::from_utf8(name).map_err(|_| "its backing file's name is no text")?))
    };
    let external_data = version == 3 && u64_at(72)? & 4 != 0;
    Ok(Header { virtual_size: u64_at(24)?, backing, external_data })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(version: u32, backing: &[u8], size: u64) -> Vec<u8> {
        let mut bytes = vec![0; 512];
        bytes[..4].copy_from_slice(b"QFI\xfb");
        bytes[4..8].copy_from_slice(&version.to_be_bytes());
        if !backing.is_empty() {
            bytes[8..16].copy_from_slice(&256u64.to_be_bytes());
            bytes[16..20].copy_from_slice(&u32::try_from(backing.len()).expect("short").to_be_bytes());
            let end = (256 + backing.len()).min(512);
            bytes[256..end].copy_from_slice(&backing[..end - 256]);
        }
        bytes[24..32].copy_from_slice(&size.to_be_bytes());
        bytes
    }

    #[test]
    fn sound_headers_are_read() {
        let read = parse(&header(3, b"/images/a", 1 << 30)).expect("sound");
        assert_eq!(read, Header { virtual_size: 1 << 30, backing: Some("/images/a".into()), external_data: false });
        assert_eq!(parse(&header(2, b"", 7)).expect("sound").backing, None);
        let mut external = header(3, b"", 7);
        external[79] = 4;
        assert!(parse(&external).expect("sound").external_data);
    }

    #[test]
    fn no_prefix_and_no_changed_byte_makes_it_panic() {
        let whole = header(3, b"/images/a", 1 << 30);
        for end in 0..whole.len() {
            let _ = parse(&whole[..end]);
        }
        for at in 0..104 {
            let mut changed = whole.clone();
            changed[at] = 0xff;
            let _ = parse(&changed);
        }
        assert!(parse(&whole[..20]).is_err());
        assert!(parse(&header(4, b"", 1)).is_err());
        assert!(parse(&header(3, &[b'x'; 1024], 1)).is_err());
        assert!(parse(&[]).is_err());
    }
}
