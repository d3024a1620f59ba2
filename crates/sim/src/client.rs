//! A client that asks for random things and repeats a request until it gets an answer, always with the same key.

use crate::chance::Chance;
use crate::sabotage::Sabotage;
use crate::trace::Trace;
use holm_desk::{Caller, Desk, Destination, Error, ErrorKind, Intent, PowerAction, Recovery, VmChange};
use holm_model::vms::{DiskDraft, NicDraft, Power, RestartPolicy, Vm, VmDraft, VmVerb};
use holm_model::{Attributes, CpuShare, HostId, OperationId, VmId};
use std::collections::VecDeque;

#[derive(Clone, Debug)]
enum What {
    Create(Box<VmDraft>),
    Power(PowerAction),
    Change(VmChange),
    Act(VmVerb),
    AttachDisk(DiskDraft),
    DetachDisk(u32),
    AttachNic(NicDraft),
    DetachNic(u32),
    Snapshot,
    DropSnapshot(u32),
    DiskSnapshot(u32),
    DropDiskSnapshot(u32, u32),
    Migrate(HostId, Power),
    StayPut,
    Delete,
}

#[derive(Clone, Debug)]
struct Request {
    what: What,
    key: String,
    tries: u32,
}

/// One VM as the client knows it.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) name: String,
    pub(crate) id: Option<VmId>,
    /// Whether its deletion was accepted.
    pub(crate) deleted: bool,
    /// Whether its creation was refused for good.
    pub(crate) refused: bool,
    /// What it was last asked to do.
    pub(crate) power: Power,
    queue: VecDeque<Request>,
}

impl Wish {
    /// Whether a VM should exist for it.
    pub(crate) fn lives(&self) -> bool {
        self.id.is_some() && !self.deleted
    }
}

pub(crate) struct Client {
    chance: Chance,
    trace: Trace,
    sabotage: Sabotage,
    hosts: u32,
    requests: u64,
    pub(crate) wishes: Vec<Wish>,
    pub(crate) operations: Vec<OperationId>,
    pub(crate) accepted: u64,
}

impl Client {
    pub(crate) fn new(hosts: u32, chance: Chance, sabotage: Sabotage, trace: Trace) -> Self {
        Self { chance, trace, sabotage, hosts, requests: 0, wishes: Vec::new(), operations: Vec::new(), accepted: 0 }
    }

    /// Whether every request has its answer.
    pub(crate) fn is_content(&self) -> bool {
        self.wishes.iter().all(|wish| wish.queue.is_empty())
    }

    fn ask(&mut self, wish: usize, what: What) {
        self.requests += 1;
        let key = format!("request-{}", self.requests);
        self.wishes[wish].queue.push_back(Request { what, key, tries: 0 });
    }

    fn draft(&self, name: &str) -> VmDraft {
        let dice = &self.chance;
        let nic = |network: &str| NicDraft { network: network.into(), ..NicDraft::default() };
        let kernel = dice.once_in(6);
        VmDraft {
            name: name.into(),
            cpu: Some(CpuShare(u32::try_from(dice.between(25, 150)).unwrap_or(100))),
            memory_mib: Some(dice.between(128, 2048)),
            kernel: kernel.then(|| "image-2".into()),
            disks: (0..dice.between(u64::from(!kernel), 2))
                .map(|at| DiskDraft {
                    image: (at == 0).then(|| if dice.once_in(2) { "image-0" } else { "image-1" }.to_owned()),
                    size_mib: (at > 0 || dice.once_in(2)).then(|| dice.between(64, 4096)),
                    ..DiskDraft::default()
                })
                .collect(),
            nics: match dice.below(5) {
                0 => Some(Vec::new()),
                1 => Some(vec![nic("small")]),
                2 => Some(vec![nic("default"), nic("small")]),
                _ => None,
            },
            host: dice.once_in(5).then(|| dice.below(self.hosts.into()).to_string()),
            power: match dice.below(8) {
                0 => Some(Power::Off),
                1 => Some(Power::Paused),
                _ => None,
            },
            restart: dice
                .pick(&[RestartPolicy::Always, RestartPolicy::OnFailure, RestartPolicy::Never])
                .unwrap_or_default(),
            ..VmDraft::default()
        }
    }

    /// Thinks of something new to ask for.
    pub(crate) fn think(&mut self) {
        let living: Vec<usize> =
            (0..self.wishes.len()).filter(|at| !self.wishes[*at].deleted && !self.wishes[*at].refused).collect();
        let at = match self.chance.pick(&living) {
            Some(at) if living.len() > 12 || !self.chance.once_in(3) => at,
            _ => {
                let name = format!("vm-{}", self.wishes.len());
                let draft = self.draft(&name);
                let power = draft.power.unwrap_or(Power::On);
                let queue = VecDeque::new();
                self.wishes.push(Wish { name, id: None, deleted: false, refused: false, power, queue });
                self.ask(self.wishes.len() - 1, What::Create(Box::new(draft)));
                return;
            }
        };
        let ends = |what: &What| matches!(what, What::Delete | What::Act(VmVerb::Terminate | VmVerb::TerminateHard));
        if self.wishes[at].queue.iter().any(|request| ends(&request.what)) {
            return;
        }
        let what = match self.chance.below(29) {
            24..=26 => {
                let how = self.chance.pick(&[Power::Saved, Power::Off, Power::OffHard]).unwrap_or(Power::Saved);
                What::Migrate(HostId(u32::try_from(self.chance.below(self.hosts.into())).unwrap_or(0)), how)
            }
            27 => What::Act(VmVerb::Resched),
            28 => What::StayPut,
            12 => What::Act(VmVerb::Suspend),
            13 | 14 => What::Act(VmVerb::Resume),
            15 => What::Act(VmVerb::Undeploy),
            16 => What::Act(VmVerb::Stop),
            17 => What::Act(VmVerb::PoweroffHard),
            18 => What::Act(if self.chance.once_in(2) { VmVerb::Terminate } else { VmVerb::TerminateHard }),
            19 => What::AttachDisk(DiskDraft {
                image: self.chance.once_in(2).then(|| "image-1".into()),
                size_mib: Some(self.chance.between(64, 4096)),
                ..DiskDraft::default()
            }),
            20 => What::DetachDisk(u32::try_from(self.chance.between(1, 3)).unwrap_or(1)),
            21 => What::AttachNic(NicDraft {
                network: if self.chance.once_in(3) { "small" } else { "default" }.into(),
                ..NicDraft::default()
            }),
            22 => What::DetachNic(u32::try_from(self.chance.between(0, 2)).unwrap_or(0)),
            23 => match self.chance.below(4) {
                0 => What::Snapshot,
                1 => What::DropSnapshot(u32::try_from(self.chance.below(3)).unwrap_or(0)),
                2 => What::DiskSnapshot(0),
                _ => What::DropDiskSnapshot(0, u32::try_from(self.chance.below(3)).unwrap_or(0)),
            },
            0 | 1 => What::Power(PowerAction::Start),
            2 => What::Power(PowerAction::Stop),
            3 => What::Power(PowerAction::Poweroff),
            4 | 5 => What::Power(PowerAction::Reboot),
            6 => What::Power(PowerAction::Pause),
            7 => What::Power(PowerAction::Resume),
            8 | 9 => What::Change(VmChange {
                memory_mib: self.chance.once_in(2).then(|| self.chance.between(128, 2048)),
                disks: if self.chance.once_in(2) { vec![(0, self.chance.between(64, 8192))] } else { Vec::new() },
                ..VmChange::default()
            }),
            _ => What::Delete,
        };
        self.ask(at, what);
    }

    /// Sends what waits, at most one request per VM.
    pub(crate) async fn send(&mut self, desk: &Desk, eager: bool) {
        let Ok(caller) = desk.local_admin() else { return };
        for at in 0..self.wishes.len() {
            if !eager && self.chance.once_in(2) {
                continue;
            }
            let Some(mut request) = self.wishes[at].queue.front().cloned() else { continue };
            request.tries += 1;
            self.wishes[at].queue[0].tries = request.tries;
            match self.perform(desk, &caller, at, &request).await {
                Ok(()) => {
                    self.accepted += 1;
                    self.wishes[at].queue.pop_front();
                }
                Err(error) if matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Internal) => {
                    self.trace.say(format!("{} {:?}: no answer: {error}", self.wishes[at].name, short(&request.what)));
                }
                // The answer was lost, and by now there is nothing left to answer with.
                Err(error)
                    if error.kind == ErrorKind::Gone
                        && matches!(request.what, What::Act(VmVerb::Terminate | VmVerb::TerminateHard)) =>
                {
                    self.wishes[at].deleted = true;
                    self.wishes[at].queue.clear();
                }
                Err(error) => {
                    self.trace.say(format!("{} {:?} refused: {error}", self.wishes[at].name, short(&request.what)));
                    let wish = &mut self.wishes[at];
                    wish.queue.pop_front();
                    if matches!(request.what, What::Create(_)) {
                        wish.refused = true;
                        wish.queue.clear();
                    }
                }
            }
        }
    }

    async fn perform(&mut self, desk: &Desk, caller: &Caller, at: usize, request: &Request) -> Result<(), Error> {
        let key = match self.sabotage {
            Sabotage::ForgetsRequests => format!("{} {}", request.key, request.tries),
            _ => request.key.clone(),
        };
        let intent = Intent {
            idempotency_key: Some(key),
            request_sha256: format!("{:?}", request.what),
            request_id: request.key.clone(),
            ..Intent::default()
        };
        let name = self.wishes[at].name.clone();
        let number = self.wishes[at].id.map_or_else(|| name.clone(), |id| id.to_string());
        // A VM that was never answered for is only known by its name.
        let id = self.wishes[at].id;
        let id = || id.ok_or_else(|| Error::new(ErrorKind::NotFound, "the vm was never answered for"));
        let accepted = match request.what.clone() {
            What::Act(verb) => {
                let accepted = desk.vm_act(caller, &intent, id()?, verb).await?;
                if matches!(verb, VmVerb::Terminate | VmVerb::TerminateHard) {
                    self.wishes[at].deleted = true;
                    self.wishes[at].queue.truncate(1);
                }
                accepted
            }
            What::Migrate(host, how) => {
                desk.vm_migrate(caller, &intent, id()?, Destination::to(host), false, how).await?
            }
            What::StayPut => desk.vm_recover(caller, &intent, id()?, Recovery::Failure).await?,
            What::AttachDisk(draft) => desk.vm_attach_disk(caller, &intent, id()?, draft).await?,
            What::DetachDisk(disk) => desk.vm_detach_disk(caller, &intent, id()?, disk).await?,
            What::AttachNic(draft) => desk.vm_attach_nic(caller, &intent, id()?, draft).await?,
            What::DetachNic(nic) => desk.vm_detach_nic(caller, &intent, id()?, nic).await?,
            What::Snapshot => desk.vm_snapshot_create(caller, &intent, id()?, String::new()).await?.0,
            What::DropSnapshot(snapshot) => desk.vm_snapshot_delete(caller, &intent, id()?, snapshot).await?,
            What::DiskSnapshot(disk) => {
                desk.vm_disk_snapshot_create(caller, &intent, id()?, disk, String::new()).await?.0
            }
            What::DropDiskSnapshot(disk, snapshot) => {
                desk.vm_disk_snapshot_delete(caller, &intent, id()?, disk, snapshot).await?
            }
            What::Create(draft) => desk.vm_create(caller, &intent, *draft, Attributes::default()).await?,
            What::Power(action) => desk.vm_power(caller, &intent, &number, action).await?,
            What::Change(change) => desk.vm_change(caller, &intent, &number, change).await?,
            What::Delete => {
                let operation = desk.vm_delete(caller, &intent, &number).await?;
                self.operations.push(operation.value.id);
                self.wishes[at].deleted = true;
                self.wishes[at].queue.truncate(1);
                self.trace.say(format!("{name} (vm {number}) delete accepted"));
                return Ok(());
            }
        };
        self.operations.push(accepted.operation.value.id);
        let vm: &Vm = &accepted.row.value;
        self.trace.say(format!(
            "{name} (vm {}) {:?} accepted: generation {} {:?} start {}",
            vm.id,
            short(&request.what),
            vm.generation,
            vm.spec.power,
            vm.spec.boot_seq
        ));
        self.wishes[at].id = Some(vm.id);
        // What moves is stopped on the way, and that is nobody's wish.
        self.wishes[at].power = vm.spec.placement.then.unwrap_or(vm.spec.power);
        Ok(())
    }
}

fn short(what: &What) -> String {
    match what {
        What::Create(_) => "create".into(),
        What::Power(action) => format!("{action:?}").to_lowercase(),
        What::Change(_) => "resize".into(),
        What::Act(verb) => format!("{verb:?}").to_lowercase(),
        What::AttachDisk(_) => "attach a disk".into(),
        What::DetachDisk(disk) => format!("detach disk {disk}"),
        What::AttachNic(_) => "attach a card".into(),
        What::DetachNic(nic) => format!("detach card {nic}"),
        What::Snapshot => "snapshot".into(),
        What::DropSnapshot(snapshot) => format!("drop snapshot {snapshot}"),
        What::DiskSnapshot(disk) => format!("snapshot disk {disk}"),
        What::DropDiskSnapshot(disk, snapshot) => format!("drop snapshot {snapshot} of disk {disk}"),
        What::Migrate(host, how) => format!("migrate to {host} by {how:?}"),
        What::StayPut => "cancel the move".into(),
        What::Delete => "delete".into(),
    }
}
