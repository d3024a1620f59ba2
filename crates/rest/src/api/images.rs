//! Images and their uploads.

use super::Api;
use super::door::{Asker, Trace};
use super::owned::{changed, created, get, list, lock_routes, shown};
use super::requests::{Command, Key, List, Order, Part, json, json_at, no_content};
use crate::convert;
use crate::problem::{Answer, Kind, Refusal};
use axum::extract::{Request, State};
use axum::response::Response;
use futures::StreamExt as _;
use holm_model::datastores::Datastore;
use holm_model::images::Image;
use holm_wire::v1::{self, UPLOAD_OFFSET};
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderValue, StatusCode};
use std::io;
use std::time::Duration;
use tokio_util::io::StreamReader;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// How long an upload may stand still.
const STALL: Duration = Duration::from_secs(60);
const OFFSET: HeaderName = HeaderName::from_static(UPLOAD_OFFSET);

shown! {
    Image, "images", "image", v1::Image: |row, sight| convert::images::image(row, sight.view);
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(image_list, image_create))
        .routes(routes!(image_get, image_change, image_delete))
        .routes(routes!(content_head, content_append))
        .routes(routes!(image_complete))
        .routes(routes!(image_clone))
        .routes(routes!(image_snapshot_delete))
        .routes(routes!(image_snapshot_revert))
        .routes(routes!(image_snapshot_flatten))
        .merge(lock_routes::<Image>())
}

/// List images
///
/// Filters: `id`, `name`, `state`, `owner`, `group`, `kind`, `format`, `digest`, `datastore`, `persistent`.
#[utoipa::path(
    get, path = "/images", tag = "images", params(super::openapi::ListParams),
    responses((status = 200, description = "A page of images.", body = v1::Page<v1::Image>)),
)]
async fn image_list(State(api): State<Api>, asker: Asker, List(query): List) -> Answer {
    list::<Image>(&api, &asker, &query)
}

/// Create an image
///
/// With `url` or `path` the front-end fetches it, and an `empty` one is ready at once. Without any of them, send the bytes to `/images/{image}/content` and then
/// `/images/{image}/complete`.
#[utoipa::path(
    post, path = "/images", tag = "images",
    request_body(content = v1::ImageCreate, example = json!({"name": "debian", "kind": "disk", "size": 143654912})),
    responses((status = 201, description = "The image, which awaits its bytes.", body = v1::Image)),
)]
async fn image_create(State(api): State<Api>, command: Command<v1::ImageCreate>) -> Answer {
    let draft = convert::images::draft(command.body)?;
    let accepted = api.desk().image_create(&command.caller, &command.intent, draft).await?;
    created(&api, &command.caller, &accepted.row)
}

/// Show an image
#[utoipa::path(
    get, path = "/images/{image}", tag = "images",
    params(("image" = String, Path, description = "Id or name.", example = "debian")),
    responses((status = 200, description = "The image.", body = v1::Image)),
)]
async fn image_get(State(api): State<Api>, asker: Asker, Key(key): Key) -> Answer {
    get::<Image>(&api, &asker, &key)
}

/// Change an image
///
/// Its name, ownership, permissions and attributes; whether VMs may use it and have it itself; what it is for. Those
/// three only change while no VM uses it.
#[utoipa::path(
    patch, path = "/images/{image}", tag = "images",
    params(("image" = String, Path, description = "Id or name.", example = "debian")),
    request_body(content = v1::ImageChange, example = json!({"name": "debian-12", "permissions": "644", "persistent": false})),
    responses((status = 200, description = "The image as it is now.", body = v1::Image)),
)]
async fn image_change(State(api): State<Api>, Key(key): Key, command: Command<v1::ImageChange>) -> Answer {
    let id = convert::id_of::<Image>("image", &key, &api.desk().view(), &command.caller)?;
    let change = convert::images::change(command.body)?;
    let row = api.desk().image_change(&command.caller, &command.intent, id, change).await?;
    changed(&api, &command.caller, &row)
}

/// Clone an image
///
/// Another image with the same bytes, ready at once and not persistent, which belongs to the caller. No bytes are moved.
#[utoipa::path(
    post, path = "/images/{image}/clone", tag = "images",
    params(("image" = String, Path, description = "Id or name.", example = "debian")),
    request_body(content = v1::ImageClone, example = json!({"name": "debian-data"})),
    responses((status = 201, description = "The new image.", body = v1::Image)),
)]
async fn image_clone(State(api): State<Api>, Key(key): Key, command: Command<v1::ImageClone>) -> Answer {
    let (view, caller) = (api.desk().view(), &command.caller);
    let id = convert::id_of::<Image>("image", &key, &view, caller)?;
    let datastore = match &command.body.datastore {
        Some(key) => Some(convert::id_of::<Datastore>("datastore", key, &view, caller)?),
        None => None,
    };
    let accepted = api.desk().image_clone(caller, &command.intent, id, command.body.name, datastore).await?;
    created(&api, caller, &accepted.row)
}

/// Delete a snapshot of an image
///
/// Refused while VMs use the image, and while another snapshot or the image's content continues it.
#[utoipa::path(
    delete, path = "/images/{image}/snapshots/{snapshot}", tag = "images",
    params(
        ("image" = String, Path, description = "Id or name.", example = "data"),
        ("snapshot" = u32, Path, description = "Its number.", example = 0),
    ),
    responses((status = 200, description = "The image as it is now.", body = v1::Image)),
)]
async fn image_snapshot_delete(State(api): State<Api>, Part(key, snapshot): Part, order: Order) -> Answer {
    let id = convert::id_of::<Image>("image", &key, &api.desk().view(), &order.caller)?;
    let row = api.desk().image_snapshot_delete(&order.caller, &order.intent, id, snapshot).await?;
    changed(&api, &order.caller, &row)
}

/// Give an image the content of a snapshot
///
/// What it has now is lost. Refused while VMs use it.
#[utoipa::path(
    post, path = "/images/{image}/snapshots/{snapshot}/revert", tag = "images",
    params(
        ("image" = String, Path, description = "Id or name.", example = "data"),
        ("snapshot" = u32, Path, description = "Its number.", example = 0),
    ),
    responses((status = 200, description = "The image as it is now.", body = v1::Image)),
)]
async fn image_snapshot_revert(State(api): State<Api>, Part(key, snapshot): Part, order: Order) -> Answer {
    let id = convert::id_of::<Image>("image", &key, &api.desk().view(), &order.caller)?;
    let row = api.desk().image_snapshot_revert(&order.caller, &order.intent, id, snapshot).await?;
    changed(&api, &order.caller, &row)
}

/// Give an image the content of a snapshot and forget all snapshots
///
/// What it has now, and every other snapshot, is lost. Refused while VMs use it.
#[utoipa::path(
    post, path = "/images/{image}/snapshots/{snapshot}/flatten", tag = "images",
    params(
        ("image" = String, Path, description = "Id or name.", example = "data"),
        ("snapshot" = u32, Path, description = "Its number.", example = 0),
    ),
    responses((status = 200, description = "The image as it is now.", body = v1::Image)),
)]
async fn image_snapshot_flatten(State(api): State<Api>, Part(key, snapshot): Part, order: Order) -> Answer {
    let id = convert::id_of::<Image>("image", &key, &api.desk().view(), &order.caller)?;
    let row = api.desk().image_snapshot_flatten(&order.caller, &order.intent, id, snapshot).await?;
    changed(&api, &order.caller, &row)
}

/// Delete an image
///
/// Refused while VMs use it.
#[utoipa::path(
    delete, path = "/images/{image}", tag = "images",
    params(("image" = String, Path, description = "Id or name.", example = "debian")),
    responses((status = 202, description = "What was asked for; follow it.", body = v1::Operation)),
)]
async fn image_delete(State(api): State<Api>, Key(key): Key, order: Order) -> Answer {
    let operation = api.desk().image_delete(&order.caller, &order.intent, &key).await?;
    json(StatusCode::ACCEPTED, &convert::operations::operation(&operation, &api.desk().view()))
}

fn with_offset(mut answer: Response, offset: u64) -> Response {
    answer.headers_mut().insert(OFFSET, HeaderValue::from(offset));
    answer
}

/// Ask how much of an upload has arrived
///
/// The header `Upload-Offset` of the answer says where to go on.
#[utoipa::path(
    head, path = "/images/{image}/content", tag = "images",
    params(("image" = String, Path, description = "Id or name.", example = "debian")),
    responses(
        (status = 204, description = "The upload stands at `Upload-Offset`.",
         headers(("upload-offset" = u64, description = "Bytes that have arrived."))),
    ),
)]
async fn content_head(State(api): State<Api>, asker: Asker, Key(key): Key) -> Answer {
    let offset = api.desk().image_offset(&asker.caller, &key).await?;
    Ok(with_offset(no_content(), offset))
}

/// Upload bytes of an image
///
/// The bytes follow those that have arrived; `Upload-Offset` says where the client believes that is. What arrived stays
/// when the connection breaks: ask with HEAD and go on.
#[utoipa::path(
    patch, path = "/images/{image}/content", tag = "images",
    params(
        ("image" = String, Path, description = "Id or name.", example = "debian"),
        ("upload-offset" = u64, Header, description = "Where these bytes begin.", example = 0),
    ),
    request_body(content = String, content_type = "application/octet-stream", description = "The bytes."),
    responses(
        (status = 204, description = "The bytes have arrived.",
         headers(("upload-offset" = u64, description = "Bytes that have arrived."))),
    ),
)]
async fn content_append(State(api): State<Api>, asker: Asker, Key(key): Key, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    let kind = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if !["", "application/octet-stream", "application/offset+octet-stream"].contains(&kind) {
        let shown: String = kind.chars().take(64).collect();
        return Err(Refusal::new(Kind::UnsupportedMediaType, format!("the body's type is {shown:?}"))
            .hint("Send Content-Type: application/octet-stream.")
            .close());
    }
    let offset: u64 = parts
        .headers
        .get(&OFFSET)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| {
            Refusal::invalid(UPLOAD_OFFSET, "the header Upload-Offset is missing or not a number")
                .hint("Ask where the upload stands: HEAD on the same path.")
                .close()
        })?;
    // The bytes go to the disk as they come; the client is held back by TCP when the disk is slower than the network.
    let pieces = futures::stream::unfold(body.into_data_stream(), |mut body| async move {
        let piece = match tokio::time::timeout(STALL, body.next()).await {
            Ok(Some(Ok(piece))) => Ok(piece),
            Ok(Some(Err(error))) => Err(io::Error::other(error)),
            Ok(None) => return None,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the client sent nothing for 60 s")),
        };
        Some((piece, body))
    });
    let reader = Box::pin(StreamReader::new(pieces));
    let id = parts.extensions.get::<Trace>().map(|trace| trace.id.clone());
    tracing::debug!(request = ?id, image = %key, offset, "an upload goes on");
    let arrived = api
        .desk()
        .image_append(&asker.caller, &key, offset, reader)
        .await
        .map_err(|error| Refusal::from(error).close())?;
    Ok(with_offset(no_content(), arrived))
}

/// Complete an upload
///
/// The front-end checks digest and format; the image is ready then, or failed for good.
#[utoipa::path(
    post, path = "/images/{image}/complete", tag = "images",
    params(("image" = String, Path, description = "Id or name.", example = "debian")),
    responses((status = 200, description = "The image, ready.", body = v1::Image)),
)]
async fn image_complete(State(api): State<Api>, Key(key): Key, order: Order) -> Answer {
    let row = api.desk().image_complete(&order.caller, &order.intent, &key).await?;
    json_at(StatusCode::OK, row.revision, &convert::images::image(&row, &api.desk().view()))
}
