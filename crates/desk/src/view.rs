//! One consistent picture of the cloud, read with somebody's rights.

use crate::caller::administers;
use crate::list::Listed;
use crate::{Caller, Error, ErrorKind, Intent};
use holm_model::acl::{Acl, AclKind};
use holm_model::clusters::Cluster;
use holm_model::datastores::Datastore;
use holm_model::hosts::{Host, HostPhase};
use holm_model::images::{Image, ImageOrigin, ImagePhase};
use holm_model::networks::Network;
use holm_model::operations::{Operation, OperationState};
use holm_model::permissions::{Access, Permissions};
use holm_model::schedule::ScheduledAction;
use holm_model::security_groups::SecurityGroup;
use holm_model::templates::{Document, NetworkTemplate, Template};
use holm_model::users::{ADMIN_GROUP, Group, JoinToken, Token, User};
use holm_model::vdcs::Vdc;
use holm_model::vm_groups::VmGroup;
use holm_model::vms::{EndedVm, NicLease, Vm, VmState};
use holm_model::zones::Zone;
use holm_model::{Booked, ClusterId, HostId, ImageId, Meta, NetworkId, ObjectKind, ObjectRef, Timestamp, VmId, World};
use holm_plan::rights::Object;
use holm_plan::vm_actions::Standing;
use holm_store::{Noun, Row, Snapshot, State};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// A noun somebody may see or not.
pub trait Seen: Noun {
    /// Ownership and permissions, where it has them.
    fn meta(&self) -> Option<&Meta>;
    /// Whether `caller` may do `access`, its lock aside: what is locked is still seen.
    fn allows(&self, caller: &Caller, access: Access) -> bool;
}

/// A noun with ownership and permissions of its own.
pub trait Owned: Seen {
    /// What access rules call it.
    const ACL_KIND: AclKind;
    /// Ownership and permissions.
    fn owned(&self) -> &Meta;
    /// They, to change them.
    fn owned_mut(&mut self) -> &mut Meta;
    /// The clusters it is in, for rules about clusters.
    fn clusters(&self) -> &[ClusterId];
    /// Whether two objects may have one name.
    const NAMES: Unique;
}

/// Among which objects of a noun a name is unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unique {
    /// It need not be.
    Never,
    /// Among those of one owner.
    PerOwner,
    /// Among all.
    Everywhere,
}

macro_rules! owned {
    ($($noun:ident: $names:ident, $clusters:expr;)*) => {
        $(
            impl Seen for $noun {
                fn meta(&self) -> Option<&Meta> {
                    Some(&self.meta)
                }
                fn allows(&self, caller: &Caller, access: Access) -> bool {
                    caller.may_unlocked(access, Self::ACL_KIND, number(self), &self.meta, Owned::clusters(self))
                }
            }
            impl Owned for $noun {
                const ACL_KIND: AclKind = AclKind::$noun;
                const NAMES: Unique = Unique::$names;
                fn owned(&self) -> &Meta {
                    &self.meta
                }
                fn owned_mut(&mut self) -> &mut Meta {
                    &mut self.meta
                }
                fn clusters(&self) -> &[ClusterId] {
                    let clusters: fn(&Self) -> &[ClusterId] = $clusters;
                    clusters(self)
                }
            }
        )*
    };
}

macro_rules! personal {
    ($($noun:ident: $allows:expr;)*) => {
        $(
            impl Seen for $noun {
                fn meta(&self) -> Option<&Meta> {
                    None
                }
                fn allows(&self, caller: &Caller, access: Access) -> bool {
                    let allows: fn(&Self, &Caller, Access) -> bool = $allows;
                    caller.is_admin() || allows(self, caller, access)
                }
            }
        )*
    };
}

owned! {
    Vm: Never, |_| &[];
    Host: Everywhere, |host| std::slice::from_ref(&host.cluster);
    Cluster: Everywhere, |cluster| std::slice::from_ref(&cluster.id);
    Image: PerOwner, |_| &[];
    Network: PerOwner, |n| &n.clusters;
    Datastore: Everywhere, |datastore| &datastore.clusters;
    SecurityGroup: PerOwner, |_| &[];
    Template: PerOwner, |_| &[];
    NetworkTemplate: PerOwner, |_| &[];
    VmGroup: PerOwner, |_| &[];
    Document: Never, |_| &[];
}

/// Something without an owner and permissions of its own, as the rules see it.
pub(crate) fn ruled(kind: AclKind, id: u32) -> Object<'static> {
    let permissions = Permissions::from_octal(0).unwrap_or_default();
    Object { kind, id, owner: None, groups: &[], permissions, clusters: &[] }
}

/// A user as the rules see it: users see and manage themselves, others by rules.
pub(crate) fn ruled_user(user: &User) -> Object<'_> {
    let permissions = Permissions::from_octal(0o600).unwrap_or_default();
    Object { owner: Some(user.id), groups: &user.groups, permissions, ..ruled(AclKind::User, user.id.0) }
}

/// A group as the rules see it: its members see it.
pub(crate) fn ruled_group(group: &Group) -> Object<'_> {
    let permissions = Permissions::from_octal(0o040).unwrap_or_default();
    Object { groups: std::slice::from_ref(&group.id), permissions, ..ruled(AclKind::Group, group.id.0) }
}

personal! {
    // Those who may do everything are not managed by rules: whoever set the password of one of them would be one.
    User: |user, caller, access| {
        (access == Access::Use || user.id == caller.user_id() || !administers(user))
            && caller.allowed(&ruled_user(user), access)
    };
    Group: |group, caller, access| {
        (access == Access::Use || group.id != ADMIN_GROUP) && caller.allowed(&ruled_group(group), access)
    };
    // Tokens and operations belong to one user and are nobody else's matter.
    Token: |token, caller, _| token.user == caller.user_id() && caller.is_somebody();
    JoinToken: |_, _, _| false;
    Operation: |operation, caller, _| operation.user == caller.user_id() && caller.is_somebody();
    Vdc: |vdc, caller, access| caller.allowed(&ruled(AclKind::Vdc, vdc.id.0), access);
    Acl: |acl, caller, access| caller.allowed(&ruled(AclKind::Acl, acl.id.0), access);
    Zone: |zone, caller, access| caller.allowed(&ruled(AclKind::Zone, zone.id.0), access);
}

impl Seen for EndedVm {
    fn meta(&self) -> Option<&Meta> {
        Some(&self.vm.meta)
    }
    fn allows(&self, caller: &Caller, access: Access) -> bool {
        self.vm.allows(caller, access)
    }
}

/// The number of an object's id.
pub(crate) fn number<T: Noun>(value: &T) -> u32 {
    T::raw(value.id())
}

/// Finds the one object that `key` (an id or a name) means for this caller. Of several with the same name, the
/// caller's own is meant; else the name must be unique among those they may see.
pub(crate) fn find<'a, T: Seen>(state: &'a State, caller: &Caller, key: &str) -> Result<&'a Arc<Row<T>>, Error> {
    let caller = &*caller.seen_from(state);
    let missing = || Error::not_found(T::KIND.noun(), key);
    if !key.is_empty() && key.bytes().all(|b| b.is_ascii_digit()) {
        let number: u32 = key.parse().map_err(|_| missing())?;
        return state
            .get::<T>(T::from_raw(number))
            .filter(|row| row.value.allows(caller, Access::Use))
            .ok_or_else(missing);
    }
    let mut seen: Vec<&Arc<Row<T>>> = state
        .named::<T>(key)
        .into_iter()
        .filter_map(|id| state.get::<T>(id))
        .filter(|row| row.value.allows(caller, Access::Use))
        .collect();
    if seen.len() > 1
        && let Some(own) =
            seen.iter().position(|row| row.value.meta().is_some_and(|meta| meta.owner == caller.user_id()))
    {
        seen = vec![seen[own]];
    }
    match seen.as_slice() {
        [] => Err(missing()),
        [one] => Ok(one),
        several => {
            let ids: Vec<String> = several.iter().map(|row| number(&row.value).to_string()).collect();
            Err(Error::new(
                ErrorKind::Conflict,
                format!("several objects of kind {} are named {key:?}: {}", T::KIND.noun(), ids.join(", ")),
            )
            .hint("Give the id instead of the name."))
        }
    }
}

/// Like [`find`], and the caller must have this access, also against the object's lock.
pub(crate) fn find_for<'a, T: Seen>(
    state: &'a State,
    caller: &Caller,
    key: &str,
    access: Access,
) -> Result<&'a Arc<Row<T>>, Error> {
    let caller = &*caller.seen_from(state);
    let row = find::<T>(state, caller, key)?;
    check_access(&row.value, caller, access)?;
    Ok(row)
}

/// Like [`find_for`], for an object whose id is known.
pub(crate) fn find_id<'a, T: Seen>(
    state: &'a State,
    caller: &Caller,
    id: T::Id,
    access: Access,
) -> Result<&'a Arc<Row<T>>, Error> {
    let caller = &*caller.seen_from(state);
    let row = see::<T>(state, caller, id)?;
    check_access(&row.value, caller, access)?;
    Ok(row)
}

/// An object that the caller may see, locked or not.
pub(crate) fn see<'a, T: Seen>(state: &'a State, caller: &Caller, id: T::Id) -> Result<&'a Arc<Row<T>>, Error> {
    let caller = &*caller.seen_from(state);
    state
        .get::<T>(id)
        .filter(|row| row.value.allows(caller, Access::Use))
        .ok_or_else(|| Error::not_found(T::KIND.noun(), &id.to_string()))
}

/// Refuses what the caller may not do with an object they may see.
pub(crate) fn check_access<T: Seen>(value: &T, caller: &Caller, access: Access) -> Result<(), Error> {
    if !value.allows(caller, access) {
        return Err(denied(value, caller, access));
    }
    let locked = value.meta().is_some_and(|meta| meta.locked_against(access));
    if locked && !caller.is_admin() {
        let called = value.name().map(|name| format!(" ({name})")).unwrap_or_default();
        return Err(Error::new(ErrorKind::Locked, format!("{} {}{called} is locked", T::KIND.noun(), number(value)))
            .hint("Unlock it first."));
    }
    Ok(())
}

fn denied<T: Seen>(value: &T, caller: &Caller, access: Access) -> Error {
    let verb = match access {
        Access::Use => "use",
        Access::Manage => "change",
        Access::Admin => "give away",
    };
    let called = value.name().map(|name| format!(" ({name})")).unwrap_or_default();
    Error::new(
        ErrorKind::Forbidden,
        format!("user {} may not {verb} {} {}{called}", caller.user().name, T::KIND.noun(), number(value)),
    )
    .hint("Ask its owner or an administrator.")
}

/// One consistent picture of everything; cheap to take and to keep. Reads through it check the caller's rights;
/// joins (what uses what) do not: they are for rendering objects the caller may already see.
#[derive(Clone)]
pub struct View(pub(crate) Snapshot);

impl View {
    /// The revision of this picture.
    #[must_use]
    pub fn revision(&self) -> u64 {
        World::revision(&*self.0)
    }

    /// Identifies the cloud.
    #[must_use]
    pub fn cloud(&self) -> Uuid {
        World::cloud(&*self.0)
    }

    /// The picture as decisions read it.
    #[must_use]
    pub fn world(&self) -> &dyn World {
        &*self.0
    }

    /// One object by id or name.
    ///
    /// # Errors
    /// `NotFound` when there is none the caller may see; `Conflict` when the name is not unique among those.
    pub fn get<T: Seen>(&self, caller: &Caller, key: &str) -> Result<Arc<Row<T>>, Error> {
        find::<T>(&self.0, &caller.at(&self.0), key).cloned()
    }

    /// One object by its id.
    ///
    /// # Errors
    /// `NotFound` when there is none the caller may see.
    pub fn get_id<T: Seen>(&self, caller: &Caller, id: T::Id) -> Result<Arc<Row<T>>, Error> {
        see::<T>(&self.0, &caller.at(&self.0), id).cloned()
    }

    /// Every object of a noun that the caller may see, by id.
    pub fn each<'a, T: Seen>(&'a self, caller: &'a Caller) -> impl DoubleEndedIterator<Item = &'a Arc<Row<T>>> + 'a {
        let caller = caller.at(&self.0);
        self.0.list::<T>().filter(move |row| row.value.allows(&caller, Access::Use))
    }

    /// Every object of a noun by id, whoever asks: for rendering what somebody may see of them.
    pub fn rows_of<T: Seen>(&self) -> impl DoubleEndedIterator<Item = &Arc<Row<T>>> + '_ {
        self.0.list::<T>()
    }

    /// The objects of a noun with ids from `first` to `last`, whoever asks.
    pub fn rows_between<T: Seen>(
        &self,
        first: T::Id,
        last: T::Id,
    ) -> impl DoubleEndedIterator<Item = &Arc<Row<T>>> + '_ {
        self.0.between::<T>(first, last)
    }

    /// The clusters whose hosts a network is on.
    #[must_use]
    pub fn clusters_of_network(&self, network: &Network) -> Vec<ClusterId> {
        if network.clusters.is_empty() {
            return self.0.list::<Cluster>().map(|row| row.value.id).collect();
        }
        network.clusters.clone()
    }

    /// The networks that are on the hosts of a cluster, by id.
    #[must_use]
    pub fn networks_in(&self, cluster: ClusterId) -> Vec<NetworkId> {
        let all = self.0.list::<Network>();
        let on = |network: &Network| network.clusters.is_empty() || network.clusters.contains(&cluster);
        all.filter(|row| on(&row.value)).map(|row| row.value.id).collect()
    }

    /// What hosts say is wrong with a network, if anything.
    #[must_use]
    pub fn network_trouble(&self, network: NetworkId) -> Option<String> {
        self.0.list::<Host>().find_map(|row| {
            let seen = row.value.status.networks.iter().find(|seen| seen.network == network)?;
            let fault = seen.fault.as_ref()?;
            Some(format!("host {}: {fault}", row.value.meta.name))
        })
    }

    /// The variables that tell a VM's guest of its cards, such as `ETH0_IP`.
    #[must_use]
    pub fn card_variables(&self, vm: &Vm) -> Vec<(String, String)> {
        holm_plan::context::card_variables(vm, &vm.leases, &*self.0)
    }

    /// The revision at which any object of a noun last changed.
    #[must_use]
    pub fn changed_at<T: Seen>(&self) -> u64 {
        self.0.changed_at::<T>()
    }

    /// One page of a list.
    ///
    /// # Errors
    /// `Invalid` when the query names unknown fields or its cursor belongs to another query.
    pub fn list<T: Listed>(&self, caller: &Caller, query: &crate::ListQuery) -> Result<crate::Page<T>, Error> {
        crate::list::page(self, &caller.at(&self.0), query)
    }

    /// Whether the caller may see the object; of objects that are gone everybody may know the number.
    #[must_use]
    pub fn may_see(&self, caller: &Caller, object: ObjectRef) -> bool {
        fn see<T: Seen>(view: &View, caller: &Caller, id: u32) -> bool {
            view.0.get::<T>(T::from_raw(id)).is_none_or(|row| row.value.allows(caller, Access::Use))
        }
        let caller = &*caller.at(&self.0);
        match object.kind {
            ObjectKind::Vm => see::<Vm>(self, caller, object.id),
            ObjectKind::Host => see::<Host>(self, caller, object.id),
            ObjectKind::Cluster => see::<Cluster>(self, caller, object.id),
            ObjectKind::Image => see::<Image>(self, caller, object.id),
            ObjectKind::Network => see::<Network>(self, caller, object.id),
            ObjectKind::User => see::<User>(self, caller, object.id),
            ObjectKind::Group => see::<Group>(self, caller, object.id),
            ObjectKind::Token => see::<Token>(self, caller, object.id),
            ObjectKind::JoinToken => see::<JoinToken>(self, caller, object.id),
            ObjectKind::Operation => see::<Operation>(self, caller, object.id),
            ObjectKind::Datastore => see::<Datastore>(self, caller, object.id),
            ObjectKind::SecurityGroup => see::<SecurityGroup>(self, caller, object.id),
            ObjectKind::Template => see::<Template>(self, caller, object.id),
            ObjectKind::NetworkTemplate => see::<NetworkTemplate>(self, caller, object.id),
            ObjectKind::VmGroup => see::<VmGroup>(self, caller, object.id),
            ObjectKind::Document => see::<Document>(self, caller, object.id),
            ObjectKind::Vdc => see::<Vdc>(self, caller, object.id),
            ObjectKind::Acl => see::<Acl>(self, caller, object.id),
            ObjectKind::Zone => see::<Zone>(self, caller, object.id),
            ObjectKind::EndedVm => see::<EndedVm>(self, caller, object.id),
        }
    }

    /// An object by its id, whoever asks.
    #[must_use]
    pub fn row<T: Seen>(&self, id: T::Id) -> Option<Arc<Row<T>>> {
        self.0.get::<T>(id).cloned()
    }

    /// The VMs on a host, by id.
    pub fn vms_on(&self, host: HostId) -> impl Iterator<Item = &Row<Vm>> {
        self.0.vms_on_host(host).filter_map(|vm| self.0.get::<Vm>(vm).map(|row| &**row))
    }

    /// Whether a request with this key was carried out before.
    pub(crate) fn is_repeated(&self, caller: &Caller, intent: &Intent) -> bool {
        intent.idempotency_key.as_deref().is_some_and(|key| self.0.operation_by_key(caller.user_id(), key).is_some())
    }

    /// The public state of a VM.
    #[must_use]
    pub fn vm_state(&self, vm: &Vm) -> VmState {
        vm_state(&self.0, vm)
    }

    /// What a VM is, in the words in which actions are allowed or refused.
    #[must_use]
    pub fn vm_standing(&self, vm: &Vm) -> Standing {
        Standing::of(vm, self.world())
    }

    /// When an action of a VM's schedule is due next; `None` when it never is again, or not before the VM has run.
    #[must_use]
    pub fn vm_next_due(&self, vm: &Vm, action: &ScheduledAction) -> Option<Timestamp> {
        holm_plan::vm_actions::schedule::due(action, vm)
    }

    /// The VMs that need this image, by id.
    #[must_use]
    pub fn vms_of_image(&self, image: ImageId) -> Vec<VmId> {
        self.0.vms_of_image(image).collect()
    }

    /// How an image stands, seen by whoever wants to use it.
    #[must_use]
    pub fn image_standing(&self, image: &Image) -> holm_plan::image::Standing {
        holm_plan::image::standing(image, self.0.vms_of_image(image.id).count())
    }

    /// The images that were made as copies of this one, by id.
    #[must_use]
    pub fn clones_of(&self, image: ImageId) -> Vec<ImageId> {
        let all = self.0.list::<Image>();
        all.filter(|row| row.value.spec.origin == ImageOrigin::Copy(image)).map(|row| row.value.id).collect()
    }

    /// The addresses lent in this network, by VM.
    #[must_use]
    pub fn leases(&self, network: NetworkId) -> Vec<(VmId, NicLease)> {
        self.0
            .vms_on_network(network)
            .filter_map(|id| self.0.get::<Vm>(id))
            .flat_map(|row| {
                let of_network = row.value.leases.iter().filter(|lease| lease.network == network);
                of_network.map(|lease| (row.value.id, lease.clone())).collect::<Vec<_>>()
            })
            .collect()
    }

    /// The hosts of a cluster, by id.
    #[must_use]
    pub fn hosts_in(&self, cluster: ClusterId) -> Vec<HostId> {
        self.0.hosts_in(cluster).collect()
    }

    /// What is booked on a host.
    #[must_use]
    pub fn booked(&self, host: HostId) -> Booked {
        World::booked(&*self.0, host)
    }

    /// How an operation stands.
    #[must_use]
    pub fn operation_state(&self, operation: &Operation) -> OperationState {
        holm_plan::operation::state(operation, &*self.0)
    }

    /// How many objects there are in each state, of those the caller may see.
    #[must_use]
    pub fn counts(&self, caller: &Caller) -> Counts {
        let caller = &*caller.at(&self.0);
        let mut counts = Counts::default();
        for row in self.0.list::<Vm>() {
            if row.value.allows(caller, Access::Use) {
                *counts.vms.entry(self.vm_state(&row.value).to_string()).or_default() += 1;
            }
        }
        for row in self.0.list::<Host>() {
            if row.value.allows(caller, Access::Use) {
                *counts.hosts.entry(host_state(&row.value).to_string()).or_default() += 1;
            }
        }
        for row in self.0.list::<Image>() {
            if row.value.allows(caller, Access::Use) {
                *counts.images.entry(image_state(&row.value).to_string()).or_default() += 1;
            }
        }
        counts
    }
}

/// Numbers of objects by state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// VMs.
    pub vms: BTreeMap<String, u64>,
    /// Hosts.
    pub hosts: BTreeMap<String, u64>,
    /// Images.
    pub images: BTreeMap<String, u64>,
}

pub(crate) fn vm_state(state: &State, vm: &Vm) -> VmState {
    let lost =
        vm.phase.host().and_then(|host| state.get::<Host>(host)).is_some_and(|row| row.value.phase == HostPhase::Lost);
    vm.state(lost)
}

/// The word for a host's state: `joining`, `ready`, `lost`, `draining` or `disabled` for a ready host that takes no new
/// VMs, and `offline` for one that nobody looks at.
#[must_use]
pub fn host_state(host: &Host) -> &'static str {
    use holm_model::hosts::Schedulable;
    match (host.phase, host.spec.schedulable) {
        (_, Schedulable::Offline) => "offline",
        (HostPhase::Joining, _) => "joining",
        (HostPhase::Lost, _) => "lost",
        (HostPhase::Ready, Schedulable::Enabled) => "ready",
        (HostPhase::Ready, Schedulable::Draining) => "draining",
        (HostPhase::Ready, Schedulable::Disabled) => "disabled",
    }
}

/// The word for an image's state.
#[must_use]
pub fn image_state(image: &Image) -> &'static str {
    match image.phase {
        ImagePhase::Awaiting => "awaiting",
        ImagePhase::Fetching => "fetching",
        ImagePhase::Ready => "ready",
        ImagePhase::Failed => "failed",
        ImagePhase::Removing => "removing",
    }
}
