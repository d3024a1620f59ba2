//! What is to be done with VMs later.

use super::Api;
use super::requests::{Along, Command, Key, Order};
use super::vms::{accepted, part, vm_id};
use crate::convert::vm_schedule;
use crate::problem::Answer;
use axum::extract::State;
use holm_wire::v1;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(vm_schedule_add)).routes(routes!(vm_schedule_change, vm_schedule_remove))
}

/// Schedule an action
///
/// Once, or again and again. A time in the past means at once.
#[utoipa::path(
    post, path = "/vms/{vm}/schedule", tag = "vms",
    params(("vm" = String, Path, description = "Id or name.", example = "web")),
    request_body(
        content = v1::ScheduledActionCreate,
        example = json!({
            "action": "snapshot", "name": "nightly", "at": "2026-12-01T03:00:00Z", "repeat": {"weekly": ["mon", "thu"]},
        }),
    ),
    responses((status = 202, description = "The VM, the operation, and the action's number.", body = v1::VmPartAccepted)),
)]
async fn vm_schedule_add(State(api): State<Api>, Key(key): Key, command: Command<v1::ScheduledActionCreate>) -> Answer {
    let action = vm_schedule::draft("", command.body)?;
    let id = vm_id(&api, &command.caller, &key)?;
    let (added, number) = api.desk().vm_schedule_add(&command.caller, &command.intent, id, action).await?;
    part(&api, &command.caller, &added, number)
}

/// Change a scheduled action
///
/// What is not given stays. With another time it is as good as new; with the same time it is not done once more.
#[utoipa::path(
    patch, path = "/vms/{vm}/schedule/{id}", tag = "vms",
    params(
        ("vm" = String, Path, description = "Id or name.", example = "web"),
        ("id" = u32, Path, description = "The action's number.", example = 0),
    ),
    request_body(content = v1::ScheduledActionChange, example = json!({"at": "2026-12-01T04:00:00Z"})),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_schedule_change(
    State(api): State<Api>,
    Along((key, number)): Along<(String, u32)>,
    command: Command<v1::ScheduledActionChange>,
) -> Answer {
    let change = vm_schedule::change(command.body)?;
    let id = vm_id(&api, &command.caller, &key)?;
    let work = move |kept: &mut holm_model::schedule::ScheduledAction| {
        change.apply(kept);
        Ok(())
    };
    let changed = api.desk().vm_schedule_update(&command.caller, &command.intent, id, number, work).await?;
    accepted(&api, &command.caller, &changed)
}

/// Remove a scheduled action
#[utoipa::path(
    delete, path = "/vms/{vm}/schedule/{id}", tag = "vms",
    params(
        ("vm" = String, Path, description = "Id or name.", example = "web"),
        ("id" = u32, Path, description = "The action's number.", example = 0),
    ),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn vm_schedule_remove(
    State(api): State<Api>,
    Along((key, number)): Along<(String, u32)>,
    order: Order,
) -> Answer {
    let id = vm_id(&api, &order.caller, &key)?;
    accepted(&api, &order.caller, &api.desk().vm_schedule_delete(&order.caller, &order.intent, id, number).await?)
}
