//! Files on their way from hosts: copies of VMs' disks that become images, and parts of VMs that move.

use super::door::{Dialer, Inner};
use crate::problem::{Answer, Kind, Refusal};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use futures::StreamExt as _;
use holm_desk::ExportedCopy;
use holm_model::vms::Part;
use holm_model::{ImageId, VmId};
use holm_wire::host::ExportArrived;
use http::StatusCode;
use serde::Deserialize;
use std::io;
use std::time::Duration;
use tokio::io::AsyncRead;
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

type Which<T> = Result<Path<T>, PathRejection>;
type Of = Result<Query<Piece>, QueryRejection>;

fn read<T>(path: Which<T>, query: Of) -> Result<(T, ExportedCopy, u64), Refusal> {
    let Path(which) = path.map_err(|error| Refusal::new(Kind::Invalid, format!("the path cannot be read: {error}")))?;
    let Query(Piece { size, digest, offset }) =
        query.map_err(|error| Refusal::new(Kind::Invalid, format!("the query cannot be read: {error}")))?;
    Ok((which, ExportedCopy { size, digest }, offset))
}

fn read_part(path: Which<(u32, String)>, query: Of) -> Result<(VmId, Part, ExportedCopy, u64), Refusal> {
    let ((vm, part), copy, offset) = read(path, query)?;
    let part = part.parse().map_err(|error| Refusal::from(holm_desk::Error::from(error)))?;
    Ok((VmId(vm), part, copy, offset))
}

fn answer(copy: &ExportedCopy, arrived: Option<u64>) -> Answer {
    let arrived = ExportArrived { received: arrived.unwrap_or(copy.size), complete: arrived.is_none() };
    crate::api::requests::json(StatusCode::OK, &arrived)
}

pub(super) async fn arrived(State(state): State<Inner>, Dialer(host): Dialer, path: Which<u32>, query: Of) -> Answer {
    let (image, copy, _) = read(path, query)?;
    answer(&copy, state.door.desk.export_arrived(host, ImageId(image), &copy).await?)
}

pub(super) async fn append(
    State(state): State<Inner>,
    Dialer(host): Dialer,
    path: Which<u32>,
    query: Of,
    request: Request,
) -> Answer {
    let (image, copy, offset) = read(path, query).map_err(Refusal::close)?;
    let _place = state.images.acquire().await;
    let came = state.door.desk.export_append(host, ImageId(image), &copy, offset, body(request)).await;
    let arrived = came.map_err(|error| Refusal::from(error).close())?;
    if arrived.is_none() {
        tracing::info!(%host, %image, size = copy.size, "a disk's copy became an image");
    }
    answer(&copy, arrived)
}

pub(super) async fn part_arrived(
    State(state): State<Inner>,
    Dialer(host): Dialer,
    path: Which<(u32, String)>,
    query: Of,
) -> Answer {
    let (vm, part, copy, _) = read_part(path, query)?;
    answer(&copy, state.door.desk.part_arrived(host, vm, part, &copy).await?)
}

pub(super) async fn part_append(
    State(state): State<Inner>,
    Dialer(host): Dialer,
    path: Which<(u32, String)>,
    query: Of,
    request: Request,
) -> Answer {
    let (vm, part, copy, offset) = read_part(path, query).map_err(Refusal::close)?;
    let _place = state.images.acquire().await;
    let came = state.door.desk.part_append(host, vm, part, &copy, offset, body(request)).await;
    let arrived = came.map_err(|error| Refusal::from(error).close())?;
    if arrived.is_none() {
        tracing::info!(%host, %vm, %part, size = copy.size, "a part of a vm that moves has arrived");
    }
    answer(&copy, arrived)
}

/// The bytes of a request. They go to the disk as they come; the host is held back by TCP when the disk is slower than
/// the network.
fn body(request: Request) -> impl AsyncRead + Send + Unpin {
    let pieces = futures::stream::unfold(request.into_body().into_data_stream(), |mut body| async move {
        let piece = match tokio::time::timeout(STALL, body.next()).await {
            Ok(Some(Ok(piece))) => Ok(piece),
            Ok(Some(Err(error))) => Err(io::Error::other(error)),
            Ok(None) => return None,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the host sent nothing for 60 s")),
        };
        Some((piece, body))
    });
    Box::pin(StreamReader::new(pieces))
}
