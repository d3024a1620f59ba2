//! Images.
//!
//! Uploading: `POST /images` without `url`, then `PATCH /images/{image}/content` with the bytes and the header
//! `Upload-Offset` (as often as needed; `HEAD` on the same path tells how much has arrived), then
//! `POST /images/{image}/complete`.

use super::{Meta, Trouble};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /images`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageCreate {
    /// Its name.
    pub name: String,
    /// `disk` (default), `kernel` or `initrd`.
    #[serde(default)]
    pub kind: Option<String>,
    /// Fetch it from this `http` or `https` URL; absent: the client uploads it.
    #[serde(default)]
    pub url: Option<String>,
    /// What the file must hash to: `sha256:HEX`, `sha512:HEX` or `blake3:HEX`.
    #[serde(default)]
    pub digest: Option<String>,
    /// Size of the upload in bytes, where known; refused early when there is no room.
    #[serde(default)]
    pub size: Option<u64>,
}

/// An image.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Image {
    /// Its id.
    pub id: u32,
    /// Name, ownership, permissions, attributes.
    #[serde(flatten)]
    pub meta: Meta,
    /// `disk`, `kernel` or `initrd`.
    pub kind: String,
    /// `awaiting`, `fetching`, `ready`, `failed` or `removing`.
    pub state: String,
    /// Where it comes from: `upload` or the URL.
    pub origin: String,
    /// Bytes received so far.
    pub received: u64,
    /// Bytes expected, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_size: Option<u64>,
    /// `raw` or `qcow2`, once ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Bytes in the file, once ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_size: Option<u64>,
    /// Bytes the guest sees, once ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_size: Option<u64>,
    /// `blake3:HEX` of the file, once ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Ids of VMs that use it.
    pub vms: Vec<u32>,
    /// Why it is as it is.
    pub why: String,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
}
