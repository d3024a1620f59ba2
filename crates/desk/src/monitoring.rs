//! What hosts measured lately, kept in memory for charts and for whoever asks. Losing it loses nothing else.

use crate::Desk;
use holm_model::samples::{HostSample, Samples, VmSample};
use holm_model::vms::Vm;
use holm_model::{HostId, Timestamp, VmId};
use holm_store::State;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many samples are kept of one host and of one VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SamplesKept {
    /// Of a host.
    pub per_host: usize,
    /// Of a VM.
    pub per_vm: usize,
}

impl Default for SamplesKept {
    fn default() -> Self {
        // At one sample a minute, two hours and half an hour. Ten thousand VMs then take some 20 MB.
        Self { per_host: 120, per_vm: 30 }
    }
}

/// The samples of everything.
#[derive(Debug, Default)]
pub(crate) struct Monitoring {
    kept: SamplesKept,
    rings: Mutex<Rings>,
}

/// So many neighbouring ids share a mark, see [`Desk::vm_sample_marks`].
pub const SAMPLE_BLOCK: u32 = 64;

#[derive(Debug, Default)]
struct Rings {
    hosts: HashMap<HostId, VecDeque<HostSample>>,
    vms: HashMap<VmId, VecDeque<VmSample>>,
    /// Counts what was taken.
    taken: u64,
    /// The count at which a VM of each block was last measured.
    marks: HashMap<u32, u64>,
}

fn keep<T>(ring: &mut VecDeque<T>, sample: T, most: usize) {
    while ring.len() >= most.max(1) {
        ring.pop_front();
    }
    ring.push_back(sample);
}

impl Monitoring {
    pub(crate) fn new(kept: SamplesKept) -> Self {
        Self { kept, rings: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Rings> {
        // Every change under the lock leaves each ring whole.
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what a host measured. Only what it says of VMs that belong there counts, and the time is the front-end's.
    pub(crate) fn take(&self, state: &State, host: HostId, samples: Samples, now: Timestamp) {
        let mut rings = self.lock();
        rings.taken += 1;
        let taken = rings.taken;
        let ring = rings.hosts.entry(host).or_default();
        keep(ring, HostSample { at: now, ..samples.host }, self.kept.per_host);
        for (id, sample) in samples.vms {
            if state.get::<Vm>(id).is_some_and(|vm| vm.value.phase.host() == Some(host)) {
                keep(rings.vms.entry(id).or_default(), VmSample { at: now, ..sample }, self.kept.per_vm);
                rings.marks.insert(id.0 / SAMPLE_BLOCK, taken);
            }
        }
        if rings.vms.len() > state.count::<Vm>() {
            rings.vms.retain(|id, _| state.get::<Vm>(*id).is_some());
            let Rings { vms, marks, .. } = &mut *rings;
            let used: HashSet<u32> = vms.keys().map(|id| id.0 / SAMPLE_BLOCK).collect();
            marks.retain(|block, _| used.contains(block));
        }
    }

    pub(crate) fn forget_host(&self, host: HostId) {
        self.lock().hosts.remove(&host);
    }
}

impl Desk {
    /// What a host measured lately, oldest first. Nothing is checked: ask for hosts that the caller may see.
    #[must_use]
    pub fn host_samples(&self, host: HostId) -> Vec<HostSample> {
        self.0.samples.lock().hosts.get(&host).into_iter().flatten().copied().collect()
    }

    /// What a host measured last.
    #[must_use]
    pub fn host_sample(&self, host: HostId) -> Option<HostSample> {
        self.0.samples.lock().hosts.get(&host).and_then(VecDeque::back).copied()
    }

    /// What was measured of a VM lately, oldest first. Nothing is checked: ask for VMs that the caller may see.
    #[must_use]
    pub fn vm_samples(&self, vm: VmId) -> Vec<VmSample> {
        self.0.samples.lock().vms.get(&vm).into_iter().flatten().copied().collect()
    }

    /// By block of [`SAMPLE_BLOCK`] ids: a number that changes whenever something is measured of a VM in it.
    #[must_use]
    pub fn vm_sample_marks(&self) -> HashMap<u32, u64> {
        self.0.samples.lock().marks.clone()
    }

    /// What was measured of a VM last.
    #[must_use]
    pub fn vm_sample(&self, vm: VmId) -> Option<VmSample> {
        self.0.samples.lock().vms.get(&vm).and_then(VecDeque::back).copied()
    }
}
