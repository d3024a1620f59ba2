//! Snapshots of VMs and of their disks.

use super::Api;
use super::requests::{Along, Command, Key, Order, Wish};
use super::vms::{accepted, part, vm_id};
use crate::problem::Answer;
use axum::extract::State;
use holm_wire::v1;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(vm_snapshot_create))
        .routes(routes!(vm_snapshot_delete))
        .routes(routes!(vm_snapshot_revert))
        .routes(routes!(vm_disk_snapshot_create))
        .routes(routes!(vm_disk_snapshot_rename, vm_disk_snapshot_delete))
        .routes(routes!(vm_disk_snapshot_revert))
}

/// Take a snapshot of a running VM
///
/// Memory, devices and disks.
#[utoipa::path(
    post, path = "/vms/{vm}/snapshots", tag = "vms",
    params(("vm" = String, Path, description = "Id or name.", example = "web")),
    request_body(content = Option<v1::SnapshotName>, example = json!({"name": "before the upgrade"})),
    responses((status = 202, description = "The VM, the operation, and the snapshot's number.", body = v1::VmPartAccepted)),
)]
async fn vm_snapshot_create(State(api): State<Api>, Key(key): Key, wish: Wish<v1::SnapshotName>) -> Answer {
    let id = vm_id(&api, &wish.caller, &key)?;
    let (taken, number) = api.desk().vm_snapshot_create(&wish.caller, &wish.intent, id, wish.body.name).await?;
    part(&api, &wish.caller, &taken, number)
}

/// Delete a snapshot of a VM
#[utoipa::path(
    delete, path = "/vms/{vm}/snapshots/{snapshot}", tag = "vms",
    params(
        ("vm" = String, Path, description = "Id or name.", example = "web"),
        ("snapshot" = u32, Path, description = "The snapshot's number.", example = 0),
    ),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_snapshot_delete(
    State(api): State<Api>,
    Along((key, snapshot)): Along<(String, u32)>,
    order: Order,
) -> Answer {
    let id = vm_id(&api, &order.caller, &key)?;
    accepted(&api, &order.caller, &api.desk().vm_snapshot_delete(&order.caller, &order.intent, id, snapshot).await?)
}

/// Let a running VM go on from a snapshot
#[utoipa::path(
    post, path = "/vms/{vm}/snapshots/{snapshot}/revert", tag = "vms",
    params(
        ("vm" = String, Path, description = "Id or name.", example = "web"),
        ("snapshot" = u32, Path, description = "The snapshot's number.", example = 0),
    ),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_snapshot_revert(
    State(api): State<Api>,
    Along((key, snapshot)): Along<(String, u32)>,
    order: Order,
) -> Answer {
    let id = vm_id(&api, &order.caller, &key)?;
    accepted(&api, &order.caller, &api.desk().vm_snapshot_revert(&order.caller, &order.intent, id, snapshot).await?)
}

/// Take a snapshot of a disk
#[utoipa::path(
    post, path = "/vms/{vm}/disks/{disk}/snapshots", tag = "vms",
    params(
        ("vm" = String, Path, description = "Id or name.", example = "web"),
        ("disk" = u32, Path, description = "The disk's number.", example = 0),
    ),
    request_body(content = Option<v1::SnapshotName>, example = json!({"name": "clean"})),
    responses((status = 202, description = "The VM, the operation, and the snapshot's number.", body = v1::VmPartAccepted)),
)]
async fn vm_disk_snapshot_create(
    State(api): State<Api>,
    Along((key, disk)): Along<(String, u32)>,
    wish: Wish<v1::SnapshotName>,
) -> Answer {
    let id = vm_id(&api, &wish.caller, &key)?;
    let name = wish.body.name;
    let (taken, number) = api.desk().vm_disk_snapshot_create(&wish.caller, &wish.intent, id, disk, name).await?;
    part(&api, &wish.caller, &taken, number)
}

/// Give a snapshot of a disk another name
#[utoipa::path(
    patch, path = "/vms/{vm}/disks/{disk}/snapshots/{snapshot}", tag = "vms",
    params(
        ("vm" = String, Path, description = "Id or name.", example = "web"),
        ("disk" = u32, Path, description = "The disk's number.", example = 0),
        ("snapshot" = u32, Path, description = "The snapshot's number.", example = 0),
    ),
    request_body(content = v1::SnapshotName, example = json!({"name": "known good"})),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_disk_snapshot_rename(
    State(api): State<Api>,
    Along((key, disk, snapshot)): Along<(String, u32, u32)>,
    command: Command<v1::SnapshotName>,
) -> Answer {
    let id = vm_id(&api, &command.caller, &key)?;
    let (caller, intent, name) = (&command.caller, &command.intent, command.body.name);
    accepted(&api, caller, &api.desk().vm_disk_snapshot_rename(caller, intent, id, disk, snapshot, name).await?)
}

/// Delete a snapshot of a disk
#[utoipa::path(
    delete, path = "/vms/{vm}/disks/{disk}/snapshots/{snapshot}", tag = "vms",
    params(
        ("vm" = String, Path, description = "Id or name.", example = "web"),
        ("disk" = u32, Path, description = "The disk's number.", example = 0),
        ("snapshot" = u32, Path, description = "The snapshot's number.", example = 0),
    ),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_disk_snapshot_delete(
    State(api): State<Api>,
    Along((key, disk, snapshot)): Along<(String, u32, u32)>,
    order: Order,
) -> Answer {
    let id = vm_id(&api, &order.caller, &key)?;
    let (caller, intent) = (&order.caller, &order.intent);
    accepted(&api, caller, &api.desk().vm_disk_snapshot_delete(caller, intent, id, disk, snapshot).await?)
}

/// Bring a disk back to a snapshot
///
/// Of a VM that is off.
#[utoipa::path(
    post, path = "/vms/{vm}/disks/{disk}/snapshots/{snapshot}/revert", tag = "vms",
    params(
        ("vm" = String, Path, description = "Id or name.", example = "web"),
        ("disk" = u32, Path, description = "The disk's number.", example = 0),
        ("snapshot" = u32, Path, description = "The snapshot's number.", example = 0),
    ),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_disk_snapshot_revert(
    State(api): State<Api>,
    Along((key, disk, snapshot)): Along<(String, u32, u32)>,
    order: Order,
) -> Answer {
    let id = vm_id(&api, &order.caller, &key)?;
    let (caller, intent) = (&order.caller, &order.intent);
    accepted(&api, caller, &api.desk().vm_disk_snapshot_revert(caller, intent, id, disk, snapshot).await?)
}
