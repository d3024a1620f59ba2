//! Images.
//!
//! Uploading: `POST /images` without `url`, then `PATCH /images/{image}/content` with the bytes and the header
//! `Upload-Offset` (as often as needed; `HEAD` on the same path tells how much has arrived), then
//! `POST /images/{image}/complete`.

use super::{Meta, MetaChange, Trouble};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /images`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageCreate {
    /// Its name.
    pub name: String,
    /// `disk` (default), `cdrom`, `datablock`, `kernel`, `initrd`, `context`, `backup` or `filesystem`.
    #[serde(default)]
    pub kind: Option<String>,
    /// Fetch it from this `http` or `https` URL. Of `url`, `path` and `empty` at most one is given; without any, the
    /// client uploads it.
    #[serde(default)]
    pub url: Option<String>,
    /// Copy it from this file of the front-end, in a directory that its configuration allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// An empty disk or datablock, ready at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty: Option<EmptyImage>,
    /// What the file must hash to: `sha256:HEX`, `sha512:HEX` or `blake3:HEX`.
    #[serde(default)]
    pub digest: Option<String>,
    /// Size of the upload in bytes, where known; refused early when there is no room.
    #[serde(default)]
    pub size: Option<u64>,
    /// The datastore it is counted in, by id or name; default the one made at first start for its kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datastore: Option<String>,
    /// Whether VMs have it itself instead of copies of it.
    #[serde(default)]
    pub persistent: bool,
    /// How it is shared while it is persistent: `exclusive` (default), `immutable` or `shareable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence: Option<String>,
    /// Whether it may exceed its datastore's limit; administrators only.
    #[serde(default)]
    pub over_limit: bool,
    /// Free text kept with it.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub attributes: serde_json::Map<String, serde_json::Value>,
}

/// An empty disk to be made.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EmptyImage {
    /// Its size, MiB.
    pub size_mib: u64,
    /// The file system that guests are to expect, such as `ext4`; kept as given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_system: Option<String>,
}

/// `PATCH /images/{image}`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageChange {
    /// Name, ownership, permissions, attributes.
    #[serde(flatten)]
    pub meta: MetaChange,
    /// Another kind of disk, or another kind of file; not while VMs use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Whether VMs have it itself instead of copies of it; not while VMs use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent: Option<bool>,
    /// Whether VMs may begin to use it; it is not disabled while VMs use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// `POST /images/{image}/clone`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageClone {
    /// The name of the copy.
    pub name: String,
    /// The datastore it is counted in, by id or name; default that of the original.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datastore: Option<String>,
}

/// An image.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Image {
    /// Its id.
    pub id: u32,
    /// Name, ownership, permissions, attributes.
    #[serde(flatten)]
    pub meta: Meta,
    /// `disk`, `cdrom`, `datablock`, `kernel`, `initrd`, `context`, `backup` or `filesystem`.
    pub kind: String,
    /// `awaiting`, `fetching`, `ready`, `failed` or `removing`.
    pub state: String,
    /// Where it comes from: `upload`, the URL, the path, or in words.
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
    /// Id of the datastore it is counted in.
    #[serde(default)]
    pub datastore: u32,
    /// What it takes of its datastore and of quotas, MiB.
    #[serde(default)]
    pub size_mib: u64,
    /// Whether VMs have it itself instead of copies of it.
    #[serde(default)]
    pub persistent: bool,
    /// How it is shared while it is persistent: `exclusive`, `immutable` or `shareable`.
    #[serde(default)]
    pub persistence: String,
    /// Whether VMs may begin to use it.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Earlier contents that are kept, oldest first.
    #[serde(default)]
    pub snapshots: Vec<ImageSnapshot>,
    /// Ids of the images that were made as copies of it.
    #[serde(default)]
    pub clones: Vec<u32>,
    /// Ids of VMs that use it.
    pub vms: Vec<u32>,
    /// Why it is as it is.
    pub why: String,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
}

fn yes() -> bool {
    true
}

/// An earlier content of a persistent image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImageSnapshot {
    /// Its number within the image.
    pub id: u32,
    /// What it is called.
    pub name: String,
    /// The snapshot it continues; absent: the image as it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u32>,
    /// When it was made.
    pub created_at: String,
    /// Bytes the guest sees.
    pub virtual_size: u64,
    /// Whether the image's content continues it.
    pub current: bool,
}
