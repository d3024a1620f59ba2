//! Copies of VMs' disks on their way from hosts into images.

use super::door::{Dialer, Inner};
use crate::problem::{Answer, Kind, Refusal};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use futures::StreamExt as _;
use holm_desk::ExportedCopy;
use holm_model::ImageId;
use holm_wire::host::ExportArrived;
use http::StatusCode;
use serde::Deserialize;
use std::io;
use std::time::Duration;
use tokio_util::io::StreamReader;

/// How long a host may send nothing.
const STALL: Duration = Duration::from_secs(60);

/// Which copy, and which piece of it.
#[derive(Deserialize)]
pub(super) struct Piece {
    size: u64,
    digest: String,
    #[serde(default)]
    offset: u64,
}

type Which = (Result<Path<u32>, PathRejection>, Result<Query<Piece>, QueryRejection>);

fn read((path, query): Which) -> Result<(ImageId, ExportedCopy, u64), Refusal> {
    let Path(image) = path.map_err(|error| Refusal::new(Kind::Invalid, format!("the path cannot be read: {error}")))?;
    let Query(Piece { size, digest, offset }) =
        query.map_err(|error| Refusal::new(Kind::Invalid, format!("the query cannot be read: {error}")))?;
    Ok((ImageId(image), ExportedCopy { size, digest }, offset))
}

fn answer(copy: &ExportedCopy, arrived: Option<u64>) -> Answer {
    let arrived = ExportArrived { received: arrived.unwrap_or(copy.size), complete: arrived.is_none() };
    crate::api::requests::json(StatusCode::OK, &arrived)
}

pub(super) async fn arrived(
    State(state): State<Inner>,
    Dialer(host): Dialer,
    path: Result<Path<u32>, PathRejection>,
    query: Result<Query<Piece>, QueryRejection>,
) -> Answer {
    let (image, copy, _) = read((path, query))?;
    answer(&copy, state.door.desk.export_arrived(host, image, &copy).await?)
}

pub(super) async fn append(
    State(state): State<Inner>,
    Dialer(host): Dialer,
    path: Result<Path<u32>, PathRejection>,
    query: Result<Query<Piece>, QueryRejection>,
    request: Request,
) -> Answer {
    let (image, copy, offset) = read((path, query)).map_err(Refusal::close)?;
    let _place = state.images.acquire().await;
    // The bytes go to the disk as they come; the host is held back by TCP when the disk is slower than the network.
    let pieces = futures::stream::unfold(request.into_body().into_data_stream(), |mut body| async move {
        let piece = match tokio::time::timeout(STALL, body.next()).await {
            Ok(Some(Ok(piece))) => Ok(piece),
            Ok(Some(Err(error))) => Err(io::Error::other(error)),
            Ok(None) => return None,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the host sent nothing for 60 s")),
        };
        Some((piece, body))
    });
    let reader = Box::pin(StreamReader::new(pieces));
    let came = state.door.desk.export_append(host, image, &copy, offset, reader).await;
    let arrived = came.map_err(|error| Refusal::from(error).close())?;
    if arrived.is_none() {
        tracing::info!(%host, %image, size = copy.size, "a disk's copy became an image");
    }
    answer(&copy, arrived)
}
