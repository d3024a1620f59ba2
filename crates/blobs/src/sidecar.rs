//! What is remembered of an unfinished file beside it.
//!
//! The end of a file says how much has arrived only as long as the machine has not crashed since: a file system may
//! keep a file's length and lose its data. The sidecar therefore names the boot in which bytes were last written and
//! how much was synced by then.

use crate::BlobError;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sidecar {
    /// Identifies the boot in which bytes were last written.
    pub(crate) boot: String,
    /// Bytes known to survive a crash of the machine.
    pub(crate) synced: u64,
    /// Whether the file may be longer than its bytes reach, because room was made for more of them.
    #[serde(default)]
    pub(crate) ahead: bool,
}

/// Identifies this boot of the machine's kernel. Without it nothing unsynced is trusted.
pub(crate) fn this_boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

pub(crate) fn path_of(part: &Path) -> PathBuf {
    part.with_extension("json")
}

/// Where the text kept with an unfinished file is.
pub(crate) fn note_of(part: &Path) -> PathBuf {
    part.with_extension("note")
}

impl Sidecar {
    /// Reads the sidecar; one that is missing or torn counts as "nothing is known".
    pub(crate) fn read(part: &Path) -> Self {
        fs::read(path_of(part)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// How much of a file of this length is trusted.
    pub(crate) fn trusted(&self, length: u64, boot: &str) -> u64 {
        let synced = self.synced.min(length);
        if boot.is_empty() || self.boot != boot {
            return synced;
        }
        if self.ahead { crate::runway::certain(length).max(synced) } else { length }
    }

    /// Writes the sidecar so that it is there as a whole or as it was before.
    pub(crate) fn write(&self, part: &Path) -> Result<(), BlobError> {
        let path = path_of(part);
        let text = serde_json::to_vec(self).map_err(|e| BlobError::disk("write", &path, e.into()))?;
        replace(&path, &text)
    }
}

/// Writes a small file so that it is there as a whole or as it was before.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), BlobError> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push("-new");
    let write = || -> std::io::Result<()> {
        let mut file = fs::File::create(&fresh)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    write().map_err(|e| BlobError::disk("write", path, e))
}
