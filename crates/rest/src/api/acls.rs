//! Access rules.

use super::Api;
use super::door::Asker;
use super::requests::{Command, Id, List, Order, created, json, json_at, no_content, parameters};
use crate::convert;
use crate::problem::{Answer, Refusal};
use axum::extract::{RawQuery, State};
use holm_desk::Question;
use holm_model::AclId;
use holm_model::acl::Acl;
use holm_wire::v1;
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(acl_list, acl_create))
        .routes(routes!(acl_check))
        .routes(routes!(acl_get, acl_delete))
}

/// List access rules
///
/// Rules only ever add to what ownership and permissions allow. Filters: `id`, `vdc`, `group`, and `state`, which is
/// `derived` for rules that follow from a VDC.
#[utoipa::path(
    get, path = "/acls", tag = "access", params(super::openapi::ListParams),
    responses((status = 200, description = "A page of rules.", body = v1::Page<v1::Acl>)),
)]
async fn acl_list(State(api): State<Api>, asker: Asker, List(query): List) -> Answer {
    let page = api.desk().view().list::<Acl>(&asker.caller, &query)?;
    let items = page.items.iter().map(|row| convert::acls::acl(row, &page.view)).collect();
    json(StatusCode::OK, &v1::Page { items, next_cursor: page.next_cursor, revision: page.view.revision() })
}

/// Create an access rule
#[utoipa::path(
    post, path = "/acls", tag = "access",
    request_body(
        content = v1::AclCreate,
        example = json!({"group": "lab", "kinds": ["vm", "image"], "rights": ["create"]}),
    ),
    responses((status = 201, description = "The rule.", body = v1::Acl)),
)]
async fn acl_create(State(api): State<Api>, command: Command<v1::AclCreate>) -> Answer {
    let draft = convert::acls::draft(command.body, &api.desk().view(), &command.caller)?;
    let row = api.desk().acl_add(&command.caller, &command.intent, draft).await?;
    let body = convert::acls::acl(&row, &api.desk().view());
    created(StatusCode::CREATED, row.revision, "acls", body.id, &body)
}

/// Ask whether a user may do something, and why
///
/// One's own rights, or for whoever manages access rules everybody's.
#[utoipa::path(
    get, path = "/acls/check", tag = "access",
    params(
        ("user" = Option<String>, Query, description = "Id or name; default the caller.", example = "anna"),
        ("right" = String, Query, description = "`use`, `manage`, `admin` or `create`.", example = "use"),
        ("kind" = String, Query, description = "The kind of object, such as `vm`.", example = "zone"),
        ("object" = Option<String>, Query, example = "0", description = "The object by id or name; with `create` the \
            group it would belong to, by default the user's primary one."),
    ),
    responses((status = 200, description = "Whether they may, and what decides it.", body = v1::AclVerdict)),
)]
async fn acl_check(State(api): State<Api>, asker: Asker, RawQuery(query): RawQuery) -> Answer {
    let mut query = parameters(query.as_deref(), &["user", "right", "kind", "object"])?;
    let mut word = |name: &'static str| {
        query.remove(name).ok_or_else(|| {
            Refusal::invalid(name, format!("the parameter {name} is missing"))
                .hint("Ask for a user, a right, a kind and an object: user=anna&right=use&kind=vm&object=web.")
        })
    };
    let (right, kind) = (convert::acls::right(&word("right")?)?, convert::acls::kind(&word("kind")?)?);
    let question = Question { user: query.remove("user"), right, kind, object: query.remove("object") };
    let verdict = api.desk().verdict(&asker.caller, &question)?;
    json(StatusCode::OK, &convert::acls::verdict(&verdict, &api.desk().view()))
}

/// Show an access rule
#[utoipa::path(
    get, path = "/acls/{id}", tag = "access",
    params(("id" = u32, Path, description = "The rule's id.", example = 0)),
    responses((status = 200, description = "The rule.", body = v1::Acl)),
)]
async fn acl_get(State(api): State<Api>, asker: Asker, Id(id): Id) -> Answer {
    let view = api.desk().view();
    let row = view.get_id::<Acl>(&asker.caller, AclId(id))?;
    json_at(StatusCode::OK, row.revision, &convert::acls::acl(&row, &view))
}

/// Delete an access rule
///
/// Rules that follow from a VDC go with it.
#[utoipa::path(
    delete, path = "/acls/{id}", tag = "access",
    params(("id" = u32, Path, description = "The rule's id.", example = 7)),
    responses((status = 204, description = "The rule is gone.")),
)]
async fn acl_delete(State(api): State<Api>, Id(id): Id, order: Order) -> Answer {
    api.desk().acl_delete(&order.caller, &order.intent, AclId(id)).await?;
    Ok(no_content())
}
