//! What the change feed says: which object changed, and how.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The nouns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each variant is the noun it names")]
pub enum ObjectKind {
    Vm,
    Host,
    Cluster,
    Image,
    Network,
    Datastore,
    SecurityGroup,
    Template,
    NetworkTemplate,
    VmGroup,
    Document,
    Vdc,
    Acl,
    Zone,
    EndedVm,
    User,
    Group,
    Token,
    JoinToken,
    Operation,
}

impl ObjectKind {
    /// The noun in lower case, as used in messages and paths.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Self::Vm => "vm",
            Self::Host => "host",
            Self::Cluster => "cluster",
            Self::Image => "image",
            Self::Network => "network",
            Self::Datastore => "datastore",
            Self::SecurityGroup => "security_group",
            Self::Template => "template",
            Self::NetworkTemplate => "network_template",
            Self::VmGroup => "vm_group",
            Self::Document => "document",
            Self::Vdc => "vdc",
            Self::Acl => "acl",
            Self::Zone => "zone",
            Self::EndedVm => "ended_vm",
            Self::User => "user",
            Self::Group => "group",
            Self::Token => "token",
            Self::JoinToken => "join_token",
            Self::Operation => "operation",
        }
    }
}

/// One object, whatever its noun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Its noun.
    pub kind: ObjectKind,
    /// Its id within the noun.
    pub id: u32,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.noun(), self.id)
    }
}

/// How an object changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeVerb {
    /// It was created or changed.
    Put,
    /// It is gone.
    Deleted,
}

/// One change of one object in one revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which object.
    pub object: ObjectRef,
    /// How it changed.
    pub verb: ChangeVerb,
}
