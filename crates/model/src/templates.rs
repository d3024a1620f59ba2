//! Templates and documents: objects that are little more than an owned bag of attributes.

use crate::{DocumentId, Meta, NetworkTemplateId, TemplateId};

/// What VMs are made from. Its attributes are the body, in the terms of the door it came through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Its id.
    pub id: TemplateId,
    /// Name, ownership, permissions, body.
    pub meta: Meta,
}

/// What networks are made from by users who may not decide about the underlying devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkTemplate {
    /// Its id.
    pub id: NetworkTemplateId,
    /// Name, ownership, permissions, body.
    pub meta: Meta,
}

/// A typed bag of attributes that other services keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its id.
    pub id: DocumentId,
    /// Name, ownership, permissions, body.
    pub meta: Meta,
    /// What kind of document it is; the meaning belongs to the services.
    pub kind: i32,
}
