//! Random histories: what the indexes say is what a slow look at the tables says.

use super::*;
use holm_model::hosts::Host;
use holm_model::images::Image;
use holm_model::networks::MacAddr;
use holm_model::operations::Operation;
use holm_model::users::{JoinToken, Token};
use holm_model::vms::{NicLease, VmPhase};
use holm_model::{Booked, ClusterId, CpuShare, DatastoreId, HostId, ImageId, NetworkId, TokenId, UserId};
use holm_store::{MemoryJournal, Noun};
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

#[derive(Clone, Debug)]
enum Act {
    Vm {
        id: u32,
        phase: u8,
        host: u32,
        image: Option<u32>,
        network: u32,
        leases: Vec<(u32, u8)>,
        memory: u64,
        name: u8,
    },
    DropVm(u32),
    Host {
        id: u32,
        cluster: u32,
        certificate: u8,
    },
    DropHost(u32),
    Image {
        id: u32,
        datastore: u32,
    },
    DropImage(u32),
    Token {
        id: u32,
        user: u32,
        digest: u8,
    },
    DropToken(u32),
    JoinToken {
        id: u32,
        digest: u8,
    },
    Operation {
        id: u32,
        vm: u32,
        key: Option<u8>,
    },
    DropOperation(u32),
    /// The transaction is refused and leaves nothing.
    Refuse,
    /// The commit fails and leaves nothing.
    Fail,
    /// The store is opened anew.
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    let leases = prop::collection::vec((0_u32..2, 0_u8..6), 0..3);
    let vm = (0_u32..8, 0_u8..5, 0_u32..4, prop::option::of(0_u32..3), 0_u32..3, leases, 1_u64..4, 0_u8..3);
    prop_oneof![
        8 => vm.prop_map(|(id, phase, host, image, network, leases, memory, name)| {
            Act::Vm { id, phase, host, image, network, leases, memory, name }
        }),
        3 => (0_u32..8).prop_map(Act::DropVm),
        2 => (0_u32..4, 0_u32..3, 0_u8..4).prop_map(|(id, cluster, certificate)| Act::Host { id, cluster, certificate }),
        1 => (0_u32..4).prop_map(Act::DropHost),
        2 => (0_u32..6, 0_u32..3).prop_map(|(id, datastore)| Act::Image { id, datastore }),
        1 => (0_u32..6).prop_map(Act::DropImage),
        2 => (0_u32..4, 0_u32..2, 0_u8..4).prop_map(|(id, user, digest)| Act::Token { id, user, digest }),
        1 => (0_u32..4).prop_map(Act::DropToken),
        1 => (0_u32..4, 0_u8..4).prop_map(|(id, digest)| Act::JoinToken { id, digest }),
        2 => (0_u32..6, 0_u32..8, prop::option::of(0_u8..3)).prop_map(|(id, vm, key)| Act::Operation { id, vm, key }),
        1 => (0_u32..6).prop_map(Act::DropOperation),
        1 => Just(Act::Refuse),
        1 => Just(Act::Fail),
        1 => Just(Act::Restart),
    ]
}

fn lease(nic: usize, network: u32, address: u8) -> NicLease {
    let ip4 = Ipv4Addr::new(10, 77, 0, address);
    NicLease {
        nic: nic as u32,
        network: NetworkId(network),
        mac: MacAddr([2, 0, 0, 0, 0, address]),
        ip4: (address != 5).then_some(ip4),
        ip6: (address.is_multiple_of(2)).then(|| Ipv6Addr::from(u128::from(address))),
        ..NicLease::new(0, NetworkId(0), MacAddr([0; 6]))
    }
}

fn carry_out(tx: &mut holm_store::Tx, act: &Act) {
    match act.clone() {
        Act::Vm { id, phase, host, image, network, leases, memory, name } => {
            let mut vm = sample::vm(id);
            vm.meta.name = sample::name(format!("name-{name}"));
            vm.meta.owner = UserId(u32::from(name) % 2);
            vm.phase = match phase {
                0 => VmPhase::Pending,
                1 => VmPhase::On(HostId(host)),
                2 => VmPhase::Leaving(HostId(host)),
                3 => VmPhase::Removing(Some(HostId(host))),
                _ => VmPhase::Removing(None),
            };
            vm.spec.memory_mib = memory * 16;
            vm.spec.cpu = CpuShare(memory as u32 * 10);
            vm.spec.disks[0].image = image.map(ImageId);
            vm.spec.disks[0].size_mib = memory;
            vm.spec.nics[0].network = NetworkId(network);
            vm.leases =
                leases.iter().enumerate().map(|(at, (network, address))| lease(at, *network, *address)).collect();
            tx.put(vm);
        }
        Act::DropVm(id) => {
            tx.delete::<Vm>(VmId(id));
        }
        Act::Host { id, cluster, certificate } => {
            // The last one is of a host that nobody has claimed.
            let certificate_sha256 = if certificate == 3 { String::new() } else { format!("c{certificate}") };
            tx.put(Host { cluster: ClusterId(cluster), certificate_sha256, ..sample::host(id) });
        }
        Act::DropHost(id) => {
            tx.delete::<Host>(HostId(id));
        }
        Act::Image { id, datastore } => {
            let mut image = sample::image(id);
            image.spec.datastore = DatastoreId(datastore);
            tx.put(image);
        }
        Act::DropImage(id) => {
            tx.delete::<Image>(ImageId(id));
        }
        Act::Token { id, user, digest } => tx.put(Token { sha256: format!("t{digest}"), ..sample::token(id, user) }),
        Act::DropToken(id) => {
            tx.delete::<Token>(TokenId(id));
        }
        Act::JoinToken { id, digest } => tx.put(JoinToken { sha256: format!("j{digest}"), ..sample::join_token(id) }),
        Act::Operation { id, vm, key } => tx.put(sample::operation(id, vm, key.map(|k| format!("k{k}")).as_deref())),
        Act::DropOperation(id) => {
            tx.delete::<Operation>(holm_model::OperationId(id));
        }
        Act::Refuse | Act::Fail | Act::Restart => {}
    }
}

/// Compares every index with a look at all rows.
fn check(state: &State) {
    let vms: Vec<&Vm> = state.list::<Vm>().map(|row| &row.value).collect();
    let ids = |wanted: &dyn Fn(&Vm) -> bool| -> Vec<VmId> { vms.iter().filter(|v| wanted(v)).map(|v| v.id).collect() };
    for host in (0..5).map(HostId) {
        let here = ids(&|v| v.phase.host() == Some(host));
        assert_eq!(state.vms_on_host(host).collect::<Vec<_>>(), here);
        assert_eq!(state.vms_on(host).map(|v| v.id).collect::<Vec<_>>(), here);
        let mut booked = Booked::default();
        for vm in vms.iter().filter(|v| v.phase.host() == Some(host)) {
            booked.cpu.0 += vm.spec.cpu.0;
            booked.memory_mib += vm.spec.memory_mib;
            booked.disk_mib += vm.spec.disk_mib();
            booked.vms += 1;
        }
        assert_eq!(state.booked(host), booked);
    }
    assert_eq!(state.vms_unplaced().collect::<Vec<_>>(), ids(&|v| v.phase.host().is_none()));
    assert_eq!(state.host_by_certificate(""), None, "nobody is a host without a certificate");
    for raw in 0..4 {
        let kept = state.list::<Image>().filter(|r| r.value.spec.datastore.0 == raw).map(|r| r.value.id);
        assert_eq!(state.images_in(DatastoreId(raw)).collect::<Vec<_>>(), kept.collect::<Vec<_>>());
        assert_eq!(state.vms_of_image(ImageId(raw)).collect::<Vec<_>>(), ids(&|v| v.spec.images().any(|i| i.0 == raw)));
        let on = |v: &Vm| v.spec.nics.iter().any(|n| n.network.0 == raw) || v.leases.iter().any(|l| l.network.0 == raw);
        assert_eq!(state.vms_on_network(NetworkId(raw)).collect::<Vec<_>>(), ids(&on));
        assert_eq!(state.vms_owned_by(UserId(raw)).collect::<Vec<_>>(), ids(&|v| v.meta.owner.0 == raw));
        let name = format!("name-{raw}");
        assert_eq!(state.named::<Vm>(&name), ids(&|v| v.meta.name.as_str() == name));
        let network = NetworkId(raw);
        for address in 0..7_u8 {
            let holder = |wanted: &dyn Fn(&NicLease) -> bool| -> Option<VmId> {
                vms.iter().find(|v| v.leases.iter().any(|l| l.network == network && wanted(l))).map(|v| v.id)
            };
            let ip4 = Ipv4Addr::new(10, 77, 0, address);
            assert_eq!(state.holder4(network, ip4), holder(&|l| l.ip4 == Some(ip4)));
            let ip6 = Ipv6Addr::from(u128::from(address));
            assert_eq!(state.holder6(network, ip6), holder(&|l| l.ip6 == Some(ip6)));
            let mac = MacAddr([2, 0, 0, 0, 0, address]);
            assert_eq!(state.holder_mac(network, mac), holder(&|l| l.mac == mac));
        }
        let homes = state.list::<Host>().filter(|r| r.value.cluster.0 == raw).map(|r| r.value.id).collect::<Vec<_>>();
        assert_eq!(state.hosts_in(ClusterId(raw)).collect::<Vec<_>>(), homes);
        let id = |row: &std::sync::Arc<holm_store::Row<Host>>| row.value.id;
        let by_certificate = state.list::<Host>().find(|r| r.value.certificate_sha256 == format!("c{raw}")).map(id);
        assert_eq!(state.host_by_certificate(&format!("c{raw}")).map(id), by_certificate);
        let token = state.list::<Token>().find(|r| r.value.sha256 == format!("t{raw}"));
        assert_eq!(state.token_by_sha256(&format!("t{raw}")), token);
        let of_user = state.list::<Token>().filter(|r| r.value.user.0 == raw).map(|r| r.value.id).collect::<Vec<_>>();
        assert_eq!(state.tokens_of(UserId(raw)).collect::<Vec<_>>(), of_user);
        let join = state.list::<JoinToken>().find(|r| r.value.sha256 == format!("j{raw}"));
        assert_eq!(state.join_token_by_sha256(&format!("j{raw}")), join);
        let key = format!("k{raw}");
        let by_key = state.list::<Operation>().find(|r| r.value.idempotency_key.as_deref() == Some(&key));
        assert_eq!(state.operation_by_key(UserId(0), &key), by_key);
        assert_eq!(state.operation_by_key(UserId(1), &key), None);
    }
    for vm in 0..9 {
        let object = Vm::object(VmId(vm));
        let about = state.list::<Operation>().filter(|r| r.value.object == object).map(|r| r.value.id);
        assert_eq!(state.operations_of(object).collect::<Vec<_>>(), about.collect::<Vec<_>>());
    }
    for after in 0..8 {
        let later = vms.iter().map(|v| v.id).filter(|id| id.0 > after).collect::<Vec<_>>();
        assert_eq!(state.range::<Vm>(Some(VmId(after))).map(|r| r.value.id).collect::<Vec<_>>(), later);
        let earlier = vms.iter().map(|v| v.id).filter(|id| id.0 < after).collect::<Vec<_>>();
        assert_eq!(state.range_before::<Vm>(Some(VmId(after))).map(|r| r.value.id).collect::<Vec<_>>(), earlier);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn indexes_equal_a_look_at_all_rows(history in prop::collection::vec(prop::collection::vec(act(), 1..4), 1..24)) {
        let journal = MemoryJournal::new();
        let mut store = Store::open(Box::new(journal.clone()), Mode::Inline, CLOUD).unwrap();
        let mut feed = store.feed();
        for acts in history {
            let before = store.read();
            let picture_before = picture(&before);
            let refuse = acts.iter().any(|a| matches!(a, Act::Refuse));
            let fail = acts.iter().any(|a| matches!(a, Act::Fail));
            let restart = acts.iter().any(|a| matches!(a, Act::Restart));
            let commits = journal.commits();
            if fail {
                journal.fail_next(1);
            }
            let answer = store.write(move |tx| {
                for act in &acts {
                    carry_out(tx, act);
                }
                check(tx);
                if refuse { Err(()) } else { Ok(()) }
            }).now();
            if fail && journal.commits() == commits {
                // Nothing was to be committed, so the fault still waits: use it up.
                store.write(|tx| Ok::<_, ()>(tx.put(sample::vm(99)))).now().unwrap_err();
            }
            prop_assert_eq!(picture(&before), picture_before.clone(), "a snapshot never changes");
            let state = store.read();
            check(&state);
            if answer.is_err() {
                prop_assert_eq!(picture(&state), picture_before);
            }
            let mut told = before.revision();
            while let Some(item) = feed.try_next().unwrap() {
                prop_assert_eq!(item.revision, told + 1);
                told = item.revision;
            }
            prop_assert_eq!(told, state.revision());
            if restart {
                store = Store::open(Box::new(journal.clone()), Mode::Inline, CLOUD).unwrap();
                feed = store.feed();
                prop_assert_eq!(picture(&store.read()), picture(&state));
                check(&store.read());
            }
        }
    }
}
