//! Virtual data centers.

use super::Api;
use super::door::Asker;
use super::requests::{Command, Key, Keys, List, Order, created, json, json_at, no_content, parameters};
use crate::convert;
use crate::problem::{Answer, Refusal};
use axum::extract::{Path, RawQuery, State};
use holm_desk::{Caller, VdcResource};
use holm_model::ZoneId;
use holm_model::clusters::Cluster;
use holm_model::datastores::Datastore;
use holm_model::hosts::Host;
use holm_model::networks::Network;
use holm_model::users::Group;
use holm_model::vdcs::{Vdc, VdcMember};
use holm_model::zones::OWN_ZONE;
use holm_wire::v1;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(vdc_list, vdc_create))
        .routes(routes!(vdc_get, vdc_change, vdc_delete))
        .routes(routes!(vdc_group_add, vdc_group_remove))
        .routes(routes!(vdc_resource_add, vdc_resource_remove))
}

/// List VDCs
#[utoipa::path(
    get, path = "/vdcs", tag = "access", params(super::openapi::ListParams),
    responses((status = 200, description = "A page of VDCs.", body = v1::Page<v1::Vdc>)),
)]
async fn vdc_list(State(api): State<Api>, asker: Asker, List(query): List) -> Answer {
    let page = api.desk().view().list::<Vdc>(&asker.caller, &query)?;
    let items = page.items.iter().map(|row| convert::vdcs::vdc(row)).collect();
    json(StatusCode::OK, &v1::Page { items, next_cursor: page.next_cursor, revision: page.view.revision() })
}

/// Create a VDC
#[utoipa::path(
    post, path = "/vdcs", tag = "access",
    request_body(content = v1::VdcCreate, example = json!({"name": "research"})),
    responses((status = 201, description = "The VDC.", body = v1::Vdc)),
)]
async fn vdc_create(State(api): State<Api>, command: Command<v1::VdcCreate>) -> Answer {
    let attributes = convert::attributes::from_json(command.body.attributes)?;
    let row = api.desk().vdc_create(&command.caller, &command.intent, command.body.name, attributes).await?;
    created(StatusCode::CREATED, row.revision, "vdcs", row.value.id.0, &convert::vdcs::vdc(&row))
}

/// Show a VDC
#[utoipa::path(
    get, path = "/vdcs/{vdc}", tag = "access",
    params(("vdc" = String, Path, description = "Id or name.", example = "default")),
    responses((status = 200, description = "The VDC.", body = v1::Vdc)),
)]
async fn vdc_get(State(api): State<Api>, asker: Asker, Key(key): Key) -> Answer {
    let row = api.desk().view().get::<Vdc>(&asker.caller, &key)?;
    json_at(StatusCode::OK, row.revision, &convert::vdcs::vdc(&row))
}

/// Change a VDC's name or attributes
#[utoipa::path(
    patch, path = "/vdcs/{vdc}", tag = "access",
    params(("vdc" = String, Path, description = "Id or name.", example = "research")),
    request_body(content = v1::VdcChange, example = json!({"name": "science"})),
    responses((status = 200, description = "The VDC as it is now.", body = v1::Vdc)),
)]
async fn vdc_change(State(api): State<Api>, Key(key): Key, command: Command<v1::VdcChange>) -> Answer {
    let v1::VdcChange { name, attributes } = command.body;
    let attributes = convert::attributes::changes(attributes)?;
    let row = api.desk().vdc_change(&command.caller, &command.intent, &key, name, attributes).await?;
    json_at(StatusCode::OK, row.revision, &convert::vdcs::vdc(&row))
}

/// Delete a VDC and its rules
#[utoipa::path(
    delete, path = "/vdcs/{vdc}", tag = "access",
    params(("vdc" = String, Path, description = "Id or name.", example = "research")),
    responses((status = 204, description = "The VDC is gone.")),
)]
async fn vdc_delete(State(api): State<Api>, Key(key): Key, order: Order) -> Answer {
    let id = api.id_of::<Vdc>(&order.caller, &key)?;
    api.desk().vdc_delete(&order.caller, &order.intent, id).await?;
    Ok(no_content())
}

/// Open a VDC to a group
#[utoipa::path(
    put, path = "/vdcs/{vdc}/groups/{group}", tag = "access",
    params(
        ("vdc" = String, Path, description = "Id or name.", example = "research"),
        ("group" = String, Path, description = "Id or name.", example = "lab"),
    ),
    responses((status = 200, description = "The VDC as it is now.", body = v1::Vdc)),
)]
async fn vdc_group_add(State(api): State<Api>, Keys(vdc, group): Keys, order: Order) -> Answer {
    group_of(api, vdc, group, order, true).await
}

/// Close a VDC to a group
#[utoipa::path(
    delete, path = "/vdcs/{vdc}/groups/{group}", tag = "access",
    params(
        ("vdc" = String, Path, description = "Id or name.", example = "research"),
        ("group" = String, Path, description = "Id or name.", example = "lab"),
    ),
    responses((status = 200, description = "The VDC as it is now.", body = v1::Vdc)),
)]
async fn vdc_group_remove(State(api): State<Api>, Keys(vdc, group): Keys, order: Order) -> Answer {
    group_of(api, vdc, group, order, false).await
}

async fn group_of(api: Api, vdc: String, group: String, order: Order, add: bool) -> Answer {
    let (caller, intent) = (&order.caller, &order.intent);
    let id = api.id_of::<Vdc>(caller, &vdc)?;
    let group = api.id_of::<Group>(caller, &group).map_err(|refusal| refusal.field("group"))?;
    let row = api.desk().vdc_group(caller, intent, id, group, add).await?;
    json_at(StatusCode::OK, row.revision, &convert::vdcs::vdc(&row))
}

/// Put a resource into a VDC
///
/// `resource` is `clusters` (with all they contain), `hosts`, `datastores` or `networks`; `member` is one of them, or
/// `all` of the zone.
#[utoipa::path(
    put, path = "/vdcs/{vdc}/resources/{resource}/{member}", tag = "access",
    params(
        ("vdc" = String, Path, description = "Id or name.", example = "research"),
        ("resource" = String, Path, description = "`clusters`, `hosts`, `datastores` or `networks`.", example = "hosts"),
        ("member" = String, Path, description = "Id or name, or `all`; of another zone only the id.", example = "edge-1"),
        ("zone" = Option<u32>, Query, description = "The zone it is in; default this one."),
    ),
    responses((status = 200, description = "The VDC as it is now.", body = v1::Vdc)),
)]
async fn vdc_resource_add(
    State(api): State<Api>,
    Path(path): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
    order: Order,
) -> Answer {
    resource_of(api, path, query, order, true).await
}

/// Take a resource out of a VDC
#[utoipa::path(
    delete, path = "/vdcs/{vdc}/resources/{resource}/{member}", tag = "access",
    params(
        ("vdc" = String, Path, description = "Id or name.", example = "research"),
        ("resource" = String, Path, description = "`clusters`, `hosts`, `datastores` or `networks`.", example = "hosts"),
        ("member" = String, Path, description = "Id or name, or `all`; of another zone only the id.", example = "edge-1"),
        ("zone" = Option<u32>, Query, description = "The zone it is in; default this one."),
    ),
    responses((status = 200, description = "The VDC as it is now.", body = v1::Vdc)),
)]
async fn vdc_resource_remove(
    State(api): State<Api>,
    Path(path): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
    order: Order,
) -> Answer {
    resource_of(api, path, query, order, false).await
}

async fn resource_of(
    api: Api,
    (vdc, resource, member): (String, String, String),
    query: Option<String>,
    order: Order,
    add: bool,
) -> Answer {
    const RESOURCES: &[(&str, VdcResource)] = &[
        ("clusters", VdcResource::Clusters),
        ("hosts", VdcResource::Hosts),
        ("datastores", VdcResource::Datastores),
        ("networks", VdcResource::Networks),
    ];
    let query = parameters(query.as_deref(), &["zone"])?;
    let zone = convert::vdcs::zone_of(query.get("zone").map(String::as_str))?;
    let resource = convert::word("resource", &resource, RESOURCES)?;
    let (caller, intent) = (&order.caller, &order.intent);
    let id = api.id_of::<Vdc>(caller, &vdc)?;
    let member = VdcMember { zone, id: member_id(&api, caller, resource, zone, &member)? };
    let row = api.desk().vdc_resource(caller, intent, id, resource, member, add).await?;
    json_at(StatusCode::OK, row.revision, &convert::vdcs::vdc(&row))
}

/// The id of a resource; `None` for all of a zone. An id is taken as it is: what it means is the desk's to check, and a
/// resource that is gone can still be taken out.
fn member_id(api: &Api, caller: &Caller, resource: VdcResource, zone: ZoneId, key: &str) -> Answer<Option<u32>> {
    if key == "all" {
        return Ok(None);
    }
    if let Ok(id) = key.parse() {
        return Ok(Some(id));
    }
    if zone != OWN_ZONE {
        return Err(Refusal::invalid("member", "member: what is in another zone is named by its id"));
    }
    let found = match resource {
        VdcResource::Clusters => api.id_of::<Cluster>(caller, key)?.0,
        VdcResource::Hosts => api.id_of::<Host>(caller, key)?.0,
        VdcResource::Datastores => api.id_of::<Datastore>(caller, key)?.0,
        VdcResource::Networks => api.id_of::<Network>(caller, key)?.0,
    };
    Ok(Some(found))
}
