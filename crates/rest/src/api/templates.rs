//! Templates that VMs are made from.

use super::Api;
use super::door::Asker;
use super::owned::{changed, created, get, list, lock_routes, shown};
use super::requests::{Command, Key, List, Order, Wish, flag, json};
use super::vms::accepted;
use crate::convert;
use crate::problem::Answer;
use axum::extract::{RawQuery, State};
use holm_desk::{BagDraft, Caller};
use holm_model::TemplateId;
use holm_model::templates::Template;
use holm_wire::v1;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

shown! {
    Template, "templates", "template", v1::Template:
        |row, sight| convert::templates::template(row, sight.view, sight.caller);
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(template_list, template_create))
        .routes(routes!(template_get, template_change, template_delete))
        .routes(routes!(template_clone))
        .routes(routes!(template_instantiate))
        .merge(lock_routes::<Template>())
}

fn template_id(api: &Api, caller: &Caller, key: &str) -> Answer<TemplateId> {
    Ok(api.desk().view().get::<Template>(caller, key)?.value.id)
}

/// List templates
///
/// Filters: `id`, `name`, `owner`, `group`.
#[utoipa::path(
    get, path = "/templates", tag = "templates", params(super::openapi::ListParams),
    responses((status = 200, description = "A page of templates.", body = v1::Page<v1::Template>)),
)]
async fn template_list(State(api): State<Api>, asker: Asker, List(query): List) -> Answer {
    list::<Template>(&api, &asker, &query)
}

/// Create a template
///
/// A request for a VM that is kept, with questions to whoever makes a VM of it. Images, networks and hosts are looked up
/// when a VM is made.
#[utoipa::path(
    post, path = "/templates", tag = "templates",
    request_body(
        content = v1::TemplateCreate,
        example = json!({
            "name": "web",
            "vm": {"memory_mib": 512, "disks": [{"image": "debian"}], "context": {"environment": {"STAGE": "$STAGE"}}},
            "inputs": [{"name": "STAGE", "kind": "list", "description": "Which stage", "options": ["test", "live"],
                        "default": "test"}],
        }),
    ),
    responses((status = 201, description = "The template.", body = v1::Template)),
)]
async fn template_create(State(api): State<Api>, command: Command<v1::TemplateCreate>) -> Answer {
    let v1::TemplateCreate { name, vm, inputs } = command.body;
    let draft = BagDraft { name, attributes: convert::templates::draft(vm, inputs)?, kind: 0 };
    let row = api.desk().bag_create::<Template>(&command.caller, &command.intent, draft).await?;
    created(&api, &command.caller, &row)
}

/// Show a template
#[utoipa::path(
    get, path = "/templates/{template}", tag = "templates",
    params(("template" = String, Path, description = "Id or name.", example = "web")),
    responses((status = 200, description = "The template.", body = v1::Template)),
)]
async fn template_get(State(api): State<Api>, asker: Asker, Key(key): Key) -> Answer {
    get::<Template>(&api, &asker, &key)
}

/// Change a template
///
/// Its name, ownership, permissions and attributes, the request for a VM that it is, and what it asks. VMs that were made
/// of it stay as they are.
#[utoipa::path(
    patch, path = "/templates/{template}", tag = "templates",
    params(("template" = String, Path, description = "Id or name.", example = "web")),
    request_body(content = v1::TemplateChange, example = json!({"over": {"memory_mib": 1024}})),
    responses((status = 200, description = "The template as it is now.", body = v1::Template)),
)]
async fn template_change(State(api): State<Api>, Key(key): Key, command: Command<v1::TemplateChange>) -> Answer {
    let v1::TemplateChange { meta, over, inputs } = command.body;
    let meta = convert::meta_change(meta)?;
    let work = convert::templates::change(over, inputs)?;
    let row = api.desk().template_change(&command.caller, &command.intent, &key, meta, work).await?;
    changed(&api, &command.caller, &row)
}

/// Delete a template
///
/// VMs that were made of it stay.
#[utoipa::path(
    delete, path = "/templates/{template}", tag = "templates",
    params(
        ("template" = String, Path, description = "Id or name.", example = "web"),
        ("with_images" = Option<bool>, Query, description = "Delete the images of its disks as well; refused while VMs use one."),
    ),
    responses((status = 202, description = "What was asked for; follow it.", body = v1::Operation)),
)]
async fn template_delete(State(api): State<Api>, Key(key): Key, RawQuery(query): RawQuery, order: Order) -> Answer {
    let with_images = flag(query.as_deref(), "with_images")?;
    let id = template_id(&api, &order.caller, &key)?;
    let operation = api.desk().template_delete(&order.caller, &order.intent, id, with_images).await?;
    json(StatusCode::ACCEPTED, &convert::operations::operation(&operation, &api.desk().view()))
}

/// Copy a template
#[utoipa::path(
    post, path = "/templates/{template}/clone", tag = "templates",
    params(("template" = String, Path, description = "Id or name.", example = "web")),
    request_body(content = v1::TemplateClone, example = json!({"name": "web-2", "with_images": false})),
    responses((status = 201, description = "The copy.", body = v1::Template)),
)]
async fn template_clone(State(api): State<Api>, Key(key): Key, command: Command<v1::TemplateClone>) -> Answer {
    let id = template_id(&api, &command.caller, &key)?;
    let v1::TemplateClone { name, with_images } = command.body;
    let row = api.desk().template_clone(&command.caller, &command.intent, id, name, with_images).await?;
    created(&api, &command.caller, &row)
}

/// Make a VM from a template
#[utoipa::path(
    post, path = "/templates/{template}/instantiate", tag = "templates",
    params(("template" = String, Path, description = "Id or name.", example = "web")),
    request_body(
        content = Option<v1::TemplateInstantiate>,
        example = json!({"name": "web-1", "inputs": {"STAGE": "live"}, "over": {"memory_mib": 1024}}),
    ),
    responses((status = 202, description = "The VM, and the operation to follow.", body = v1::VmAccepted)),
)]
async fn template_instantiate(State(api): State<Api>, Key(key): Key, wish: Wish<v1::TemplateInstantiate>) -> Answer {
    let id = template_id(&api, &wish.caller, &key)?;
    let wanted = convert::templates::wanted(wish.body)?;
    let made = api.desk().template_instantiate(&wish.caller, &wish.intent, id, wanted).await?;
    accepted(&api, &wish.caller, &made)
}
