//! Objects for tests and measurements, ordinary in size and content.
#![allow(dead_code, reason = "every test takes what it needs")]
#![allow(missing_docs, reason = "the names say it")]

use holm_model::clusters::{Cluster, ClusterSpec};
use holm_model::hosts::{Accelerator, Host, HostFacts, HostPhase, HostSpec, HostStatus};
use holm_model::images::{Image, ImageContent, ImageFormat, ImageKind, ImageOrigin, ImagePhase, ImageSpec};
use holm_model::networks::{MacAddr, Network, NetworkDraft};
use holm_model::operations::{Operation, OperationVerb};
use holm_model::users::{Group, JoinToken, Secret, Token, User};
use holm_model::vms::{Context, DiskSpec, NicLease, NicSpec, Observed, PlacementRecord, Vm, VmPhase, VmSpec, VmStatus};
use holm_model::{
    AttributeValue, Attributes, ClusterId, CpuShare, GroupId, HostId, ImageId, JoinTokenId, Meta, Name, NetworkId,
    ObjectKind, ObjectRef, OperationId, Permissions, Timestamp, TokenId, Trouble, TroubleClass, UserId, VmId,
};
use std::net::{Ipv4Addr, Ipv6Addr};

pub const NOW: Timestamp = Timestamp(1_800_000_000_000);

pub fn name(text: impl Into<String>) -> Name {
    Name::new(text).expect("test names are valid")
}

pub fn meta(text: impl Into<String>) -> Meta {
    Meta::new(
        name(text),
        (UserId(0), GroupId(0)),
        Permissions::default(),
        Attributes(vec![
            ("DESCRIPTION".into(), AttributeValue::Text("made by a test".into())),
            ("LABELS".into(), AttributeValue::Vector(vec![("tier".into(), "edge".into())])),
        ]),
        NOW,
    )
}

pub fn cluster(id: u32) -> Cluster {
    Cluster { id: ClusterId(id), meta: meta(format!("cluster-{id}")), spec: ClusterSpec::default() }
}

pub fn group(id: u32) -> Group {
    Group::new(GroupId(id), name(format!("group-{id}")), NOW)
}

pub fn user(id: u32) -> User {
    User::new(
        UserId(id),
        name(format!("user-{id}")),
        vec![GroupId(0)],
        Secret("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".into()),
        NOW,
    )
}

pub fn token(id: u32, user: u32) -> Token {
    Token {
        id: TokenId(id),
        user: UserId(user),
        group: None,
        label: "cli".into(),
        sha256: format!("{id:064x}"),
        created_at: NOW,
        expires_at: Timestamp(NOW.0 + 86_400_000),
    }
}

pub fn join_token(id: u32) -> JoinToken {
    JoinToken {
        id: JoinTokenId(id),
        sha256: format!("{:064x}", u64::from(id) + 0xabcd_0000),
        cluster: ClusterId(0),
        host_name: Some(name(format!("edge-{id}"))),
        created_at: NOW,
        expires_at: Timestamp(NOW.0 + 3_600_000),
        used_by: None,
    }
}

pub fn network(id: u32) -> Network {
    let draft = NetworkDraft {
        name: format!("net-{id}"),
        kind: "nat".into(),
        subnet4: Some(format!("10.{}.0.0/16", 77 + id)),
        subnet6: Some(format!("fd{:02x}::/64", 0x77 + id)),
        dns: vec!["9.9.9.9".into()],
        ..NetworkDraft::default()
    };
    let fresh = MacAddr([2, 1, 0, 0, 0, 0]);
    Network::drafted(NetworkId(id), meta(format!("net-{id}")), draft, fresh).expect("test networks are valid")
}

pub fn image(id: u32) -> Image {
    Image {
        id: ImageId(id),
        meta: meta(format!("image-{id}")),
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

/// A host of 16 cores, 64,000 MiB of memory and 1,000,000 MiB of disk that is connected and ready.
pub fn host(id: u32) -> Host {
    Host {
        id: HostId(id),
        meta: meta(format!("edge-{id}")),
        cluster: ClusterId(0),
        spec: HostSpec::default(),
        phase: HostPhase::Ready,
        status: HostStatus {
            facts: Some(HostFacts {
                hostname: format!("edge-{id}"),
                cores: 16,
                memory_mib: 64_000,
                disk_mib: 1_000_000,
                disk_free_mib: 900_000,
                arch: "x86_64".into(),
                kernel: "6.1.0-39-amd64".into(),
                accelerators: vec![Accelerator::Tcg],
                accelerator_reason: "There is no /dev/kvm.".into(),
                qemu_version: "7.2.17".into(),
                agent_version: "0.1.0".into(),
                uefi: true,
                boot_id: "5b0c9a3e-0000-0000-0000-000000000000".into(),
                interfaces: vec!["eth0".into()],
                ..HostFacts::default()
            }),
            connected: true,
            last_seen: NOW,
            applied_revision: 1,
            strays: Vec::new(),
            complaints: Vec::new(),
            ..HostStatus::default()
        },
        certificate_sha256: format!("{:064x}", u64::from(id) + 0xce00_0000),
        trouble: None,
    }
}

/// A pending VM of 1 core, 1000 MiB of memory, a disk of 2000 MiB on image 0 and a card on network 0.
pub fn vm(id: u32) -> Vm {
    let spec = VmSpec {
        disks: vec![DiskSpec::new(0, Some(ImageId(0)), 2000)],
        nics: vec![NicSpec::new(0, NetworkId(0))],
        context: Context {
            ssh_keys: vec!["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPaXsomebodysKeyThatIsOfUsualLength me@here".into()],
            network: true,
            ..Context::default()
        }
        .into(),
        ..VmSpec::new(CpuShare::cores(1), 1, 1000)
    };
    Vm { why: String::new(), ..Vm::new(VmId(id), meta(format!("vm-{id}")), spec, NOW) }
}

/// The same VM running on a host, with an address.
pub fn running_vm(id: u32, host: u32) -> Vm {
    let ip4 = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 77, 0, 2)) + id);
    Vm {
        phase: VmPhase::On(HostId(host)),
        leases: vec![NicLease {
            nic: 0,
            network: NetworkId(0),
            mac: MacAddr::for_nic(VmId(id), 0, Some(ip4)),
            ip4: Some(ip4),
            ip6: Some(Ipv6Addr::from(u128::from("fd77::2".parse::<Ipv6Addr>().expect("an address")) + u128::from(id))),
            ..NicLease::new(0, NetworkId(0), MacAddr([0; 6]))
        }],
        status: VmStatus {
            observed: Observed::Running,
            generation: 1,
            boot_seq: 1,
            ever_started: true,
            pid: Some(4711),
            accelerator: Some(Accelerator::Tcg),
            since: NOW,
            ..VmStatus::default()
        },
        trouble: Some(Trouble {
            class: TroubleClass::Transient,
            since: NOW,
            attempts: 1,
            why: "Host edge-1 cannot run it: no room".into(),
        }),
        why: format!("It runs since {NOW} on host edge-{host}."),
        history: vec![PlacementRecord::begin(HostId(host), NOW)],
        ..vm(id)
    }
}

pub fn operation(id: u32, vm: u32, key: Option<&str>) -> Operation {
    Operation {
        id: OperationId(id),
        verb: OperationVerb::Create,
        object: ObjectRef { kind: ObjectKind::Vm, id: vm },
        generation: 1,
        user: UserId(0),
        idempotency_key: key.map(str::to_owned),
        request_sha256: format!("{id:064x}"),
        created_at: NOW,
    }
}
