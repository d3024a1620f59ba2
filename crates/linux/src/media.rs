//! Context media: small ISO 9660 discs with Rock Ridge and Joliet, the same bytes for the same content.
//!
//! Written by hand because the bytes must not depend on the moment of writing: an unchanged context must not look like
//! a changed medium. Only what a flat disc with a few files needs is here: one root directory per volume descriptor.
//! Guests read the names in lower case through Rock Ridge (Linux, BSD) or Joliet (Windows).
//!
//! ```text
//! sector 16 primary descriptor   19, 20 path tables (little, big endian)   23 root directory with Rock Ridge
//!        17 Joliet descriptor    21, 22 path tables for Joliet             24 root directory with Joliet names
//!        18 terminator                                                     25 Rock Ridge's declaration, then files
//! ```

use thiserror::Error;

const SECTOR: usize = 2048;
const ROOT: u32 = 23;
const JOLIET_ROOT: u32 = 24;
const DECLARATION: u32 = 25;
const FIRST_FILE: u32 = 26;
/// 2020-01-01 00:00 UTC, as directory records say it.
const MOMENT: [u8; 7] = [120, 1, 1, 0, 0, 0, 0];
/// The same, as descriptors say it.
const LONG_MOMENT: &[u8; 17] = b"2020010100000000\0";

/// Why a medium could not be laid out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MediumError {
    /// The label does not fit.
    #[error("the label {0:?} is not 1 to 16 ASCII characters")]
    Label(String),
    /// A name does not fit.
    #[error("the file name {0:?} is not 1 to 30 lower-case letters, digits, '.', '-' or '_'")]
    Name(String),
    /// There are too many files for one directory sector.
    #[error("{0} files do not fit on a context medium; there is room for about 16")]
    TooMany(usize),
    /// A file is larger than such a medium can hold.
    #[error("the file {name} has {size} bytes; a context medium holds up to 256 MiB")]
    TooLarge {
        /// Its name.
        name: String,
        /// Its size.
        size: usize,
    },
}

/// Lays out a disc with this label and these files.
///
/// # Errors
/// When label, names, number or size of the files do not fit.
pub fn write(label: &str, files: &[(&str, &[u8])]) -> Result<Vec<u8>, MediumError> {
    if label.is_empty() || label.len() > 16 || !label.is_ascii() {
        return Err(MediumError::Label(label.to_owned()));
    }
    let mut files: Vec<(&str, &[u8])> = files.to_vec();
    files.sort_by_key(|(name, _)| plain_name(name));
    let mut next = FIRST_FILE;
    let mut places = Vec::with_capacity(files.len());
    for (name, content) in &files {
        let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b".-_".contains(&c);
        if name.is_empty() || name.len() > 30 || !name.bytes().all(fits) {
            return Err(MediumError::Name((*name).to_owned()));
        }
        if content.len() > 256 << 20 {
            return Err(MediumError::TooLarge { name: (*name).to_owned(), size: content.len() });
        }
        places.push(next);
        next += sectors(content.len()).max(1);
    }

    let mut root = directory(ROOT, Names::RockRidge);
    let mut joliet_root = directory(JOLIET_ROOT, Names::Joliet);
    for ((name, content), place) in files.iter().zip(&places) {
        let size = u32::try_from(content.len()).unwrap_or(u32::MAX);
        record(&mut root, plain_name(name).as_bytes(), *place, size, false, &rock_ridge(name, false));
        record(&mut joliet_root, &wide(name), *place, size, false, &[]);
    }
    if root.len() > SECTOR || joliet_root.len() > SECTOR {
        return Err(MediumError::TooMany(files.len()));
    }

    let mut disc = vec![0; next as usize * SECTOR];
    let mut put = |sector: u32, bytes: &[u8]| {
        let at = sector as usize * SECTOR;
        disc[at..at + bytes.len()].copy_from_slice(bytes);
    };
    put(16, &descriptor(label, next, Names::RockRidge));
    put(17, &descriptor(label, next, Names::Joliet));
    put(18, b"\xffCD001\x01");
    put(19, &path_table(ROOT.to_le_bytes(), 1u16.to_le_bytes()));
    put(20, &path_table(ROOT.to_be_bytes(), 1u16.to_be_bytes()));
    put(21, &path_table(JOLIET_ROOT.to_le_bytes(), 1u16.to_le_bytes()));
    put(22, &path_table(JOLIET_ROOT.to_be_bytes(), 1u16.to_be_bytes()));
    put(ROOT, &root);
    put(JOLIET_ROOT, &joliet_root);
    put(DECLARATION, &declaration());
    for ((_, content), place) in files.iter().zip(places) {
        put(place, content);
    }
    Ok(disc)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    RockRidge,
    Joliet,
}

fn sectors(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(SECTOR)).unwrap_or(u32::MAX)
}

/// The name for readers that know neither extension.
fn plain_name(name: &str) -> String {
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let clean = |text: &str| text.to_ascii_uppercase().replace(['-', '.'], "_");
    format!("{}.{};1", clean(stem), clean(extension))
}

fn wide(name: &str) -> Vec<u8> {
    name.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

fn both32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
    out.extend_from_slice(&value.to_be_bytes());
}

fn both16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_le_bytes());
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends one directory record; records never cross a sector because a directory has only one.
fn record(out: &mut Vec<u8>, name: &[u8], place: u32, size: u32, is_directory: bool, system_use: &[u8]) {
    let start = out.len();
    out.extend_from_slice(&[0, 0]);
    both32(out, place);
    both32(out, size);
    out.extend_from_slice(&MOMENT);
    out.extend_from_slice(&[if is_directory { 2 } else { 0 }, 0, 0]);
    both16(out, 1);
    out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(name);
    if name.len().is_multiple_of(2) {
        out.push(0);
    }
    out.extend_from_slice(system_use);
    if !(out.len() - start).is_multiple_of(2) {
        out.push(0);
    }
    out[start] = u8::try_from(out.len() - start).unwrap_or(u8::MAX);
}

/// A directory with its records for itself and its parent, which is itself.
fn directory(place: u32, names: Names) -> Vec<u8> {
    let mut out = Vec::new();
    let (own, parent) = match names {
        Names::RockRidge => {
            let mut own = b"SP\x07\x01\xbe\xef\x00".to_vec();
            own.extend(posix(true));
            own.extend_from_slice(b"CE\x1c\x01");
            both32(&mut own, DECLARATION);
            both32(&mut own, 0);
            both32(&mut own, u32::try_from(declaration().len()).unwrap_or(0));
            (own, posix(true))
        }
        Names::Joliet => (Vec::new(), Vec::new()),
    };
    record(&mut out, &[0], place, SECTOR as u32, true, &own);
    record(&mut out, &[1], place, SECTOR as u32, true, &parent);
    out
}

/// Rock Ridge's `PX`: read-only for everybody, owned by root.
fn posix(is_directory: bool) -> Vec<u8> {
    let mut out = b"PX\x24\x01".to_vec();
    both32(&mut out, if is_directory { 0o040_555 } else { 0o100_444 });
    both32(&mut out, if is_directory { 2 } else { 1 });
    both32(&mut out, 0);
    both32(&mut out, 0);
    out
}

fn rock_ridge(name: &str, is_directory: bool) -> Vec<u8> {
    let mut out = posix(is_directory);
    out.extend_from_slice(b"NM");
    out.push(u8::try_from(5 + name.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(&[1, 0]);
    out.extend_from_slice(name.as_bytes());
    out
}

/// Rock Ridge's `ER`: says that the extension is in use.
fn declaration() -> Vec<u8> {
    const ID: &[u8] = b"RRIP_1991A";
    const DESCRIPTION: &[u8] = b"THE ROCK RIDGE INTERCHANGE PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS";
    const SOURCE: &[u8] =
        b"PLEASE CONTACT DISC PUBLISHER FOR SPECIFICATION SOURCE.  SEE PUBLISHER IDENTIFIER IN PRIMARY \
                            VOLUME DESCRIPTOR FOR CONTACT INFORMATION.";
    let length = |part: &[u8]| u8::try_from(part.len()).unwrap_or(u8::MAX);
    let mut out = b"ER".to_vec();
    out.push(u8::try_from(8 + ID.len() + DESCRIPTION.len() + SOURCE.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(&[1, length(ID), length(DESCRIPTION), length(SOURCE), 1]);
    out.extend_from_slice(ID);
    out.extend_from_slice(DESCRIPTION);
    out.extend_from_slice(SOURCE);
    out
}

fn path_table(place: [u8; 4], parent: [u8; 2]) -> Vec<u8> {
    let mut out = vec![1, 0];
    out.extend_from_slice(&place);
    out.extend_from_slice(&parent);
    out.extend_from_slice(&[0, 0]);
    out
}

/// Primary or Joliet descriptor.
fn descriptor(label: &str, size: u32, names: Names) -> Vec<u8> {
    let joliet = names == Names::Joliet;
    let text = |value: &str, length: usize| -> Vec<u8> {
        let mut out = if joliet { wide(value) } else { value.as_bytes().to_vec() };
        out.truncate(length);
        while out.len() + 1 < length || (!joliet && out.len() < length) {
            out.extend_from_slice(if joliet { &[0, b' '][..] } else { b" " });
        }
        out.resize(length, 0);
        out
    };
    let mut out = vec![if joliet { 2 } else { 1 }];
    out.extend_from_slice(b"CD001\x01\0");
    out.extend(text("LINUX", 32));
    out.extend(text(label, 32));
    out.extend_from_slice(&[0; 8]);
    both32(&mut out, size);
    // Joliet announces UCS-2 level 3 here.
    out.extend_from_slice(if joliet { b"%/E" } else { &[0; 3] });
    out.extend_from_slice(&[0; 29]);
    both16(&mut out, 1);
    both16(&mut out, 1);
    both16(&mut out, SECTOR as u16);
    both32(&mut out, 10);
    let (little, big) = if joliet { (21u32, 22u32) } else { (19, 20) };
    out.extend_from_slice(&little.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&big.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    record(&mut out, &[0], if joliet { JOLIET_ROOT } else { ROOT }, SECTOR as u32, true, &[]);
    for length in [128, 128, 128, 128, 37, 37, 37] {
        out.extend(text("", length));
    }
    out.extend_from_slice(LONG_MOMENT);
    out.extend_from_slice(LONG_MOMENT);
    // Never expires, effective at once.
    out.extend_from_slice(b"0000000000000000\0");
    out.extend_from_slice(b"0000000000000000\0");
    out.push(1);
    out.resize(SECTOR, 0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run;

    fn disc() -> Vec<u8> {
        let long = vec![b'x'; 5000];
        write(
            "CONTEXT",
            &[
                ("context.sh", b"A='1'\n"),
                ("network-config", b""),
                ("user-data", &long),
                ("meta-data", b"instance-id: i\n"),
            ],
        )
        .expect("fits")
    }

    fn on_file(disc: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), disc).expect("written");
        file
    }

    #[test]
    fn the_same_content_gives_the_same_bytes() {
        assert_eq!(disc(), disc());
    }

    #[test]
    fn other_programs_read_names_and_contents_through_both_extensions() {
        let file = on_file(&disc());
        for extension in ["-R", "-J"] {
            let listed = run::run(run::command("isoinfo").args([extension, "-f", "-i"]).arg(file.path()))
                .expect("isoinfo (package genisoimage) reads it");
            let mut names: Vec<&str> =
                listed.lines().map(|l| l.trim_start_matches('/').trim_end_matches(";1")).collect();
            names.sort_unstable();
            assert_eq!(names, ["context.sh", "meta-data", "network-config", "user-data"], "{extension}");
            let content =
                run::run(run::command("isoinfo").args([extension, "-x", "/user-data", "-i"]).arg(file.path()))
                    .expect("isoinfo extracts");
            assert_eq!(content.len(), 5000, "{extension}");
        }
        let about = run::run(run::command("isoinfo").args(["-d", "-i"]).arg(file.path())).expect("isoinfo describes");
        for wanted in ["Volume id: CONTEXT", "Rock Ridge signatures version 1 found", "Joliet with UCS level 3 found"] {
            assert!(about.contains(wanted), "{wanted} is not in {about}");
        }
        let found = run::run(run::command("xorriso").arg("-indev").arg(file.path()).args(["-find", "/"]))
            .expect("xorriso reads it");
        assert!(found.contains("'/context.sh'"), "{found}");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(matches!(write("", &[]), Err(MediumError::Label(_))));
        assert!(matches!(write("x", &[("../a", b"")]), Err(MediumError::Name(_))));
        let names: Vec<String> = (0..40).map(|n| format!("file-with-a-name-{n}")).collect();
        let files: Vec<(&str, &[u8])> = names.iter().map(|n| (n.as_str(), &b""[..])).collect();
        assert!(matches!(write("x", &files), Err(MediumError::TooMany(40))));
    }
}
