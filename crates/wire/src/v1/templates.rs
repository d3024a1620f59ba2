//! Templates that VMs are made from.

use super::{Meta, MetaChange, VmCreate};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A template that VMs are made from.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Template {
    /// Its id.
    pub id: u32,
    /// Name, ownership, permissions. Its attributes are what it says, in the terms of OpenNebula's interface: every VM
    /// made of it is made of these.
    #[serde(flatten)]
    pub meta: Meta,
    /// The request for a VM that it is, as far as it can be read as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm: Option<VmCreate>,
    /// Why it cannot be read as a request for a VM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// What it asks of whoever makes a VM of it.
    #[serde(default)]
    pub inputs: Vec<UserInput>,
}

/// What a template asks of whoever makes a VM of it. The answer is put in place of `$NAME` in its requirements and ranks
/// and in the variables and the host name of its context.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserInput {
    /// Its name: capitals, digits and `_`.
    pub name: String,
    /// `text` (default), `text64`, `password`, `number`, `number-float`, `range`, `range-float`, `list`, `list-multiple`,
    /// `boolean` or `fixed`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// What is asked.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Whether it must be answered.
    #[serde(default)]
    pub mandatory: bool,
    /// The answers of a list; the lowest and the highest of a range as `LOW..HIGH`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// The answer where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

/// `POST /templates`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TemplateCreate {
    /// Its name.
    pub name: String,
    /// The request for a VM that it is. What this does not say has its default when a VM is made.
    #[serde(default)]
    pub vm: VmCreate,
    /// What it asks of whoever makes a VM of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<UserInput>,
}

/// `PATCH /templates/{template}`. What is not given stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TemplateChange {
    /// Name, ownership, permissions, and attributes in the terms of OpenNebula's interface.
    #[serde(flatten)]
    pub meta: MetaChange,
    /// What is laid over the request that it is: what this says, it says from now on. Lists (disks, network cards) are
    /// replaced whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<VmCreate>,
    /// What it asks from now on, in place of all it asked before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Vec<UserInput>>,
}

/// `POST /templates/{template}/instantiate`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TemplateInstantiate {
    /// The VM's name; default the template's, and the VM's id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What is laid over the template. Lists (disks, network cards) are replaced whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<VmCreate>,
    /// Answers to what it asks, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, String>,
    /// Whether the VM waits to be released before it is placed.
    #[serde(default)]
    pub hold: bool,
    /// Whether template and images are copied first and the VM is made of the copies: what it writes on its disks stays
    /// when it ends.
    #[serde(default)]
    pub persistent: bool,
}

/// `POST /templates/{template}/clone`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TemplateClone {
    /// The copy's name.
    pub name: String,
    /// Whether the images of its disks are copied as well, and the copy uses those.
    #[serde(default)]
    pub with_images: bool,
}
