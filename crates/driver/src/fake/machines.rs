//! Guests of the fake host.

use super::serial::{Console, FakeStream, Which};
use super::{FakeHost, FakeMachine, FakeProcess, State, Verb};
use crate::{
    ByteStream, Devices, DiskCopy, Ended, Fault, FetchStream, MachineEvent, MachineOrder, MachineSeen, Machines,
    RunState, Shape,
};
use async_trait::async_trait;
use holm_model::host_plan::SnapshotRef;
use holm_model::hosts::Accelerator;
use holm_model::vms::{Export, Parcel, Part, Power};
use holm_model::{ImageId, Timestamp, VmId};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;
use tokio::sync::broadcast;

/// How a guest behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manner {
    /// How long after its power button was pressed it switches itself off; `None` ignores the button.
    pub follows_button: Option<Duration>,
    /// Its process dies at once with these last words.
    pub dies_at_start: Option<String>,
    /// It does not let go of disks and network cards.
    pub clings: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self { follows_button: Some(Duration::ZERO), dies_at_start: None, clings: false }
    }
}

/// Memory that cannot be read back; see [`FakeHost::spoil_saved`].
pub(super) const BROKEN_MEMORY: u64 = u64::MAX;

impl State {
    pub(super) fn wake_streams(&mut self, vm: VmId) {
        for waker in self.wakers.remove(&vm).unwrap_or_default() {
            waker.wake();
        }
    }

    pub(super) fn manner(&self, vm: VmId) -> Manner {
        self.manners.get(&vm).unwrap_or(&self.default_manner).clone()
    }

    fn seen(&self, vm: VmId, machine: &FakeMachine) -> MachineSeen {
        let accelerator = self.facts.accelerators.first().copied().unwrap_or(Accelerator::Tcg);
        match &machine.process {
            Some(process) => MachineSeen {
                vm,
                state: match (process.shut_down, process.running) {
                    (true, _) => RunState::ShutDown,
                    (false, true) => RunState::Running,
                    (false, false) => RunState::Paused,
                },
                pid: Some(process.pid),
                generation: process.generation,
                boot_seq: process.boot_seq,
                accelerator: Some(accelerator),
                started_at: process.started_at,
                devices: Some(Devices {
                    disks: process.disk_mib.keys().copied().collect(),
                    nics: process.nics.clone(),
                }),
                remark: machine.remark.clone(),
            },
            None => MachineSeen {
                vm,
                state: match machine.saved {
                    Some(_) => RunState::Saved,
                    None => RunState::Gone(machine.ended.clone()),
                },
                pid: None,
                generation: machine.last.0,
                boot_seq: machine.last.1,
                accelerator: None,
                started_at: machine.last.2,
                devices: None,
                remark: None,
            },
        }
    }

    /// A process for the order, and why it does not go on from its saved memory although there is some.
    fn process(
        &mut self,
        order: &MachineOrder,
        pid: u32,
        last: (u64, u64, Timestamp),
    ) -> (FakeProcess, Option<String>) {
        let vm = order.plan.id;
        let plan = &order.plan;
        let saved = self.truth.machines.get(&vm).and_then(|m| m.saved.clone());
        let disk_ids: BTreeSet<u32> = plan.disks.iter().map(|d| d.id).collect();
        let nics: BTreeSet<u32> = plan.nics.iter().map(|n| n.id).collect();
        let mut remark = None;
        if let Some(saved) = saved {
            let lacks = saved.disk_mib.keys().any(|d| !disk_ids.contains(d)) || !saved.nics.is_subset(&nics);
            if !lacks && saved.memory != BROKEN_MEMORY {
                let running = plan.power != Power::Paused;
                let (_, boot_seq, started_at) = last;
                return (FakeProcess { pid, running, boot_seq, started_at, ..saved }, None);
            }
            remark = Some("its saved memory could not be used, so it was booted".to_owned());
        }
        let disk_mib = plan
            .disks
            .iter()
            .map(|d| (d.id, self.truth.disks.get(&(vm, d.id)).map_or(d.size_mib, |f| f.size_mib)))
            .collect();
        let boot = self.next_boot;
        self.next_boot += 1;
        let process = FakeProcess {
            pid,
            running: plan.power != Power::Paused,
            shut_down: false,
            generation: last.0,
            boot_seq: last.1,
            started_at: last.2,
            disk_mib,
            memory_mib: plan.memory_mib,
            vcpus: plan.vcpus,
            nics,
            graphics: plan.graphics,
            boot,
            memory: 0,
        };
        (process, remark)
    }

    /// What is missing of the things an order names, as QEMU would find.
    fn missing(&self, order: &MachineOrder) -> Option<String> {
        let vm = order.plan.id;
        if order.disks.len() != order.plan.disks.len() || order.ports.len() != order.plan.nics.len() {
            return Some(format!("the order for VM {vm} names other disks or ports than its plan"));
        }
        for disk in &order.plan.disks {
            let Some(found) = self.truth.disks.get(&(vm, disk.id)) else {
                return Some(format!("disk {} of VM {vm} is not there", disk.id));
            };
            if let Some(base) = &found.base
                && !self.truth.images.contains_key(&base.digest)
            {
                return Some(format!("the base {} of disk {} of VM {vm} is not there", base.digest, disk.id));
            }
        }
        for nic in &order.plan.nics {
            if !self.truth.ports.contains_key(&(vm, nic.id)) {
                return Some(format!("port {} of VM {vm} is not there", nic.id));
            }
        }
        (!order.media.is_empty() && !self.truth.media.contains_key(&vm))
            .then(|| format!("the context media of VM {vm} are not there"))
    }
}

impl FakeHost {
    /// How one guest behaves from now on.
    pub fn manner(&self, vm: VmId, manner: Manner) {
        self.inner.lock().manners.insert(vm, manner);
    }

    /// How guests behave of which nothing else was said.
    pub fn default_manner(&self, manner: Manner) {
        self.inner.lock().default_manner = manner;
    }

    /// The guest's process dies. Returns whether there was one.
    pub fn guest_dies(&self, vm: VmId, last_words: &str) -> bool {
        self.end(vm, |machine| {
            let had = machine.process.take().is_some();
            if had {
                machine.ended = Ended::Died(last_words.into());
            }
            had
        })
    }

    /// The guest switches itself off. Returns whether it ran.
    pub fn guest_shuts_down(&self, vm: VmId) -> bool {
        self.end(vm, |machine| match &mut machine.process {
            Some(process) if !process.shut_down => {
                process.shut_down = true;
                true
            }
            _ => false,
        })
    }

    pub(super) fn end(&self, vm: VmId, how: impl FnOnce(&mut FakeMachine) -> bool) -> bool {
        let did = {
            let mut state = self.inner.lock();
            let did = state.truth.machines.get_mut(&vm).is_some_and(how);
            if did {
                state.wake_streams(vm);
            }
            did
        };
        if did {
            self.inner.announce(vm);
        }
        did
    }

    /// The guest writes on its serial line.
    pub fn guest_says(&self, vm: VmId, bytes: &[u8]) {
        let mut state = self.inner.lock();
        state.consoles.entry(vm).or_default().push(bytes);
        state.wake_streams(vm);
    }

    /// What was typed on the guest's serial line so far.
    #[must_use]
    pub fn guest_heard(&self, vm: VmId) -> Vec<u8> {
        self.inner.lock().consoles.get(&vm).map(|c| c.heard.clone()).unwrap_or_default()
    }
}

#[async_trait]
impl Machines for FakeHost {
    async fn survey(&self) -> Result<Vec<MachineSeen>, Fault> {
        let under = self.begin(Verb::MachinesSurvey, None).await?;
        let seen = {
            let state = self.inner.lock();
            state.truth.machines.iter().map(|(vm, m)| state.seen(*vm, m)).collect()
        };
        under.finish(seen).await
    }

    async fn look(&self, vm: VmId) -> Result<Option<MachineSeen>, Fault> {
        let under = self.begin(Verb::Look, Some(vm)).await?;
        let seen = {
            let state = self.inner.lock();
            state.truth.machines.get(&vm).map(|m| state.seen(vm, m))
        };
        under.finish(seen).await
    }

    async fn ensure_process(&self, order: &MachineOrder) -> Result<MachineSeen, Fault> {
        let vm = order.plan.id;
        let under = self.begin(Verb::EnsureProcess, Some(vm)).await?;
        let (seen, new) = {
            let mut state = self.inner.lock();
            if state.truth.machines.get(&vm).is_some_and(|m| m.process.is_some()) {
                (state.seen(vm, &state.truth.machines[&vm]), false)
            } else {
                if let Some(missing) = state.missing(order) {
                    return Err(Fault::transient(format!("starting VM {vm}: {missing}")));
                }
                let manner = state.manner(vm);
                let pid = state.next_pid;
                state.next_pid += 1;
                let last = (order.plan.generation, order.plan.boot_seq, self.inner.clock.now());
                let (process, remark) = state.process(order, pid, last);
                let machine = state.truth.machines.entry(vm).or_insert(FakeMachine {
                    process: None,
                    ended: Ended::Unseen,
                    last,
                    starts: 0,
                    presses: 0,
                    saved: None,
                    remark: None,
                    snapshots: BTreeMap::new(),
                    copies: BTreeMap::new(),
                });
                machine.starts += 1;
                machine.last = last;
                machine.remark = remark;
                if let Some(words) = manner.dies_at_start {
                    machine.ended = Ended::Died(words.clone());
                    return Err(Fault::transient(format!("starting VM {vm}: its process died at once: {words}")));
                }
                machine.process = Some(process);
                machine.saved = None;
                let hello = format!("VM {vm} boots ({})\r\n", order.plan.boot_seq);
                state.consoles.entry(vm).or_default().push(hello.as_bytes());
                let screen = state.screens.entry(vm).or_default();
                *screen = Console::default();
                screen.push(b"RFB 003.008\n");
                state.wake_streams(vm);
                (state.seen(vm, &state.truth.machines[&vm]), true)
            }
        };
        if new {
            self.inner.announce(vm);
        }
        under.finish(seen).await
    }

    async fn ensure_cpus(&self, vm: VmId, running: bool) -> Result<(), Fault> {
        let under = self.begin(Verb::EnsureCpus, Some(vm)).await?;
        let changed = {
            let mut state = self.inner.lock();
            let process = state.truth.machines.get_mut(&vm).and_then(|m| m.process.as_mut());
            let Some(process) = process.filter(|p| !p.shut_down) else {
                let verb = if running { "continuing" } else { "pausing" };
                return Err(Fault::transient(format!("{verb} VM {vm}: it does not run")));
            };
            std::mem::replace(&mut process.running, running) != running
        };
        if changed {
            self.inner.announce(vm);
        }
        under.finish(()).await
    }

    async fn ensure_shape(&self, order: &MachineOrder) -> Result<Shape, Fault> {
        let vm = order.plan.id;
        let under = self.begin(Verb::EnsureShape, Some(vm)).await?;
        let shape = {
            let mut state = self.inner.lock();
            if state.truth.machines.get(&vm).is_some_and(|m| m.process.is_some())
                && let Some(missing) = state.missing(order)
            {
                return Err(Fault::transient(format!("changing VM {vm}: {missing}")));
            }
            let clings = state.manner(vm).clings;
            let state = &mut *state;
            match state.truth.machines.get_mut(&vm).and_then(|m| m.process.as_mut()) {
                None => Shape::default(),
                Some(process) => {
                    let disks: BTreeSet<u32> = order.plan.disks.iter().map(|d| d.id).collect();
                    let nics: BTreeSet<u32> = order.plan.nics.iter().map(|n| n.id).collect();
                    let mut held: Vec<String> = Vec::new();
                    if clings {
                        let disks = process.disk_mib.keys().filter(|d| !disks.contains(d));
                        held.extend(disks.map(|disk| format!("disk {disk}")));
                        held.extend(process.nics.difference(&nics).map(|nic| format!("network card {nic}")));
                    } else {
                        process.disk_mib.retain(|disk, _| disks.contains(disk));
                        process.nics.retain(|nic| nics.contains(nic));
                    }
                    process.nics.extend(&nics);
                    for disk in &order.plan.disks {
                        let Some(file) = state.truth.disks.get_mut(&(vm, disk.id)) else { continue };
                        file.size_mib = file.size_mib.max(disk.size_mib);
                        process.disk_mib.insert(disk.id, file.size_mib);
                    }
                    Shape {
                        restart_needed: process.memory_mib != order.plan.memory_mib
                            || process.vcpus != order.plan.vcpus
                            || process.graphics != order.plan.graphics,
                        undone: (!held.is_empty()).then(|| format!("the guest does not let go of {}", held.join(", "))),
                        nics: process.nics.clone(),
                    }
                }
            }
        };
        under.finish(shape).await
    }

    async fn ensure_saved(&self, vm: VmId) -> Result<(), Fault> {
        self.save(vm).await
    }

    async fn ensure_unsaved(&self, vm: VmId) -> Result<(), Fault> {
        self.unsave(vm).await
    }

    async fn snapshots(&self, order: &MachineOrder) -> Result<BTreeSet<SnapshotRef>, Fault> {
        self.kept(order).await
    }

    async fn ensure_snapshot(&self, order: &MachineOrder, which: SnapshotRef) -> Result<(), Fault> {
        self.take(order, which).await
    }

    async fn ensure_snapshot_absent(&self, order: &MachineOrder, which: SnapshotRef) -> Result<(), Fault> {
        self.forget(order, which).await
    }

    async fn revert(&self, order: &MachineOrder, which: SnapshotRef) -> Result<(), Fault> {
        self.go_back(order, which).await
    }

    async fn ensure_copy(&self, order: &MachineOrder, export: &Export) -> Result<DiskCopy, Fault> {
        self.copy(order, export).await
    }

    async fn read_copy(&self, vm: VmId, image: ImageId, offset: u64) -> Result<FetchStream, Fault> {
        self.copied(vm, image, offset).await
    }

    async fn ensure_copies(&self, vm: VmId, keep: &BTreeSet<ImageId>) -> Result<(), Fault> {
        self.drop_copies(vm, keep).await
    }

    async fn parts(&self, order: &MachineOrder) -> Result<Vec<Parcel>, Fault> {
        self.pack(order).await
    }

    async fn read_part(&self, order: &MachineOrder, part: Part, offset: u64) -> Result<FetchStream, Fault> {
        self.packed(order, part, offset).await
    }

    async fn adopt(&self, vm: VmId, part: Part, file: &Path) -> Result<(), Fault> {
        self.adopt_part(vm, part, file).await
    }

    async fn press_power(&self, vm: VmId) -> Result<(), Fault> {
        let under = self.begin(Verb::PressPower, Some(vm)).await?;
        let follows = {
            let mut state = self.inner.lock();
            let manner = state.manner(vm);
            let Some(machine) = state.truth.machines.get_mut(&vm) else {
                return Err(Fault::transient(format!("pressing the power button of VM {vm}: there is no such guest")));
            };
            machine.presses += 1;
            match &machine.process {
                Some(process) if process.running && !process.shut_down => {
                    manner.follows_button.map(|after| (after, process.pid))
                }
                _ => None,
            }
        };
        match follows {
            Some((Duration::ZERO, _)) => {
                self.guest_shuts_down(vm);
            }
            Some((after, pid)) => {
                let host = self.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(after).await;
                    // The same process only: a guest started meanwhile never saw the button.
                    if host.inner.lock().truth.process(vm).is_some_and(|p| p.pid == pid) {
                        host.guest_shuts_down(vm);
                    }
                });
            }
            None => {}
        }
        under.finish(()).await
    }

    async fn ensure_off(&self, vm: VmId) -> Result<(), Fault> {
        let under = self.begin(Verb::EnsureOff, Some(vm)).await?;
        self.end(vm, |machine| {
            let had = machine.process.take().is_some();
            if had {
                machine.ended = Ended::Unseen;
            }
            had
        });
        under.finish(()).await
    }

    async fn ensure_absent(&self, vm: VmId) -> Result<(), Fault> {
        let under = self.begin(Verb::MachineAbsent, Some(vm)).await?;
        let was = {
            let mut state = self.inner.lock();
            state.consoles.remove(&vm);
            state.screens.remove(&vm);
            let was = state.truth.machines.remove(&vm).is_some();
            state.wake_streams(vm);
            was
        };
        if was {
            self.inner.announce(vm);
        }
        under.finish(()).await
    }

    fn events(&self) -> broadcast::Receiver<MachineEvent> {
        self.inner.events.subscribe()
    }

    async fn serial_log(&self, vm: VmId, limit: usize) -> Result<Vec<u8>, Fault> {
        let under = self.begin(Verb::SerialLog, Some(vm)).await?;
        let log = {
            let state = self.inner.lock();
            if !state.truth.machines.contains_key(&vm) {
                return Err(Fault::permanent(format!("reading the serial log of VM {vm}: it never ran here")));
            }
            state.consoles.get(&vm).map(|c| c.tail(limit)).unwrap_or_default()
        };
        under.finish(log).await
    }

    async fn serial(&self, vm: VmId) -> Result<Box<dyn ByteStream>, Fault> {
        let under = self.begin(Verb::Serial, Some(vm)).await?;
        let stream = {
            let state = self.inner.lock();
            let Some(process) = state.truth.process(vm) else {
                return Err(Fault::transient(format!("joining the serial line of VM {vm}: it does not run")));
            };
            FakeStream::new(
                self.clone(),
                vm,
                Which::Serial,
                process.pid,
                state.consoles.get(&vm).map_or(0, |c| c.end()),
            )
        };
        under.finish(Box::new(stream) as Box<dyn ByteStream>).await
    }

    async fn screen(&self, vm: VmId) -> Result<Box<dyn ByteStream>, Fault> {
        let under = self.begin(Verb::Screen, Some(vm)).await?;
        let stream = {
            let state = self.inner.lock();
            match state.truth.process(vm) {
                Some(process) if process.graphics => FakeStream::new(self.clone(), vm, Which::Screen, process.pid, 0),
                Some(_) => return Err(Fault::permanent(format!("connecting the screen of VM {vm}: it has none"))),
                None => return Err(Fault::transient(format!("connecting the screen of VM {vm}: it does not run"))),
            }
        };
        under.finish(Box::new(stream) as Box<dyn ByteStream>).await
    }
}
