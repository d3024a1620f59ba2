//! Disks and network cards of VMs.

use super::Api;
use super::requests::{Along, Command, Key, Order};
use super::vms::{accepted, part, vm_id};
use crate::convert::vm_devices;
use crate::problem::{Answer, Refusal};
use axum::extract::State;
use holm_desk::Caller;
use holm_model::SecurityGroupId;
use holm_model::security_groups::SecurityGroup;
use holm_wire::v1;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(vm_disk_attach))
        .routes(routes!(vm_disk_change, vm_disk_detach))
        .routes(routes!(vm_disk_save))
        .routes(routes!(vm_nic_attach))
        .routes(routes!(vm_nic_change, vm_nic_detach))
        .routes(routes!(vm_security_group_attach, vm_security_group_detach))
}

/// Attach a disk
///
/// To a VM that runs or is off.
#[utoipa::path(
    post, path = "/vms/{vm}/disks", tag = "vms",
    params(("vm" = String, Path, description = "Id or name.", example = "web")),
    request_body(content = v1::DiskCreate, example = json!({"size_mib": 10240})),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_disk_attach(State(api): State<Api>, Key(key): Key, command: Command<v1::DiskCreate>) -> Answer {
    let id = vm_id(&api, &command.caller, &key)?;
    let draft = vm_devices::disk_draft(command.body);
    accepted(&api, &command.caller, &api.desk().vm_attach_disk(&command.caller, &command.intent, id, draft).await?)
}

/// Make a disk larger
#[utoipa::path(
    patch, path = "/vms/{vm}/disks/{disk}", tag = "vms",
    params(
        ("vm" = String, Path, description = "Id or name.", example = "web"),
        ("disk" = u32, Path, description = "The disk's number.", example = 0),
    ),
    request_body(content = v1::DiskChange, example = json!({"size_mib": 20480})),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_disk_change(
    State(api): State<Api>,
    Along((key, disk)): Along<(String, u32)>,
    command: Command<v1::DiskChange>,
) -> Answer {
    let id = vm_id(&api, &command.caller, &key)?;
    let size = command.body.size_mib;
    let resized = api.desk().vm_resize_disk(&command.caller, &command.intent, id, disk, size).await?;
    accepted(&api, &command.caller, &resized)
}

/// Detach a disk
///
/// From a VM that runs or is off. What was written on it is lost.
#[utoipa::path(
    delete, path = "/vms/{vm}/disks/{disk}", tag = "vms",
    params(
        ("vm" = String, Path, description = "Id or name.", example = "web"),
        ("disk" = u32, Path, description = "The disk's number.", example = 1),
    ),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_disk_detach(State(api): State<Api>, Along((key, disk)): Along<(String, u32)>, order: Order) -> Answer {
    let id = vm_id(&api, &order.caller, &key)?;
    accepted(&api, &order.caller, &api.desk().vm_detach_disk(&order.caller, &order.intent, id, disk).await?)
}

/// Save a disk as an image
///
/// The image is there at once, and ready when the VM's host has sent the disk's content.
#[utoipa::path(
    post, path = "/vms/{vm}/disks/{disk}/save", tag = "vms",
    params(
        ("vm" = String, Path, description = "Id or name.", example = "web"),
        ("disk" = u32, Path, description = "The disk's number.", example = 0),
    ),
    request_body(content = v1::DiskSave, example = json!({"name": "web-golden"})),
    responses((status = 202, description = "The VM, the operation, and the image's id.", body = v1::VmPartAccepted)),
)]
async fn vm_disk_save(
    State(api): State<Api>,
    Along((key, disk)): Along<(String, u32)>,
    command: Command<v1::DiskSave>,
) -> Answer {
    let id = vm_id(&api, &command.caller, &key)?;
    let v1::DiskSave { name, kind, snapshot } = command.body;
    let kind = vm_devices::saved_kind(kind.as_deref())?;
    let (saved, image) =
        api.desk().vm_save_as(&command.caller, &command.intent, id, disk, name, kind, snapshot).await?;
    part(&api, &command.caller, &saved, image.map(|image| image.0))
}

/// Attach a network card
///
/// To a VM that runs or is off; with `alias_of`, one more address to a card that it has.
#[utoipa::path(
    post, path = "/vms/{vm}/nics", tag = "vms",
    params(("vm" = String, Path, description = "Id or name.", example = "web")),
    request_body(content = v1::NicCreate, example = json!({"network": "lan", "security_groups": ["web"]})),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_nic_attach(State(api): State<Api>, Key(key): Key, command: Command<v1::NicCreate>) -> Answer {
    let id = vm_id(&api, &command.caller, &key)?;
    let draft = vm_devices::nic_draft("nic", command.body)?;
    accepted(&api, &command.caller, &api.desk().vm_attach_nic(&command.caller, &command.intent, id, draft).await?)
}

/// Change a network card
///
/// Its security groups, and what else is kept with it. Its network and its addresses stay.
#[utoipa::path(
    patch, path = "/vms/{vm}/nics/{nic}", tag = "vms",
    params(
        ("vm" = String, Path, description = "Id or name.", example = "web"),
        ("nic" = u32, Path, description = "The card's number.", example = 0),
    ),
    request_body(content = v1::NicChange, example = json!({"security_groups": ["default", "web"]})),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_nic_change(
    State(api): State<Api>,
    Along((key, nic)): Along<(String, u32)>,
    command: Command<v1::NicChange>,
) -> Answer {
    let id = vm_id(&api, &command.caller, &key)?;
    if command.body.security_groups.as_ref().is_some_and(Vec::is_empty) {
        return Err(Refusal::invalid("security_groups", "security_groups: there is none in the list")
            .hint("Take the card out of its groups one by one: DELETE /vms/{vm}/nics/{nic}/security-groups/{group}."));
    }
    let draft = vm_devices::nic_change(command.body);
    let changed = api.desk().vm_update_nic(&command.caller, &command.intent, id, nic, draft).await?;
    accepted(&api, &command.caller, &changed)
}

/// Detach a network card
///
/// From a VM that runs or is off; its aliases go first.
#[utoipa::path(
    delete, path = "/vms/{vm}/nics/{nic}", tag = "vms",
    params(
        ("vm" = String, Path, description = "Id or name.", example = "web"),
        ("nic" = u32, Path, description = "The card's number.", example = 1),
    ),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_nic_detach(State(api): State<Api>, Along((key, nic)): Along<(String, u32)>, order: Order) -> Answer {
    let id = vm_id(&api, &order.caller, &key)?;
    accepted(&api, &order.caller, &api.desk().vm_detach_nic(&order.caller, &order.intent, id, nic).await?)
}

/// The id of the security group that a path names.
fn group_id(api: &Api, caller: &Caller, key: &str) -> Answer<SecurityGroupId> {
    Ok(api.desk().view().get::<SecurityGroup>(caller, key)?.value.id)
}

/// Put a network card into a security group
#[utoipa::path(
    put, path = "/vms/{vm}/nics/{nic}/security-groups/{group}", tag = "vms",
    params(
        ("vm" = String, Path, description = "Id or name.", example = "web"),
        ("nic" = u32, Path, description = "The card's number.", example = 0),
        ("group" = String, Path, description = "The security group's id or name.", example = "web"),
    ),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_security_group_attach(
    State(api): State<Api>,
    Along((key, nic, group)): Along<(String, u32, String)>,
    order: Order,
) -> Answer {
    let (id, group) = (vm_id(&api, &order.caller, &key)?, group_id(&api, &order.caller, &group)?);
    let changed = api.desk().vm_attach_security_group(&order.caller, &order.intent, id, nic, group).await?;
    accepted(&api, &order.caller, &changed)
}

/// Take a network card out of a security group
#[utoipa::path(
    delete, path = "/vms/{vm}/nics/{nic}/security-groups/{group}", tag = "vms",
    params(
        ("vm" = String, Path, description = "Id or name.", example = "web"),
        ("nic" = u32, Path, description = "The card's number.", example = 0),
        ("group" = String, Path, description = "The security group's id or name.", example = "web"),
    ),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_security_group_detach(
    State(api): State<Api>,
    Along((key, nic, group)): Along<(String, u32, String)>,
    order: Order,
) -> Answer {
    let (id, group) = (vm_id(&api, &order.caller, &key)?, group_id(&api, &order.caller, &group)?);
    let changed = api.desk().vm_detach_security_group(&order.caller, &order.intent, id, nic, group).await?;
    accepted(&api, &order.caller, &changed)
}
