//! What hosts measure now and then: how busy they and their guests are.
//!
//! Samples are for people and for charts. They travel beside a host's reports, are kept in memory only, and no decision
//! depends on them: they may be lost at any time.

use crate::{CpuShare, Timestamp, VmId};
use serde::{Deserialize, Serialize};

/// How busy a host was over the time since its sample before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostSample {
    /// When it was taken, by the clock of whoever keeps it.
    pub at: Timestamp,
    /// CPU that was used, hundredths of a core.
    pub cpu_used: CpuShare,
    /// CPU that was idle, hundredths of a core.
    pub cpu_free: CpuShare,
    /// Memory in use, KiB.
    pub memory_used_kib: u64,
    /// Memory that programs could still have, KiB.
    pub memory_free_kib: u64,
    /// Bytes received over its network interfaces since it booted.
    pub rx_bytes: u64,
    /// Bytes sent likewise.
    pub tx_bytes: u64,
}

/// How busy a guest was over the time since its sample before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VmSample {
    /// When it was taken, by the clock of whoever keeps it.
    pub at: Timestamp,
    /// CPU that it used, hundredths of a core.
    pub cpu: CpuShare,
    /// Memory that it takes on the host, KiB.
    pub memory_kib: u64,
    /// Bytes it read from its disks since it was started.
    pub disk_read_bytes: u64,
    /// Bytes it wrote likewise.
    pub disk_written_bytes: u64,
    /// Bytes that came over its cards since it was started.
    pub rx_bytes: u64,
    /// Bytes it sent likewise.
    pub tx_bytes: u64,
    /// Space that its disks take on the host, MiB.
    pub disk_mib: u64,
}

/// What a host measured at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Samples {
    /// The machine.
    pub host: HostSample,
    /// Its running guests, by id.
    #[serde(default)]
    pub vms: Vec<(VmId, VmSample)>,
}
