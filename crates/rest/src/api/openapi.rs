//! The description of the interface, made from the handlers and completed with what holds for all of them.

use super::Api;
use super::door::Asker;
use super::requests::{MAX_JSON, json};
use crate::problem::{Answer, Kind, PROBLEM_JSON};
use axum::response::Response;
use holm_wire::v1;
use http::StatusCode;
use std::sync::OnceLock;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, InfoBuilder, LicenseBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Required,
    ResponseBuilder, Type,
};
use utoipa::{IntoParams, PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(document))
}

/// The parameters of every list. They are read by [`super::requests::List`]; this type describes them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "only its description is used")]
pub(crate) struct ListParams {
    /// Most objects on the page; default 100.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// `id` (default), `name`, `state` or `created`; a leading `-` turns the order around.
    #[param(example = "-created")]
    sort: Option<String>,
    /// `FIELD:VALUE`, any number of times; all must hold. In names `*` stands for any characters; commas separate
    /// alternatives. Fields common to all lists: `id`, `name`, `state`, `owner`.
    #[param(example = json!(["state:running,paused", "name:web*"]))]
    filter: Option<Vec<String>>,
}

/// This document
#[utoipa::path(
    get, path = "/openapi.json", tag = "health",
    responses((status = 200, description = "The OpenAPI 3.1 description of this interface.", body = Object)),
)]
async fn document(_asker: Asker) -> Answer<Response> {
    static DOCUMENT: OnceLock<OpenApi> = OnceLock::new();
    json(StatusCode::OK, DOCUMENT.get_or_init(describe))
}

/// The OpenAPI document as it is committed: pretty, ending in a line feed.
#[must_use]
pub fn openapi_json() -> String {
    // Going through a value sorts the keys, so that the committed file changes only where the interface does.
    let value = serde_json::to_value(describe()).unwrap_or_default();
    let mut text = serde_json::to_string_pretty(&value).unwrap_or_default();
    text.push('\n');
    text
}

/// The paths of the interface, for metrics.
pub(crate) fn paths() -> Vec<String> {
    describe().paths.paths.into_keys().collect()
}

fn describe() -> OpenApi {
    let (_, mut api) = super::routes().split_for_parts();
    api.info = InfoBuilder::new()
        .title("Holm")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "The REST interface of a Holm cloud.\n\nEvery request but health and logging in needs `Authorization: \
             Bearer TOKEN`. Errors are `application/problem+json` (RFC 9457) with a stable word in `type`. Every answer \
             has an `x-request-id`; a sane one of the request is kept. Objects have a revision, given as `ETag`: send it \
             as `If-Match` to change an object only if nobody else did. `Idempotency-Key` makes a change safe to repeat. \
             Wherever a path names an object, its id or its name will do.",
        ))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
        .build();
    let bearer =
        HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("A token from /sessions or /tokens."));
    let components = api.components.get_or_insert_with(Default::default);
    components.add_security_scheme("token", SecurityScheme::Http(bearer.build()));
    components.schemas.insert("Problem".into(), v1::Problem::schema());
    let mut nested = vec![];
    v1::Problem::schemas(&mut nested);
    components.schemas.extend(nested);
    api.security = Some(vec![SecurityRequirement::new("token", Vec::<String>::new())]);
    for (path, item) in &mut api.paths.paths {
        for (method, operation) in operations(item) {
            complete(path, method, operation);
        }
    }
    api
}

fn operations(item: &mut PathItem) -> Vec<(&'static str, &mut Operation)> {
    let PathItem { get, put, post, delete, head, patch, .. } = item;
    [("get", get), ("put", put), ("post", post), ("delete", delete), ("head", head), ("patch", patch)]
        .into_iter()
        .filter_map(|(method, operation)| operation.as_mut().map(|operation| (method, operation)))
        .collect()
}

/// Adds what follows from the kind of request: errors, and the headers of changes.
fn complete(path: &str, method: &str, operation: &mut Operation) {
    let open =
        operation.security.as_ref().is_some_and(|all| all.iter().any(|one| *one == SecurityRequirement::default()));
    let changes = !matches!(method, "get" | "head");
    let named = path.contains('{');
    let mut kinds = vec![Kind::Internal];
    if path == "/readyz" {
        kinds.push(Kind::Unavailable);
    }
    if path.starts_with("/api/") {
        kinds.extend([Kind::Invalid, Kind::Unavailable]);
    }
    if !open {
        kinds.push(Kind::Unauthenticated);
        kinds.push(Kind::Forbidden);
    }
    if named {
        kinds.extend([Kind::NotFound, Kind::Conflict]);
    }
    // Other objects are also named in bodies and parameters.
    let asks = ["/acls/check", "/accounting", "/showback"].iter().any(|end| path.ends_with(end));
    if asks || (changes && !open && operation.request_body.is_some()) {
        kinds.push(Kind::NotFound);
    }
    if path.ends_with("/events") {
        kinds.push(Kind::Gone);
    }
    if open && path.contains("/sessions") {
        kinds.extend([Kind::Unauthenticated, Kind::TooMany]);
    }
    if ["/console", "/vnc", "/log", "/password", "/tickets", "/me/second-factor", "/second-factor/remove"]
        .iter()
        .any(|end| path.ends_with(end))
    {
        kinds.push(Kind::TooMany);
    }
    if path.ends_with("/content") {
        kinds.push(Kind::Gone);
    }
    if changes {
        kinds.extend([Kind::TooLarge, Kind::Timeout]);
        if !open {
            kinds.extend([Kind::Conflict, Kind::Gone, Kind::Locked, Kind::PreconditionFailed, Kind::NoSpace]);
        }
        if operation.request_body.is_some() {
            kinds.push(Kind::UnsupportedMediaType);
            if !open {
                // Of something that the body names.
                kinds.push(Kind::NotFound);
            }
        }
    }
    for kind in kinds {
        let status = kind.status().as_u16().to_string();
        operation.responses.responses.entry(status).or_insert_with(|| RefOr::T(refusal(kind)));
    }
    if changes && !open {
        let parameters = operation.parameters.get_or_insert_with(Vec::new);
        parameters.push(RefOr::T(header(
            v1::IDEMPOTENCY_KEY,
            "Makes the change safe to repeat: the same key and request give the same answer, another request with the \
             key is a conflict. 1 to 200 characters; a random UUID is best.",
            "5f0c1e5e-3c6f-4f0a-9a57-7a2f6f0f7d11",
        )));
        if named {
            parameters.push(RefOr::T(header("if-match", "Change only when the object is at this revision.", "\"42\"")));
        }
    }
}

fn header(name: &str, description: &str, example: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .example(Some(serde_json::json!(example)))
        .build()
}

fn refusal(kind: Kind) -> utoipa::openapi::Response {
    let (description, detail, hint): (&str, &str, &str) = match kind {
        Kind::Invalid => (
            "The request cannot be accepted as it is.",
            "name: \"a/b\" contains the character '/'",
            "Use letters, digits, blanks, '-', '_', '.'.",
        ),
        Kind::NotFound => (
            "There is no such object that the caller may see.",
            "there is no vm \"web\" that you may see",
            "List what there is: holm vm list.",
        ),
        Kind::MethodNotAllowed => (
            "The path does not answer this method.",
            "/api/v1/me does not answer DELETE",
            "The header Allow lists the methods it answers.",
        ),
        Kind::Conflict | Kind::InUse => (
            "It contradicts the present state, or other objects need the object.",
            "image 3 (debian) is used by vm 7",
            "Delete the VM first.",
        ),
        Kind::Unauthenticated => {
            ("Nobody known is asking.", "the token is missing, unknown, expired or revoked", "Log in: holm login.")
        }
        Kind::Forbidden => {
            ("The caller may not do this.", "user ann may not change vm 7 (web)", "Ask its owner or an administrator.")
        }
        Kind::Locked => (
            "The object is locked.",
            "vm 7 (web) is locked against changes",
            "Unlock it first, or ask whoever locked it.",
        ),
        Kind::QuotaExceeded => (
            "A limit on what a user's or a group's objects use together stands against it.",
            "the limit of 4 VMS of user 3 (ann) would be exceeded",
            "Delete something, or ask an administrator for more.",
        ),
        Kind::TooMany => (
            "Too many attempts, or too much at once.",
            "too many failed logins; the next is looked at in 6 s",
            "Wait, then try again.",
        ),
        Kind::TooLarge => ("More bytes than are accepted.", "the body is larger than 1048576 bytes", "Send less."),
        Kind::UnsupportedMediaType => (
            "The body is of another media type.",
            "the body's type is \"text/plain\"",
            "Send Content-Type: application/json.",
        ),
        Kind::PreconditionFailed => (
            "The object is at another revision than If-Match says.",
            "vm 7 is at revision 45, not at 42",
            "Read it again, look at what changed, and repeat the change.",
        ),
        Kind::Gone => (
            "It was there and is no longer kept.",
            "what happened since revision 12 is no longer kept",
            "List what you follow, and go on from the list's revision.",
        ),
        Kind::Timeout => {
            ("The request did not arrive in time.", "the body did not arrive within 30 s", "Send it faster.")
        }
        Kind::NoSpace => ("The front-end's disk is full.", "the disk is full", "Make room on the front-end."),
        Kind::Unavailable => (
            "Something needed is not there right now; try again later.",
            "host 2 is not connected",
            "Check the host's power, its network and its agent.",
        ),
        Kind::Internal => {
            ("A fault of the front-end.", "the front-end could not write the answer", "Look at the front-end's log.")
        }
    };
    let example = serde_json::json!({
        "type": kind.word(),
        "title": kind.status().canonical_reason().unwrap_or("Error"),
        "status": kind.status().as_u16(),
        "detail": detail,
        "hint": hint,
        "request_id": "9d3c1f0e5b7a4c21-2f",
    });
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).example(Some(example)).build();
    let mut response = ResponseBuilder::new().description(description).content(PROBLEM_JSON, content);
    if kind == Kind::TooMany {
        let seconds = ObjectBuilder::new().schema_type(Type::Integer).build();
        let retry = HeaderBuilder::new().schema(Some(seconds)).description(Some("Seconds to wait, where known."));
        response = response.header("retry-after", retry.build());
    }
    response.build()
}

const _: () = assert!(MAX_JSON == 1_048_576, "the example of too_large names the limit");
