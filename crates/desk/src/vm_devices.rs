//! Disks and network cards that come and go while a VM exists.

use crate::resolve::Names;
use crate::view::find_id;
use crate::vm_actions::{Did, Hand};
use crate::{Accepted, Caller, Desk, Error, ErrorKind, Intent};
use holm_model::images::{Image, ImagePhase};
use holm_model::permissions::Access;
use holm_model::security_groups::SecurityGroup;
use holm_model::vms::{DiskDraft, Hardware, NicDraft, PciSpec, PinPolicy, Undo, Vm, VmPhase, VmVerb};
use holm_model::{AttributeValue, Attributes, ObjectKind, SecurityGroupId, VmId, Word};
use holm_plan::leases::LeaseTrouble;
use holm_plan::vm_actions::{Refused, Standing, attempts, called};

/// The states in which devices come and go.
const READY: &[Standing] = &[Standing::Running, Standing::Off];

/// Refuses what only administrators may say of a device.
pub(crate) fn check_restricted(section: &str, members: &[(Word, Word)], caller: &Caller) -> Result<(), Error> {
    let given = Attributes(vec![(section.into(), AttributeValue::Vector(members.to_vec()))]);
    crate::restricted::check(ObjectKind::Vm, &given, caller)
}

/// The place of a card among the VM's cards.
fn card(vm: &Vm, nic: u32) -> Result<usize, Error> {
    let at = vm.spec.nics.iter().position(|card| card.id == nic);
    Ok(at.ok_or_else(|| Refused::missing(vm, "network card", nic))?)
}

/// The place of a disk among the VM's disks.
fn disk_at(vm: &Vm, disk: u32) -> Result<usize, Error> {
    let at = vm.spec.disks.iter().position(|kept| kept.id == disk);
    Ok(at.ok_or_else(|| Refused::missing(vm, "disk", disk))?)
}

fn attach_disk(hand: &mut Hand<'_>, draft: DiskDraft) -> Result<(), Error> {
    hand.only(VmVerb::DiskAttach, READY)?;
    check_restricted("DISK", &draft.attributes, &hand.asked.caller)?;
    let id = hand.vm.spec.free_disk();
    let names = Names { state: hand.tx, caller: &hand.asked.caller, by: Some(hand.vm.id) };
    let disk = draft.check(&names, "disk", id)?;
    if let Some(image) = disk.image.and_then(|image| hand.tx.get::<Image>(image)).map(|row| &row.value) {
        // A host is given a VM only when it can have all of it.
        if image.phase != ImagePhase::Ready {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("disk.image: image {} ({}) is not there yet", image.id, image.meta.name),
            )
            .hint("Wait until it is ready.")
            .field("disk.image"));
        }
        if image.spec.is_exclusive() && hand.vm.spec.images().any(|own| own == image.id) {
            return Err(Error::new(
                ErrorKind::InUse,
                format!("disk.image: {} has the persistent image {} already", called(&hand.vm), image.id),
            )
            .hint("Use a copy of the image.")
            .field("disk.image"));
        }
    }
    let mut spec = hand.vm.spec.clone();
    spec.disks.push(disk);
    spec.next_disk = spec.free_disk();
    spec.check_unplaced()?;
    hand.check_room(&spec)?;
    hand.vm.spec = spec;
    attempts::begin(&mut hand.vm, VmVerb::DiskAttach, Undo::TakeDisk(id));
    Ok(())
}

fn detach_disk(hand: &mut Hand<'_>, disk: u32) -> Result<(), Error> {
    hand.only(VmVerb::DiskDetach, READY)?;
    let at = disk_at(&hand.vm, disk)?;
    if hand.vm.spec.exports.iter().any(|export| export.disk == disk) {
        return Err(Error::new(ErrorKind::Conflict, format!("disk {disk} of {} is being copied", called(&hand.vm)))
            .hint("Wait until its copy is done."));
    }
    if hand.vm.spec.disks[at].persistent && !hand.vm.spec.disks[at].read_only && hand.vm.status.ever_started {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "disk {disk} of {} is a persistent image, and what was written on it goes back when the VM ends",
                called(&hand.vm)
            ),
        )
        .hint("Save it as another image, or terminate the VM."));
    }
    hand.vm.spec.next_disk = hand.vm.spec.free_disk();
    let gone = hand.vm.spec.disks.remove(at);
    attempts::begin(&mut hand.vm, VmVerb::DiskDetach, Undo::GiveDisk(at, Box::new(gone)));
    Ok(())
}

fn attach_nic(hand: &mut Hand<'_>, draft: NicDraft) -> Result<VmVerb, Error> {
    let (verb, section) = match draft.alias_of {
        Some(_) => (VmVerb::AliasAttach, "NIC_ALIAS"),
        None => (VmVerb::NicAttach, "NIC"),
    };
    hand.only(verb, READY)?;
    check_restricted(section, &draft.attributes, &hand.asked.caller)?;
    let vm = &hand.vm;
    let id = vm.spec.free_nic();
    let names = Names { state: hand.tx, caller: &hand.asked.caller, by: Some(vm.id) };
    let nic = draft.check(&names, "nic", id, &vm.spec.nics)?;
    if let Err((field, why)) = holm_plan::leases::check_wishes(&nic, &**hand.tx) {
        let field = format!("nic.{field}");
        return Err(Error::new(ErrorKind::Invalid, format!("{field}: {}", why.trim_end_matches('.')))
            .hint("Choose another address, or leave it out to get a free one.")
            .field(field));
    }
    if matches!(vm.phase, VmPhase::On(_)) {
        let lease = holm_plan::leases::lease(vm, &nic, &vm.leases, &**hand.tx, None).map_err(|trouble| {
            let (LeaseTrouble::Refused { why } | LeaseTrouble::Exhausted { why }) = trouble;
            Error::new(ErrorKind::Conflict, why.trim_end_matches('.')).hint("Choose another network or address.")
        })?;
        hand.vm.leases.push(lease);
    }
    hand.vm.spec.nics.push(nic);
    hand.vm.spec.next_nic = hand.vm.spec.free_nic();
    attempts::begin(&mut hand.vm, verb, Undo::TakeNic(id));
    Ok(verb)
}

fn detach_nic(hand: &mut Hand<'_>, nic: u32) -> Result<(), Error> {
    let at = card(&hand.vm, nic)?;
    let verb = if hand.vm.spec.nics[at].alias_of.is_some() { VmVerb::AliasDetach } else { VmVerb::NicDetach };
    hand.only(verb, READY)?;
    if let Some(alias) = hand.vm.spec.nics.iter().find(|other| other.alias_of == Some(nic)) {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("network card {nic} of {} has the alias {}", called(&hand.vm), alias.id),
        )
        .hint("Detach its aliases first."));
    }
    hand.vm.spec.next_nic = hand.vm.spec.free_nic();
    let gone = hand.vm.spec.nics.remove(at);
    attempts::begin(&mut hand.vm, verb, Undo::GiveNic(at, Box::new(gone)));
    Ok(())
}

/// The states in which devices of the host come and go: no guest is told of that while it runs.
const COLD: &[Standing] = &[Standing::Off, Standing::Undeployed, Standing::Pending, Standing::Held];

/// Refuses from whoever is no administrator what takes something of a host away from others.
pub(crate) fn check_hardware(hardware: &Hardware, caller: &Caller) -> Result<(), Error> {
    let topology = |member: &str, value: &str| check_restricted("TOPOLOGY", &[(member.into(), value.into())], caller);
    if hardware.numa.pin != PinPolicy::None {
        topology("PIN_POLICY", "given")?;
    }
    if hardware.numa.huge_page_mib.is_some() {
        topology("HUGEPAGE_SIZE", "given")?;
    }
    if hardware.pci.is_empty() { Ok(()) } else { check_pci(caller) }
}

/// Refuses devices of hosts from whoever is no administrator.
fn check_pci(caller: &Caller) -> Result<(), Error> {
    let given = Attributes(vec![("PCI".into(), AttributeValue::Text("given".into()))]);
    crate::restricted::check(ObjectKind::Vm, &given, caller)
}

impl Desk {
    /// Gives a VM that does not run one more PCI device of a host: of the one it is on, where it is on one.
    ///
    /// # Errors
    /// When the caller is no administrator, the host has no such device for it, or the VM's state is not one for it.
    pub async fn vm_attach_pci(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        device: PciSpec,
    ) -> Result<Accepted<Vm>, Error> {
        self.vm_edit_plain(caller, intent, id, VmVerb::PciAttach, move |hand| {
            hand.only(VmVerb::PciAttach, COLD)?;
            check_pci(&hand.asked.caller)?;
            let mut spec = hand.vm.spec.clone();
            let hardware = &mut *spec.hardware;
            hardware.pci.push(PciSpec { id: hardware.free_pci(), ..device });
            hardware.next_pci = hardware.free_pci();
            hand.bind(&spec)?;
            hand.vm.spec = spec;
            Ok(Did::Changed(()))
        })
        .await
    }

    /// Takes a PCI device of its host away from a VM that does not run.
    ///
    /// # Errors
    /// `NotFound` when it has no such device; `Conflict` when the VM's state is not one for it.
    pub async fn vm_detach_pci(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        device: u32,
    ) -> Result<Accepted<Vm>, Error> {
        self.vm_edit_plain(caller, intent, id, VmVerb::PciDetach, move |hand| {
            hand.only(VmVerb::PciDetach, COLD)?;
            check_pci(&hand.asked.caller)?;
            let hardware = &mut hand.vm.spec.hardware;
            let Some(at) = hardware.pci.iter().position(|own| own.id == device) else {
                return Err(Refused::missing(&hand.vm, "PCI device", device).into());
            };
            hardware.next_pci = hardware.free_pci();
            hardware.pci.remove(at);
            hand.vm.bound.pci.retain(|bound| bound.id != device);
            Ok(Did::Changed(()))
        })
        .await
    }

    /// Gives a VM that runs or is off one more disk.
    ///
    /// # Errors
    /// When the draft is refused, names something the caller may not use, its host has no room, or the VM's state is not
    /// one for it.
    pub async fn vm_attach_disk(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        draft: DiskDraft,
    ) -> Result<Accepted<Vm>, Error> {
        self.vm_edit_plain(caller, intent, id, VmVerb::DiskAttach, move |hand| {
            attach_disk(hand, draft)?;
            Ok(Did::Done(()))
        })
        .await
    }

    /// Takes a disk away from a VM that runs or is off. What was written on it is lost.
    ///
    /// # Errors
    /// `NotFound` when there is no such disk; `Conflict` when the VM's state is not one for it, or the disk is being
    /// copied or persistent.
    pub async fn vm_detach_disk(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        disk: u32,
    ) -> Result<Accepted<Vm>, Error> {
        self.vm_edit_plain(caller, intent, id, VmVerb::DiskDetach, move |hand| {
            detach_disk(hand, disk)?;
            Ok(Did::Done(()))
        })
        .await
    }

    /// Makes a disk larger. Disks only grow.
    ///
    /// # Errors
    /// `NotFound` when there is no such disk; when it would shrink, its host has no room, or the VM's state is not one
    /// for it.
    pub async fn vm_resize_disk(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        disk: u32,
        size_mib: u64,
    ) -> Result<Accepted<Vm>, Error> {
        self.vm_edit_plain(caller, intent, id, VmVerb::DiskResize, move |hand| {
            hand.only(VmVerb::DiskResize, &[Standing::Running, Standing::Off, Standing::Undeployed])?;
            let at = disk_at(&hand.vm, disk)?;
            let kept = &hand.vm.spec.disks[at];
            let before = kept.size_mib;
            if size_mib < before {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!("size_mib: {size_mib} MiB are less than the {before} MiB of disk {disk}"),
                )
                .hint("Disks only grow: shrinking one would destroy data at its end.")
                .field("size_mib"));
            }
            if !kept.snapshots.is_empty() {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!("disk {disk} of {} has snapshots, and those have its present size", called(&hand.vm)),
                )
                .hint("Delete its snapshots first."));
            }
            let mut spec = hand.vm.spec.clone();
            spec.disks[at].size_mib = size_mib;
            spec.check_unplaced()?;
            hand.check_room(&spec)?;
            let by = Some(hand.asked.caller.user_id());
            holm_plan::vm::split_stay(&mut hand.vm, VmVerb::DiskResize, by, hand.asked.now);
            hand.vm.spec = spec;
            attempts::begin(&mut hand.vm, VmVerb::DiskResize, Undo::DiskSize(disk, before));
            Ok(Did::Done(()))
        })
        .await
    }

    /// Gives a VM that runs or is off one more network card, or a card one more address.
    ///
    /// # Errors
    /// When the draft is refused, names something the caller may not use, no address is free, or the VM's state is not one
    /// for it.
    pub async fn vm_attach_nic(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        draft: NicDraft,
    ) -> Result<Accepted<Vm>, Error> {
        let verb = if draft.alias_of.is_some() { VmVerb::AliasAttach } else { VmVerb::NicAttach };
        self.vm_edit_plain(caller, intent, id, verb, move |hand| {
            attach_nic(hand, draft)?;
            Ok(Did::Done(()))
        })
        .await
    }

    /// Takes a network card, or an alias, away from a VM that runs or is off.
    ///
    /// # Errors
    /// `NotFound` when there is no such card; `Conflict` when it has aliases or the VM's state is not one for it.
    pub async fn vm_detach_nic(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        nic: u32,
    ) -> Result<Accepted<Vm>, Error> {
        let seen = self.view().get_id::<Vm>(caller, id)?;
        let alias = seen.value.spec.nics.iter().any(|card| card.id == nic && card.alias_of.is_some());
        let verb = if alias { VmVerb::AliasDetach } else { VmVerb::NicDetach };
        self.vm_edit_plain(caller, intent, id, verb, move |hand| {
            detach_nic(hand, nic)?;
            Ok(Did::Done(()))
        })
        .await
    }

    /// Changes what a network card carries besides its network and addresses: attributes that are given replace those of
    /// the same name, and security groups, where any are given, all there are.
    ///
    /// # Errors
    /// `NotFound` when there is no such card; when something given is refused, or the VM's state is not one for it.
    pub async fn vm_update_nic(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        nic: u32,
        draft: NicDraft,
    ) -> Result<Accepted<Vm>, Error> {
        self.vm_edit_plain(caller, intent, id, VmVerb::NicUpdate, move |hand| {
            hand.only(VmVerb::NicUpdate, READY)?;
            let at = card(&hand.vm, nic)?;
            check_restricted("NIC", &draft.attributes, &hand.asked.caller)?;
            let before = hand.vm.spec.nics[at].clone();
            let mut merged = before.attributes.clone();
            merged.retain(|(name, _)| !draft.attributes.iter().any(|(given, _)| given == name));
            merged.extend(draft.attributes);
            let again = NicDraft {
                network: before.network.to_string(),
                security_groups: draft.security_groups,
                attributes: merged,
                ..NicDraft::default()
            };
            let names = Names { state: hand.tx, caller: &hand.asked.caller, by: Some(hand.vm.id) };
            let checked = again.check(&names, "nic", nic, &hand.vm.spec.nics)?;
            let card = &mut hand.vm.spec.nics[at];
            card.attributes = checked.attributes;
            if !checked.security_groups.is_empty() {
                card.security_groups = checked.security_groups;
            }
            attempts::begin(&mut hand.vm, VmVerb::NicUpdate, Undo::GiveNic(at, Box::new(before)));
            Ok(Did::Done(()))
        })
        .await
    }

    /// Puts a network card into one more security group.
    ///
    /// # Errors
    /// `NotFound` when there is no such card or group; `Conflict` when the card is in it already or the VM's state is not
    /// one for it.
    pub async fn vm_attach_security_group(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        nic: u32,
        group: SecurityGroupId,
    ) -> Result<Accepted<Vm>, Error> {
        self.vm_edit_plain(caller, intent, id, VmVerb::SecurityGroupAttach, move |hand| {
            hand.only(VmVerb::SecurityGroupAttach, READY)?;
            let at = card(&hand.vm, nic)?;
            find_id::<SecurityGroup>(hand.tx, &hand.asked.caller, group, Access::Use)?;
            let groups = &mut hand.vm.spec.nics[at].security_groups;
            if groups.contains(&group) {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!("network card {nic} is in security group {group}"),
                )
                .hint("There is nothing to do."));
            }
            if groups.len() >= 64 {
                return Err(Error::new(ErrorKind::Invalid, format!("network card {nic} is in 64 security groups"))
                    .hint("Join some of them."));
            }
            groups.push(group);
            Ok(Did::Changed(()))
        })
        .await
    }

    /// Takes a network card out of a security group.
    ///
    /// # Errors
    /// `NotFound` when there is no such card, or it is not in that group; `Conflict` when the VM's state is not one for
    /// it.
    pub async fn vm_detach_security_group(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        nic: u32,
        group: SecurityGroupId,
    ) -> Result<Accepted<Vm>, Error> {
        self.vm_edit_plain(caller, intent, id, VmVerb::SecurityGroupDetach, move |hand| {
            hand.only(VmVerb::SecurityGroupDetach, READY)?;
            let at = card(&hand.vm, nic)?;
            let groups = &mut hand.vm.spec.nics[at].security_groups;
            let Some(place) = groups.iter().position(|known| *known == group) else {
                return Err(Error::new(
                    ErrorKind::NotFound,
                    format!("network card {nic} of {} is not in security group {group}", called(&hand.vm)),
                )
                .hint("Look at the VM for the groups of its cards."));
            };
            groups.remove(place);
            Ok(Did::Changed(()))
        })
        .await
    }
}
