//! Access rules, and why somebody may do something.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /acls`: either `rule`, or the other fields.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AclCreate {
    /// The whole rule as OpenNebula writes it: `SUBJECT KINDS/OBJECTS RIGHTS [ZONE]`, such as `@1 VM+IMAGE/#4 USE *`.
    /// `#` is an id, `@` a group, `%` a cluster, `*` everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "@1 VM+IMAGE/#4 USE *")]
    pub rule: Option<String>,
    /// The user it allows something, by id or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The group whose members it allows something. Without user and group: everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Kinds of objects: `vm`, `host`, `network`, `image`, `user`, `template`, `group`, `datastore`, `cluster`, ...
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<String>,
    /// Only the object with this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u32>,
    /// Only objects of this group, by id or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_group: Option<String>,
    /// Only objects in this cluster, by id or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_cluster: Option<String>,
    /// `use`, `manage`, `admin`, `create`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rights: Vec<String>,
    /// Only in this zone, by id or name; default: in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// An access rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Acl {
    /// Its id.
    pub id: u32,
    /// The rule as OpenNebula writes it.
    #[schema(example = "@1 VM+IMAGE/#4 USE *")]
    pub rule: String,
    /// The same in plain words.
    #[schema(example = "members of group users may use the vm and image 4")]
    pub says: String,
    /// The user it allows something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<u32>,
    /// The group whose members it allows something. Without user and group: everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
    /// Kinds of objects.
    pub kinds: Vec<String>,
    /// Only the object with this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<u32>,
    /// Only objects of this group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_group: Option<u32>,
    /// Only objects in this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_cluster: Option<u32>,
    /// What it allows: `use`, `manage`, `admin`, `create`.
    pub rights: Vec<String>,
    /// Only in this zone; absent: in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<u32>,
    /// The VDC it follows from; such rules come and go with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vdc: Option<u32>,
    /// Revision of its last change.
    pub revision: u64,
}

/// Answer of `GET /acls/check`: whether a user may do something, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AclVerdict {
    /// Whether the user may.
    pub allowed: bool,
    /// What decides: `administrator`, `owner`, `group`, `others` (the object's permissions), `rule`, `account` (it is
    /// disabled), `lock` (the object is locked) or `nothing`.
    #[schema(example = "rule")]
    pub because: String,
    /// The same as a sentence.
    #[schema(example = "rule 7 allows it: user anna may use vm 4")]
    pub says: String,
    /// The rule that allows it, where one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Acl>,
}
