//! VMs.

use super::Api;
use super::door::Asker;
use super::owned::{get, list, lock_routes, shown};
use super::requests::{Command, Key, List, Order, created, json, json_at};
use crate::convert;
use crate::problem::Answer;
use axum::extract::State;
use holm_desk::{Accepted, Caller, PowerAction};
use holm_model::users::{Group, User};
use holm_model::vms::Vm;
use holm_model::{GroupId, UserId, VmId};
use holm_wire::v1;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

shown! {
    Vm, "vms", "vm", v1::Vm: |row, sight| convert::vms::vm(row, sight.view, sight.caller);
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(vm_list, vm_create))
        .routes(routes!(vm_get, vm_change, vm_delete))
        .routes(routes!(vm_explain))
        .routes(routes!(vm_start))
        .routes(routes!(vm_stop))
        .routes(routes!(vm_poweroff))
        .routes(routes!(vm_reboot))
        .routes(routes!(vm_pause))
        .routes(routes!(vm_resume))
        .merge(lock_routes::<Vm>())
}

/// List VMs
///
/// Filters: `id`, `name`, `state`, `owner`, `group`, `host`, `cluster`, `image`, `network`, `power`, `template`,
/// `vm_group`. A state is a word of `state` or of `standing`.
#[utoipa::path(
    get, path = "/vms", tag = "vms", params(super::openapi::ListParams),
    responses((status = 200, description = "A page of VMs.", body = v1::Page<v1::Vm>)),
)]
async fn vm_list(State(api): State<Api>, asker: Asker, List(query): List) -> Answer {
    list::<Vm>(&api, &asker, &query)
}

/// Create a VM
///
/// Answers at once with the VM and an operation to follow. Images, networks, hosts and clusters are named by id or
/// name.
#[utoipa::path(
    post, path = "/vms", tag = "vms",
    request_body(
        content = v1::VmCreate,
        example = json!({
            "name": "web", "cpu": 0.5, "memory_mib": 256, "disks": [{"image": "debian", "size_mib": 4096}],
            "nics": [{"network": "default"}], "context": {"hostname": "web", "ssh_keys": ["ssh-ed25519 AAAA me@home"]},
        }),
    ),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_create(State(api): State<Api>, mut command: Command<v1::VmCreate>) -> Answer {
    let owner = owner(&api, &command.caller, command.body.owner.take(), command.body.group.take())?;
    let (mut draft, attributes) = convert::vms::draft(command.body)?;
    draft.owner = owner;
    let accepted = api.desk().vm_create(&command.caller, &command.intent, draft, attributes).await?;
    let body = convert::vms::accepted(&accepted, &api.desk().view(), &command.caller);
    created(StatusCode::ACCEPTED, accepted.row.revision, "vms", accepted.row.value.id.0, &body)
}

/// Whom a new VM is to belong to, where the request says so.
fn owner(
    api: &Api,
    caller: &Caller,
    owner: Option<String>,
    group: Option<String>,
) -> Answer<Option<(UserId, GroupId)>> {
    if owner.is_none() && group.is_none() {
        return Ok(None);
    }
    let view = api.desk().view();
    let user = match owner {
        Some(key) => view.get::<User>(caller, &key).map_err(|error| error.field("owner"))?.value.clone(),
        None => caller.user().clone(),
    };
    let group = match group {
        Some(key) => view.get::<Group>(caller, &key).map_err(|error| error.field("group"))?.value.id,
        None => user.groups.first().copied().unwrap_or(caller.primary_group()),
    };
    Ok(Some((user.id, group)))
}

/// The id of the VM that a path names.
pub(super) fn vm_id(api: &Api, caller: &Caller, key: &str) -> Answer<VmId> {
    Ok(api.desk().view().get::<Vm>(caller, key)?.value.id)
}

/// The answer to a change that was accepted.
pub(super) fn accepted(api: &Api, caller: &Caller, accepted: &Accepted<Vm>) -> Answer {
    let body = convert::vms::accepted(accepted, &api.desk().view(), caller);
    json_at(StatusCode::ACCEPTED, accepted.row.revision, &body)
}

/// The same for a change that made something with a number of its own.
pub(super) fn part(api: &Api, caller: &Caller, accepted: &Accepted<Vm>, id: Option<u32>) -> Answer {
    let body = convert::vms::part_accepted(accepted, id, &api.desk().view(), caller);
    json_at(StatusCode::ACCEPTED, accepted.row.revision, &body)
}

/// Show a VM
#[utoipa::path(
    get, path = "/vms/{vm}", tag = "vms",
    params(("vm" = String, Path, description = "Id or name.", example = "web")),
    responses((status = 200, description = "The VM.", body = v1::Vm)),
)]
async fn vm_get(State(api): State<Api>, asker: Asker, Key(key): Key) -> Answer {
    get::<Vm>(&api, &asker, &key)
}

/// Change a VM
///
/// Name, ownership, permissions and attributes; cores, memory and restart policy; disks grow; what hosts must be like;
/// what the guest is told. What a running guest cannot take takes effect at its next start, which `restart_needed` says.
#[utoipa::path(
    patch, path = "/vms/{vm}", tag = "vms",
    params(("vm" = String, Path, description = "Id or name.", example = "web")),
    request_body(
        content = v1::VmChange,
        example = json!({"cpu": 1.0, "memory_mib": 512, "disks": [{"id": 0, "size_mib": 8192}]}),
    ),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_change(State(api): State<Api>, Key(key): Key, command: Command<v1::VmChange>) -> Answer {
    let change = convert::vms::change(command.body)?;
    let accepted = api.desk().vm_change(&command.caller, &command.intent, &key, change).await?;
    self::accepted(&api, &command.caller, &accepted)
}

/// Delete a VM
///
/// At once, and its disks go with it: what was written on persistent images since it began may be lost; `terminate` has
/// the guest end in order first. The operation is done when nothing is left of it anywhere.
#[utoipa::path(
    delete, path = "/vms/{vm}", tag = "vms",
    params(("vm" = String, Path, description = "Id or name.", example = "web")),
    responses((status = 202, description = "What was asked for; follow it.", body = v1::Operation)),
)]
async fn vm_delete(State(api): State<Api>, Key(key): Key, order: Order) -> Answer {
    let operation = api.desk().vm_delete(&order.caller, &order.intent, &key).await?;
    json(StatusCode::ACCEPTED, &convert::operations::operation(&operation, &api.desk().view()))
}

/// Explain a VM
///
/// In plain words: why it is where it is, or why it is not yet anywhere, host by host.
#[utoipa::path(
    get, path = "/vms/{vm}/explain", tag = "vms",
    params(("vm" = String, Path, description = "Id or name.", example = "web")),
    responses((status = 200, description = "The explanation.", body = v1::VmExplanation)),
)]
async fn vm_explain(State(api): State<Api>, asker: Asker, Key(key): Key) -> Answer {
    let view = api.desk().view();
    let row = view.get::<Vm>(&asker.caller, &key)?;
    let explanation = api.desk().vm_explain(&asker.caller, &key)?;
    json(StatusCode::OK, &convert::vms::explanation(&row, &view, explanation))
}

async fn power(api: Api, key: String, order: Order, action: PowerAction) -> Answer {
    let accepted = api.desk().vm_power(&order.caller, &order.intent, &key, action).await?;
    self::accepted(&api, &order.caller, &accepted)
}

/// Start a VM
///
/// Also a VM that ended by itself.
#[utoipa::path(
    post, path = "/vms/{vm}/start", tag = "vms",
    params(("vm" = String, Path, description = "Id or name.", example = "web")),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_start(State(api): State<Api>, Key(key): Key, order: Order) -> Answer {
    power(api, key, order, PowerAction::Start).await
}

/// Stop a VM
///
/// Presses its power button; after a grace period its power is cut.
#[utoipa::path(
    post, path = "/vms/{vm}/stop", tag = "vms",
    params(("vm" = String, Path, description = "Id or name.", example = "web")),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_stop(State(api): State<Api>, Key(key): Key, order: Order) -> Answer {
    power(api, key, order, PowerAction::Stop).await
}

/// Cut a VM's power
#[utoipa::path(
    post, path = "/vms/{vm}/poweroff", tag = "vms",
    params(("vm" = String, Path, description = "Id or name.", example = "web")),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_poweroff(State(api): State<Api>, Key(key): Key, order: Order) -> Answer {
    power(api, key, order, PowerAction::Poweroff).await
}

/// Reboot a VM
#[utoipa::path(
    post, path = "/vms/{vm}/reboot", tag = "vms",
    params(("vm" = String, Path, description = "Id or name.", example = "web")),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_reboot(State(api): State<Api>, Key(key): Key, order: Order) -> Answer {
    power(api, key, order, PowerAction::Reboot).await
}

/// Pause a VM
///
/// Stops its processors; its memory stays.
#[utoipa::path(
    post, path = "/vms/{vm}/pause", tag = "vms",
    params(("vm" = String, Path, description = "Id or name.", example = "web")),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_pause(State(api): State<Api>, Key(key): Key, order: Order) -> Answer {
    power(api, key, order, PowerAction::Pause).await
}

/// Let a paused VM go on
#[utoipa::path(
    post, path = "/vms/{vm}/resume", tag = "vms",
    params(("vm" = String, Path, description = "Id or name.", example = "web")),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_resume(State(api): State<Api>, Key(key): Key, order: Order) -> Answer {
    power(api, key, order, PowerAction::Resume).await
}
