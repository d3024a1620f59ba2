//! Access rules as OpenNebula writes them, such as `@1 VM+IMAGE/* CREATE *`.

use super::{Acl, AclKind, AclScope, AclSubject, Rights};
use std::fmt;

impl AclKind {
    /// What rules call the kind.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Vm => "VM",
            Self::Host => "HOST",
            Self::Network => "NET",
            Self::Image => "IMAGE",
            Self::User => "USER",
            Self::Template => "TEMPLATE",
            Self::Group => "GROUP",
            Self::Acl => "ACL",
            Self::Datastore => "DATASTORE",
            Self::Cluster => "CLUSTER",
            Self::Document => "DOCUMENT",
            Self::Zone => "ZONE",
            Self::SecurityGroup => "SECGROUP",
            Self::Vdc => "VDC",
            Self::VirtualRouter => "VROUTER",
            Self::Marketplace => "MARKETPLACE",
            Self::MarketplaceApp => "MARKETPLACEAPP",
            Self::VmGroup => "VMGROUP",
            Self::NetworkTemplate => "VNTEMPLATE",
            Self::Hook => "HOOK",
            Self::BackupJob => "BACKUPJOB",
        }
    }

    /// What everything else calls it, in lower case.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Self::Vm => "vm",
            Self::Host => "host",
            Self::Network => "network",
            Self::Image => "image",
            Self::User => "user",
            Self::Template => "template",
            Self::Group => "group",
            Self::Acl => "acl",
            Self::Datastore => "datastore",
            Self::Cluster => "cluster",
            Self::Document => "document",
            Self::Zone => "zone",
            Self::SecurityGroup => "security_group",
            Self::Vdc => "vdc",
            Self::VirtualRouter => "virtual_router",
            Self::Marketplace => "marketplace",
            Self::MarketplaceApp => "marketplace_app",
            Self::VmGroup => "vm_group",
            Self::NetworkTemplate => "network_template",
            Self::Hook => "hook",
            Self::BackupJob => "backup_job",
        }
    }

    /// The kind with this word or noun, whatever its case.
    #[must_use]
    pub fn of_word(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| text.eq_ignore_ascii_case(kind.word()) || text.eq_ignore_ascii_case(kind.noun()))
    }
}

impl Rights {
    /// Each right with its word.
    pub const WORDS: [(Self, &'static str); 4] =
        [(Self::USE, "USE"), (Self::MANAGE, "MANAGE"), (Self::ADMIN, "ADMIN"), (Self::CREATE, "CREATE")];

    /// The words of the rights in the set.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        Self::WORDS.into_iter().filter(move |(right, _)| self.has(*right)).map(|(_, word)| word)
    }

    /// The right with this word, whatever its case.
    #[must_use]
    pub fn of_word(text: &str) -> Option<Self> {
        Self::WORDS.into_iter().find(|(_, word)| text.eq_ignore_ascii_case(word)).map(|(right, _)| right)
    }
}

impl fmt::Display for Acl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.subject {
            AclSubject::User(id) => write!(f, "#{id} ")?,
            AclSubject::Group(id) => write!(f, "@{id} ")?,
            AclSubject::Everybody => f.write_str("* ")?,
        }
        let kinds: Vec<&str> =
            AclKind::ALL.into_iter().filter(|kind| self.kinds.has(*kind)).map(AclKind::word).collect();
        f.write_str(&kinds.join("+"))?;
        match self.scope {
            AclScope::One(id) => write!(f, "/#{id} ")?,
            AclScope::Group(id) => write!(f, "/@{id} ")?,
            AclScope::Cluster(id) => write!(f, "/%{id} ")?,
            AclScope::All => f.write_str("/* ")?,
        }
        f.write_str(&self.rights.words().collect::<Vec<_>>().join("+"))?;
        match self.zone {
            Some(zone) => write!(f, " #{zone}"),
            None => f.write_str(" *"),
        }
    }
}
