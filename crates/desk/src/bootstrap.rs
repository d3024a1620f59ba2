//! The first start: what a fresh cloud contains; and what every start puts right.

use crate::acl::match_vdc;
use crate::change::Asked;
use crate::clusters::public;
use crate::groups::FIRST_VDC;
use crate::{Desk, Error};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use holm_model::clusters::{Cluster, ClusterSpec};
use holm_model::hosts::Host;
use holm_model::networks::{MacAddr, Network, NetworkDraft};
use holm_model::quotas::Quotas;
use holm_model::security_groups::{DEFAULT_SECURITY_GROUP, SecurityGroup};
use holm_model::users::{ADMIN_GROUP, ADMIN_USER, Group, Proof, Secret, USERS_GROUP, User};
use holm_model::vdcs::{Vdc, VdcMember};
use holm_model::zones::{OWN_ZONE, Zone};
use holm_model::{AclId, Attributes, ClusterId, GroupId, Meta, Name, NetworkId, Permissions, Timestamp, UserId, VmId};
use holm_store::Tx;
use std::collections::BTreeSet;

/// The name of the administrator and of the administrators' group.
const ADMIN_NAME: &str = "oneadmin";
/// The service account.
const SERVICE_USER: UserId = UserId(1);

/// What a start made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bootstrapped {
    /// The administrator's name.
    pub user: String,
    /// The administrator's password; to be written into a file that only the administrator can read.
    pub password: Secret,
}

/// Name servers told to guests of the default network. Hosts serve no names on their bridges, so that a guest reaches
/// as little of its host as possible; these are reached from anywhere.
const DNS: [&str; 2] = ["9.9.9.9", "2620:fe::fe"];

/// The id from which administrators' objects are counted, for nouns of which a new cloud has some already.
const FIRST_FREE: u32 = 100;

fn first_meta(name: &str, permissions: Permissions, now: Timestamp) -> Result<Meta, Error> {
    Ok(Meta::new(Name::new(name)?, (ADMIN_USER, ADMIN_GROUP), permissions, Attributes::default(), now))
}

fn make_first_objects(tx: &mut Tx, now: Timestamp, password_hash: Secret) -> Result<(), Error> {
    let group = |id: GroupId, name: &str| -> Result<Group, Error> { Ok(Group::new(id, Name::new(name)?, now)) };
    tx.put(group(ADMIN_GROUP, ADMIN_NAME)?);
    tx.put(group(USERS_GROUP, "users")?);
    tx.put(User::new(ADMIN_USER, Name::new(ADMIN_NAME)?, vec![ADMIN_GROUP], password_hash, now));
    let meta = first_meta("default", public(), now)?;
    tx.put(Cluster { id: ClusterId(0), meta: meta.clone(), spec: ClusterSpec::default() });
    let draft = NetworkDraft {
        name: "default".into(),
        kind: "nat".into(),
        subnet4: Some("10.77.0.0/16".into()),
        subnet6: Some("fd77::/64".into()),
        dns: DNS.map(String::from).to_vec(),
        ..NetworkDraft::default()
    };
    tx.put(Network::drafted(NetworkId(0), meta, draft, MacAddr::for_nic(VmId(0), 0, None))?);
    Ok(())
}

/// The account that other services of the cloud log in with, to act for users. It has no password, so nobody can log
/// in with it before an administrator sets one.
fn make_service_account(tx: &mut Tx, now: Timestamp) -> Result<(), Error> {
    let name = Name::new("serveradmin")?;
    if tx.get::<User>(SERVICE_USER).is_none() && tx.named::<User>(name.as_str()).is_empty() {
        let nothing = Secret(String::new());
        let user = User::new(SERVICE_USER, name, vec![ADMIN_GROUP], nothing, now);
        tx.put(User { proof: Proof::Service, ..user });
    }
    Ok(())
}

/// Makes what every cloud has since there are zones, VDCs and access rules: in a new cloud, and in one whose rows were
/// written before. A zone that is there says that it was done, and that what is missing was deleted on purpose.
fn make_tenancy(tx: &mut Tx, now: Timestamp) -> Result<(), Error> {
    if tx.get::<Zone>(OWN_ZONE).is_some() {
        return Ok(());
    }
    make_service_account(tx, now)?;
    tx.put(Zone {
        id: OWN_ZONE,
        name: Name::new("OpenNebula")?,
        attributes: Attributes::default(),
        enabled: true,
        default_user_quotas: Quotas::default(),
        default_group_quotas: Quotas::default(),
    });
    for (id, content) in (0..).map(AclId).zip(holm_plan::rules::first()) {
        tx.put(content.rule(id, None));
    }
    let everything = || BTreeSet::from([VdcMember { zone: OWN_ZONE, id: None }]);
    let groups = tx.list::<Group>().map(|row| row.value.id).filter(|group| *group != ADMIN_GROUP).collect();
    let vdc = Vdc {
        id: FIRST_VDC,
        name: Name::new("default")?,
        attributes: Attributes::default(),
        groups,
        clusters: everything(),
        hosts: everything(),
        datastores: everything(),
        networks: everything(),
    };
    match_vdc(tx, FIRST_VDC, Some(&vdc));
    tx.put(vdc);
    Ok(())
}

/// Makes what else is not there of what every cloud has.
fn make_missing(tx: &mut Tx, now: Timestamp) -> Result<(), Error> {
    make_tenancy(tx, now)?;
    crate::datastores::ensure_first(tx, now)?;
    if tx.get::<SecurityGroup>(DEFAULT_SECURITY_GROUP).is_none() {
        // Everybody's cards have it when they name no other.
        let permissions = Permissions::from_octal(0o644)?;
        tx.put(SecurityGroup::open(first_meta("default", permissions, now)?));
    }
    tx.raise_ids::<Group>(FIRST_FREE);
    tx.raise_ids::<Cluster>(FIRST_FREE);
    tx.raise_ids::<SecurityGroup>(FIRST_FREE);
    tx.raise_ids::<Vdc>(FIRST_FREE);
    tx.raise_ids::<Zone>(FIRST_FREE);
    Ok(())
}

impl Desk {
    /// Prepares the rows for serving: in a fresh store makes the administrator, the groups, the default cluster and the
    /// default network, and returns the administrator's new password; in every store makes what else every cloud has
    /// and is not there, and marks all hosts as not connected, for no link survives the front-end.
    ///
    /// # Errors
    /// When the store does not take it.
    pub async fn bootstrap(&self) -> Result<Option<Bootstrapped>, Error> {
        let fresh = self.view().row::<User>(ADMIN_USER).is_none();
        let mut password = None;
        let mut hash = None;
        if fresh {
            let mut bytes = [0; 18];
            self.0.entropy.fill(&mut bytes);
            let text = Secret(URL_SAFE_NO_PAD.encode(bytes));
            hash = Some(self.hash(text.clone()).await?);
            password = Some(text);
        }
        let now = self.now();
        self.0
            .store
            .write(move |tx| {
                if let Some(hash) = hash {
                    make_first_objects(tx, now, hash)?;
                    tx.audit(Asked::by_itself(now, "cloud.create"));
                }
                make_missing(tx, now)?;
                let connected: Vec<_> =
                    tx.list::<Host>().filter(|row| row.value.status.connected).map(|row| row.value.id).collect();
                for id in connected {
                    tx.update::<Host>(id, |host| host.status.connected = false);
                }
                Ok::<_, Error>(())
            })
            .await
            .map_err(Error::from)?;
        Ok(password.map(|password| Bootstrapped { user: ADMIN_NAME.into(), password }))
    }
}
