//! What of a VM is on its way to another host, and what it left behind.

use crate::{HostId, Invalid};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A piece of a VM that moves with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// What was written on the disk of this number, without what lies under it.
    Disk(u32),
    /// What its firmware remembers.
    Firmware,
    /// What was written down of its hardware, to go on from memory and snapshots.
    Notes,
    /// Its saved memory.
    Memory,
}

impl Part {
    /// The disk's number, if it is one.
    #[must_use]
    pub fn disk(self) -> Option<u32> {
        match self {
            Self::Disk(disk) => Some(disk),
            Self::Firmware | Self::Notes | Self::Memory => None,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(disk) => write!(f, "disk-{disk}"),
            Self::Firmware => f.write_str("firmware"),
            Self::Notes => f.write_str("notes"),
            Self::Memory => f.write_str("memory"),
        }
    }
}

impl FromStr for Part {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let disk = text.strip_prefix("disk-").and_then(|number| number.parse().ok()).map(Self::Disk);
        let part = disk.or(match text {
            "firmware" => Some(Self::Firmware),
            "notes" => Some(Self::Notes),
            "memory" => Some(Self::Memory),
            _ => None,
        });
        part.filter(|part| part.to_string() == text).ok_or_else(|| {
            Invalid::new("part", text, "is no part of a VM", "Name disk-NUMBER, firmware, notes or memory.")
        })
    }
}

/// A part as it lies on its host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Parcel {
    /// Which part.
    pub part: Part,
    /// Bytes in it.
    pub size: u64,
    /// BLAKE3 of them, lower-case hex.
    pub digest: String,
}

/// How much of a part the front-end has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The part.
    pub parcel: Parcel,
    /// Bytes that have arrived.
    pub received: u64,
    /// Whether all have, and are what they should be.
    pub complete: bool,
}

/// What is on its way while a VM moves. Written by the desk: from what arrives, and from reports of the host it goes to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Luggage {
    /// The parts at the front-end.
    #[serde(default)]
    pub stored: Vec<Stored>,
    /// Whether the host it goes to has all of them.
    #[serde(default)]
    pub arrived: bool,
    /// What that host says of it, one sentence.
    #[serde(default)]
    pub says: Option<String>,
    /// Whether that host cannot ever take it.
    #[serde(default)]
    pub refused: bool,
}

impl Luggage {
    /// Whether the front-end has this very part.
    #[must_use]
    pub fn has(&self, parcel: &Parcel) -> bool {
        self.stored.iter().any(|stored| stored.complete && stored.parcel == *parcel)
    }

    /// Nothing is on its way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A host that a VM left, and that has not said yet that nothing of it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Remains {
    /// The host.
    pub host: HostId,
    /// The store's revision just before it was told: its word counts under a newer plan only.
    pub revision: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_read_as_it_is_written_and_nothing_else_is_one() {
        for part in [Part::Disk(0), Part::Disk(17), Part::Firmware, Part::Notes, Part::Memory] {
            assert_eq!(part.to_string().parse(), Ok(part));
        }
        for text in ["", "disk-", "disk-01", "disk--1", "disk-+1", "disk-4294967296", "../notes", "Memory", "memory "] {
            assert!(text.parse::<Part>().is_err(), "{text}");
        }
    }
}
