//! Documents: what applications keep in the cloud. Holm does not look into them.

use super::Meta;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /documents`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DocumentCreate {
    /// Its name.
    pub name: String,
    /// The number of its kind, which its application chooses.
    #[serde(default)]
    pub kind: i32,
    /// Its content.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub attributes: serde_json::Map<String, serde_json::Value>,
}

/// `POST /documents/{document}/clone`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DocumentClone {
    /// The new one's name.
    pub name: String,
}

/// A document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Document {
    /// Its id.
    pub id: u32,
    /// Name, ownership, permissions; its content is in `attributes`.
    #[serde(flatten)]
    pub meta: Meta,
    /// The number of its kind.
    pub kind: i32,
}
