//! What was done to the machine's network, remembered so that it can be undone and so that another process can go on.
//!
//! One file under the run directory, changed under a lock. It is worth as much as the boot it was written in.

use holm_model::host_plan::{NetworkPlan, NicPlan};
use holm_model::{NetworkId, VmId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// One port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRecord {
    pub vm: VmId,
    pub hostname: String,
    pub nic: NicPlan,
}

/// An interface that was put under one of our bridges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Takeover {
    /// Its name.
    pub interface: String,
    /// Addresses it had, as `ip address add` takes them.
    pub addresses: Vec<String>,
    /// Routes over it, as `ip route add` takes them (without `dev`), IPv4 then IPv6.
    pub routes4: Vec<String>,
    pub routes6: Vec<String>,
}

/// One network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRecord {
    pub plan: NetworkPlan,
    /// The bridge its ports join.
    pub bridge: String,
    /// What was moved to the bridge.
    #[serde(default)]
    pub takeover: Option<Takeover>,
    /// Process id of its address service.
    #[serde(default)]
    pub dnsmasq: Option<u32>,
    /// The arguments it runs with.
    #[serde(default)]
    pub dnsmasq_arguments: Vec<String>,
}

/// Everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The boot this was written in.
    pub boot_id: String,
    #[serde(default)]
    pub networks: BTreeMap<NetworkId, NetworkRecord>,
    /// By interface name.
    #[serde(default)]
    pub ports: BTreeMap<String, PortRecord>,
    /// Kernel settings that were changed, with the values they had.
    #[serde(default)]
    pub sysctls: BTreeMap<PathBuf, String>,
}

/// The kernel's name for this boot.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// The state, locked against other processes and other drivers of this one.
#[derive(Debug)]
pub struct Held {
    pub state: State,
    file: PathBuf,
    saved: State,
    _lock: File,
}

impl Held {
    /// Waits for the lock and reads. Blocks.
    pub fn open(directory: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let lock = File::options().create(true).truncate(false).write(true).open(directory.join("lock"))?;
        lock.lock()?;
        let file = directory.join("state.json");
        let boot_id = boot_id();
        let state = match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                // Written whole or not at all; a file that does not parse is another release's. What is there is
                // found again by the aliases of the interfaces.
                tracing::warn!(%error, file = %file.display(), "the record of the network is not readable");
                State::default()
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => State::default(),
            Err(e) => return Err(e),
        };
        let state = if state.boot_id == boot_id { state } else { State { boot_id, ..State::default() } };
        Ok(Self { saved: state.clone(), state, file, _lock: lock })
    }

    /// Writes what changed.
    pub fn save(&mut self) -> io::Result<()> {
        if self.state == self.saved {
            return Ok(());
        }
        let new = self.file.with_extension("new");
        std::fs::write(&new, serde_json::to_vec(&self.state)?)?;
        std::fs::rename(&new, &self.file)?;
        self.saved = self.state.clone();
        Ok(())
    }
}
