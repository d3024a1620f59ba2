//! Images: what disks are made of, and kernels for direct boot.
//!
//! ```text
//!  Awaiting ──content complete──> Ready ──delete──> Removing ──file gone──> (row gone)
//!     │  ▲                          ▲                  ▲
//!     │  └── upload continues       │                  │
//!     ├── URL given: Fetching ──────┘                  │
//!     └── refused / failed: Failed ──── delete ────────┘
//! ```

use crate::{ImageId, Invalid, Meta, Timestamp, Trouble};
use serde::{Deserialize, Serialize};

/// What an image is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageKind {
    /// A disk to boot from or to attach.
    #[default]
    Disk,
    /// A Linux kernel for direct boot.
    Kernel,
    /// An initial RAM disk for direct boot.
    Initrd,
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
    Sha256,
    Sha512,
    Blake3,
}

impl ExpectedDigest {
    /// Reads `sha256:HEX`, `sha512:HEX` or `blake3:HEX`.
    ///
    /// # Errors
    /// When the function is unknown or the hex digits do not fit it.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let refuse = |wrong: &str| {
            Invalid::new("digest", text, wrong, "Write sha256:, sha512: or blake3: followed by the hex digits.")
        };
        let (function, hex) = text.split_once(':').ok_or_else(|| refuse("has no function before a colon"))?;
        let (function, length) = match function {
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
    /// Its verified bytes; present exactly when `Ready` (and kept while `Removing`).
    pub content: Option<ImageContent>,
    /// When its phase last changed.
    pub changed_at: Timestamp,
    /// What is wrong, if anything.
    pub trouble: Option<Trouble>,
}
