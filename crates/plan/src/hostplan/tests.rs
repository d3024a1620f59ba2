use super::*;
use crate::sample::{Sample, image as sample_image, nic, vm as sample_vm};
use holm_model::vms::{DiskSnapshot, Export, NicLease, Revert, VmSnapshot};
use holm_model::{AttributeValue, Timestamp, Word, networks::MacAddr};

fn world(change: impl FnOnce(&mut Vm)) -> (Sample, Vm) {
    let world = Sample::with_hosts(1);
    let mut vm = sample_vm(1);
    change(&mut vm);
    (world, vm)
}

#[test]
fn a_disk_is_attached_as_its_prefix_says() {
    for (prefix, cdrom, bus) in [
        (None, false, Bus::Virtio),
        (Some("vd"), false, Bus::Virtio),
        (Some("sd"), false, Bus::Scsi),
        (Some(" HD "), false, Bus::Sata),
        (Some("xvd"), false, Bus::Virtio),
        (None, true, Bus::Scsi),
        (Some("hd"), true, Bus::Sata),
    ] {
        let (world, vm) = world(|vm| {
            let disk = &mut vm.spec.disks[0];
            disk.cdrom = cdrom;
            disk.attributes.extend(prefix.map(|p| ("dev_prefix".into(), p.into())));
        });
        let disk = &describe(&vm, &world).expect("complete").disks[0];
        assert_eq!((disk.bus, disk.cdrom, disk.read_only), (bus, cdrom, cdrom), "{prefix:?}");
    }
}

#[test]
fn devices_are_limited_as_they_say_and_cards_else_as_their_network_says() {
    let word = |name: &str, value: &str| (Word::from(name), Word::from(value));
    let (mut world, vm) = world(|vm| {
        vm.spec.disks[0].attributes = vec![word("WRITE_BYTES_SEC", "1000")];
        vm.spec.nics = vec![nic(0), nic(1)];
        vm.spec.nics[0].attributes = vec![word("MODEL", "e1000"), word("INBOUND_AVG_BW", "500")];
        // From a time when nobody looked at it.
        vm.spec.nics[1].attributes = vec![word("MODEL", "sonic"), word("INBOUND_AVG_BW", "fast")];
        vm.leases = [0, 1].map(|id| NicLease::new(id, NetworkId(0), MacAddr([2, 0, 0, 0, 0, 9]))).into();
    });
    let network = world.networks.get_mut(&NetworkId(0)).expect("it is there");
    network.meta.attributes.set("INBOUND_AVG_BW", vec![AttributeValue::Text("7".into())]);
    network.meta.attributes.set("OUTBOUND_AVG_BW", vec![AttributeValue::Text("70".into())]);
    let plan = describe(&vm, &world).expect("complete");
    assert_eq!(plan.disks[0].limits.as_ref().map(|limits| limits.bytes[2].rate), Some(1000));
    let rates = |nic: &NicPlan| {
        let limits = nic.limits.as_deref().copied().unwrap_or_default();
        (nic.model, limits.inbound.map(|b| b.rate), limits.outbound.map(|b| b.rate))
    };
    assert_eq!(rates(&plan.nics[0]), (NicModel::E1000, Some(500_000), Some(70_000)));
    assert_eq!(rates(&plan.nics[1]), (NicModel::Virtio, Some(7_000), Some(70_000)));
}

#[test]
fn an_alias_is_an_address_of_its_card() {
    let lease = |nic, last| NicLease {
        ip4: Some([10, 77, 0, last].into()),
        ..NicLease::new(nic, NetworkId(0), MacAddr([2, 0, 0, 0, 0, last]))
    };
    let (world, vm) = world(|vm| {
        vm.spec.nics.push(nic(1));
        vm.spec.nics[1].alias_of = Some(0);
        vm.spec.nics.push(nic(2));
        vm.leases = vec![lease(0, 5), lease(1, 6), lease(2, 7)];
    });
    let nics = describe(&vm, &world).expect("complete").nics;
    assert_eq!(nics.iter().map(|n| n.id).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(nics[0].more_ip4, [std::net::Ipv4Addr::new(10, 77, 0, 6)]);
    assert!(nics[1].more_ip4.is_empty() && nics[0].more_ip6.is_empty());
}

#[test]
fn snapshots_reverts_and_awaited_exports_are_in_the_plan() {
    let (mut world, vm) = world(|vm| {
        let at = Timestamp(0);
        vm.spec.snapshots = vec![VmSnapshot { id: 4, name: "before".into(), at }];
        vm.spec.revert = Some(Revert { snapshot: 4, seq: 2 });
        let snapshot = DiskSnapshot { id: 3, name: "clean".into(), parent: None, at, size_mib: 1 };
        vm.spec.disks[0].snapshots = vec![snapshot];
        vm.spec.disks[0].revert = Some(Revert { snapshot: 3, seq: 1 });
        vm.spec.exports =
            [7, 8, 9].map(|id| Export { disk: 0, snapshot: None, image: ImageId(id) }).into_iter().collect();
    });
    world.images.insert(ImageId(7), sample_image(7));
    let awaited = Image { phase: ImagePhase::Awaiting, content: None, ..sample_image(8) };
    world.images.insert(ImageId(8), awaited);
    let plan = describe(&vm, &world).expect("complete");
    assert_eq!((plan.snapshots, plan.revert), (vec![4], Some(Revert { snapshot: 4, seq: 2 })));
    assert_eq!(plan.disks[0].snapshots, [3]);
    assert_eq!(plan.disks[0].revert, Some(Revert { snapshot: 3, seq: 1 }));
    // One image has its content already, and one is gone.
    assert_eq!(plan.exports.iter().map(|e| e.image).collect::<Vec<_>>(), [ImageId(8)]);
}
