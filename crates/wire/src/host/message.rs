//! Messages of the link as both ends pass them around, and the strict way from and to WebSocket messages.
//!
//! What arrives was written by another machine: every function here refuses with an error, bounds what it accepts and
//! never panics.

use super::{Frame, MAX_CHUNK, MAX_FRAME};
use bytes::{BufMut, Bytes, BytesMut};
use holm_model::host_plan::{HostPlan, HostReport, ImageRef};
use holm_model::vms::VmStatus;
use thiserror::Error;

/// Most VMs, absences or networks one frame may name.
pub const MAX_OBJECTS: usize = 20_000;
/// Most strays or complaints one report may name.
pub const MAX_REMARKS: usize = 1_000;
/// Most parts one report may name of one VM.
const MAX_PARTS: usize = 100;
/// Most exports one report may name of one VM.
pub const MAX_EXPORTS: usize = 1_000;
/// Longest stray, complaint or reason, bytes.
pub const MAX_REMARK: usize = 4_096;

/// One message, whatever carries it: WebSocket messages between machines, channels within one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A text message.
    Frame(Frame),
    /// A binary message: data of a stream.
    Chunk {
        /// Which stream.
        stream: u32,
        /// The data, at most [`MAX_CHUNK`] bytes.
        bytes: Bytes,
    },
}

/// A message ready for the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encoded {
    /// Goes out as a text message.
    Text(String),
    /// Goes out as a binary message.
    Binary(Bytes),
}

/// Why a message of the link was refused. The link is to be closed: its other side does not speak the protocol.
#[derive(Debug, Error)]
pub enum FrameError {
    /// A text message was too large to look at.
    #[error("a frame of {size} bytes is larger than the {MAX_FRAME} bytes allowed")]
    FrameTooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// A text message is no frame.
    #[error("a frame of {size} bytes cannot be read")]
    Malformed {
        /// Its size in bytes.
        size: usize,
        /// What the reader says.
        #[source]
        source: serde_json::Error,
    },
    /// A frame says something that no honest sender says.
    #[error("the frame {frame} is refused: {wrong}")]
    Unacceptable {
        /// Its tag.
        frame: &'static str,
        /// What is wrong with it.
        wrong: String,
    },
    /// A binary message has no stream number.
    #[error("a stream message of {size} bytes is too short for its stream number")]
    ChunkTooShort {
        /// Its size in bytes.
        size: usize,
    },
    /// A binary message carries too much.
    #[error("a stream message carries {size} bytes, more than the {MAX_CHUNK} allowed")]
    ChunkTooLarge {
        /// Its payload's size in bytes.
        size: usize,
    },
    /// A frame could not be written as JSON.
    #[error("the frame cannot be written")]
    Unwritable {
        /// What the writer says.
        #[source]
        source: serde_json::Error,
    },
}

impl Message {
    /// Reads a text message.
    ///
    /// # Errors
    /// When it is too large, is not a frame, or names more than a frame may name.
    pub fn from_text(text: &str) -> Result<Self, FrameError> {
        if text.len() > MAX_FRAME {
            return Err(FrameError::FrameTooLarge { size: text.len() });
        }
        let frame: Frame =
            serde_json::from_str(text).map_err(|source| FrameError::Malformed { size: text.len(), source })?;
        frame.check()?;
        Ok(Self::Frame(frame))
    }

    /// Reads a binary message without copying its payload.
    ///
    /// # Errors
    /// When it is too short for a stream number or too large.
    pub fn from_binary(mut message: Bytes) -> Result<Self, FrameError> {
        let Some(head) = message.first_chunk::<4>() else {
            return Err(FrameError::ChunkTooShort { size: message.len() });
        };
        let stream = u32::from_be_bytes(*head);
        let bytes = message.split_off(4);
        if bytes.len() > MAX_CHUNK {
            return Err(FrameError::ChunkTooLarge { size: bytes.len() });
        }
        Ok(Self::Chunk { stream, bytes })
    }

    /// Writes the message the way it goes over the wire.
    ///
    /// # Errors
    /// When it is larger than the other side accepts; it then must not be sent.
    pub fn encode(&self) -> Result<Encoded, FrameError> {
        match self {
            Self::Frame(frame) => {
                let text = serde_json::to_string(frame).map_err(|source| FrameError::Unwritable { source })?;
                if text.len() > MAX_FRAME {
                    return Err(FrameError::FrameTooLarge { size: text.len() });
                }
                Ok(Encoded::Text(text))
            }
            Self::Chunk { bytes, .. } if bytes.len() > MAX_CHUNK => {
                Err(FrameError::ChunkTooLarge { size: bytes.len() })
            }
            Self::Chunk { stream, bytes } => {
                let mut message = BytesMut::with_capacity(4 + bytes.len());
                message.put_u32(*stream);
                message.put_slice(bytes);
                Ok(Encoded::Binary(message.freeze()))
            }
        }
    }
}

impl From<Frame> for Message {
    fn from(frame: Frame) -> Self {
        Self::Frame(frame)
    }
}

impl Frame {
    /// The frame's tag as it is written in JSON, for logs.
    #[must_use]
    pub fn tag(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "hello",
            Self::Welcome { .. } => "welcome",
            Self::Plan(_) => "plan",
            Self::Report(_) => "report",
            Self::Beat => "beat",
            Self::Open { .. } => "open",
            Self::Opened { .. } => "opened",
            Self::Close { .. } => "close",
            Self::Credit { .. } => "credit",
        }
    }

    /// Checks what JSON's grammar does not: counts, lengths, and that digests are digests, since they name files.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), FrameError> {
        let refuse = |wrong: String| Err(FrameError::Unacceptable { frame: self.tag(), wrong });
        let outcome = match self {
            Self::Hello { version, .. } | Self::Welcome { version, .. } if version.len() > 128 => {
                Err(format!("its version is {} bytes long", version.len()))
            }
            Self::Close { why: Some(why), .. } if why.len() > MAX_REMARK => {
                Err(format!("its reason is {} bytes long, more than {MAX_REMARK}", why.len()))
            }
            Self::Plan(plan) => check_plan(plan),
            Self::Report(report) => check_report(report),
            _ => Ok(()),
        };
        outcome.or_else(refuse)
    }
}

fn at_most(what: &str, count: usize, limit: usize) -> Result<(), String> {
    if count > limit { Err(format!("it names {count} {what}, more than {limit}")) } else { Ok(()) }
}

fn check_plan(plan: &HostPlan) -> Result<(), String> {
    at_most("VMs", plan.vms.len(), MAX_OBJECTS)?;
    at_most("absent VMs", plan.absent.len(), MAX_OBJECTS)?;
    at_most("networks", plan.networks.len(), MAX_OBJECTS)?;
    for network in &plan.networks {
        at_most("guarded cards", network.guard.cards.len(), MAX_OBJECTS)?;
        at_most("security groups", network.guard.groups.len(), MAX_OBJECTS)?;
    }
    for vm in &plan.vms {
        if let Some(image) = vm.images().iter().find(|image| !is_digest(image)) {
            let given: String = image.digest.chars().take(80).collect();
            return Err(format!("VM {} uses the image {given:?}, which is no BLAKE3 digest", vm.id));
        }
        if let Some(nic) = vm.nics.iter().find(|nic| !plan.networks.iter().any(|n| n.id == nic.network)) {
            return Err(format!("VM {} uses network {}, which the plan does not describe", vm.id, nic.network));
        }
    }
    Ok(())
}

/// Whether the image's digest is 64 lower-case hex digits. It names a file, so nothing else may pass.
fn is_digest(image: &ImageRef) -> bool {
    image.digest.len() == 64 && image.digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn check_report(report: &HostReport) -> Result<(), String> {
    at_most("VMs", report.vms.len(), MAX_OBJECTS)?;
    at_most("absent VMs", report.absent.len(), MAX_OBJECTS)?;
    at_most("samples", report.samples.as_ref().map_or(0, |samples| samples.vms.len()), MAX_OBJECTS)?;
    at_most("strays", report.strays.len(), MAX_REMARKS)?;
    at_most("complaints", report.complaints.len(), MAX_REMARKS)?;
    at_most("networks", report.networks.len(), MAX_OBJECTS)?;
    for network in &report.networks {
        at_most("security groups", network.groups.len(), MAX_OBJECTS)?;
    }
    let failures = |status: &VmStatus| status.failed.iter().map(|f| f.says.clone()).collect::<Vec<_>>();
    let exports = |status: &VmStatus| status.exports.iter().filter_map(|e| e.message.clone()).collect::<Vec<_>>();
    let more: Vec<String> =
        report.vms.iter().flat_map(|(_, status)| failures(status).into_iter().chain(exports(status))).collect();
    let parts = |status: &VmStatus| status.parcels.as_ref().map_or(0, Vec::len);
    if let Some((vm, _)) = report.vms.iter().find(|(_, status)| parts(status) > MAX_PARTS) {
        return Err(format!("it names more than {MAX_PARTS} parts of VM {vm}"));
    }
    if let Some((vm, _)) = report.vms.iter().find(|(_, status)| status.exports.len() > MAX_EXPORTS) {
        return Err(format!("it names more than {MAX_EXPORTS} exports of VM {vm}"));
    }
    let messages = report.vms.iter().filter_map(|(_, status)| status.message.as_ref()).chain(&more);
    let faults = report.networks.iter().filter_map(|network| network.fault.as_ref());
    let longest = report
        .strays
        .iter()
        .chain(&report.complaints)
        .chain(faults)
        .chain(messages)
        .map(String::len)
        .max()
        .unwrap_or(0);
    if longest > MAX_REMARK {
        return Err(format!("it has a sentence of {longest} bytes, more than {MAX_REMARK}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::VmId;

    #[test]
    fn chunks_round_trip_and_their_limits_hold() {
        let chunk = Message::Chunk { stream: 7, bytes: Bytes::from_static(b"hello") };
        let Encoded::Binary(message) = chunk.encode().expect("fits") else { panic!("a chunk is binary") };
        assert_eq!(message.as_ref(), b"\0\0\0\x07hello");
        assert_eq!(Message::from_binary(message).expect("round trip"), chunk);
        assert!(matches!(Message::from_binary(Bytes::from_static(b"abc")), Err(FrameError::ChunkTooShort { size: 3 })));
        let huge = Bytes::from(vec![0; MAX_CHUNK + 5]);
        assert!(matches!(Message::from_binary(huge.clone()), Err(FrameError::ChunkTooLarge { .. })));
        assert!(matches!(Message::Chunk { stream: 0, bytes: huge }.encode(), Err(FrameError::ChunkTooLarge { .. })));
        assert_eq!(
            Message::from_binary(Bytes::from_static(&[0; 4])).expect("empty payload"),
            Message::Chunk { stream: 0, bytes: Bytes::new() }
        );
    }

    #[test]
    fn text_that_is_no_frame_is_refused_with_a_reason() {
        for text in
            ["", "{}", "[]", "null", "{\"frame\":\"dance\"}", "{\"frame\":\"credit\",\"stream\":-1,\"bytes\":1}"]
        {
            assert!(matches!(Message::from_text(text), Err(FrameError::Malformed { .. })), "{text}");
        }
        let deep = format!("{{\"frame\":\"beat\",\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(matches!(Message::from_text(&deep), Err(FrameError::Malformed { .. })));
        let large = " ".repeat(MAX_FRAME + 1);
        assert!(matches!(Message::from_text(&large), Err(FrameError::FrameTooLarge { .. })));
    }

    #[test]
    fn a_report_with_an_endless_sentence_is_refused() {
        let report = HostReport { strays: vec!["x".repeat(MAX_REMARK + 1)], ..HostReport::default() };
        let text = serde_json::to_string(&Frame::Report(Box::new(report))).expect("is JSON");
        let error = Message::from_text(&text).expect_err("must be refused").to_string();
        assert!(error.contains("4097 bytes"), "{error}");
        let report = HostReport { absent: vec![VmId(1); MAX_OBJECTS + 1], ..HostReport::default() };
        assert!(Frame::Report(Box::new(report)).check().is_err());
    }
}
