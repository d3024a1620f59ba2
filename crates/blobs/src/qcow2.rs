//! Reads the header of a qcow2 file, strictly.
//!
//! A qcow2 file may name other files (a backing file, an external data file) that QEMU would open with its own rights.
//! Whoever may import an image could read any file of the host that way; so a header that names another file in any
//! way is refused, and so is one whose tables do not lie within the file. The format is described in QEMU's
//! `docs/interop/qcow2.txt`. This parser reads bytes that anybody may have made and must never panic.

use crate::Refusal;

/// How a qcow2 file begins.
pub const MAGIC: [u8; 4] = *b"QFI\xfb";
/// Largest virtual size accepted, bytes: 64 TiB.
pub const LARGEST: u64 = 64 << 40;
/// Bytes from the beginning of a file that [`inspect`] may need to see: the largest cluster.
pub const HEAD: usize = 2 << 20;

/// Most bytes of an L1 table that QEMU reads.
const LARGEST_L1: u64 = 32 << 20;
/// Most bytes of a refcount table that QEMU reads.
const LARGEST_REFCOUNT_TABLE: u64 = 8 << 20;
/// Most internal snapshots that QEMU reads.
const MOST_SNAPSHOTS: u32 = 65_536;
/// Most header extensions looked at.
const MOST_EXTENSIONS: usize = 64;

mod feature {
    pub const DIRTY: u64 = 1 << 0;
    pub const CORRUPT: u64 = 1 << 1;
    pub const EXTERNAL_DATA: u64 = 1 << 2;
    pub const COMPRESSION_TYPE: u64 = 1 << 3;
    pub const EXTENDED_L2: u64 = 1 << 4;
    pub const KNOWN: u64 = DIRTY | CORRUPT | EXTERNAL_DATA | COMPRESSION_TYPE | EXTENDED_L2;
}

mod extension {
    pub const END: u32 = 0;
    pub const BACKING_FORMAT: u32 = 0xE279_2ACA;
    pub const EXTERNAL_DATA_NAME: u32 = 0x4441_5441;
    pub const ENCRYPTION: u32 = 0x0537_BE77;
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Qcow2Facts {
    /// Format version, 2 or 3.
    pub version: u32,
    /// Bytes the guest sees.
    pub virtual_size: u64,
    /// Bytes in a cluster.
    pub cluster_size: u64,
}

/// Big-endian numbers at fixed places; whoever asks beyond the end is told so.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn bytes<const N: usize>(&self, at: usize) -> Result<[u8; N], Refusal> {
        let end = at.checked_add(N);
        end.and_then(|end| self.0.get(at..end)).and_then(|bytes| bytes.try_into().ok()).ok_or_else(truncated)
    }
    fn u32(&self, at: usize) -> Result<u32, Refusal> {
        self.bytes(at).map(u32::from_be_bytes)
    }
    fn u64(&self, at: usize) -> Result<u64, Refusal> {
        self.bytes(at).map(u64::from_be_bytes)
    }
}

fn truncated() -> Refusal {
    Refusal::new("is a qcow2 image whose header is cut off", "Import the whole file.")
}

fn damaged(what: impl std::fmt::Display) -> Refusal {
    Refusal::new(
        format!("is a qcow2 image with a damaged header: {what}"),
        "Make it anew: qemu-img convert -O qcow2 OLD NEW.",
    )
}

fn standalone(what: &str) -> Refusal {
    Refusal::new(
        format!("is a qcow2 image that {what}"),
        "Make an image that stands alone: qemu-img convert -O qcow2 OLD NEW.",
    )
}

/// Checks that a table lies behind the header, on a cluster's border and within the file.
fn table(what: &str, offset: u64, bytes: u64, cluster_size: u64, file_size: u64) -> Result<(), Refusal> {
    if !offset.is_multiple_of(cluster_size) || offset == 0 {
        return Err(damaged(format_args!("its {what} is at {offset}, not at a cluster's border")));
    }
    match offset.checked_add(bytes) {
        Some(end) if end <= file_size => Ok(()),
        _ => Err(damaged(format_args!("its {what} lies beyond the end of the file ({file_size} bytes)"))),
    }
}

/// Reads and checks a header. `head` is the beginning of the file, [`HEAD`] bytes or all of it.
///
/// # Errors
/// Why the image is not accepted.
pub fn inspect(head: &[u8], file_size: u64) -> Result<Qcow2Facts, Refusal> {
    look(head, file_size, false)
}

/// As [`inspect`], for a file that may name the file it lies over. Whoever uses it replaces that name before anything
/// follows it.
///
/// # Errors
/// Why the file is not accepted.
pub fn inspect_overlay(head: &[u8], file_size: u64) -> Result<Qcow2Facts, Refusal> {
    look(head, file_size, true)
}

fn look(head: &[u8], file_size: u64, overlay: bool) -> Result<Qcow2Facts, Refusal> {
    if head.get(..4) != Some(&MAGIC) {
        return Err(Refusal::new("is not a qcow2 image", "Import a raw or qcow2 image."));
    }
    let fields = Fields(head);
    let version = fields.u32(4)?;
    if !(2..=3).contains(&version) {
        return Err(Refusal::new(
            format!("is a qcow2 image of the unknown version {version}"),
            "Make one of version 2 or 3: qemu-img convert -O qcow2 OLD NEW.",
        ));
    }
    let (backing_offset, backing_size) = (fields.u64(8)?, fields.u32(16)?);
    let cluster_bits = fields.u32(20)?;
    let virtual_size = fields.u64(24)?;
    let encryption = fields.u32(32)?;
    let l1_entries = fields.u32(36)?;
    let l1_offset = fields.u64(40)?;
    let refcount_offset = fields.u64(48)?;
    let refcount_clusters = fields.u32(56)?;
    let snapshots = fields.u32(60)?;
    let snapshots_offset = fields.u64(64)?;

    if !overlay && (backing_offset != 0 || backing_size != 0) {
        return Err(standalone("names a backing file"));
    }
    if encryption != 0 {
        return Err(standalone("is encrypted"));
    }
    if !(9..=21).contains(&cluster_bits) {
        return Err(damaged(format_args!("{cluster_bits} cluster bits are not between 9 and 21")));
    }
    let cluster_size = 1_u64 << cluster_bits;
    if virtual_size == 0 || virtual_size > LARGEST || virtual_size % 512 != 0 {
        return Err(Refusal::new(
            format!("is a qcow2 image of {virtual_size} bytes, which is no disk size between 512 bytes and 64 TiB"),
            "Import a disk of a usual size.",
        ));
    }

    let (incompatible, header_length) = if version == 2 { (0, 72) } else { (fields.u64(72)?, fields.u32(100)?) };
    if incompatible & feature::EXTERNAL_DATA != 0 {
        return Err(standalone("keeps its data in another file"));
    }
    if incompatible & !feature::KNOWN != 0 {
        return Err(Refusal::new(
            format!("is a qcow2 image with unknown features ({:#x})", incompatible & !feature::KNOWN),
            "Make it anew with a usual qemu-img: qemu-img convert -O qcow2 OLD NEW.",
        ));
    }
    if incompatible & (feature::DIRTY | feature::CORRUPT) != 0 {
        return Err(Refusal::new(
            "is a qcow2 image that was not closed properly or is marked corrupt",
            "Repair it: qemu-img check -r all FILE.",
        ));
    }
    if version == 3 {
        let refcount_order = fields.u32(96)?;
        if refcount_order > 6 {
            return Err(damaged(format_args!("refcount order {refcount_order} is more than 6")));
        }
        if header_length < 104 || header_length % 8 != 0 || u64::from(header_length) > cluster_size {
            return Err(damaged(format_args!("a header length of {header_length} bytes")));
        }
        let compression = if header_length > 104 { fields.bytes::<1>(104)?[0] } else { 0 };
        if compression > 1 || (compression != 0) != (incompatible & feature::COMPRESSION_TYPE != 0) {
            return Err(damaged(format_args!("compression type {compression} does not agree with its features")));
        }
    }
    let extended_l2 = incompatible & feature::EXTENDED_L2 != 0;
    if extended_l2 && cluster_bits < 14 {
        return Err(damaged("subclusters need clusters of 16 KiB or more"));
    }

    // One L2 table is one cluster of 8-byte entries (16 bytes with subclusters), each for one cluster.
    let entry_bits = if extended_l2 { 4 } else { 3 };
    let covered_by_l2_bits = 2 * cluster_bits - entry_bits;
    let needed = virtual_size.div_ceil(1_u64 << covered_by_l2_bits);
    if u64::from(l1_entries) < needed || u64::from(l1_entries) * 8 > LARGEST_L1 {
        return Err(damaged(format_args!("an L1 table of {l1_entries} entries for a disk that needs {needed}")));
    }
    table("L1 table", l1_offset, u64::from(l1_entries) * 8, cluster_size, file_size)?;
    let refcount_bytes = u64::from(refcount_clusters).saturating_mul(cluster_size);
    if refcount_clusters == 0 || refcount_bytes > LARGEST_REFCOUNT_TABLE.max(cluster_size) {
        return Err(damaged(format_args!("a refcount table of {refcount_clusters} clusters")));
    }
    table("refcount table", refcount_offset, refcount_bytes, cluster_size, file_size)?;
    if snapshots > MOST_SNAPSHOTS {
        return Err(damaged(format_args!("{snapshots} internal snapshots")));
    }
    if snapshots > 0 {
        // The smallest entry of the snapshot table has 40 bytes.
        table("snapshot table", snapshots_offset, u64::from(snapshots) * 40, cluster_size, file_size)?;
    }
    extensions(&fields, header_length as usize, cluster_size, file_size, overlay)?;
    Ok(Qcow2Facts { version, virtual_size, cluster_size })
}

/// Walks the header extensions, which lie between the header and the end of the first cluster.
fn extensions(
    fields: &Fields<'_>,
    from: usize,
    cluster_size: u64,
    file_size: u64,
    overlay: bool,
) -> Result<(), Refusal> {
    let end = usize::try_from(cluster_size.min(file_size)).unwrap_or(usize::MAX);
    let mut at = from;
    for _ in 0..MOST_EXTENSIONS {
        // A header that fills its cluster needs no end mark.
        if at + 8 > end {
            return Ok(());
        }
        let (kind, length) = (fields.u32(at)?, fields.u32(at + 4)?);
        match kind {
            extension::END => return Ok(()),
            extension::BACKING_FORMAT if !overlay => return Err(standalone("names the format of a backing file")),
            extension::EXTERNAL_DATA_NAME => return Err(standalone("names an external data file")),
            extension::ENCRYPTION => return Err(standalone("is encrypted")),
            _ => {}
        }
        let padded = (length as usize).checked_next_multiple_of(8).unwrap_or(usize::MAX);
        at = match (at + 8).checked_add(padded) {
            Some(next) if next <= end => next,
            _ => return Err(damaged("a header extension lies beyond the first cluster")),
        };
    }
    Err(damaged("too many header extensions"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A small sound image: version 3, 64 KiB clusters, 1 GiB.
    pub(crate) fn sound() -> Vec<u8> {
        let mut image = vec![0; 4 * 65_536];
        put(&mut image, 0, &MAGIC);
        put(&mut image, 4, &3_u32.to_be_bytes());
        put(&mut image, 20, &16_u32.to_be_bytes());
        put(&mut image, 24, &(1_u64 << 30).to_be_bytes());
        put(&mut image, 36, &2_u32.to_be_bytes());
        put(&mut image, 40, &(3 * 65_536_u64).to_be_bytes());
        put(&mut image, 48, &65_536_u64.to_be_bytes());
        put(&mut image, 56, &1_u32.to_be_bytes());
        put(&mut image, 96, &4_u32.to_be_bytes());
        put(&mut image, 100, &112_u32.to_be_bytes());
        image
    }

    fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
        image[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn with(at: usize, bytes: &[u8]) -> Result<Qcow2Facts, Refusal> {
        let mut image = sound();
        put(&mut image, at, bytes);
        inspect(&image, image.len() as u64)
    }

    #[test]
    fn a_sound_image_is_accepted() {
        let facts = with(0, &MAGIC).expect("sound");
        assert_eq!(facts, Qcow2Facts { version: 3, virtual_size: 1 << 30, cluster_size: 65_536 });
    }

    #[test]
    fn everything_that_could_hurt_is_refused() {
        let cases: &[(&str, usize, &[u8], &str)] = &[
            ("magic", 0, b"QFI\xfa", "not a qcow2"),
            ("version", 4, &9_u32.to_be_bytes(), "unknown version 9"),
            ("backing offset", 8, &512_u64.to_be_bytes(), "backing file"),
            ("backing size", 16, &11_u32.to_be_bytes(), "backing file"),
            ("tiny clusters", 20, &8_u32.to_be_bytes(), "cluster bits"),
            ("huge clusters", 20, &22_u32.to_be_bytes(), "cluster bits"),
            ("shift out of range", 20, &200_u32.to_be_bytes(), "cluster bits"),
            ("no size", 24, &0_u64.to_be_bytes(), "no disk size"),
            ("absurd size", 24, &((64_u64 << 40) + 512).to_be_bytes(), "no disk size"),
            ("odd size", 24, &1000_u64.to_be_bytes(), "no disk size"),
            ("encrypted", 32, &1_u32.to_be_bytes(), "encrypted"),
            ("short L1", 36, &1_u32.to_be_bytes(), "L1 table of 1 entries"),
            ("huge L1", 36, &u32::MAX.to_be_bytes(), "L1 table"),
            ("L1 beyond the end", 40, &(9 * 65_536_u64).to_be_bytes(), "L1 table lies beyond"),
            ("L1 wraps", 40, &(!0xffff_u64).to_be_bytes(), "L1 table lies beyond"),
            ("L1 unaligned", 40, &65_537_u64.to_be_bytes(), "cluster's border"),
            ("L1 on the header", 40, &0_u64.to_be_bytes(), "cluster's border"),
            ("refcounts beyond the end", 48, &(4 * 65_536_u64).to_be_bytes(), "refcount table lies beyond"),
            ("no refcounts", 56, &0_u32.to_be_bytes(), "refcount table of 0"),
            ("huge refcounts", 56, &u32::MAX.to_be_bytes(), "refcount table of"),
            ("many snapshots", 60, &u32::MAX.to_be_bytes(), "snapshots"),
            ("snapshots beyond the end", 60, &1_u32.to_be_bytes(), "cluster's border"),
            ("dirty", 72, &1_u64.to_be_bytes(), "not closed properly"),
            ("corrupt", 72, &2_u64.to_be_bytes(), "marked corrupt"),
            ("external data", 72, &4_u64.to_be_bytes(), "another file"),
            ("unknown feature", 72, &(1_u64 << 40).to_be_bytes(), "unknown features"),
            ("refcount order", 96, &7_u32.to_be_bytes(), "refcount order"),
            ("header length", 100, &96_u32.to_be_bytes(), "header length"),
            ("header length beyond the cluster", 100, &0xffff_fff8_u32.to_be_bytes(), "header length"),
            ("compression without its feature", 104, &[1], "compression type"),
            ("backing format", 112, &extension::BACKING_FORMAT.to_be_bytes(), "backing file"),
            ("data file name", 112, &extension::EXTERNAL_DATA_NAME.to_be_bytes(), "external data file"),
            ("encryption header", 112, &extension::ENCRYPTION.to_be_bytes(), "encrypted"),
            ("long extension", 112, b"\x11\x11\x11\x11\xff\xff\xff\xff", "beyond the first cluster"),
        ];
        for (name, at, bytes, says) in cases {
            let refusal = with(*at, bytes).expect_err(name);
            assert!(refusal.why.contains(says), "{name}: {refusal}");
            assert!(!refusal.fix.is_empty(), "{name}");
        }
    }

    #[test]
    fn what_lay_over_a_base_may_name_it_and_nothing_else() {
        let over = |at: usize, bytes: &[u8]| {
            let mut image = sound();
            put(&mut image, 8, &512_u64.to_be_bytes());
            put(&mut image, 16, &11_u32.to_be_bytes());
            put(&mut image, 112, &extension::BACKING_FORMAT.to_be_bytes());
            put(&mut image, 116, &5_u32.to_be_bytes());
            put(&mut image, at, bytes);
            (inspect(&image, image.len() as u64), inspect_overlay(&image, image.len() as u64))
        };
        let (alone, overlay) = over(0, &MAGIC);
        assert!(alone.is_err() && overlay.is_ok(), "{alone:?} {overlay:?}");
        for (what, at, bytes) in [
            ("external data", 72, &4_u64.to_be_bytes()[..]),
            ("data file name", 112, &extension::EXTERNAL_DATA_NAME.to_be_bytes()),
            ("encrypted", 32, &1_u32.to_be_bytes()),
            ("corrupt", 72, &2_u64.to_be_bytes()),
            ("L1 beyond the end", 40, &(9 * 65_536_u64).to_be_bytes()),
        ] {
            let (_, overlay) = over(at, bytes);
            assert!(overlay.is_err(), "{what}");
        }
    }

    #[test]
    fn a_header_cut_off_anywhere_is_refused() {
        let image = sound();
        for length in 0..120 {
            let refusal = inspect(&image[..length], length as u64).expect_err("is cut off");
            assert!(!refusal.why.is_empty());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), size in any::<u64>()) {
            let _ = inspect(&bytes, size);
            if bytes.len() >= 8 {
                bytes[..4].copy_from_slice(&MAGIC);
                bytes[4..8].copy_from_slice(&3_u32.to_be_bytes());
            }
            let _ = inspect(&bytes, size);
        }

        #[test]
        fn what_is_accepted_stands_alone(changes in proptest::collection::vec((0_usize..160, any::<u8>()), 1..12)) {
            let mut image = sound();
            for (at, byte) in changes {
                image[at] = byte;
            }
            if let Ok(facts) = inspect(&image, image.len() as u64) {
                prop_assert_eq!(&image[8..20], &[0; 12]);
                prop_assert_eq!(&image[32..36], &[0; 4]);
                prop_assert!(facts.virtual_size <= LARGEST);
                prop_assert!(facts.version == 2 || image[79] & 0b111 == 0);
            }
        }
    }
}
