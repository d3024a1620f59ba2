//! The agent link.
//!
//! An agent dials the front-end (never the other way round) over mutual TLS, upgrades to a WebSocket at
//! [`LINK_PATH`] and then both sides send [`Frame`]s: text messages carry one JSON frame, binary messages carry
//! stream data (console and screen): 4 bytes stream number, big-endian, then the payload.
//!
//! Order on a fresh link: agent sends `Hello`, front-end answers `Welcome` or closes; the agent sends a full `Report`;
//! the front-end sends a `Plan` at once and whenever it changes; the agent acknowledges it through
//! `HostReport::applied_revision`. Both send `Beat` when they had nothing else to say for [`BEAT_S`] seconds; a side
//! that hears nothing for three times that long closes the link.

use holm_model::host_plan::{HostPlan, HostReport};
use holm_model::{HostId, VmId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

mod message;

pub use message::{Encoded, FrameError, MAX_OBJECTS, MAX_REMARK, MAX_REMARKS, Message};

/// This release's protocol.
pub const PROTOCOL: u32 = 1;
/// Where the link is opened.
pub const LINK_PATH: &str = "/link/v1";
/// Where a host enrols: POST [`JoinRequest`], answered with [`JoinAnswer`].
pub const JOIN_PATH: &str = "/link/v1/join";
/// Where a host asks for a new certificate for a new key: POST [`RenewRequest`], answered with [`RenewAnswer`].
pub const RENEW_PATH: &str = "/link/v1/certificate";
/// Where a host says, over a connection that shows the new certificate, that it has stored it: POST without a body,
/// answered with 204. From then on the old certificate is refused; until then the new one opens nothing else.
pub const RENEWED_PATH: &str = "/link/v1/certificate/stored";
/// Where an agent gets images: GET `{IMAGE_PATH}/{digest}`, ranges supported.
pub const IMAGE_PATH: &str = "/link/v1/images";
/// Where an agent sends a copy of a disk that becomes an image: GET and PUT `{EXPORT_PATH}/{image}`, with the query
/// `size` and `digest` of the copy, and with PUT also `offset`. Both answer [`ExportArrived`].
pub const EXPORT_PATH: &str = "/link/v1/exports";
/// Where an agent sends a part of a VM that moves: GET and PUT `{PART_PATH}/{vm}/{part}`, with the query and the answers of
/// [`EXPORT_PATH`]. The host it goes to gets it at [`IMAGE_PATH`], by its digest.
pub const PART_PATH: &str = "/link/v1/parts";
/// Seconds between beats of an otherwise silent link.
pub const BEAT_S: u64 = 5;
/// Largest text message either side accepts, bytes.
pub const MAX_FRAME: usize = 64 << 20;
/// Largest stream payload in one binary message, bytes.
pub const MAX_CHUNK: usize = 64 << 10;

/// What an enrolling host sends. The request travels over TLS whose server certificate was checked against the
/// fingerprint inside the join token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// The join token's secret part.
    pub secret: String,
    /// A certificate signing request (PKCS#10, PEM); the key never leaves the host.
    pub csr_pem: String,
    /// What the host calls itself.
    pub hostname: String,
    /// The agent's version.
    pub version: String,
}

/// What it gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinAnswer {
    /// The cloud it now belongs to.
    pub cloud: Uuid,
    /// Its id there.
    pub host: HostId,
    /// Its name there.
    pub name: String,
    /// Its client certificate, PEM.
    pub certificate_pem: String,
    /// The certificate of the authority that signed it and the front-end's, PEM.
    pub authority_pem: String,
}

/// What a host sends that wants a new certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewRequest {
    /// A certificate signing request (PKCS#10, PEM) for a new key, which never leaves the host.
    pub csr_pem: String,
}

/// What it gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewAnswer {
    /// Its new client certificate, PEM.
    pub certificate_pem: String,
}

/// How much of a copy of a disk, or of a part of a VM, has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportArrived {
    /// Bytes of this very copy that are safely there; the next piece starts at this offset.
    pub received: u64,
    /// Whether all of it has, and is what it should be.
    pub complete: bool,
}

/// One message of the link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "frame", rename_all = "snake_case")]
pub enum Frame {
    /// Agent: who I am.
    Hello {
        /// Its protocol.
        protocol: u32,
        /// The cloud it was enrolled in.
        cloud: Uuid,
        /// Its id there.
        host: HostId,
        /// Its version.
        version: String,
    },
    /// Front-end: you are expected.
    Welcome {
        /// The protocol both speak.
        protocol: u32,
        /// The front-end's version.
        version: String,
    },
    /// Front-end: what you should look like.
    Plan(Box<HostPlan>),
    /// Agent: what I look like.
    Report(Box<HostReport>),
    /// Either: I am here.
    Beat,
    /// Front-end: connect this stream.
    Open {
        /// Number of the stream, chosen by the front-end, not in use.
        stream: u32,
        /// Which VM.
        vm: VmId,
        /// Which of its ends.
        end: StreamEnd,
    },
    /// Agent: the stream is connected; data may flow.
    Opened {
        /// Which stream.
        stream: u32,
    },
    /// Either: the stream is closed, or could not be opened.
    Close {
        /// Which stream.
        stream: u32,
        /// Why, when it was not simply the end.
        why: Option<String>,
    },
    /// Receiver of stream data: this many more bytes may be sent. Each stream starts with [`STREAM_WINDOW`].
    Credit {
        /// Which stream.
        stream: u32,
        /// How many bytes.
        bytes: u32,
    },
}

/// Bytes a side may send on a fresh stream before it gets credit.
pub const STREAM_WINDOW: u32 = 256 << 10;

/// An end of a VM that can be connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamEnd {
    /// The serial line, live in both directions, preceded by what was on it before.
    Serial,
    /// The log of the serial line, then the end of the stream.
    SerialLog,
    /// The screen, RFB protocol.
    Screen,
}

/// Splits a binary message into stream number and payload.
#[must_use]
pub fn split_chunk(message: &[u8]) -> Option<(u32, &[u8])> {
    let (head, payload) = message.split_first_chunk::<4>()?;
    (payload.len() <= MAX_CHUNK).then(|| (u32::from_be_bytes(*head), payload))
}

/// Joins stream number and payload into a binary message.
#[must_use]
pub fn join_chunk(stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(4 + payload.len());
    message.extend_from_slice(&stream.to_be_bytes());
    message.extend_from_slice(payload);
    message
}
