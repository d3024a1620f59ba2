use super::*;
use crate::placement::{Board, still_fits};
use crate::sample::{Sample, meta, vm};
use holm_model::datastores::{Datastore, DatastoreKind};
use holm_model::vm_groups::{Role, RoleDraft};
use holm_model::{ClusterId, DatastoreId};
use proptest::prelude::*;

const GROUP: VmGroupId = VmGroupId(3);

fn role(name: &str, policy: RolePolicy, hosts: &[u32], not_hosts: &[u32]) -> RoleDraft {
    let ids = |ids: &[u32]| ids.iter().copied().map(HostId).collect();
    RoleDraft { name: name.into(), policy, hosts: ids(hosts), not_hosts: ids(not_hosts) }
}

fn group(roles: Vec<RoleDraft>, affined: &[&[&str]], anti_affined: &[&[&str]]) -> VmGroup {
    let sets = |sets: &[&[&str]]| -> Vec<Vec<String>> {
        sets.iter().map(|set| set.iter().map(|name| (*name).to_owned()).collect()).collect()
    };
    VmGroup {
        id: GROUP,
        meta: meta("app"),
        next_role: u32::try_from(roles.len()).expect("few"),
        roles: roles.into_iter().zip(0..).map(|(role, id)| role.numbered(id)).collect(),
        affined: sets(affined),
        anti_affined: sets(anti_affined),
    }
}

/// Hosts 1.. and a group.
fn world(hosts: u32, group: VmGroup) -> Sample {
    let mut sample = Sample::with_hosts(hosts);
    sample.vm_groups.insert(group.id, group);
    sample
}

fn member(id: u32, role: &str) -> Vm {
    let mut vm = vm(id);
    vm.spec.placement.role = Some(RoleRef { group: GROUP, role: role.into() });
    vm
}

fn on(id: u32, role: &str, host: u32) -> Vm {
    Vm { phase: VmPhase::On(HostId(host)), ..member(id, role) }
}

/// What stands in the way of the VM on each host by its role.
fn objections(vm: &Vm, sample: &Sample) -> Vec<Option<String>> {
    sample.hosts.keys().map(|host| role_objection(vm, *host, sample)).collect()
}

fn says(found: &Option<String>) -> &str {
    found.as_deref().unwrap_or("")
}

#[test]
fn every_objection_names_role_group_and_vm() {
    let roles = || {
        vec![
            role("web", RolePolicy::AntiAffined, &[], &[3]),
            role("db", RolePolicy::Affined, &[1, 2], &[]),
            role("log", RolePolicy::None, &[], &[]),
        ]
    };
    let mut sample = world(3, group(roles(), &[], &[&["log", "web"]]));
    sample.add(on(12, "web", 1));
    sample.add(on(13, "db", 2));
    let web = objections(&member(20, "web"), &sample);
    assert_eq!(says(&web[0]), "role web of VM group 3 (app) keeps its VMs on different hosts, and vm 12 is there");
    assert_eq!((says(&web[1]), says(&web[2])), ("", "role web of VM group 3 (app) is not to be on this host"));
    let db = objections(&member(20, "db"), &sample);
    assert_eq!(says(&db[0]), "role db of VM group 3 (app) keeps its VMs on one host, and vm 13 is on host edge-2");
    assert_eq!((says(&db[1]), says(&db[2])), ("", "role db of VM group 3 (app) is to be on hosts 1, 2 only"));
    let log = objections(&member(20, "log"), &sample);
    assert_eq!(says(&log[0]), "role log of VM group 3 (app) is to be on other hosts than role web, and vm 12 is there");
    assert_eq!((says(&log[1]), says(&log[2])), ("", ""));

    let mut sample = world(3, group(roles(), &[&["db", "log"]], &[]));
    sample.add(on(13, "db", 2));
    let log = objections(&member(20, "log"), &sample);
    assert_eq!(
        says(&log[0]),
        "role log of VM group 3 (app) belongs on one host with role db, and vm 13 is on host edge-2"
    );
    assert_eq!(
        (says(&log[1]), says(&log[2])),
        ("", "role log of VM group 3 (app) belongs on one host with role db, which is to be on hosts 1, 2 only")
    );
}

#[test]
fn a_group_or_role_that_is_gone_suits_no_host() {
    let mut sample = world(2, group(vec![role("web", RolePolicy::None, &[], &[])], &[], &[]));
    let gone = member(1, "db");
    assert!(objections(&gone, &sample).iter().all(|why| says(why).contains("no role db any more")));
    sample.vm_groups.clear();
    assert!(objections(&gone, &sample).iter().all(|why| says(why).contains("VM group 3 does not exist any more")));
    assert_eq!(Board::new(&sample).first_fit(&gone, &sample), None);
    let refusals = Board::new(&sample).place(&gone, &sample).expect_err("no host suits");
    assert!(refusals.iter().all(|refusal| !refusal.passing));
}

#[test]
fn one_that_is_to_go_keeps_others_away_and_draws_nobody() {
    let roles = vec![role("web", RolePolicy::AntiAffined, &[], &[]), role("db", RolePolicy::Affined, &[], &[])];
    let mut sample = world(2, group(roles, &[], &[]));
    let leaving = |vm: Vm| Vm { phase: VmPhase::Leaving(HostId(1)), ..vm };
    sample.add(leaving(member(1, "web")));
    sample.add(Vm { phase: VmPhase::Removing(Some(HostId(1))), ..member(2, "db") });
    assert!(says(&objections(&member(9, "web"), &sample)[0]).contains("vm 1 is there"));
    assert_eq!(objections(&member(9, "db"), &sample), [None, None]);
    // One that is parked goes on where it is, so it does both.
    sample.add(Vm { phase: VmPhase::Parked(HostId(2)), ..member(3, "db") });
    assert!(says(&objections(&member(9, "db"), &sample)[0]).contains("vm 3 is on host edge-2"));
    // It stands in nobody's way but others': not in its own.
    assert_eq!(objections(&sample.vms[&VmId(3)], &sample), [None, None]);
    assert!(objections(&sample.vms[&VmId(1)], &sample).iter().all(Option::is_none));
}

#[test]
fn whoever_is_sent_to_a_host_goes_there_and_counts() {
    let mut sample = world(2, group(vec![role("web", RolePolicy::AntiAffined, &[], &[])], &[], &[]));
    sample.add(on(1, "web", 1));
    let mut sent = member(2, "web");
    sent.spec.placement.target = Some(HostId(1));
    let mut board = Board::new(&sample);
    assert_eq!(board.first_fit(&sent, &sample), Some(HostId(1)));
    assert_eq!(still_fits(&sent, HostId(1), &sample), Ok(()));
    sent.spec.placement.target = Some(HostId(2));
    board.book(HostId(2), sent.id, &sent.spec);
    assert_eq!(board.first_fit(&member(3, "web"), &sample), None);
}

#[test]
fn refusals_pass_when_another_vm_goes_and_are_said_in_the_explanation() {
    let mut sample = world(2, group(vec![role("web", RolePolicy::AntiAffined, &[], &[])], &[], &[]));
    sample.add(on(1, "web", 1));
    let board = Board::new(&sample);
    let web = member(9, "web");
    assert_eq!(board.place(&web, &sample).expect("host 2 is free").host, HostId(2));
    let verdicts = board.verdicts(&web, &sample);
    assert!(!verdicts[0].fits && verdicts[0].why.contains("vm 1 is there"), "{}", verdicts[0].why);
    sample.add(on(2, "web", 2));
    let refusals = Board::new(&sample).place(&web, &sample).expect_err("both are taken");
    assert!(refusals.iter().all(|refusal| refusal.passing), "{refusals:?}");
}

#[test]
fn what_only_some_clusters_have_binds_a_vm_to_them() {
    let mut sample = Sample::with_hosts(2);
    sample.host_mut(2).cluster = ClusterId(7);
    sample.clusters.insert(ClusterId(7), sample.clusters[&ClusterId(0)].clone());
    let datastore = |id: u32, kind, clusters: &[u32], enabled| Datastore {
        id: DatastoreId(id),
        meta: meta(&format!("ds-{id}")),
        kind,
        enabled,
        clusters: clusters.iter().copied().map(ClusterId).collect(),
        limit_mib: None,
    };
    let fits = |sample: &Sample| {
        let verdicts = Board::new(sample).verdicts(&vm(1), sample);
        verdicts.into_iter().map(|v| if v.fits { String::new() } else { v.why }).collect::<Vec<String>>()
    };
    assert_eq!(fits(&sample), ["", ""], "without datastores nothing is asked");
    let of_image = sample.images[&holm_model::ImageId(0)].spec.datastore;
    sample.datastores.insert(of_image, datastore(of_image.0, DatastoreKind::Image, &[0, 7], true));
    assert_eq!(fits(&sample), ["", ""]);
    sample.datastores.insert(DatastoreId(0), datastore(0, DatastoreKind::System, &[0], true));
    assert_eq!(fits(&sample), ["", "its cluster does not have an enabled datastore for the disks of VMs"]);
    sample.datastores.insert(DatastoreId(50), datastore(50, DatastoreKind::System, &[7], false));
    assert_eq!(fits(&sample).iter().filter(|why| why.is_empty()).count(), 1, "one that is disabled does not count");
    sample.datastores.insert(of_image, datastore(of_image.0, DatastoreKind::Image, &[7], true));
    assert!(fits(&sample)[0].contains("with its image"), "{:?}", fits(&sample));
}

#[test]
fn ten_thousand_vms_of_a_group_are_one_look_at_the_group() {
    let roles = vec![
        role("web", RolePolicy::None, &[], &[]),
        role("edge", RolePolicy::AntiAffined, &[], &[]),
        role("db", RolePolicy::Affined, &[], &[]),
    ];
    let mut sample = world(64, group(roles, &[], &[&["db", "edge"]]));
    for id in 1..=10_000 {
        sample.add(member(id, ["web", "edge", "db"][id as usize % 3]));
    }
    let mut board = Board::new(&sample);
    let mut placed = 0;
    for vm in sample.vms.values() {
        if let Some(host) = board.first_fit(vm, &sample) {
            board.book(host, vm.id, &vm.spec);
            placed += 1;
        }
    }
    assert!(placed >= 64, "{placed}");
    assert_eq!(sample.group_reads.get(), 1);
}

/// The roles that belong together with a role, found by following the sets until nothing is added.
fn company<'a>(group: &'a VmGroup, name: &'a str) -> BTreeSet<&'a str> {
    let mut company: BTreeSet<&str> = [name].into();
    loop {
        let sets = group.affined.iter().filter(|set| set.iter().any(|member| company.contains(member.as_str())));
        let grown: BTreeSet<&str> = sets.flatten().map(String::as_str).chain(company.iter().copied()).collect();
        if grown == company {
            return company;
        }
        company = grown;
    }
}

/// The slow reference: whether a rule is broken when these VMs are where they are, looking at every pair.
fn broken(group: &VmGroup, placed: &BTreeMap<VmId, (String, HostId)>) -> Option<String> {
    let role = |name: &str| group.role(name).expect("roles exist");
    let in_set = |sets: &[Vec<String>], a: &str, b: &str| {
        a != b && sets.iter().any(|set| set.iter().any(|name| name == a) && set.iter().any(|name| name == b))
    };
    for (vm, (name, host)) in placed {
        let role: &Role = role(name);
        if !role.hosts.is_empty() && !role.hosts.contains(host) || role.not_hosts.contains(host) {
            return Some(format!("vm {vm} of {name} is on {host}"));
        }
        for (other, (other_name, other_host)) in placed.range(..vm) {
            let same = name == other_name;
            let together = host == other_host;
            let says = format!("vm {vm} of {name} on {host}, vm {other} of {other_name} on {other_host}");
            let broken = if together { RolePolicy::AntiAffined } else { RolePolicy::Affined };
            if same && role.policy == broken
                || (company(group, name).len() > 1 && company(group, name).contains(other_name.as_str())) && !together
                || in_set(&group.anti_affined, name, other_name) && together
            {
                return Some(says);
            }
        }
    }
    None
}

/// The hosts left for whoever belongs together with a role.
fn left_for(group: &VmGroup, name: &str, hosts: u32) -> BTreeSet<HostId> {
    let company = company(group, name);
    let roles = || company.iter().filter_map(|name| group.role(name));
    (1..=hosts)
        .map(HostId)
        .filter(|host| {
            roles().all(|role| (role.hosts.is_empty() || role.hosts.contains(host)) && !role.not_hosts.contains(host))
        })
        .collect()
}

const HOSTS: u32 = 4;
const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn any_group() -> impl Strategy<Value = VmGroup> {
    let policy = prop_oneof![
        2 => Just(RolePolicy::None),
        1 => Just(RolePolicy::Affined),
        1 => Just(RolePolicy::AntiAffined)
    ];
    let hosts = || {
        prop_oneof![
            2 => Just(BTreeSet::new()),
            1 => prop::collection::btree_set((1..=HOSTS).prop_map(HostId), 1..3)
        ]
    };
    let draft = (policy, hosts(), hosts());
    let sets = || prop::collection::vec(prop::sample::subsequence(NAMES.to_vec(), 2..=3), 0..3);
    (prop::collection::vec(draft, 4), sets(), sets())
        .prop_map(|(roles, affined, anti_affined)| {
            let roles = roles.into_iter().zip(NAMES).map(|((policy, hosts, not_hosts), name)| RoleDraft {
                name: name.into(),
                policy,
                hosts,
                not_hosts,
            });
            let affined: Vec<&[&str]> = affined.iter().map(Vec::as_slice).collect();
            let anti_affined: Vec<&[&str]> = anti_affined.iter().map(Vec::as_slice).collect();
            group(roles.collect(), &affined, &anti_affined)
        })
        .prop_filter("rules that contradict each other are refused", |group| group.check().is_ok())
}

/// What happens next to the VM of a number.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// It is placed on the board in use.
    Place(u32),
    /// It is gone.
    Remove(u32),
    /// What is on the board becomes true, and a new board begins.
    Commit,
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![6 => (0..16_u32).prop_map(Event::Place), 1 => (0..16_u32).prop_map(Event::Remove), 2 => Just(Event::Commit)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever the rules and the order of placements: no rule is ever broken, and where nothing is refused for room, a
    /// host is refused exactly when going there would break a rule, or leave no host for those who have to follow.
    #[test]
    fn no_order_of_placements_breaks_a_rule(group in any_group(), events in prop::collection::vec(any_event(), 1..60)) {
        let mut sample = world(HOSTS, group.clone());
        for host in 1..=HOSTS {
            let facts = sample.host_mut(host).status.facts.as_mut().expect("test hosts have facts");
            (facts.cores, facts.memory_mib) = (1000, 1_000_000);
        }
        let name = |id: u32| NAMES[id as usize % NAMES.len()];
        let mut placed: BTreeMap<VmId, (String, HostId)> = BTreeMap::new();
        let mut board = Board::new(&sample);
        let mut booked: Vec<(u32, HostId)> = Vec::new();
        for event in events {
            match event {
                Event::Place(id) if placed.contains_key(&VmId(id)) => {}
                Event::Place(id) => {
                    let vm = member(id, name(id));
                    sample.vms.entry(vm.id).or_insert_with(|| vm.clone());
                    let allowed: BTreeSet<HostId> = left_for(&group, name(id), HOSTS)
                        .into_iter()
                        .filter(|host| {
                            let mut there = placed.clone();
                            there.insert(vm.id, (name(id).into(), *host));
                            broken(&group, &there).is_none()
                        })
                        .collect();
                    let verdicts = board.verdicts(&vm, &sample);
                    let fits: BTreeSet<HostId> = verdicts.iter().filter(|v| v.fits).map(|v| v.host).collect();
                    prop_assert_eq!(&fits, &allowed, "vm {} of {} among {:?} in {:?}", id, name(id), &placed, &group);
                    match board.place(&vm, &sample) {
                        Ok(placement) => {
                            prop_assert!(fits.contains(&placement.host));
                            board.book(placement.host, vm.id, &vm.spec);
                            placed.insert(vm.id, (name(id).into(), placement.host));
                            booked.push((id, placement.host));
                        }
                        Err(refusals) => {
                            prop_assert!(fits.is_empty());
                            prop_assert!(refusals.iter().all(|refusal| refusal.why.contains("of VM group 3 (app)")));
                        }
                    }
                }
                Event::Remove(_) if !booked.is_empty() => {}
                Event::Remove(id) => {
                    sample.vms.remove(&VmId(id));
                    placed.remove(&VmId(id));
                    board = Board::new(&sample);
                }
                Event::Commit => {
                    for (id, host) in std::mem::take(&mut booked) {
                        let vm = sample.vms.get(&VmId(id)).expect("it was added").clone();
                        prop_assert_eq!(still_fits(&vm, host, &sample), Ok(()));
                        sample.add(Vm { phase: VmPhase::On(host), ..vm });
                    }
                    board = Board::new(&sample);
                }
            }
            prop_assert_eq!(broken(&group, &placed), None);
        }
    }
}
