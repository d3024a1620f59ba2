//! The door as an HTTP service: `POST /RPC2`.

use crate::Door;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use axum::routing::post;
use futures::stream;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use std::convert::Infallible;

/// Bytes of one chunk. Larger answers are sent in several: the allocator keeps blocks of this size for the next use,
/// while larger ones come fresh from the system, and touching fresh memory takes longer than copying into it.
const CHUNK: usize = 64 << 10;

/// Where a connection comes from, as text; whoever listens puts it into a request's extensions.
#[derive(Clone, Debug)]
pub struct Origin(pub String);

impl Door {
    /// The routes of the door. Requests are expected to carry an [`Origin`].
    pub fn router(self) -> Router {
        // Clients are told to use /RPC2; some of them leave the path out.
        Router::new().route("/RPC2", post(serve)).route("/", post(serve)).with_state(self)
    }
}

async fn serve(State(door): State<Door>, request: Request<Body>) -> Response<Body> {
    let origin = request.extensions().get::<Origin>().map_or_else(String::new, |origin| origin.0.clone());
    let body = match Limited::new(request.into_body(), door.largest_body()).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return plain(StatusCode::PAYLOAD_TOO_LARGE),
        Err(_) => return plain(StatusCode::BAD_REQUEST),
    };
    let answer = door.answer(&origin, &body).await;
    let length = answer.len();
    let body = if length > CHUNK {
        Body::from_stream(stream::iter(answer.into_chunks(CHUNK).map(Ok::<_, Infallible>)))
    } else {
        Body::from(answer.into_bytes())
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml; charset=utf-8"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}

fn plain(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{status}\n")));
    *response.status_mut() = status;
    response
}
