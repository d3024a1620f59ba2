//! Zones, and what is set for the whole cloud.

use crate::acl::require_all;
use crate::change::Asked;
use crate::view::{find, find_id};
use crate::{Caller, Desk, Error, ErrorKind, Intent};
use holm_model::acl::AclKind;
use holm_model::permissions::Access;
use holm_model::quotas::Quotas;
use holm_model::zones::{OWN_ZONE, Zone};
use holm_model::{AttributeValue, Attributes, Name, ZoneId};
use holm_store::{Noun, Row, State, Tx};
use std::sync::Arc;

/// What a disabled zone still does: it lets people in, so that somebody can enable it.
const ALWAYS: &[&str] = &["session.create", "token.create", "token.revoke", "zone.enable"];

/// Refuses changes while the zone is disabled.
pub(crate) fn check_enabled(state: &State, action: &str) -> Result<(), Error> {
    let disabled = state.get::<Zone>(OWN_ZONE).is_some_and(|zone| !zone.value.enabled);
    if disabled && !ALWAYS.contains(&action) {
        return Err(Error::new(ErrorKind::Conflict, "the zone is disabled and only answers questions")
            .hint("An administrator enables it again."));
    }
    Ok(())
}

/// A change of a zone. What is not given stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZoneChange {
    /// A new name.
    pub name: Option<String>,
    /// Whether it takes changes.
    pub enabled: Option<bool>,
    /// Attributes by name with their new values; none take the attribute away. Those not named stay.
    pub attributes: Vec<(String, Vec<AttributeValue>)>,
}

fn set_name(state: &State, zone: &mut Zone, name: String) -> Result<(), Error> {
    let name = Name::new(name)?;
    if state.named::<Zone>(name.as_str()).into_iter().any(|other| other != zone.id) {
        return Err(crate::users::taken("zone", &name));
    }
    zone.name = name;
    Ok(())
}

impl Desk {
    pub(crate) async fn zone_edit(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: ZoneId,
        (action, access): (&'static str, Access),
        work: impl FnOnce(&Tx, &Asked, &mut Zone) -> Result<(), Error> + Send + 'static,
    ) -> Result<Arc<Row<Zone>>, Error> {
        self.change(caller, intent, action, move |tx, asked| {
            let row = find_id::<Zone>(tx, &asked.caller, id, access)?.clone();
            asked.precondition(&row)?;
            let mut zone = row.value.clone();
            work(tx, asked, &mut zone)?;
            tx.put(zone);
            Ok(((), Some(Zone::object(id))))
        })
        .await?;
        self.present::<Zone>(id)
    }

    /// Changes a zone's name and attributes (access manage), and whether it takes changes (access admin): all of it or
    /// nothing.
    ///
    /// # Errors
    /// When there is none, the caller may not, or a value is refused.
    pub async fn zone_change(
        &self,
        caller: &Caller,
        intent: &Intent,
        key: &str,
        change: ZoneChange,
    ) -> Result<Arc<Row<Zone>>, Error> {
        let id = find::<Zone>(&self.view().0, caller, key)?.value.id;
        // A disabled zone takes no change but the one that enables it.
        let (action, access) = match change.enabled {
            Some(_) => ("zone.enable", Access::Admin),
            None => ("zone.change", Access::Manage),
        };
        self.zone_edit(caller, intent, id, (action, access), move |state, _, zone| {
            if let Some(name) = change.name {
                set_name(state, zone, name)?;
            }
            change.attributes.into_iter().for_each(|(name, values)| zone.attributes.set(&name, values));
            zone.enabled = change.enabled.unwrap_or(zone.enabled);
            Ok(zone.attributes.check()?)
        })
        .await
    }

    /// Gives a zone another name. Needs access manage.
    ///
    /// # Errors
    /// When there is none, the caller may not, or the name is refused or taken.
    pub async fn zone_rename(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: ZoneId,
        name: String,
    ) -> Result<Arc<Row<Zone>>, Error> {
        self.zone_edit(caller, intent, id, ("zone.rename", Access::Manage), move |state, _, zone| {
            set_name(state, zone, name)
        })
        .await
    }

    /// Changes a zone's attributes. Needs access manage.
    ///
    /// # Errors
    /// When there is none, the caller may not, or the attributes become too many or too large.
    pub async fn zone_attributes_change(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: ZoneId,
        work: impl FnOnce(&mut Attributes) -> Result<(), Error> + Send + 'static,
    ) -> Result<Arc<Row<Zone>>, Error> {
        self.zone_edit(caller, intent, id, ("zone.change", Access::Manage), move |_, _, zone| {
            work(&mut zone.attributes)?;
            Ok(zone.attributes.check()?)
        })
        .await
    }

    /// Enables a zone or disables it: then it only answers questions. Needs access admin.
    ///
    /// # Errors
    /// When there is none or the caller may not.
    pub async fn zone_enable(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: ZoneId,
        enabled: bool,
    ) -> Result<Arc<Row<Zone>>, Error> {
        self.zone_edit(caller, intent, id, ("zone.enable", Access::Admin), move |_, _, zone| {
            zone.enabled = enabled;
            Ok(())
        })
        .await
    }

    /// Sets the quotas of users that have none of their own, or of groups that have none. Needs access admin to zones.
    ///
    /// # Errors
    /// When the caller may not, or the quotas mean nothing.
    pub async fn default_quotas_set(
        &self,
        caller: &Caller,
        intent: &Intent,
        of_groups: bool,
        quotas: Quotas,
    ) -> Result<Arc<Row<Zone>>, Error> {
        crate::quotas::check_quotas(&quotas)?;
        self.default_quotas_edit(caller, intent, of_groups, move |_, _, place| {
            *place = quotas;
            Ok(())
        })
        .await
    }

    pub(crate) async fn default_quotas_edit(
        &self,
        caller: &Caller,
        intent: &Intent,
        of_groups: bool,
        work: impl FnOnce(&Tx, &Asked, &mut Quotas) -> Result<(), Error> + Send + 'static,
    ) -> Result<Arc<Row<Zone>>, Error> {
        self.zone_edit(caller, intent, OWN_ZONE, ("zone.quotas", Access::Admin), move |tx, asked, zone| {
            require_all(&asked.caller, AclKind::Zone, Access::Admin, "set default quotas")?;
            work(tx, asked, if of_groups { &mut zone.default_group_quotas } else { &mut zone.default_user_quotas })
        })
        .await
    }
}
