//! `one.vm.*`: disks, cards and snapshots.

use super::methods;
use super::vms::{done, made, refused, vm_id};
use crate::codes::{ACTION, Failure};
use crate::render::storage::image_kind;
use crate::request::{Request, Update};
use crate::template::{self, Reading as _, Vector};
use crate::xmlrpc::Answer;
use holm_desk::restricted;
use holm_desk::vm_template::{devices, hardware};
use holm_model::vms::{NicDraft, Vm};
use holm_model::{Attributes, Invalid, ObjectKind, SecurityGroupId, VmId, Word};

methods! {
    change "one.vm.attach" => attach,
    change "one.vm.attachnic" => attach_nic,
    change "one.vm.attachpci" => attach_pci,
    change "one.vm.attachsg" => attach_group,
    change "one.vm.detach" => detach,
    change "one.vm.detachnic" => detach_nic,
    change "one.vm.detachpci" => detach_pci,
    change "one.vm.detachsg" => detach_group,
    change "one.vm.diskresize" => disk_resize,
    change "one.vm.disksaveas" => save_as,
    change "one.vm.disksnapshotcreate" => disk_snapshot_create,
    change "one.vm.disksnapshotdelete" => disk_snapshot_delete,
    change "one.vm.disksnapshotrename" => disk_snapshot_rename,
    change "one.vm.disksnapshotrevert" => disk_snapshot_revert,
    change "one.vm.snapshotcreate" => snapshot_create,
    change "one.vm.snapshotdelete" => snapshot_delete,
    change "one.vm.snapshotrevert" => snapshot_revert,
    change "one.vm.updatenic" => update_nic,
}

/// A number within a VM: of a disk, a card or a snapshot.
fn number(request: &Request<'_>, at: usize, what: &str, id: VmId) -> Result<u32, Failure> {
    let given = request.int(at)?;
    u32::try_from(given).map_err(|_| missing(what, given.into(), id))
}

fn missing(what: &str, number: i64, id: VmId) -> Failure {
    Failure::new(ACTION, format!("{what} [{number}] does not exist in virtual machine [{id}].")).about(id.0.into())
}

fn check(request: &Request<'_>, given: &Attributes, id: VmId) -> Result<(), Failure> {
    restricted::check(ObjectKind::Vm, given, &request.caller).map_err(|error| refused(request, &error, id))
}

fn no_vector(what: &str, id: VmId) -> Failure {
    Failure::new(ACTION, format!("The template has no {what}: give one, such as {what}=[...].")).about(id.0.into())
}

/// `(id, template)`: one `DISK`.
async fn attach(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = vm_id(request, 1)?;
    let given = request.template(2)?;
    check(request, &given, id)?;
    let vector = given.vector("DISK").ok_or_else(|| no_vector("DISK", id))?;
    let draft = devices::disk(vector.pairs)?;
    done(request, id, request.desk().vm_attach_disk(&request.caller, &request.intent, id, draft).await)
}

/// `(id, disk)`
async fn detach(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = vm_id(request, 1)?;
    let disk = number(request, 2, "Disk", id)?;
    done(request, id, request.desk().vm_detach_disk(&request.caller, &request.intent, id, disk).await)
}

/// The card that an alias names as its parent.
fn parent(vm: &Vm, vector: &Vector<'_>) -> Result<u32, Invalid> {
    let wanted = vector.given("PARENT").ok_or_else(|| {
        Invalid::new("NIC_ALIAS/PARENT", "", "is missing", "Give the NAME of the NIC that the alias belongs to.")
    })?;
    let named = |nic: &&holm_model::vms::NicSpec| {
        let own = nic.attributes.iter().find(|(key, value)| key == "NAME" && !value.is_empty());
        nic.alias_of.is_none()
            && match own {
                Some((_, name)) => name == wanted,
                None => wanted.strip_prefix("NIC").is_some_and(|rest| rest == nic.id.to_string()),
            }
    };
    vm.spec.nics.iter().find(named).map(|nic| nic.id).ok_or_else(|| {
        Invalid::new("NIC_ALIAS/PARENT", wanted, "is the NAME of no NIC of this VM", "Name one of its NICs.")
    })
}

/// `(id, template)`: one `NIC` or `NIC_ALIAS`.
async fn attach_nic(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = vm_id(request, 1)?;
    let given = request.template(2)?;
    check(request, &given, id)?;
    let draft = match (given.vector("NIC"), given.vector("NIC_ALIAS")) {
        (Some(vector), _) => devices::nic(&vector)?,
        (None, Some(vector)) => {
            let any = super::vms::find(request, &request.view(), id)?;
            NicDraft { alias_of: Some(parent(any.vm(), &vector)?), ..devices::nic(&vector)? }
        }
        (None, None) => return Err(no_vector("NIC", id)),
    };
    done(request, id, request.desk().vm_attach_nic(&request.caller, &request.intent, id, draft).await)
}

/// `(id, card)`
async fn detach_nic(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = vm_id(request, 1)?;
    let nic = number(request, 2, "NIC", id)?;
    done(request, id, request.desk().vm_detach_nic(&request.caller, &request.intent, id, nic).await)
}

/// `(id, template)`: one `PCI`.
async fn attach_pci(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = vm_id(request, 1)?;
    let given = request.template(2)?;
    check(request, &given, id)?;
    let vector = given.vector("PCI").ok_or_else(|| no_vector("PCI", id))?;
    let device = hardware::pci(&vector)?;
    done(request, id, request.desk().vm_attach_pci(&request.caller, &request.intent, id, device).await)
}

/// `(id, device)`
async fn detach_pci(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = vm_id(request, 1)?;
    let device = number(request, 2, "PCI device", id)?;
    done(request, id, request.desk().vm_detach_pci(&request.caller, &request.intent, id, device).await)
}

/// `(id, card, template, append)`: the card's network and addresses stay.
async fn update_nic(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = vm_id(request, 1)?;
    let nic = number(request, 2, "NIC", id)?;
    let (given, how) = (request.template(3)?, Update::of(request, 4)?);
    let any = super::vms::find(request, &request.view(), id)?;
    let card = any.vm().spec.nics.iter().find(|card| card.id == nic).ok_or_else(|| missing("NIC", nic.into(), id))?;
    let vector = given.vector("NIC").ok_or_else(|| no_vector("NIC", id))?;
    check(request, &given, id)?;
    // The network is not the update's to change; a reader of cards wants one.
    let mut pairs: Vec<(Word, Word)> =
        vector.pairs.iter().filter(|(name, _)| !name.starts_with("NETWORK")).cloned().collect();
    pairs.push(("NETWORK_ID".into(), card.network.to_string().into()));
    let vector = Vector { name: "NIC", pairs: &pairs };
    let mut draft = devices::nic(&vector)?;
    draft.alias_of = card.alias_of;
    draft.mac = draft.mac.or(card.mac);
    draft.ip4 = draft.ip4.or(card.ip4);
    draft.ip6 = draft.ip6.or(card.ip6);
    if vector.text("SECURITY_GROUPS").is_none() {
        draft.security_groups = card.security_groups.iter().map(ToString::to_string).collect();
    }
    if how == Update::Append {
        for (name, value) in &card.attributes {
            if !draft.attributes.iter().any(|(other, _)| other == name) {
                draft.attributes.push((name.clone(), value.clone()));
            }
        }
    }
    done(request, id, request.desk().vm_update_nic(&request.caller, &request.intent, id, nic, draft).await)
}

macro_rules! groups {
    ($($name:ident => $verb:ident;)*) => {
        $(
            /// `(id, card, security group)`
            async fn $name(request: &Request<'_>) -> Result<Answer, Failure> {
                let id = vm_id(request, 1)?;
                let nic = number(request, 2, "NIC", id)?;
                let group = SecurityGroupId(request.id(3, ObjectKind::SecurityGroup)?);
                done(request, id, request.desk().$verb(&request.caller, &request.intent, id, nic, group).await)
            }
        )*
    };
}

groups! {
    attach_group => vm_attach_security_group;
    detach_group => vm_detach_security_group;
}

/// `(id, disk, size)`: the size is a text, MB.
async fn disk_resize(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = vm_id(request, 1)?;
    let disk = number(request, 2, "Disk", id)?;
    let size: u64 = template::integer("SIZE", request.text(3)?.trim())?;
    done(request, id, request.desk().vm_resize_disk(&request.caller, &request.intent, id, disk, size).await)
}

/// `(id, disk, image name, image type, snapshot)`: answers with the image's id.
async fn save_as(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = vm_id(request, 1)?;
    let disk = number(request, 2, "Disk", id)?;
    let name = request.text(3)?.to_owned();
    let kind = match request.text_or(4, "")? {
        "" => None,
        word => Some(image_kind(word).ok_or_else(|| {
            let shown: String = word.chars().take(80).collect();
            Failure::parameter(format!("Unknown image type {shown:?}: use OS, DATABLOCK or CDROM, or leave it empty."))
        })?),
    };
    let snapshot = match request.int_or(5, -1)? {
        -1 => None,
        given => Some(u32::try_from(given).map_err(|_| missing("Snapshot", given.into(), id))?),
    };
    match request.desk().vm_save_as(&request.caller, &request.intent, id, disk, name, kind, snapshot).await {
        Ok((_, image)) => made(image.map(|image| image.0)),
        Err(error) => Err(refused(request, &error, id)),
    }
}

/// `(id, disk, name)`: answers with the snapshot's number.
async fn disk_snapshot_create(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = vm_id(request, 1)?;
    let disk = number(request, 2, "Disk", id)?;
    let name = request.text(3)?.to_owned();
    match request.desk().vm_disk_snapshot_create(&request.caller, &request.intent, id, disk, name).await {
        Ok((_, snapshot)) => made(snapshot),
        Err(error) => Err(refused(request, &error, id)),
    }
}

/// `(id, disk, snapshot)`
async fn disk_snapshot_delete(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = vm_id(request, 1)?;
    let (disk, snapshot) = (number(request, 2, "Disk", id)?, number(request, 3, "Snapshot", id)?);
    done(
        request,
        id,
        request.desk().vm_disk_snapshot_delete(&request.caller, &request.intent, id, disk, snapshot).await,
    )
}

/// `(id, disk, snapshot)`
async fn disk_snapshot_revert(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = vm_id(request, 1)?;
    let (disk, snapshot) = (number(request, 2, "Disk", id)?, number(request, 3, "Snapshot", id)?);
    done(
        request,
        id,
        request.desk().vm_disk_snapshot_revert(&request.caller, &request.intent, id, disk, snapshot).await,
    )
}

/// `(id, disk, snapshot, name)`
async fn disk_snapshot_rename(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = vm_id(request, 1)?;
    let (disk, snapshot) = (number(request, 2, "Disk", id)?, number(request, 3, "Snapshot", id)?);
    let name = request.text(4)?.to_owned();
    done(
        request,
        id,
        request.desk().vm_disk_snapshot_rename(&request.caller, &request.intent, id, disk, snapshot, name).await,
    )
}

/// `(id, name)`: answers with the snapshot's number.
async fn snapshot_create(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = vm_id(request, 1)?;
    let name = request.text(2)?.to_owned();
    match request.desk().vm_snapshot_create(&request.caller, &request.intent, id, name).await {
        Ok((_, snapshot)) => made(snapshot),
        Err(error) => Err(refused(request, &error, id)),
    }
}

/// `(id, snapshot)`
async fn snapshot_delete(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = vm_id(request, 1)?;
    let snapshot = number(request, 2, "Snapshot", id)?;
    done(request, id, request.desk().vm_snapshot_delete(&request.caller, &request.intent, id, snapshot).await)
}

/// `(id, snapshot)`
async fn snapshot_revert(request: &Request<'_>) -> Result<Answer, Failure> {
    let id = vm_id(request, 1)?;
    let snapshot = number(request, 2, "Snapshot", id)?;
    done(request, id, request.desk().vm_snapshot_revert(&request.caller, &request.intent, id, snapshot).await)
}
