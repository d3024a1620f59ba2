//! The first start: what a fresh cloud contains; and what every start puts right.

use crate::change::Asked;
use crate::clusters::public;
use crate::{Desk, Error};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use holm_model::clusters::{Cluster, ClusterSpec};
use holm_model::hosts::Host;
use holm_model::networks::{Network, NetworkDraft, NetworkSpec};
use holm_model::users::{ADMIN_GROUP, ADMIN_USER, Group, Secret, USERS_GROUP, User};
use holm_model::{Attributes, ClusterId, GroupId, Meta, Name, NetworkId, Timestamp};
use holm_store::Tx;

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

fn make_first_objects(tx: &mut Tx, now: Timestamp, password_hash: Secret) -> Result<(), Error> {
    let group = |id: GroupId, name: &str| -> Result<Group, Error> { Ok(Group::new(id, Name::new(name)?, now)) };
    tx.put(group(ADMIN_GROUP, "admins")?);
    tx.put(group(USERS_GROUP, "users")?);
    tx.put(User::new(ADMIN_USER, Name::new("admin")?, vec![ADMIN_GROUP, USERS_GROUP], password_hash, now));
    let meta = |name: &str| -> Result<Meta, Error> {
        Ok(Meta::new(Name::new(name)?, (ADMIN_USER, ADMIN_GROUP), public(), Attributes::default(), now))
    };
    tx.put(Cluster { id: ClusterId(0), meta: meta("default")?, spec: ClusterSpec::default() });
    let spec = NetworkSpec::try_from(NetworkDraft {
        name: "default".into(),
        kind: "nat".into(),
        subnet4: Some("10.77.0.0/16".into()),
        subnet6: Some("fd77::/64".into()),
        dns: DNS.map(String::from).to_vec(),
        ..NetworkDraft::default()
    })?;
    tx.put(Network { id: NetworkId(0), meta: meta("default")?, spec, removing: false });
    Ok(())
}

impl Desk {
    /// Prepares the rows for serving: in a fresh store makes the administrator, the groups, the default cluster and the
    /// default network, and returns the administrator's new password; in every store marks all hosts as not connected,
    /// for no link survives the front-end.
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
                let connected: Vec<_> =
                    tx.list::<Host>().filter(|row| row.value.status.connected).map(|row| row.value.id).collect();
                for id in connected {
                    tx.update::<Host>(id, |host| host.status.connected = false);
                }
                Ok::<_, Error>(())
            })
            .await
            .map_err(Error::from)?;
        Ok(password.map(|password| Bootstrapped { user: "admin".into(), password }))
    }
}
