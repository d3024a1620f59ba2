//! What a VM's role in a VM group asks of hosts: to be with others, apart from others, on these hosts, not on those.
//!
//! Two things count. VMs whose phase names a host, and those booked on the board, keep others away; one that is to leave
//! or to be removed does so until it is gone, but does not draw others to its host any more. And roles that belong
//! together, also by way of a third, are one company: it has one host, which is one that all of its roles may be on, so
//! that the first VM to be placed does not go where the others cannot follow.
//!
//! A board reads a group once and keeps it up to date with what is booked: ten thousand VMs of a group cost one look at
//! them, and then a look into a map per host. Rules hold for placements: changing a group moves nobody.

use holm_model::vm_groups::{RolePolicy, VmGroup};
use holm_model::vms::{RoleRef, Vm, VmPhase};
use holm_model::{HostId, VmGroupId, VmId, World};
use std::collections::{BTreeMap, BTreeSet};

/// The VMs of one role on one host.
type Residents = BTreeSet<VmId>;

/// Where the VMs of a group are, those on the board among them: by role and host.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Everybody who has a host.
    there: BTreeMap<String, BTreeMap<HostId, Residents>>,
    /// Those who draw others to it.
    drawn: BTreeMap<String, BTreeMap<HostId, Residents>>,
}

/// Whether the VM draws those it belongs with to the host that its phase names.
fn draws(vm: &Vm) -> bool {
    matches!(vm.phase, VmPhase::On(_) | VmPhase::Parked(_) | VmPhase::Moving { .. })
}

/// The host that counts: the one it is on its way to, else the one it is on.
fn host_of(vm: &Vm) -> Option<HostId> {
    vm.phase.destination().or(vm.phase.host())
}

impl Standing {
    /// Everybody of the group that has a host.
    fn read(group: VmGroupId, world: &dyn World) -> Self {
        let mut standing = Self::default();
        for vm in world.vms_in_group(group) {
            if let (Some(host), Some(role)) = (host_of(vm), &vm.spec.placement.role) {
                standing.note(vm.id, &role.role, host, draws(vm));
            }
        }
        standing
    }

    /// Those that matter to one VM and one host, without a look at VMs that keep nobody from anywhere.
    fn read_for(rules: &Rules<'_>, group: VmGroupId, host: HostId, world: &dyn World) -> Self {
        let mut standing = Self::default();
        let mut note = |vm: &Vm| {
            if let (Some(host), Some(role)) = (host_of(vm), &vm.spec.placement.role)
                && role.group == group
            {
                standing.note(vm.id, &role.role, host, draws(vm));
            }
        };
        if !rules.apart.is_empty() {
            world.vms_on(host).for_each(&mut note);
        }
        if !rules.with.is_empty() {
            world.vms_in_group(group).for_each(&mut note);
        }
        standing
    }

    /// The VM is on the host, or will be.
    pub(super) fn note(&mut self, vm: VmId, role: &str, host: HostId, draws: bool) {
        let insert = |into: &mut BTreeMap<String, BTreeMap<HostId, Residents>>| {
            if let Some(hosts) = into.get_mut(role) {
                hosts.entry(host).or_default().insert(vm);
            } else {
                into.insert(role.to_owned(), [(host, [vm].into())].into());
            }
        };
        insert(&mut self.there);
        if draws {
            insert(&mut self.drawn);
        }
    }

    /// A VM of the role on the host, other than this one.
    fn neighbor(&self, of: VmId, role: &str, host: HostId) -> Option<VmId> {
        self.there.get(role)?.get(&host)?.iter().find(|other| **other != of).copied()
    }
}

/// The rules of a group for one of its roles.
#[derive(Debug)]
struct Rules<'a> {
    group: &'a VmGroup,
    role: &'a str,
    /// Roles whose VMs it is to be on one host with; it itself where its VMs are.
    with: Vec<&'a str>,
    /// Roles whose VMs it is to be on other hosts than; it itself where its VMs are.
    apart: Vec<&'a str>,
    /// Roles of its company that name hosts, with these hosts.
    only: Vec<(&'a str, &'a BTreeSet<HostId>)>,
    /// Roles of its company that name hosts they must not be on, with these hosts.
    never: Vec<(&'a str, &'a BTreeSet<HostId>)>,
}

impl<'a> Rules<'a> {
    /// The rules for the role; in words, why there are none.
    fn of(wanted: &'a RoleRef, world: &'a dyn World) -> Result<Self, String> {
        let Some(group) = world.vm_group(wanted.group) else {
            return Err(format!("its VM group {} does not exist any more", wanted.group));
        };
        let Some(at) = group.roles.iter().position(|role| role.name == wanted.role) else {
            return Err(format!("VM group {} ({}) has no role {} any more", group.id, group.meta.name, wanted.role));
        };
        let own = &group.roles[at];
        let companies = group.companies();
        let company =
            || group.roles.iter().zip(&companies).filter(|(_, first)| **first == companies[at]).map(|(r, _)| r);
        let mut with: Vec<&str> = Vec::new();
        if own.policy == RolePolicy::Affined || company().count() > 1 {
            with.extend(company().map(|role| role.name.as_str()));
        }
        let sets = group.anti_affined.iter().filter(|set| set.contains(&wanted.role));
        let mut apart: Vec<&str> = sets.flatten().map(String::as_str).filter(|name| *name != wanted.role).collect();
        if own.policy == RolePolicy::AntiAffined {
            apart.push(&own.name);
        }
        apart.sort_unstable();
        apart.dedup();
        let named = |hosts: fn(&holm_model::vm_groups::Role) -> &BTreeSet<HostId>| {
            company().filter(move |role| !hosts(role).is_empty()).map(move |role| (role.name.as_str(), hosts(role)))
        };
        Ok(Self {
            group,
            role: &own.name,
            with,
            apart,
            only: named(|role| &role.hosts).collect(),
            never: named(|role| &role.not_hosts).collect(),
        })
    }

    /// The subject of every objection.
    fn subject(&self) -> String {
        format!("role {} of VM group {} ({})", self.role, self.group.id, self.group.meta.name)
    }
}

/// What one VM's role asks, with where the VMs of its group are.
#[derive(Debug)]
pub(super) struct Ties {
    vm: VmId,
    role: RoleRef,
    standing: Standing,
    /// The role's rules in short; `None` when the group or the role is gone, which no host suits.
    asked: Option<Asked>,
}

/// [`Rules`], ready to be asked for a thousand hosts.
#[derive(Debug)]
struct Asked {
    /// The one host it is to be on; the first of several where its company is on several, so that none will do.
    with: BTreeSet<HostId>,
    apart: Vec<String>,
    only: Option<BTreeSet<HostId>>,
    never: BTreeSet<HostId>,
}

impl Ties {
    /// For a board.
    pub(super) fn of(vm: VmId, role: &RoleRef, standing: Standing, world: &dyn World) -> Self {
        let asked = Rules::of(role, world).ok().map(|rules| {
            let elsewhere = |residents: &Residents| residents.iter().any(|other| *other != vm);
            let drawn = rules.with.iter().filter_map(|role| standing.drawn.get(*role)).flatten();
            let mut only = rules.only.iter().map(|(_, hosts)| (*hosts).clone());
            let first = only.next();
            Asked {
                with: drawn.filter(|(_, residents)| elsewhere(residents)).map(|(host, _)| *host).collect(),
                apart: rules.apart.iter().map(|role| (*role).to_owned()).collect(),
                only: first.map(|first| only.fold(first, |left, hosts| &left & &hosts)),
                never: rules.never.iter().flat_map(|(_, hosts)| hosts.iter().copied()).collect(),
            }
        });
        Self { vm, role: role.clone(), standing, asked }
    }

    /// For a look at one host.
    pub(super) fn at(vm: VmId, role: &RoleRef, host: HostId, world: &dyn World) -> Self {
        let standing = match Rules::of(role, world) {
            Ok(rules) => Standing::read_for(&rules, role.group, host, world),
            Err(_) => Standing::default(),
        };
        Self::of(vm, role, standing, world)
    }

    /// Whether the VM may be on the host.
    pub(super) fn met(&self, host: HostId) -> bool {
        let Some(asked) = &self.asked else { return false };
        asked.with.iter().all(|with| *with == host)
            && asked.only.as_ref().is_none_or(|only| only.contains(&host))
            && !asked.never.contains(&host)
            && asked.apart.iter().all(|role| self.standing.neighbor(self.vm, role, host).is_none())
    }

    /// Why the VM may not be on the host, in words, and whether that may pass by itself: when another VM goes.
    pub(super) fn objection(&self, host: HostId, world: &dyn World) -> Option<(String, bool)> {
        let rules = match Rules::of(&self.role, world) {
            Ok(rules) => rules,
            Err(why) => return Some((why, false)),
        };
        let (role, subject) = (rules.role, rules.subject());
        let company = |other: &str| match other == role {
            true => format!("{subject} is"),
            false => format!("{subject} belongs on one host with role {other}, which is"),
        };
        if let Some((other, hosts)) = rules.only.iter().find(|(_, hosts)| !hosts.contains(&host)) {
            let ids: Vec<String> = hosts.iter().take(8).map(ToString::to_string).collect();
            let more = if hosts.len() > ids.len() { ", ..." } else { "" };
            let noun = if hosts.len() == 1 { "host" } else { "hosts" };
            return Some((format!("{} to be on {noun} {}{more} only", company(other), ids.join(", ")), false));
        }
        if let Some((other, _)) = rules.never.iter().find(|(_, hosts)| hosts.contains(&host)) {
            return Some((format!("{} not to be on this host", company(other)), false));
        }
        for other in &rules.apart {
            if let Some(there) = self.standing.neighbor(self.vm, other, host) {
                let why = match *other == role {
                    true => format!("{subject} keeps its VMs on different hosts, and vm {there} is there"),
                    false => format!("{subject} is to be on other hosts than role {other}, and vm {there} is there"),
                };
                return Some((why, true));
            }
        }
        let somebody = |residents: &Residents| residents.iter().find(|other| **other != self.vm).copied();
        for other in &rules.with {
            let drawn = self.standing.drawn.get(*other).into_iter().flatten();
            let elsewhere = drawn.filter(|(at, _)| **at != host).find_map(|(at, all)| Some((*at, somebody(all)?)));
            if let Some((at, there)) = elsewhere {
                let name = world.host(at).map_or_else(|| at.to_string(), |row| row.meta.name.to_string());
                let why = match *other == role {
                    true => format!("{subject} keeps its VMs on one host, and vm {there} is on host {name}"),
                    false => {
                        format!("{subject} belongs on one host with role {other}, and vm {there} is on host {name}")
                    }
                };
                return Some((why, false));
            }
        }
        None
    }
}

/// The groups that VMs on a board have asked about.
#[derive(Debug, Default)]
pub(super) struct Groups {
    read: BTreeMap<VmGroupId, Standing>,
    /// What was booked on the board of any group.
    booked: Vec<(VmId, RoleRef, HostId)>,
}

impl Groups {
    /// What the VM's role asks. The group is taken out, so that nothing need be locked while hosts answer.
    pub(super) fn take(&mut self, vm: &Vm, world: &dyn World) -> Option<Ties> {
        let role = vm.spec.placement.role.as_ref()?;
        let standing = match self.read.remove(&role.group) {
            Some(standing) => standing,
            None => {
                let mut standing = Standing::read(role.group, world);
                for (vm, booked, host) in self.booked.iter().filter(|(_, booked, _)| booked.group == role.group) {
                    standing.note(*vm, &booked.role, *host, true);
                }
                standing
            }
        };
        Some(Ties::of(vm.id, role, standing, world))
    }

    /// Gives back what was taken.
    pub(super) fn keep(&mut self, ties: Ties) {
        self.read.insert(ties.role.group, ties.standing);
    }

    /// A VM was booked on the board.
    pub(super) fn book(&mut self, vm: VmId, role: &RoleRef, host: HostId) {
        if let Some(standing) = self.read.get_mut(&role.group) {
            standing.note(vm, &role.role, host, true);
        }
        // Kept as well for a group that has to be read anew.
        self.booked.push((vm, role.clone(), host));
    }
}

/// Why the VM may not be on the host by its role in a VM group, in words; `None` when it may, or has no role. What is
/// booked on boards is not looked at.
#[must_use]
pub fn role_objection(vm: &Vm, host: HostId, world: &dyn World) -> Option<String> {
    let role = vm.spec.placement.role.as_ref()?;
    Ties::at(vm.id, role, host, world).objection(host, world).map(|(why, _)| why)
}

#[cfg(test)]
mod tests;
