//! Typed ids: small integers, one sequence per noun, never used twice.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;
            fn from_str(s: &str) -> Result<Self, Self::Err> {
                s.parse().map(Self)
            }
        }

        impl From<u32> for $name {
            fn from(raw: u32) -> Self {
                Self(raw)
            }
        }
    };
}

id!(/// A virtual machine.
    VmId);
id!(/// A host: one machine that runs an agent.
    HostId);
id!(/// A cluster of hosts.
    ClusterId);
id!(/// An image.
    ImageId);
id!(/// A virtual network.
    NetworkId);
id!(/// A place where images or running VMs' disks are kept.
    DatastoreId);
id!(/// A set of packet filter rules.
    SecurityGroupId);
id!(/// A VM template.
    TemplateId);
id!(/// A network template.
    NetworkTemplateId);
id!(/// A group of VMs with affinity rules.
    VmGroupId);
id!(/// A document: a typed bag of attributes that other services keep.
    DocumentId);
id!(/// A virtual data center: which groups may use which resources.
    VdcId);
id!(/// An access rule.
    AclId);
id!(/// A zone: one front-end of a federation.
    ZoneId);
id!(/// A user account.
    UserId);
id!(/// A group of users.
    GroupId);
id!(/// An access token of a user.
    TokenId);
id!(/// A single-use token with which a host joins.
    JoinTokenId);
id!(/// A long-running request, whose state is derived from the object it concerns.
    OperationId);
