//! Virtual machines: what users want of them.

use crate::change::{Asked, Left, check_name_free};
use crate::owned::MetaChange;
use crate::resolve::Names;
use crate::view::{find, find_for, find_id};
use crate::{Accepted, Caller, Desk, Error, ErrorKind, Intent};
use holm_model::hosts::Host;
use holm_model::images::Image;
use holm_model::operations::{Operation, OperationVerb};
use holm_model::permissions::Access;
use holm_model::users::{Group, User};
use holm_model::vms::{Context, LastAction, Observed, Power, RestartPolicy, Vm, VmDraft, VmPhase, VmSpec, VmVerb};
use holm_model::{Attributes, CpuShare, GroupId, HostId, Meta, Name, ObjectKind, UserId, VmId, World};
use holm_plan::explain::Explanation;
use holm_plan::placement::Board;
use holm_store::{Noun, Row, State, Tx};
use std::sync::Arc;

/// What a user asks a VM to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerAction {
    /// Run.
    Start,
    /// Switch off by its power button; after the grace period its power is cut.
    Stop,
    /// Cut its power.
    Poweroff,
    /// Switch off and start again.
    Reboot,
    /// Stop its CPUs.
    Pause,
    /// Let its CPUs go on.
    Resume,
}

/// A change of a VM's size or behavior. What is not given stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VmChange {
    /// Of what every owned object has.
    pub meta: MetaChange,
    /// Physical CPU booked for it.
    pub cpu: Option<CpuShare>,
    /// Processors the guest sees.
    pub vcpus: Option<u32>,
    /// Memory, MiB.
    pub memory_mib: Option<u64>,
    /// Disks by number and their new size, MiB; never smaller than before.
    pub disks: Vec<(u32, u64)>,
    /// What to do when it ends by itself.
    pub restart: Option<RestartPolicy>,
    /// What a host must be like; blank: whatever it is like.
    pub requirements: Option<String>,
    /// Which hosts are better; blank: as the policy says.
    pub rank: Option<String>,
    /// What a system datastore must be like, likewise.
    pub datastore_requirements: Option<String>,
    /// Which system datastores are better, likewise.
    pub datastore_rank: Option<String>,
    /// What the guest is told.
    pub context: Option<Context>,
    /// Whether it has a screen.
    pub graphics: Option<bool>,
}

/// Refuses the deletion of something that VMs use, naming some of them.
pub(crate) fn refuse_while_used(called: &str, users: Vec<VmId>, state: &State) -> Result<(), Error> {
    if users.is_empty() {
        return Ok(());
    }
    let name = |id: &VmId| match state.get::<Vm>(*id) {
        Some(row) => format!("{id} ({})", row.value.meta.name),
        None => id.to_string(),
    };
    let mut shown: Vec<String> = users.iter().take(10).map(name).collect();
    if users.len() > 10 {
        shown.push(format!("and {} more", users.len() - 10));
    }
    let noun = if users.len() == 1 { "vm" } else { "vms" };
    Err(Error::new(ErrorKind::InUse, format!("{called} is used by {noun} {}", shown.join(", ")))
        .hint("Delete what uses it first."))
}

fn called(vm: &Vm) -> String {
    format!("vm {} ({})", vm.id, vm.meta.name)
}

fn refuse_when_leaving(vm: &Vm) -> Result<(), Error> {
    if matches!(vm.phase, VmPhase::Removing(_)) {
        return Err(
            Error::new(ErrorKind::Conflict, format!("{} is being deleted", called(vm))).hint("Create another VM.")
        );
    }
    Ok(())
}

/// Refuses wanted addresses that are not in the network or lent to somebody, so that the user hears it at once.
fn check_addresses(state: &State, spec: &VmSpec) -> Result<(), Error> {
    for (at, nic) in spec.nics.iter().enumerate() {
        if let Err((field, why)) = holm_plan::leases::check_wishes(nic, state) {
            let field = format!("nics[{at}].{field}");
            return Err(Error::new(ErrorKind::Invalid, format!("{field}: {}", why.trim_end_matches('.')))
                .hint("Choose another address, or leave it out to get a free one.")
                .field(field));
        }
    }
    Ok(())
}

/// Whom a new VM is to belong to.
fn owner(tx: &Tx, asked: &Asked, wanted: Option<(UserId, GroupId)>) -> Result<(UserId, GroupId), Error> {
    let own = (asked.caller.user_id(), asked.caller.primary_group());
    let Some((user, group)) = wanted.filter(|wanted| *wanted != own) else { return Ok(own) };
    if user != own.0 {
        find_id::<User>(tx, &asked.caller, user, Access::Manage).map_err(|e| e.field("owner"))?;
    }
    if group != own.1 {
        find_id::<Group>(tx, &asked.caller, group, Access::Use).map_err(|e| e.field("group"))?;
    }
    Ok((user, group))
}

/// Refuses that two disks of one VM are the same persistent image.
fn refuse_image_twice(state: &State, spec: &VmSpec) -> Result<(), Error> {
    for (at, disk) in spec.disks.iter().enumerate() {
        let Some(image) = disk.image.and_then(|image| state.get::<Image>(image)).map(|row| &row.value) else {
            continue;
        };
        if image.spec.is_exclusive() && spec.disks[..at].iter().any(|other| other.image == Some(image.id)) {
            let field = format!("disks[{at}].image");
            return Err(Error::new(
                ErrorKind::InUse,
                format!("{field}: the persistent image {} ({}) is a disk of the VM already", image.id, image.meta.name),
            )
            .hint("Use a copy of the image.")
            .field(field));
        }
    }
    Ok(())
}

/// Refuses a growth that the host the VM is on has no room for.
pub(crate) fn check_room(state: &State, vm: &Vm, host: HostId, new: &VmSpec) -> Result<(), Error> {
    let Some(row) = state.get::<Host>(host) else { return Ok(()) };
    let host = &row.value;
    let booked = state.booked(host.id);
    let capacity = host.capacity(state.cluster(host.cluster));
    let old = &vm.spec;
    let cases = [
        (
            "cpu",
            u64::from(old.cpu.0),
            u64::from(new.cpu.0),
            u64::from(booked.cpu.0),
            u64::from(capacity.cpu.0),
            "hundredths of a core",
        ),
        ("memory_mib", old.memory_mib, new.memory_mib, booked.memory_mib, capacity.memory_mib, "MiB of memory"),
        ("disks", old.disk_mib(), new.disk_mib(), booked.disk_mib, capacity.disk_mib, "MiB of disk"),
    ];
    for (field, old, new, booked, capacity, unit) in cases {
        let others = booked.saturating_sub(old);
        // A host may be overbooked already, by a smaller report than before: then shrinking is still fine.
        if new > old && others.saturating_add(new) > capacity {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "{field}: host {} ({}) has {} {unit} left for {}, not {new}",
                    host.id,
                    host.meta.name,
                    capacity.saturating_sub(others),
                    called(vm)
                ),
            )
            .hint("Choose less, or delete something on that host.")
            .field(field));
        }
    }
    Ok(())
}

/// Refuses expressions about placement that cannot be read: requirements, rank, and both of the datastore.
fn check_expressions(texts: [Option<&str>; 4]) -> Result<(), Error> {
    let [requirements, rank, datastore_requirements, datastore_rank] = texts;
    crate::resolve::requirement("requirements", requirements)?;
    crate::resolve::rank("rank", rank)?;
    crate::resolve::requirement("datastore_requirements", datastore_requirements)?;
    crate::resolve::rank("datastore_rank", datastore_rank)?;
    Ok(())
}

/// Refuses another machine for a guest whose memory was saved: it goes on only in the one that it was saved in.
fn refuse_change_while_saved(vm: &Vm, new: &VmSpec) -> Result<(), Error> {
    let old = &vm.spec;
    let same = old.vcpus == new.vcpus
        && old.memory_mib == new.memory_mib
        && old.disk_mib() == new.disk_mib()
        && old.graphics == new.graphics
        && old.context == new.context;
    if old.power != Power::Saved || same {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Conflict,
        format!("the memory of {} is saved, and goes on only in a machine as it was then", called(vm)),
    )
    .hint("Resume it first, or stop it and lose what its memory holds."))
}

/// What an action makes of the desire; `None` when the VM is as asked already.
fn act(vm: &Vm, action: PowerAction) -> Result<Option<(Power, u64)>, Error> {
    let (power, seq) = (vm.spec.power, vm.spec.boot_seq);
    // What moves is stopped on the way, and that is nobody's wish.
    let then = vm.spec.placement.then.unwrap_or(power);
    let off = matches!(power, Power::Off | Power::OffHard);
    let saved = power == Power::Saved;
    // What counts is the host's word about this very start; an older word is about an older start.
    let ended = vm.status.boot_seq >= seq && matches!(vm.status.observed, Observed::Off | Observed::Failed);
    let refuse = |what: &str, hint: &str| {
        let is = if saved { "saved" } else { "off" };
        Err(Error::new(ErrorKind::Conflict, format!("{} is {is} and cannot be {what}", called(vm))).hint(hint))
    };
    Ok(match action {
        PowerAction::Start if off || ended => Some((Power::On, seq + 1)),
        PowerAction::Start if saved || power == Power::Paused => Some((Power::On, seq)),
        PowerAction::Start => None,
        PowerAction::Stop if matches!(then, Power::Off | Power::OffHard) => None,
        PowerAction::Stop => Some((Power::Off, seq)),
        PowerAction::Poweroff if then == Power::OffHard => None,
        PowerAction::Poweroff => Some((Power::OffHard, seq)),
        PowerAction::Reboot if off || saved => return refuse("rebooted", "Start it: holm vm start."),
        PowerAction::Reboot => Some((Power::On, seq + 1)),
        PowerAction::Pause if off || saved => return refuse("paused", "Start it first."),
        PowerAction::Pause if power == Power::Paused => None,
        PowerAction::Pause => Some((Power::Paused, seq)),
        PowerAction::Resume if off => return refuse("resumed", "Start it: holm vm start."),
        PowerAction::Resume if power == Power::On => None,
        PowerAction::Resume => Some((Power::On, seq)),
    })
}

impl PowerAction {
    fn verb(self) -> OperationVerb {
        match self {
            Self::Start => OperationVerb::Start,
            Self::Stop => OperationVerb::Stop,
            Self::Poweroff => OperationVerb::Poweroff,
            Self::Reboot => OperationVerb::Reboot,
            Self::Pause => OperationVerb::Pause,
            Self::Resume => OperationVerb::Resume,
        }
    }

    fn audited(self) -> &'static str {
        match self {
            Self::Start => "vm.start",
            Self::Stop => "vm.stop",
            Self::Poweroff => "vm.poweroff",
            Self::Reboot => "vm.reboot",
            Self::Pause => "vm.pause",
            Self::Resume => "vm.resume",
        }
    }
}

impl Desk {
    /// Creates a VM.
    ///
    /// # Errors
    /// When the draft is refused, names something the caller may not see, or the name is taken.
    pub async fn vm_create(
        &self,
        caller: &Caller,
        intent: &Intent,
        draft: VmDraft,
        attributes: Attributes,
    ) -> Result<Accepted<Vm>, Error> {
        self.accept(caller, intent, "vm.create", move |tx, asked| {
            attributes.check()?;
            let mut draft = draft;
            let bare = draft.bare;
            let owner = owner(tx, asked, draft.owner)?;
            let template = draft.template;
            let prefix = draft.name_prefix.take();
            let schedule = crate::vm_schedule::numbered(std::mem::take(&mut draft.schedule))?;
            let caller = &asked.caller;
            check_expressions([
                draft.requirements.as_deref(),
                draft.rank.as_deref(),
                draft.datastore_requirements.as_deref(),
                draft.datastore_rank.as_deref(),
            ])?;
            // What a template says was checked when it was written, and whoever adds to it is checked against it.
            if template.is_none() {
                crate::restricted::check(ObjectKind::Vm, &attributes, caller)?;
            }
            for disk in draft.disks.iter().filter(|_| template.is_none()) {
                crate::vm_devices::check_restricted("DISK", &disk.attributes, caller)?;
            }
            for nic in draft.nics.iter().flatten().filter(|_| template.is_none()) {
                let section = if nic.alias_of.is_some() { "NIC_ALIAS" } else { "NIC" };
                crate::vm_devices::check_restricted(section, &nic.attributes, caller)?;
            }
            if template.is_none() {
                crate::vm_devices::check_hardware(&draft.hardware, caller)?;
            }
            let (name, mut spec) = draft.check(&Names { state: tx, caller, by: None })?;
            refuse_image_twice(tx, &spec)?;
            check_addresses(tx, &spec)?;
            let id = tx.next_id::<Vm>();
            let name = match name {
                Some(name) if bare => name,
                Some(name) => {
                    check_name_free::<Vm>(tx, &name, owner.0, None)?;
                    name
                }
                None => Name::new(format!("{}-{id}", prefix.as_deref().unwrap_or("one")))?,
            };
            if spec.placement.requirements.as_deref().is_none_or(|text| text.trim().is_empty()) {
                spec.placement.requirements = None;
            }
            if spec.placement.rank.as_deref().is_none_or(|text| text.trim().is_empty()) {
                spec.placement.rank = None;
            }
            if let (Some(host), Some(cluster)) = (spec.placement.host, spec.placement.cluster)
                && let Some(row) = tx.get::<Host>(host)
                && row.value.cluster != cluster
            {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!("host: host {host} ({}) is not in cluster {cluster}", row.value.meta.name),
                )
                .hint("Leave out one of the two.")
                .field("host"));
            }
            spec.settle(id, name.as_str());
            spec.context.check().map_err(|e| e.within("context"))?;
            let meta = Meta::new(name, owner, caller.default_permissions(), attributes, asked.now);
            let mut value = Vm::new(id, meta, spec, asked.now);
            value.template = template;
            value.next_scheduled = u32::try_from(schedule.len()).unwrap_or(u32::MAX);
            value.schedule = schedule;
            value.action =
                Some(LastAction { verb: VmVerb::Create, generation: 1, by: Some(caller.user_id()), at: asked.now });
            if value.spec.placement.hold {
                // What it waits for has nothing to do with any host, so it is said at once and nobody has to add it.
                let verdict = holm_plan::vm::next(&value, &**tx, &Board::later(), asked.now);
                holm_plan::vm::note(&mut value, &verdict);
            }
            tx.put(value.clone());
            let operation = asked.operation(tx, OperationVerb::Create, Vm::object(id), 1);
            Ok(Left { value, operation })
        })
        .await
    }

    /// Starts, stops, reboots, pauses or resumes a VM.
    ///
    /// # Errors
    /// `Conflict` when the action makes no sense now: pausing what is off, anything with a VM that is being deleted.
    pub async fn vm_power(
        &self,
        caller: &Caller,
        intent: &Intent,
        key: &str,
        action: PowerAction,
    ) -> Result<Accepted<Vm>, Error> {
        let key = key.to_owned();
        self.accept(caller, intent, action.audited(), move |tx, asked| {
            let row = find_for::<Vm>(tx, &asked.caller, &key, Access::Manage)?.clone();
            asked.precondition(&row)?;
            refuse_when_leaving(&row.value)?;
            let mut value = row.value.clone();
            if let Some((power, boot_seq)) = act(&value, action)? {
                value.spec.boot_seq = boot_seq;
                holm_plan::vm_actions::set_power(&mut value, power);
                holm_plan::vm::changed(&mut value);
                tx.put(value.clone());
            }
            let operation = asked.operation(tx, action.verb(), Vm::object(value.id), value.generation);
            Ok(Left { value, operation })
        })
        .await
    }

    /// Changes a VM's size or behavior. Disks only grow. Memory and processors take effect at the next start when the
    /// host cannot change them in a running guest; the VM then says that a restart is needed.
    ///
    /// # Errors
    /// When a value is refused, a disk would shrink, or the VM's host has no room.
    pub async fn vm_change(
        &self,
        caller: &Caller,
        intent: &Intent,
        key: &str,
        change: VmChange,
    ) -> Result<Accepted<Vm>, Error> {
        let key = key.to_owned();
        self.accept(caller, intent, "vm.change", move |tx, asked| {
            let row = find_for::<Vm>(tx, &asked.caller, &key, Access::Manage)?.clone();
            asked.precondition(&row)?;
            refuse_when_leaving(&row.value)?;
            let mut value = row.value.clone();
            let spec = &mut value.spec;
            spec.cpu = change.cpu.unwrap_or(spec.cpu);
            spec.vcpus = change.vcpus.unwrap_or(spec.vcpus);
            spec.memory_mib = change.memory_mib.unwrap_or(spec.memory_mib);
            spec.restart = change.restart.unwrap_or(spec.restart);
            spec.graphics = change.graphics.unwrap_or(spec.graphics);
            if let Some(context) = change.context {
                spec.context = context.into();
            }
            check_expressions([
                change.requirements.as_deref(),
                change.rank.as_deref(),
                change.datastore_requirements.as_deref(),
                change.datastore_rank.as_deref(),
            ])?;
            let placement = &mut spec.placement;
            for (kept, wanted) in [
                (&mut placement.requirements, change.requirements),
                (&mut placement.rank, change.rank),
                (&mut placement.datastore_requirements, change.datastore_requirements),
                (&mut placement.datastore_rank, change.datastore_rank),
            ] {
                if let Some(wanted) = wanted {
                    *kept = Some(wanted).filter(|text| !text.trim().is_empty());
                }
            }
            for (at, (id, size_mib)) in change.disks.iter().enumerate() {
                let field = format!("disks[{at}]");
                let Some(disk) = spec.disks.iter_mut().find(|disk| disk.id == *id) else {
                    return Err(Error::new(
                        ErrorKind::Invalid,
                        format!("{field}.id: {} has no disk {id}", called(&row.value)),
                    )
                    .hint("Look at its disks: holm vm show.")
                    .field(format!("{field}.id")));
                };
                if *size_mib < disk.size_mib {
                    return Err(Error::new(
                        ErrorKind::Invalid,
                        format!("{field}.size_mib: {size_mib} MiB are less than the disk's {} MiB", disk.size_mib),
                    )
                    .hint("Disks only grow: shrinking one would destroy data at its end.")
                    .field(format!("{field}.size_mib")));
                }
                disk.size_mib = *size_mib;
            }
            // A disk whose image has not arrived yet has no size before the VM is placed.
            let mut sized = spec.clone();
            for disk in &mut sized.disks {
                disk.size_mib = disk.size_mib.max(1);
            }
            sized.check()?;
            refuse_change_while_saved(&row.value, &value.spec)?;
            for (host, _) in [row.value.books(), row.value.books_ahead()].into_iter().flatten() {
                check_room(tx, &row.value, host, &value.spec)?;
            }
            change.meta.apply(tx, asked, &mut value)?;
            if value.spec != row.value.spec {
                value.bound = crate::vm_actions::bind(tx, &row.value, &value.spec)?;
                holm_plan::vm::changed(&mut value);
                // What was booked until now is billed as it was.
                holm_plan::vm::split_stay(&mut value, VmVerb::Resize, Some(asked.caller.user_id()), asked.now);
                tx.account(&row.value, &value);
            }
            tx.put(value.clone());
            let operation = asked.operation(tx, OperationVerb::Resize, Vm::object(value.id), value.generation);
            Ok(Left { value, operation })
        })
        .await
    }

    /// Deletes a VM with its disks.
    ///
    /// # Errors
    /// When there is no such VM or the caller may not.
    pub async fn vm_delete(&self, caller: &Caller, intent: &Intent, key: &str) -> Result<Arc<Row<Operation>>, Error> {
        let key = key.to_owned();
        self.accept_deletion(caller, intent, "vm.delete", move |tx, asked| {
            let row = find_for::<Vm>(tx, &asked.caller, &key, Access::Manage)?.clone();
            asked.precondition(&row)?;
            let mut value = row.value.clone();
            let revision = World::revision(&**tx);
            holm_plan::vm::remove(&mut value, revision, asked.now);
            tx.put(value.clone());
            Ok(asked.operation(tx, OperationVerb::Delete, Vm::object(value.id), value.generation))
        })
        .await
    }

    /// Why a VM is where it is, or why it is not yet anywhere, host by host.
    ///
    /// # Errors
    /// When there is no such VM that the caller may see.
    pub fn vm_explain(&self, caller: &Caller, key: &str) -> Result<Explanation, Error> {
        let view = self.view();
        let row = find::<Vm>(&view.0, caller, key)?;
        let board = holm_plan::placement::Board::new(view.world());
        Ok(holm_plan::explain::vm(&row.value, view.world(), &board, self.now()))
    }

    /// Where to reach a VM's console: the VM and the host it is on. Needs access manage, for a console is as good as
    /// being at the machine.
    ///
    /// # Errors
    /// `Conflict` while it is nowhere or its host is out of touch.
    pub fn vm_reach(&self, caller: &Caller, key: &str) -> Result<(VmId, HostId), Error> {
        let view = self.view();
        let vm = &find_for::<Vm>(&view.0, caller, key, Access::Manage)?.value;
        let Some(host) = vm.phase.host() else {
            return Err(Error::new(ErrorKind::Conflict, format!("{} is not on any host yet: {}", called(vm), vm.why))
                .hint(format!("See why: holm vm explain {}.", vm.id)));
        };
        match view.0.get::<Host>(host) {
            Some(row) if row.value.status.connected => Ok((vm.id, host)),
            _ => Err(Error::new(ErrorKind::Unavailable, format!("host {host} of {} is not connected", called(vm)))
                .hint("Check the host's power, its network and its agent.")),
        }
    }
}
