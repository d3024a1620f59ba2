//! Zones: this front-end.

use super::Api;
use super::door::Asker;
use super::requests::{Command, Key, List, json, json_at};
use crate::convert;
use crate::problem::Answer;
use axum::extract::State;
use holm_model::zones::Zone;
use holm_wire::v1;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(zone_list)).routes(routes!(zone_get, zone_change))
}

/// List zones
#[utoipa::path(
    get, path = "/zones", tag = "access", params(super::openapi::ListParams),
    responses((status = 200, description = "A page of zones.", body = v1::Page<v1::Zone>)),
)]
async fn zone_list(State(api): State<Api>, asker: Asker, List(query): List) -> Answer {
    let page = api.desk().view().list::<Zone>(&asker.caller, &query)?;
    let items = page.items.iter().map(|row| convert::vdcs::zone(row)).collect();
    json(StatusCode::OK, &v1::Page { items, next_cursor: page.next_cursor, revision: page.view.revision() })
}

/// Show a zone
#[utoipa::path(
    get, path = "/zones/{zone}", tag = "access",
    params(("zone" = String, Path, description = "Id or name.", example = "0")),
    responses((status = 200, description = "The zone.", body = v1::Zone)),
)]
async fn zone_get(State(api): State<Api>, asker: Asker, Key(key): Key) -> Answer {
    let row = api.desk().view().get::<Zone>(&asker.caller, &key)?;
    json_at(StatusCode::OK, row.revision, &convert::vdcs::zone(&row))
}

/// Change a zone
///
/// Its name, its attributes, or whether it takes changes at all.
#[utoipa::path(
    patch, path = "/zones/{zone}", tag = "access",
    params(("zone" = String, Path, description = "Id or name.", example = "0")),
    request_body(content = v1::ZoneChange, example = json!({"name": "harbor"})),
    responses((status = 200, description = "The zone as it is now.", body = v1::Zone)),
)]
async fn zone_change(State(api): State<Api>, Key(key): Key, command: Command<v1::ZoneChange>) -> Answer {
    let change = convert::vdcs::zone_change(command.body)?;
    let row = api.desk().zone_change(&command.caller, &command.intent, &key, change).await?;
    json_at(StatusCode::OK, row.revision, &convert::vdcs::zone(&row))
}
