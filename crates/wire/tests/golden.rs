//! What crosses the borders, as files: a change of a file is a change of the interface.
//!
//! `HOLM_BLESS=1 cargo test -p holm-wire` writes the files anew; look at the difference before committing it.

use holm_model::host_plan::{
    BootPlan, ContextFiles, DiskPlan, HostPlan, HostReport, ImageRef, NetworkPlan, NicPlan, VmPlan,
};
use holm_model::hosts::{Accelerator, HostFacts};
use holm_model::images::ImageFormat;
use holm_model::networks::{MacAddr, NetworkDraft, NetworkSpec};
use holm_model::vms::{Firmware, Machine, Observed, Power, RestartPolicy, VmStatus};
use holm_model::{CpuShare, HostId, NetworkId, Timestamp, VmId};
use holm_wire::host::{Frame, JoinAnswer, JoinRequest, Message, StreamEnd};
use holm_wire::v1;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::PathBuf;
use uuid::Uuid;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Compares with the file, and checks that the file reads back as the same value.
fn golden<T: Serialize + DeserializeOwned>(name: &str, value: &T) {
    let mut text = serde_json::to_string_pretty(&serde_json::to_value(value).expect("is JSON")).expect("is text");
    text.push('\n');
    if std::env::var_os("HOLM_BLESS").is_some() {
        std::fs::write(path(name), &text).expect("is written");
    }
    let kept = std::fs::read_to_string(path(name)).unwrap_or_else(|e| panic!("{name}: {e}; see the head of this file"));
    assert_eq!(kept, text, "{name} differs");
    let read: T = serde_json::from_str(&kept).unwrap_or_else(|e| panic!("{name} does not read back: {e}"));
    assert_eq!(
        serde_json::to_value(&read).expect("is JSON"),
        serde_json::to_value(value).expect("is JSON"),
        "{name} reads back as something else"
    );
}

fn plan() -> HostPlan {
    let image = ImageRef { digest: "5e".repeat(32), format: ImageFormat::Qcow2, file_size: 143_654_912 };
    let kernel = ImageRef { digest: "0b".repeat(32), format: ImageFormat::Raw, file_size: 9_437_184 };
    let spec = NetworkSpec::try_from(NetworkDraft {
        name: "default".into(),
        kind: "nat".into(),
        subnet4: Some("10.77.0.0/16".into()),
        subnet6: Some("fd77::/64".into()),
        dns: vec!["9.9.9.9".into()],
        ..NetworkDraft::default()
    })
    .expect("is valid");
    HostPlan {
        cloud: Uuid::from_u128(0x0191_0000_0000_7000_8000_0000_0000_0001),
        host: HostId(3),
        revision: 1042,
        vms: vec![VmPlan {
            id: VmId(42),
            name: "web".into(),
            uuid: Uuid::from_u128(42),
            generation: 2,
            power: Power::On,
            boot_seq: 1,
            restart: RestartPolicy::OnFailure,
            cpu: CpuShare(50),
            vcpus: 1,
            memory_mib: 256,
            machine: Machine::Q35,
            firmware: Firmware::Bios,
            boot: BootPlan::Kernel { kernel, initrd: None, cmdline: "console=ttyS0 quiet".into() },
            disks: vec![DiskPlan::new(0, Some(image), 4096), DiskPlan::new(1, None, 100)],
            nics: vec![NicPlan::new(
                0,
                NetworkId(0),
                MacAddr([2, 0, 10, 77, 0, 2]),
                Some([10, 77, 0, 2].into()),
                Some("fd77::2".parse().expect("is an address")),
            )],
            context: ContextFiles {
                context_sh: "SET_HOSTNAME='web'\n".into(),
                meta_data: "instance-id: holm-42\n".into(),
                user_data: "#cloud-config\n".into(),
                network_config: Some("version: 2\n".into()),
            },
            graphics: true,
            hardware: Default::default(),
            bound: Default::default(),
            snapshots: vec![],
            revert: None,
            exports: vec![],
            sends: false,
            receives: None,
        }],
        absent: vec![VmId(7)],
        networks: vec![NetworkPlan::new(NetworkId(0), "default".into(), spec)],
    }
}

fn report() -> HostReport {
    let facts = HostFacts {
        hostname: "edge-1".into(),
        cores: 4,
        memory_mib: 7900,
        disk_mib: 200_000,
        disk_free_mib: 150_000,
        arch: "x86_64".into(),
        kernel: "6.1.0-40-amd64".into(),
        accelerators: vec![Accelerator::Kvm, Accelerator::Tcg],
        accelerator_reason: "A guest booted with KVM.".into(),
        qemu_version: "7.2.22".into(),
        agent_version: "0.1.0".into(),
        uefi: true,
        boot_id: "3d1e".into(),
        interfaces: vec!["eth0".into()],
        ..HostFacts::default()
    };
    let status = VmStatus {
        observed: Observed::Running,
        generation: 2,
        boot_seq: 1,
        ever_started: true,
        pid: Some(4711),
        accelerator: Some(Accelerator::Kvm),
        since: Timestamp(1_795_337_225_123),
        ..VmStatus::default()
    };
    HostReport {
        seq: 1,
        full: true,
        applied_revision: 1042,
        facts: Some(facts),
        vms: vec![(VmId(42), status)],
        absent: vec![VmId(7)],
        strays: vec!["vm-99".into()],
        complaints: vec!["The clock is 40 s behind.".into()],
        ..HostReport::default()
    }
}

#[test]
fn frames_of_the_link() {
    let cloud = Uuid::from_u128(0x0191_0000_0000_7000_8000_0000_0000_0001);
    let frames = [
        Frame::Hello { protocol: 1, cloud, host: HostId(3), version: "0.1.0".into() },
        Frame::Welcome { protocol: 1, version: "0.1.0".into() },
        Frame::Plan(Box::new(plan())),
        Frame::Report(Box::new(report())),
        Frame::Beat,
        Frame::Open { stream: 7, vm: VmId(42), end: StreamEnd::Serial },
        Frame::Open { stream: 8, vm: VmId(42), end: StreamEnd::SerialLog },
        Frame::Open { stream: 9, vm: VmId(42), end: StreamEnd::Screen },
        Frame::Opened { stream: 7 },
        Frame::Close { stream: 7, why: Some("the guest ended".into()) },
        Frame::Credit { stream: 8, bytes: 65_536 },
    ];
    for frame in &frames {
        frame.check().unwrap_or_else(|error| panic!("an honest frame is accepted: {error}"));
        let text = serde_json::to_string(frame).expect("is JSON");
        assert_eq!(Message::from_text(&text).expect("reads back"), Message::Frame(frame.clone()));
    }
    golden("host-frames.json", &frames.to_vec());
    let request = JoinRequest {
        secret: "s3cr3t".into(),
        csr_pem: "-----BEGIN CERTIFICATE REQUEST-----\n".into(),
        hostname: "edge-1".into(),
        version: "0.1.0".into(),
    };
    golden("host-join-request.json", &request);
    let answer = JoinAnswer {
        cloud,
        host: HostId(3),
        name: "edge-1".into(),
        certificate_pem: "-----BEGIN CERTIFICATE-----\n".into(),
        authority_pem: "-----BEGIN CERTIFICATE-----\n".into(),
    };
    golden("host-join-answer.json", &answer);
}

#[test]
fn fields_that_a_newer_release_adds_are_no_obstacle() {
    let mut value = serde_json::to_value(Frame::Report(Box::new(report()))).expect("is JSON");
    value["from_the_future"] = json!({"deep": [1, 2, 3]});
    assert!(Message::from_text(&value.to_string()).is_ok());
}

#[test]
fn hostile_frames_are_refused() {
    let mut bad = plan();
    bad.vms[0].disks[0].base =
        Some(ImageRef { digest: "../../etc/passwd".into(), format: ImageFormat::Raw, file_size: 1 });
    let error = Frame::Plan(Box::new(bad)).check().expect_err("is refused").to_string();
    assert!(error.contains("no BLAKE3 digest"), "{error}");
    let mut bad = plan();
    bad.networks.clear();
    assert!(Frame::Plan(Box::new(bad)).check().is_err());
    let text = serde_json::to_string(&Frame::Plan(Box::new(plan()))).expect("is JSON");
    for at in 0..text.len() {
        if text.is_char_boundary(at) {
            assert!(Message::from_text(&text[..at]).is_err(), "a frame cut at {at}");
        }
    }
}

fn meta() -> v1::Meta {
    let Value::Object(attributes) = json!({"TEAM": "blue", "TAGS": ["a", "b"], "RACK": {"ROW": "7"}}) else {
        unreachable!("it is an object")
    };
    v1::Meta {
        name: "web".into(),
        owner: 0,
        group: 0,
        permissions: "600".into(),
        created_at: "2026-11-22T08:47:05.123Z".into(),
        revision: 1042,
        lock: None,
        attributes,
    }
}

fn operation() -> v1::Operation {
    v1::Operation {
        id: 12,
        verb: "create".into(),
        kind: "vm".into(),
        object: 42,
        state: "running".into(),
        why: "Host edge-1 makes it ready.".into(),
        created_at: "2026-11-22T08:47:05.123Z".into(),
    }
}

fn vm() -> v1::Vm {
    v1::Vm {
        id: 42,
        meta: meta(),
        state: "running".into(),
        standing: "running".into(),
        power: "on".into(),
        why: "It runs as wanted.".into(),
        host: Some(3),
        cpu: 0.5,
        vcpus: 1,
        memory_mib: 256,
        machine: "q35".into(),
        firmware: "bios".into(),
        kernel: Some(v1::KernelBoot { kernel: 1, initrd: None, cmdline: "console=ttyS0 quiet".into() }),
        disks: vec![
            v1::Disk {
                id: 0,
                image: Some(2),
                size_mib: 4096,
                persistent: true,
                snapshots: vec![v1::DiskSnapshot {
                    id: 0,
                    name: "clean".into(),
                    parent: None,
                    created_at: "2026-11-22T08:47:05.123Z".into(),
                    size_mib: 4096,
                }],
                current_snapshot: Some(0),
                ..v1::Disk::default()
            },
            v1::Disk {
                id: 1,
                size_mib: 100,
                attributes: [("TYPE".into(), "swap".into())].into(),
                ..v1::Disk::default()
            },
        ],
        nics: vec![v1::Nic {
            id: 0,
            network: 0,
            mac: Some("02:00:0a:4d:00:02".into()),
            ip4: Some("10.77.0.2".into()),
            security_groups: vec![0],
            ..v1::Nic::default()
        }],
        context: v1::Context { hostname: Some("web".into()), ..v1::Context::default() },
        graphics: true,
        placement: v1::Placement {
            requirements: Some("FREE_CPU > 100".into()),
            vm_group: Some(v1::RoleChoice { group: "3".into(), role: "web".into() }),
            ..v1::Placement::default()
        },
        snapshots: vec![v1::VmSnapshot { id: 0, name: "before".into(), created_at: "2026-11-22T08:47:05.123Z".into() }],
        schedule: vec![v1::ScheduledAction {
            id: 0,
            action: "snapshot".into(),
            disk: None,
            snapshot: None,
            name: Some("nightly".into()),
            at: Some("2026-12-01T03:00:00.000Z".into()),
            after_start_s: None,
            repeat: Some(v1::Repeat { weekly: vec!["mon".into(), "thu".into()], ..v1::Repeat::default() }),
            next_at: Some("2026-12-01T03:00:00.000Z".into()),
            done_at: None,
            message: None,
            warn_before_s: None,
        }],
        template: Some(5),
        restart: "on_failure".into(),
        generation: 2,
        applied_generation: 2,
        restart_needed: false,
        restarts: 0,
        accelerator: Some("kvm".into()),
        since: Some("2026-11-22T08:47:06.000Z".into()),
        trouble: Some(v1::Trouble {
            class: "transient".into(),
            since: "2026-11-22T08:47:05.123Z".into(),
            attempts: 2,
            why: "The image is still being fetched.".into(),
        }),
    }
}

#[test]
fn shapes_of_the_interface() {
    golden("v1-vm-accepted.json", &v1::VmAccepted { vm: vm(), operation: operation() });
    golden("v1-page.json", &v1::Page { items: vec![operation()], next_cursor: Some("bmV4dA".into()), revision: 1042 });
    let image = v1::Image {
        id: 2,
        meta: v1::Meta {
            name: "debian".into(),
            lock: Some(v1::Lock { level: "manage".into(), user: 7, since: "2026-11-22T08:47:05.123Z".into() }),
            ..meta()
        },
        kind: "disk".into(),
        state: "ready".into(),
        origin: "upload".into(),
        received: 143_654_912,
        expected_size: Some(143_654_912),
        format: Some("qcow2".into()),
        file_size: Some(143_654_912),
        virtual_size: Some(2_147_483_648),
        digest: Some(format!("blake3:{}", "5e".repeat(32))),
        datastore: 1,
        size_mib: 2048,
        persistent: true,
        persistence: "exclusive".into(),
        enabled: true,
        snapshots: vec![v1::ImageSnapshot {
            id: 0,
            name: "first".into(),
            parent: None,
            created_at: "2026-11-22T08:47:05.123Z".into(),
            virtual_size: 2_147_483_648,
            current: true,
        }],
        clones: vec![3],
        vms: vec![42],
        why: "It can be used.".into(),
        trouble: None,
    };
    golden("v1-image.json", &image);
    let problem = v1::Problem {
        kind: "invalid".into(),
        title: "Bad Request".into(),
        status: 400,
        detail: "name: \"a/b\" contains the character '/'".into(),
        hint: Some("Use letters, digits, blanks, '-', '_', '.'.".into()),
        field: Some("name".into()),
        request_id: Some("9d3c1f0e5b7a4c21-2f".into()),
    };
    golden("v1-problem.json", &problem);
    let event = v1::Event {
        revision: 1042,
        kind: "vm".into(),
        id: 42,
        verb: "put".into(),
        state: Some("running".into()),
        name: Some("web".into()),
        why: Some("It runs as wanted.".into()),
    };
    golden("v1-event.json", &event);
    let create = v1::VmCreate {
        name: "web".into(),
        cpu: Some(0.5),
        disks: vec![v1::DiskCreate { image: Some("debian".into()), size_mib: Some(4096), ..v1::DiskCreate::default() }],
        nics: Some(vec![v1::NicCreate { network: "default".into(), ..v1::NicCreate::default() }]),
        ..v1::VmCreate::default()
    };
    golden("v1-vm-create.json", &create);
}
