//! Finds what a VM's draft names, with the caller's rights.

use crate::view::{find, find_for, see};
use crate::{Caller, Error, ErrorKind};
use holm_model::clusters::Cluster;
use holm_model::hosts::Host;
use holm_model::images::{Image, Persistence};
use holm_model::networks::Network;
use holm_model::permissions::Access;
use holm_model::security_groups::SecurityGroup;
use holm_model::users::User;
use holm_model::vm_groups::VmGroup;
use holm_model::vms::{AutoNic, ImageChoice, Resolve, RoleRef};
use holm_model::{ClusterId, HostId, NetworkId, SecurityGroupId, VmId};
use holm_plan::expressions::{Datum, Lookup, Rank, Requirement, attribute_values};
use holm_store::State;

pub(crate) struct Names<'a> {
    pub(crate) state: &'a State,
    pub(crate) caller: &'a Caller,
    /// The VM that is to use what is named, where it exists already.
    pub(crate) by: Option<VmId>,
}

impl Names<'_> {
    /// An object by id or by name. The owner counts with a name alone, for an id says which object is meant.
    fn of_owner<T: crate::Owned>(&self, field: &str, name: &str, owner: Option<&str>) -> Result<&T, Error> {
        let is_id = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
        let Some(owner) = owner.filter(|_| !is_id) else {
            return find_for::<T>(self.state, self.caller, name, Access::Use)
                .map(|row| &row.value)
                .map_err(|e| e.field(field));
        };
        // Whether there is such a user is nobody's business who may not see their objects.
        let missing = || Error::not_found(T::KIND.noun(), name).field(field);
        let owner = match owner.parse::<u32>() {
            Ok(id) => holm_model::UserId(id),
            Err(_) => self.state.named::<User>(owner).first().copied().ok_or_else(missing)?,
        };
        let of_owner = self
            .state
            .named::<T>(name)
            .into_iter()
            .filter_map(|id| self.state.get::<T>(id))
            .find(|row| row.value.owned().owner == owner)
            .ok_or_else(missing)?;
        let row = see::<T>(self.state, self.caller, of_owner.value.id()).map_err(|_| missing())?;
        crate::view::check_access(&row.value, self.caller, Access::Use).map_err(|e| e.field(field))?;
        Ok(&row.value)
    }
}

fn check_network(network: &Network, field: &str) -> Result<(), Error> {
    if network.removing {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("network {} ({}) is being deleted", network.id, network.meta.name),
        )
        .hint("Choose another network.")
        .field(field));
    }
    Ok(())
}

/// What expressions can ask of a network.
struct NetworkValues<'a> {
    network: &'a Network,
    used: i64,
}

impl NetworkValues<'_> {
    /// How many addresses its ranges have.
    fn size(&self) -> i64 {
        self.network.ranges.iter().map(|range| i64::from(range.size)).sum()
    }
}

impl Lookup for NetworkValues<'_> {
    fn values(&self, name: &str, each: &mut dyn FnMut(Datum<'_>)) {
        let network = self.network;
        match name {
            "ID" => each(Datum::Number(network.id.0.into())),
            "NAME" => each(Datum::Text(network.meta.name.as_str())),
            "UID" => each(Datum::Number(network.meta.owner.0.into())),
            "GID" => each(Datum::Number(network.meta.group.0.into())),
            "USED_LEASES" => each(Datum::Number(self.used)),
            "FREE_LEASES" => each(Datum::Number(self.size().saturating_sub(self.used))),
            "CLUSTERS/ID" | "CLUSTER_ID" => {
                for cluster in &network.clusters {
                    each(Datum::Number(cluster.0.into()));
                }
            }
            _ => {
                attribute_values(&network.meta.attributes, name, each);
            }
        }
    }
}

/// Reads a requirement that a draft gives, if it gives one.
pub(crate) fn requirement(field: &str, text: Option<&str>) -> Result<Option<Requirement>, Error> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Ok(None) };
    Requirement::parse(text).map(Some).map_err(|error| unreadable(field, text, &error.to_string()))
}

/// Reads a rank that a draft gives, if it gives one.
pub(crate) fn rank(field: &str, text: Option<&str>) -> Result<Option<Rank>, Error> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Ok(None) };
    Rank::parse(text).map(Some).map_err(|error| unreadable(field, text, &error.to_string()))
}

fn unreadable(field: &str, text: &str, error: &str) -> Error {
    let shown: String = text.chars().take(200).collect();
    Error::new(ErrorKind::Invalid, format!("{field}: {shown:?} cannot be read: {error}"))
        .hint("Correct the expression.")
        .field(field)
}

impl Resolve for Names<'_> {
    type Error = Error;

    fn image(&self, field: &str, name: &str, owner: Option<&str>) -> Result<ImageChoice, Error> {
        let image: &Image = self.of_owner(field, name, owner)?;
        crate::images::check_use(self.state, image, self.by).map_err(|e| e.field(field))?;
        Ok(ImageChoice {
            id: image.id,
            kind: image.spec.kind,
            virtual_mib: image.disk_mib(),
            persistent: image.spec.persistent,
            read_only: image.spec.persistent && image.spec.persistence == Persistence::Immutable,
        })
    }

    fn network(&self, field: &str, name: &str, owner: Option<&str>) -> Result<NetworkId, Error> {
        let network: &Network = self.of_owner(field, name, owner)?;
        check_network(network, field)?;
        Ok(network.id)
    }

    fn any_network(&self, field: &str, wanted: &AutoNic) -> Result<NetworkId, Error> {
        let requirement = requirement(field, wanted.requirements.as_deref())?;
        let rank = rank(field, wanted.rank.as_deref())?;
        let seen = self.state.list::<Network>().map(|row| &row.value).filter(|network| {
            !network.removing && crate::view::check_access(*network, self.caller, Access::Use).is_ok()
        });
        // Without a rank, the network with most free addresses; of equals the oldest.
        let best = seen
            .map(|network| NetworkValues {
                network,
                used: self.state.leases_on(network.id).try_into().unwrap_or(i64::MAX),
            })
            .filter(|values| requirement.as_ref().is_none_or(|wanted| wanted.met(values)))
            .map(|values| {
                let good = rank.as_ref().map_or(values.size().saturating_sub(values.used), |rank| rank.of(&values));
                (good, std::cmp::Reverse(values.network.id))
            })
            .max();
        best.map(|(_, std::cmp::Reverse(id))| id).ok_or_else(|| {
            Error::new(ErrorKind::Invalid, format!("{field}: there is no network you may use that is as required"))
                .hint("Name a network, or require less.")
                .field(field)
        })
    }

    fn security_group(&self, field: &str, name: &str) -> Result<SecurityGroupId, Error> {
        let row = find_for::<SecurityGroup>(self.state, self.caller, name, Access::Use).map_err(|e| e.field(field))?;
        Ok(row.value.id)
    }

    fn role(&self, field: &str, group: &str, role: &str) -> Result<RoleRef, Error> {
        let group =
            &find_for::<VmGroup>(self.state, self.caller, group, Access::Use).map_err(|e| e.field(field))?.value;
        if !group.roles.iter().any(|known| known.name == role) {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("{field}: VM group {} ({}) has no role {role:?}", group.id, group.meta.name),
            )
            .hint("Name one of its roles.")
            .field(field));
        }
        Ok(RoleRef { group: group.id, role: role.to_owned() })
    }

    fn host(&self, field: &str, name: &str) -> Result<HostId, Error> {
        Ok(find::<Host>(self.state, self.caller, name).map_err(|e| e.field(field))?.value.id)
    }

    fn cluster(&self, field: &str, name: &str) -> Result<ClusterId, Error> {
        Ok(find::<Cluster>(self.state, self.caller, name).map_err(|e| e.field(field))?.value.id)
    }
}
