//! What can be asked of VMs beyond switching them on and off, and what they have been through.

use super::Api;
use super::door::Asker;
use super::requests::{Command, Key, Order, Wish, json};
use super::vms::{accepted, vm_id};
use crate::convert;
use crate::problem::Answer;
use axum::extract::State;
use holm_desk::{Caller, Destination, Intent, Recovery};
use holm_model::hosts::Host;
use holm_model::vm_groups::VmGroup;
use holm_model::vms::{Power, Vm, VmVerb};
use holm_model::{HostId, VmGroupId};
use holm_wire::v1;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(vm_hold))
        .routes(routes!(vm_release))
        .routes(routes!(vm_suspend))
        .routes(routes!(vm_undeploy))
        .routes(routes!(vm_terminate))
        .routes(routes!(vm_reschedule, vm_keep_host))
        .routes(routes!(vm_deploy))
        .routes(routes!(vm_migrate))
        .routes(routes!(vm_recover))
        .routes(routes!(vm_group_join, vm_group_leave))
        .routes(routes!(vm_history))
        .routes(routes!(vm_samples))
}

const RECOVERIES: &[(&str, Recovery)] = &[
    ("retry", Recovery::Retry),
    ("failure", Recovery::Failure),
    ("success", Recovery::Success),
    ("recreate", Recovery::Recreate),
    ("delete", Recovery::Delete),
    ("forget", Recovery::Forget),
];
const WAYS: &[(&str, Power)] = &[("suspend", Power::Saved), ("stop", Power::Off), ("poweroff", Power::OffHard)];

async fn act(api: &Api, key: &str, caller: &Caller, intent: &Intent, verb: VmVerb) -> Answer {
    let id = vm_id(api, caller, key)?;
    accepted(api, caller, &api.desk().vm_act(caller, intent, id, verb).await?)
}

/// The id of the host that a request names.
fn host_id(api: &Api, caller: &Caller, key: &str) -> Answer<HostId> {
    Ok(api.desk().view().get::<Host>(caller, key).map_err(|error| error.field("host"))?.value.id)
}

/// Hold a VM
///
/// A VM that waits for a host is not placed until it is released.
#[utoipa::path(
    post, path = "/vms/{vm}/hold", tag = "vms",
    params(("vm" = String, Path, description = "Id or name.", example = "web")),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_hold(State(api): State<Api>, Key(key): Key, order: Order) -> Answer {
    act(&api, &key, &order.caller, &order.intent, VmVerb::Hold).await
}

/// Release a VM that is held
#[utoipa::path(
    post, path = "/vms/{vm}/release", tag = "vms",
    params(("vm" = String, Path, description = "Id or name.", example = "web")),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_release(State(api): State<Api>, Key(key): Key, order: Order) -> Answer {
    act(&api, &key, &order.caller, &order.intent, VmVerb::Release).await
}

/// Suspend a VM
///
/// Its memory is saved on its host's disk and it goes on from there when it is resumed. With `away` it also gives up its
/// host: cores and memory there are free for others until it is resumed.
#[utoipa::path(
    post, path = "/vms/{vm}/suspend", tag = "vms",
    params(("vm" = String, Path, description = "Id or name.", example = "web")),
    request_body(content = Option<v1::VmSuspend>, example = json!({"away": true})),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_suspend(State(api): State<Api>, Key(key): Key, wish: Wish<v1::VmSuspend>) -> Answer {
    let verb = if wish.body.away { VmVerb::Stop } else { VmVerb::Suspend };
    act(&api, &key, &wish.caller, &wish.intent, verb).await
}

/// Have a VM give up its host
///
/// It is switched off, and cores and memory of its host are free for others. Its disks stay; `start` has it placed again.
#[utoipa::path(
    post, path = "/vms/{vm}/undeploy", tag = "vms",
    params(("vm" = String, Path, description = "Id or name.", example = "web")),
    request_body(content = Option<v1::VmEnd>, example = json!({"hard": false})),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_undeploy(State(api): State<Api>, Key(key): Key, wish: Wish<v1::VmEnd>) -> Answer {
    let verb = if wish.body.hard { VmVerb::UndeployHard } else { VmVerb::Undeploy };
    act(&api, &key, &wish.caller, &wish.intent, verb).await
}

/// End a VM
///
/// Its power button is pressed (with `hard` its power is cut), what was written on persistent images goes back to them,
/// and then it is deleted with its other disks.
#[utoipa::path(
    post, path = "/vms/{vm}/terminate", tag = "vms",
    params(("vm" = String, Path, description = "Id or name.", example = "web")),
    request_body(content = Option<v1::VmEnd>, example = json!({"hard": false})),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_terminate(State(api): State<Api>, Key(key): Key, wish: Wish<v1::VmEnd>) -> Answer {
    let verb = if wish.body.hard { VmVerb::TerminateHard } else { VmVerb::Terminate };
    act(&api, &key, &wish.caller, &wish.intent, verb).await
}

/// Have a VM placed anew
///
/// It goes to a better host as soon as there is one and it can be moved.
#[utoipa::path(
    post, path = "/vms/{vm}/reschedule", tag = "vms",
    params(("vm" = String, Path, description = "Id or name.", example = "web")),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_reschedule(State(api): State<Api>, Key(key): Key, order: Order) -> Answer {
    act(&api, &key, &order.caller, &order.intent, VmVerb::Resched).await
}

/// No longer have a VM placed anew
#[utoipa::path(
    delete, path = "/vms/{vm}/reschedule", tag = "vms",
    params(("vm" = String, Path, description = "Id or name.", example = "web")),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_keep_host(State(api): State<Api>, Key(key): Key, order: Order) -> Answer {
    act(&api, &key, &order.caller, &order.intent, VmVerb::Unresched).await
}

/// Place a VM on a host
///
/// Once, whatever the scheduler would choose: a VM that waits, is held, or gave up its host.
#[utoipa::path(
    post, path = "/vms/{vm}/deploy", tag = "vms",
    params(("vm" = String, Path, description = "Id or name.", example = "web")),
    request_body(content = v1::VmDeploy, example = json!({"host": "edge-1"})),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_deploy(State(api): State<Api>, Key(key): Key, command: Command<v1::VmDeploy>) -> Answer {
    let id = vm_id(&api, &command.caller, &key)?;
    let host = host_id(&api, &command.caller, &command.body.host)?;
    let to = Destination { forced: command.body.force, ..Destination::to(host) };
    accepted(&api, &command.caller, &api.desk().vm_deploy(&command.caller, &command.intent, id, to, vec![]).await?)
}

/// Move a VM to another host
#[utoipa::path(
    post, path = "/vms/{vm}/migrate", tag = "vms",
    params(("vm" = String, Path, description = "Id or name.", example = "web")),
    request_body(content = v1::VmMigrate, example = json!({"host": "edge-2", "how": "stop"})),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_migrate(State(api): State<Api>, Key(key): Key, command: Command<v1::VmMigrate>) -> Answer {
    let v1::VmMigrate { host, live, how, force } = command.body;
    let how = convert::word("how", how.as_deref().unwrap_or("suspend"), WAYS)?;
    let id = vm_id(&api, &command.caller, &key)?;
    let to = Destination { forced: force, ..Destination::to(host_id(&api, &command.caller, &host)?) };
    let moved = api.desk().vm_migrate(&command.caller, &command.intent, id, to, live, how).await?;
    accepted(&api, &command.caller, &moved)
}

/// End what does not end by itself
#[utoipa::path(
    post, path = "/vms/{vm}/recover", tag = "vms",
    params(("vm" = String, Path, description = "Id or name.", example = "web")),
    request_body(content = v1::VmRecover, example = json!({"how": "retry"})),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_recover(State(api): State<Api>, Key(key): Key, command: Command<v1::VmRecover>) -> Answer {
    let how = convert::word("how", &command.body.how, RECOVERIES)?;
    let id = vm_id(&api, &command.caller, &key)?;
    accepted(&api, &command.caller, &api.desk().vm_recover(&command.caller, &command.intent, id, how).await?)
}

/// Give a VM a role in a VM group
///
/// A VM that is on no host, or off. Where it has a host, it must be one for that role.
#[utoipa::path(
    put, path = "/vms/{vm}/vm-group", tag = "vms",
    params(("vm" = String, Path, description = "Id or name.", example = "web")),
    request_body(content = v1::RoleChoice, example = json!({"group": "shop", "role": "web"})),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_group_join(State(api): State<Api>, Key(key): Key, command: Command<v1::RoleChoice>) -> Answer {
    let id = vm_id(&api, &command.caller, &key)?;
    let v1::RoleChoice { group, role } = command.body;
    let view = api.desk().view();
    let group: VmGroupId = view.get::<VmGroup>(&command.caller, &group).map_err(|error| error.field("group"))?.value.id;
    let joined = api.desk().vm_group_join(&command.caller, &command.intent, id, group, role).await?;
    accepted(&api, &command.caller, &joined)
}

/// Take a VM out of its VM group
#[utoipa::path(
    delete, path = "/vms/{vm}/vm-group", tag = "vms",
    params(("vm" = String, Path, description = "Id or name.", example = "web")),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_group_leave(State(api): State<Api>, Key(key): Key, order: Order) -> Answer {
    let id = vm_id(&api, &order.caller, &key)?;
    accepted(&api, &order.caller, &api.desk().vm_group_leave(&order.caller, &order.intent, id).await?)
}

/// Show where a VM was
///
/// Its stays on hosts, oldest first, and what ended them.
#[utoipa::path(
    get, path = "/vms/{vm}/history", tag = "vms",
    params(("vm" = String, Path, description = "Id or name.", example = "web")),
    responses((status = 200, description = "Its stays.", body = v1::VmHistory)),
)]
async fn vm_history(State(api): State<Api>, asker: Asker, Key(key): Key) -> Answer {
    let row = api.desk().view().get::<Vm>(&asker.caller, &key)?;
    let items = row.value.history.iter().map(convert::vms::stay).collect();
    json(StatusCode::OK, &v1::VmHistory { items })
}

/// Show what was measured of a VM
#[utoipa::path(
    get, path = "/vms/{vm}/samples", tag = "vms",
    params(("vm" = String, Path, description = "Id or name.", example = "web")),
    responses((status = 200, description = "The last samples, oldest first.", body = v1::VmSamples)),
)]
async fn vm_samples(State(api): State<Api>, asker: Asker, Key(key): Key) -> Answer {
    let id = vm_id(&api, &asker.caller, &key)?;
    let items = api.desk().vm_samples(id).iter().map(convert::vms::sample).collect();
    json(StatusCode::OK, &v1::VmSamples { items })
}
