//! A small world for tests: plain maps, everything computed by looking.

use holm_model::clusters::{Cluster, ClusterSpec, PlacementPolicy};
use holm_model::datastores::Datastore;
use holm_model::hosts::{Accelerator, Host, HostFacts, HostPhase, HostSpec, HostStatus};
use holm_model::images::{Image, ImageContent, ImageFormat, ImageKind, ImageOrigin, ImagePhase, ImageSpec};
use holm_model::networks::{MacAddr, Network, NetworkDraft};
use holm_model::security_groups::SecurityGroup;
use holm_model::vm_groups::VmGroup;
use holm_model::vms::{DiskSpec, NicSpec, Vm, VmSpec};
use holm_model::{
    Attributes, Booked, ClusterId, CpuShare, DatastoreId, GroupId, HostId, ImageId, Meta, Name, NetworkId, Permissions,
    SecurityGroupId, Timestamp, UserId, VmGroupId, VmId, World,
};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use uuid::Uuid;

#[derive(Clone, Default)]
pub(crate) struct Sample {
    pub revision: u64,
    pub vms: BTreeMap<VmId, Vm>,
    pub hosts: BTreeMap<HostId, Host>,
    pub images: BTreeMap<ImageId, Image>,
    pub networks: BTreeMap<NetworkId, Network>,
    pub clusters: BTreeMap<ClusterId, Cluster>,
    pub security_groups: BTreeMap<SecurityGroupId, SecurityGroup>,
    pub vm_groups: BTreeMap<VmGroupId, VmGroup>,
    pub datastores: BTreeMap<DatastoreId, Datastore>,
    /// How often all VMs of a VM group were asked for.
    pub group_reads: std::cell::Cell<usize>,
}

pub(crate) const NOW: Timestamp = Timestamp(1_800_000_000_000);

pub(crate) fn meta(name: &str) -> Meta {
    Meta::new(
        Name::new(name).expect("test names are valid"),
        (UserId(0), GroupId(0)),
        Permissions::default(),
        Attributes::default(),
        NOW,
    )
}

impl Sample {
    /// Hosts `edge-1`.. with 4 cores, 8000 MiB of memory and 100,000 MiB of disk, a ready image 0 of 64 MiB, the NAT
    /// network 0 and the cluster 0.
    pub fn with_hosts(hosts: u32) -> Self {
        let mut sample = Self { revision: 1, ..Self::default() };
        for id in 1..=hosts {
            sample.hosts.insert(HostId(id), host(id));
        }
        sample.images.insert(ImageId(0), image(0));
        sample.networks.insert(NetworkId(0), network(0, "10.77.0.0/16", Some("fd77::/64")));
        sample.clusters.insert(
            ClusterId(0),
            Cluster { id: ClusterId(0), meta: meta("default"), spec: ClusterSpec { policy: PlacementPolicy::Spread } },
        );
        sample
    }

    pub fn host_mut(&mut self, id: u32) -> &mut Host {
        self.hosts.get_mut(&HostId(id)).expect("test host exists")
    }

    pub fn add(&mut self, vm: Vm) {
        self.vms.insert(vm.id, vm);
    }
}

pub(crate) fn host(id: u32) -> Host {
    Host {
        id: HostId(id),
        meta: meta(&format!("edge-{id}")),
        cluster: ClusterId(0),
        spec: HostSpec::default(),
        phase: HostPhase::Ready,
        status: HostStatus {
            facts: Some(HostFacts {
                hostname: format!("edge-{id}"),
                cores: 4,
                memory_mib: 8000,
                disk_mib: 100_000,
                disk_free_mib: 100_000,
                arch: "x86_64".into(),
                accelerators: vec![Accelerator::Tcg],
                ..HostFacts::default()
            }),
            connected: true,
            last_seen: NOW,
            ..HostStatus::default()
        },
        certificate_sha256: String::new(),
        trouble: None,
    }
}

pub(crate) fn image(id: u32) -> Image {
    Image {
        id: ImageId(id),
        meta: meta(&format!("tiny-{id}")),
        spec: ImageSpec::new(ImageKind::Disk, ImageOrigin::Upload),
        phase: ImagePhase::Ready,
        received: 1 << 20,
        content: Some(ImageContent {
            digest: format!("{id:064x}"),
            format: ImageFormat::Qcow2,
            file_size: 1 << 20,
            virtual_size: 64 << 20,
        }),
        changed_at: NOW,
        trouble: None,
        snapshots: Vec::new(),
        next_snapshot: 0,
        current_snapshot: None,
    }
}

pub(crate) fn network(id: u32, subnet4: &str, subnet6: Option<&str>) -> Network {
    let draft = NetworkDraft {
        name: format!("net-{id}"),
        kind: "nat".into(),
        subnet4: Some(subnet4.into()),
        subnet6: subnet6.map(str::to_owned),
        dns: vec!["9.9.9.9".into()],
        ..NetworkDraft::default()
    };
    let fresh = MacAddr([2, 1, 0, 0, 0, 0]);
    Network::drafted(NetworkId(id), meta(&format!("net-{id}")), draft, fresh).expect("test networks are valid")
}

/// A VM `vm-ID` of 1 core, 1000 MiB of memory, one disk on image 0 whose size is not known yet, one card on network 0.
pub(crate) fn vm(id: u32) -> Vm {
    let spec = VmSpec {
        disks: vec![DiskSpec::new(0, Some(ImageId(0)), 0)],
        nics: vec![nic(0)],
        ..VmSpec::new(CpuShare::cores(1), 1, 1000)
    };
    Vm { why: String::new(), ..Vm::new(VmId(id), meta(&format!("vm-{id}")), spec, NOW) }
}

pub(crate) fn nic(id: u32) -> NicSpec {
    NicSpec::new(id, NetworkId(0))
}

impl World for Sample {
    fn revision(&self) -> u64 {
        self.revision
    }
    fn cloud(&self) -> Uuid {
        Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000)
    }
    fn vm(&self, id: VmId) -> Option<&Vm> {
        self.vms.get(&id)
    }
    fn host(&self, id: HostId) -> Option<&Host> {
        self.hosts.get(&id)
    }
    fn image(&self, id: ImageId) -> Option<&Image> {
        self.images.get(&id)
    }
    fn network(&self, id: NetworkId) -> Option<&Network> {
        self.networks.get(&id)
    }
    fn cluster(&self, id: ClusterId) -> Option<&Cluster> {
        self.clusters.get(&id)
    }
    fn security_group(&self, id: SecurityGroupId) -> Option<&SecurityGroup> {
        self.security_groups.get(&id)
    }
    fn vm_group(&self, id: VmGroupId) -> Option<&VmGroup> {
        self.vm_groups.get(&id)
    }
    fn vms_in_group(&self, group: VmGroupId) -> Box<dyn Iterator<Item = &Vm> + '_> {
        self.group_reads.set(self.group_reads.get() + 1);
        let of_group = move |vm: &&Vm| vm.spec.placement.role.as_ref().is_some_and(|role| role.group == group);
        Box::new(self.vms.values().filter(of_group))
    }
    fn datastore(&self, id: DatastoreId) -> Option<&Datastore> {
        self.datastores.get(&id)
    }
    fn datastores(&self) -> Box<dyn Iterator<Item = &Datastore> + '_> {
        Box::new(self.datastores.values())
    }
    fn vms(&self) -> Box<dyn Iterator<Item = &Vm> + '_> {
        Box::new(self.vms.values())
    }
    fn hosts(&self) -> Box<dyn Iterator<Item = &Host> + '_> {
        Box::new(self.hosts.values())
    }
    fn vms_on(&self, host: HostId) -> Box<dyn Iterator<Item = &Vm> + '_> {
        Box::new(self.vms.values().filter(move |vm| vm.hosts().any(|at| at == host)))
    }
    fn booked(&self, host: HostId) -> Booked {
        let books = self.vms.values().flat_map(|vm| [vm.books(), vm.books_ahead()]).flatten();
        books.filter(|(at, _)| *at == host).fold(Booked::default(), |sum, (_, books)| Booked {
            cpu: CpuShare(sum.cpu.0 + books.cpu.0),
            memory_mib: sum.memory_mib + books.memory_mib,
            disk_mib: sum.disk_mib + books.disk_mib,
            vms: sum.vms + books.vms,
        })
    }
    fn holder4(&self, network: NetworkId, address: Ipv4Addr) -> Option<VmId> {
        let lent = |vm: &&Vm| vm.leases.iter().any(|l| l.network == network && l.ip4 == Some(address));
        self.vms.values().find(lent).map(|vm| vm.id)
    }
    fn holder6(&self, network: NetworkId, address: Ipv6Addr) -> Option<VmId> {
        let lent = |vm: &&Vm| vm.leases.iter().any(|l| l.network == network && l.ip6 == Some(address));
        self.vms.values().find(lent).map(|vm| vm.id)
    }
    fn holder_mac(&self, network: NetworkId, address: MacAddr) -> Option<VmId> {
        let lent = |vm: &&Vm| vm.leases.iter().any(|l| l.network == network && l.mac == address);
        self.vms.values().find(lent).map(|vm| vm.id)
    }
    fn next_vm_id(&self) -> VmId {
        VmId(1_000_000)
    }
}
