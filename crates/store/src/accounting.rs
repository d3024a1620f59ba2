//! What VMs have used, for whoever is billed for it: cold rows, written with the change that ends a stay, never held in
//! memory.

use holm_model::vms::{PlacementRecord, Vm};
use holm_model::{CpuShare, GroupId, Timestamp, UserId, VmId};
use serde::{Deserialize, Serialize};

/// One stay of a VM on a host, with the size it had all the while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StayRecord {
    /// The VM.
    pub vm: VmId,
    /// Its name.
    pub name: String,
    /// Whose it was.
    pub owner: UserId,
    /// The group it was of.
    pub group: GroupId,
    /// Where and when.
    pub stay: PlacementRecord,
    /// CPU booked.
    pub cpu: CpuShare,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// All its disks, MiB.
    pub disk_mib: u64,
    /// What it cost.
    pub prices: Prices,
}

/// What an hour costs, in millionths of whatever is paid with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prices {
    /// A core.
    pub cpu: u64,
    /// A MiB of memory.
    pub memory_mib: u64,
    /// A MiB of disk.
    pub disk_mib: u64,
}

impl Prices {
    /// What the attributes `CPU_COST`, `MEMORY_COST` and `DISK_COST` of a VM say. What is no number costs nothing.
    #[must_use]
    pub fn of(vm: &Vm) -> Self {
        let read = |name: &str| {
            let price: f64 = vm.meta.attributes.text(name)?.trim().parse().ok()?;
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a cast from float saturates, and NaN becomes 0"
            )]
            let millionths = (price * 1e6).round() as u64;
            Some(millionths)
        };
        Self {
            cpu: read("CPU_COST").unwrap_or(0),
            memory_mib: read("MEMORY_COST").unwrap_or(0),
            disk_mib: read("DISK_COST").unwrap_or(0),
        }
    }
}

impl StayRecord {
    /// A stay of the VM as the VM is now.
    #[must_use]
    pub fn of(vm: &Vm, stay: &PlacementRecord) -> Self {
        Self {
            vm: vm.id,
            name: vm.meta.name.to_string(),
            owner: vm.meta.owner,
            group: vm.meta.group,
            stay: stay.clone(),
            cpu: vm.spec.cpu,
            memory_mib: vm.spec.memory_mib,
            disk_mib: vm.spec.disk_mib(),
            prices: Prices::of(vm),
        }
    }

    /// When it ended; the end of time while it goes on.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        self.stay.until.unwrap_or(Timestamp(i64::MAX))
    }
}
