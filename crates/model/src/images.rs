//! Images: what disks are made of, and files that guests boot from or read.
//!
//! ```text
//!  Awaiting ──content complete──> Ready ──delete──> Removing ──file gone──> (row gone)
//!     │  ▲                          ▲                  ▲
//!     │  └── upload continues       │                  │
//!     ├── URL given: Fetching ──────┘                  │
//!     └── refused / failed: Failed ──── delete ────────┘
//! ```
//!
//! An image with nothing in it and a copy of another image are ready at once: hosts make empty disks themselves, and a
//! copy names the same bytes, which never change.

use crate::datastores::{DatastoreKind, IMAGE_DATASTORE};
use crate::{DatastoreId, ImageId, Invalid, Meta, Timestamp, Trouble, VmId};
use serde::{Deserialize, Serialize};

/// What an image is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageKind {
    /// A disk to boot from or to attach.
    #[default]
    Disk,
    /// A CD-ROM, which guests only read.
    Cdrom,
    /// A disk for data.
    Datablock,
    /// A Linux kernel for direct boot.
    Kernel,
    /// An initial RAM disk for direct boot.
    Initrd,
    /// A file that guests find on their context medium.
    Context,
    /// Backups of a VM.
    Backup,
    /// A directory that hosts share with a guest.
    Filesystem,
}

impl ImageKind {
    /// Whether a VM can have a disk of it.
    #[must_use]
    pub fn is_disk(self) -> bool {
        matches!(self, Self::Disk | Self::Cdrom | Self::Datablock)
    }

    /// Whether it is a file rather than a disk.
    #[must_use]
    pub fn is_file(self) -> bool {
        matches!(self, Self::Kernel | Self::Initrd | Self::Context)
    }

    /// Whether a datastore of this kind takes it.
    #[must_use]
    pub fn belongs_in(self, datastore: DatastoreKind) -> bool {
        match datastore {
            DatastoreKind::Image => self.is_disk() || self == Self::Filesystem,
            DatastoreKind::File => self.is_file(),
            DatastoreKind::Backup => self == Self::Backup,
            DatastoreKind::System => false,
        }
    }

    /// The word for it in messages.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Cdrom => "cdrom",
            Self::Datablock => "datablock",
            Self::Kernel => "kernel",
            Self::Initrd => "initrd",
            Self::Context => "context",
            Self::Backup => "backup",
            Self::Filesystem => "filesystem",
        }
    }
}

/// How a persistent image is shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Persistence {
    /// One VM at a time has it; what the guest writes becomes its content when the VM ends.
    #[default]
    Exclusive,
    /// Any number of VMs have it, and none may write.
    Immutable,
    /// Any number of VMs have it at the same time, as guests with a cluster file system need it.
    Shareable,
}

/// How a disk image's bytes are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageFormat {
    /// The guest's blocks as they are.
    Raw,
    /// QEMU's copy-on-write format, version 2 or 3, without a backing file.
    Qcow2,
}

impl ImageFormat {
    /// The name QEMU knows it by.
    #[must_use]
    pub fn qemu_name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// Where an image's bytes come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageOrigin {
    /// A client sends them.
    Upload,
    /// The front-end fetches them from an `http` or `https` URL.
    Url(String),
    /// The front-end copies them from a file of its own disk, in a directory that its configuration allows.
    Path(String),
    /// There are none: hosts make an empty disk.
    Empty {
        /// Its size, MiB.
        size_mib: u64,
        /// The file system that a guest expects on it, as the user named it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file_system: Option<String>,
    },
    /// Those of another image at the time of the copy.
    Copy(ImageId),
    /// Those of a file that the image store has already.
    Stored,
    /// A host sends a copy of a VM's disk.
    Disk(VmId),
}

/// A digest the user expects of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedDigest {
    /// The function.
    pub function: DigestFunction,
    /// Lower-case hex.
    pub hex: String,
}

/// Digest functions that image publishers use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each variant is the function it names")]
pub enum DigestFunction {
    Md5,
    Sha1,
    Sha256,
    Sha512,
    Blake3,
}

impl ExpectedDigest {
    /// Reads `sha256:HEX`, `sha512:HEX`, `blake3:HEX`, `sha1:HEX` or `md5:HEX`. The last two show that a file was not
    /// damaged on its way; they do not show that nobody replaced it.
    ///
    /// # Errors
    /// When the function is unknown or the hex digits do not fit it.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let refuse = |wrong: &str| {
            Invalid::new(
                "digest",
                text,
                wrong,
                "Write sha256:, sha512:, blake3:, sha1: or md5: followed by the hex digits.",
            )
        };
        let (function, hex) = text.split_once(':').ok_or_else(|| refuse("has no function before a colon"))?;
        let (function, length) = match function {
            "md5" => (DigestFunction::Md5, 32),
            "sha1" => (DigestFunction::Sha1, 40),
            "sha256" => (DigestFunction::Sha256, 64),
            "sha512" => (DigestFunction::Sha512, 128),
            "blake3" => (DigestFunction::Blake3, 64),
            _ => return Err(refuse("names an unknown digest function")),
        };
        let hex = hex.to_ascii_lowercase();
        if hex.len() != length || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(refuse("does not have the right number of hex digits"));
        }
        Ok(Self { function, hex })
    }
}

/// What users decide of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSpec {
    /// What it is for.
    pub kind: ImageKind,
    /// Where its bytes come from.
    pub origin: ImageOrigin,
    /// What the file must hash to, if the user said so.
    #[serde(default)]
    pub expected: Option<ExpectedDigest>,
    /// Size of the upload in bytes, where the client knows it.
    #[serde(default)]
    pub announced_size: Option<u64>,
    /// The datastore it is counted in.
    #[serde(default = "first_datastore")]
    pub datastore: DatastoreId,
    /// Whether VMs have it itself instead of copies that go with them.
    #[serde(default)]
    pub persistent: bool,
    /// How it is shared while it is persistent.
    #[serde(default)]
    pub persistence: Persistence,
    /// Whether VMs may begin to use it.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Whether it may exceed its datastore's limit, as an administrator decided.
    #[serde(default)]
    pub over_limit: bool,
}

fn first_datastore() -> DatastoreId {
    IMAGE_DATASTORE
}

fn yes() -> bool {
    true
}

impl ImageSpec {
    /// An enabled image in the first datastore, of which every VM gets a copy of its own.
    #[must_use]
    pub fn new(kind: ImageKind, origin: ImageOrigin) -> Self {
        Self {
            kind,
            origin,
            expected: None,
            announced_size: None,
            datastore: IMAGE_DATASTORE,
            persistent: false,
            persistence: Persistence::default(),
            enabled: true,
            over_limit: false,
        }
    }

    /// Whether at most one VM may use it.
    #[must_use]
    pub fn is_exclusive(&self) -> bool {
        self.persistent && self.persistence == Persistence::Exclusive
    }
}

/// The verified bytes of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageContent {
    /// BLAKE3 of the file, lower-case hex; names the file at the front-end and in every host's cache.
    pub digest: String,
    /// Layout of the bytes; `Raw` for kernels and RAM disks.
    pub format: ImageFormat,
    /// Bytes in the file.
    pub file_size: u64,
    /// Bytes the guest sees.
    pub virtual_size: u64,
}

impl ImageContent {
    /// Size the guest sees, MiB, rounded up.
    #[must_use]
    pub fn virtual_mib(&self) -> u64 {
        self.virtual_size.div_ceil(1024 * 1024)
    }
}

/// Where an image is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImagePhase {
    /// Waits for a client to send its bytes.
    Awaiting,
    /// The front-end fetches it.
    Fetching,
    /// Can be used.
    Ready,
    /// Cannot be used; `trouble` says why.
    Failed,
    /// Is being deleted.
    Removing,
}

/// An earlier content of a persistent image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSnapshot {
    /// Its number within the image, never used twice.
    pub id: u32,
    /// What the user called it.
    pub name: String,
    /// The snapshot it continues; `None`: the image as it began.
    pub parent: Option<u32>,
    /// When it was made.
    pub at: Timestamp,
    /// The content.
    pub content: ImageContent,
}

/// An image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its id.
    pub id: ImageId,
    /// Name, ownership, permissions, attributes.
    pub meta: Meta,
    /// What the user decided.
    pub spec: ImageSpec,
    /// Where it is in its life.
    pub phase: ImagePhase,
    /// Bytes received so far.
    pub received: u64,
    /// Its verified bytes; present exactly when `Ready` (and kept while `Removing`), except that an image with nothing
    /// in it has none.
    pub content: Option<ImageContent>,
    /// When its phase last changed.
    pub changed_at: Timestamp,
    /// What is wrong, if anything.
    pub trouble: Option<Trouble>,
    /// Earlier contents that are kept, oldest first.
    pub snapshots: Vec<ImageSnapshot>,
    /// The number of the next snapshot.
    pub next_snapshot: u32,
    /// The snapshot its present content continues.
    pub current_snapshot: Option<u32>,
}

impl Image {
    /// An image whose bytes are still to come.
    #[must_use]
    pub fn new(id: ImageId, meta: Meta, spec: ImageSpec, now: Timestamp) -> Self {
        Self {
            id,
            meta,
            spec,
            phase: ImagePhase::Awaiting,
            received: 0,
            content: None,
            changed_at: now,
            trouble: None,
            snapshots: Vec::new(),
            next_snapshot: 0,
            current_snapshot: None,
        }
    }

    /// Whether it can be used and there is nothing in it: a host makes an empty disk instead of fetching bytes.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.content.is_none()
            && matches!(self.phase, ImagePhase::Ready | ImagePhase::Removing)
            && self.empty_mib().is_some()
    }

    /// Its size as a guest sees it, MiB, as far as it is known: of its content, else as the user announced it.
    #[must_use]
    pub fn size_mib(&self) -> u64 {
        match (&self.content, self.empty_mib()) {
            (Some(content), _) => content.virtual_mib(),
            (None, Some(size)) => size,
            (None, None) => self.spec.announced_size.unwrap_or(0).div_ceil(1 << 20),
        }
    }

    /// The least size of a disk made of it, MiB; `None` while its bytes are not there yet.
    #[must_use]
    pub fn disk_mib(&self) -> Option<u64> {
        self.content.as_ref().map(ImageContent::virtual_mib).or_else(|| self.empty_mib())
    }

    fn empty_mib(&self) -> Option<u64> {
        // A copy of an image with nothing in it has the origin of that one.
        match self.spec.origin {
            ImageOrigin::Empty { size_mib, .. } => Some(size_mib),
            _ => None,
        }
    }

    /// The digests of all files it needs: of its content and of its snapshots'.
    pub fn digests(&self) -> impl Iterator<Item = &str> + '_ {
        self.content.iter().chain(self.snapshots.iter().map(|s| &s.content)).map(|content| content.digest.as_str())
    }
}
