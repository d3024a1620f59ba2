//! What a real guest notices of devices that come and go, of snapshots, of its memory being saved, and that a copy of
//! its disk boots. Needs root and the packages of `holm_linux::packages`.
#![allow(missing_docs, reason = "tests")]

use async_trait::async_trait;
use holm_driver::{Drivers, Fault, Fetch, FetchStream, MachineOrder, Port, RunState};
use holm_linux::machines::qmp::Qmp;
use holm_linux::{LinuxSettings, first_image};
use holm_model::host_plan::{
    BootPlan, Bus, ContextFiles, DiskPlan, ImageRef, NetworkPlan, NicPlan, SnapshotRef, VmPlan,
};
use holm_model::hosts::Accelerator;
use holm_model::images::ImageFormat;
use holm_model::networks::{MacAddr, NetworkDraft, NetworkSpec};
use holm_model::vms::{DiskLimits, Export, Firmware, Machine, NicModel, Power, RestartPolicy, Throttle};
use holm_model::{CpuShare, ImageId, NetworkId, VmId};
use std::collections::BTreeSet;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

const PATIENCE: Duration = Duration::from_secs(120);

struct File(PathBuf);

#[async_trait]
impl Fetch for File {
    async fn fetch(&self, _: &ImageRef, offset: u64) -> Result<FetchStream, Fault> {
        let failed = |e: std::io::Error| Fault::transient(format!("cannot read the test's image: {e}"));
        let mut file = tokio::fs::File::open(&self.0).await.map_err(failed)?;
        file.seek(std::io::SeekFrom::Start(offset)).await.map_err(failed)?;
        Ok(Box::new(file))
    }
}

/// One guest of the first image on a host in namespaces of its own.
struct Ground {
    settings: LinuxSettings,
    drivers: Drivers,
    image: ImageRef,
    source: File,
}

const VM: VmId = VmId(7);

impl Ground {
    fn new(directory: &Path, image: PathBuf) -> Self {
        let bytes = std::fs::read(&image).expect("the image is read");
        let settings = LinuxSettings {
            instance: format!("hlk{}", std::process::id() % 1_000_000),
            data_dir: directory.join("data"),
            run_dir: directory.join("run"),
            accelerator: Some(Accelerator::Tcg),
            ..LinuxSettings::default()
        };
        let drivers = holm_linux::drivers(settings.clone()).expect("good settings");
        let image_ref = ImageRef {
            digest: blake3::hash(&bytes).to_hex().to_string(),
            format: ImageFormat::Qcow2,
            file_size: bytes.len() as u64,
        };
        Self { settings, drivers, image: image_ref, source: File(image) }
    }

    /// A later agent: other drivers over the same host.
    fn again(&mut self) {
        self.drivers = holm_linux::drivers(self.settings.clone()).expect("good settings");
    }

    async fn order(&self, disks: Vec<DiskPlan>, nics: Vec<NicPlan>) -> MachineOrder {
        let plan = VmPlan {
            id: VM,
            name: "keep".into(),
            uuid: "00000000-0000-4000-8000-000000000007".parse().expect("a UUID"),
            generation: 1,
            power: Power::On,
            boot_seq: 1,
            restart: RestartPolicy::OnFailure,
            cpu: CpuShare::cores(1),
            vcpus: 1,
            memory_mib: 160,
            machine: Machine::Q35,
            firmware: Firmware::Bios,
            boot: BootPlan::Disk,
            disks,
            nics,
            context: ContextFiles {
                context_sh: "SET_HOSTNAME='keep'\n".into(),
                meta_data: "instance-id: 7\n".into(),
                user_data: "#cloud-config\n".into(),
                network_config: None,
            },
            graphics: false,
            hardware: Default::default(),
            bound: Default::default(),
            snapshots: vec![],
            revert: None,
            exports: vec![],
            sends: false,
            receives: None,
        };
        let volumes = &self.drivers.volumes;
        for image in plan.images() {
            volumes.ensure_image(&image, &self.source).await.expect("the image comes");
        }
        let open = self.drivers.machines.look(VM).await.expect("looks");
        let mut files = Vec::new();
        for disk in &plan.disks {
            let open = open.as_ref().is_some_and(|seen| seen.has_open(disk.id));
            files.push(volumes.ensure_disk(VM, disk, open).await.expect("a disk"));
        }
        let media = volumes.ensure_media(VM, &plan.context).await.expect("media");
        let draft = NetworkDraft {
            name: "default".into(),
            kind: "nat".into(),
            subnet4: Some("10.79.0.0/16".into()),
            ..NetworkDraft::default()
        };
        let spec = NetworkSpec::try_from(draft).expect("a valid network");
        let network = NetworkPlan::new(NetworkId(0), "default".into(), spec);
        self.drivers.links.ensure_network(&network).await.expect("a network");
        let mut ports = Vec::new();
        for nic in &plan.nics {
            let port = Port { vm: VM, hostname: "keep".into(), nic: nic.clone() };
            ports.push(self.drivers.links.ensure_port(&port).await.expect("a port"));
        }
        MachineOrder { plan, disks: files, kernel: None, initrd: None, media, ports }
    }

    fn boot_disk(&self) -> DiskPlan {
        DiskPlan::new(0, Some(self.image.clone()), 64)
    }

    async fn start(&self, order: &MachineOrder) {
        let from = self.log().await.len();
        self.drivers.machines.ensure_process(order).await.expect("starts");
        until("the guest is ready", async || {
            let log = self.log().await;
            log.get(from..).is_some_and(|log| log.contains("tiny: ready"))
        })
        .await;
    }

    async fn log(&self) -> String {
        let log = self.drivers.machines.serial_log(VM, 1 << 20).await.unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// What the guest's shell says to a command; nothing while the line cannot be joined, as just after a start.
    async fn shell(&self, command: &str) -> String {
        let Ok(mut line) = self.drivers.machines.serial(VM).await else { return String::new() };
        // The mark is put together by the shell, so that the echo of the command is not taken for its end.
        let typed = format!("\n{command}; echo DO''NE\n");
        line.write_all(typed.as_bytes()).await.expect("typed");
        let mut said = Vec::new();
        let reading = async {
            let mut block = [0; 4096];
            loop {
                let count = line.read(&mut block).await.expect("reads");
                assert!(count > 0, "the serial line ended: {}", String::from_utf8_lossy(&said));
                said.extend_from_slice(&block[..count]);
                if String::from_utf8_lossy(&said).contains("DONE") {
                    return;
                }
            }
        };
        let came = tokio::time::timeout(PATIENCE, reading).await;
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(came.is_ok(), "the shell did not answer {command:?}: {said}");
        said
    }

    async fn shell_says(&self, command: &str, wanted: &str) {
        until(&format!("{command:?} says {wanted:?}"), async || self.shell(command).await.contains(wanted)).await;
    }

    async fn off(&self) {
        self.drivers.machines.ensure_off(VM).await.expect("off");
    }

    async fn end(self) {
        let removed = holm_linux::purge::everything(&self.settings).await;
        removed.expect("everything is removed");
        assert!(!self.settings.data_dir.exists() && !self.settings.run_dir.exists(), "something was left behind");
    }
}

async fn until(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !check().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "{what}: not within {PATIENCE:?}");
}

/// Runs a test in network and mount namespaces of its own: this program calls itself.
fn inside<F: Future<Output = ()>>(name: &str, test: impl FnOnce(Ground) -> F) {
    let image = first_image::build(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("first-image"), &mut |_| {})
        .expect("the first image is made");
    if std::env::var_os("HOLM_LINUX_INSIDE").is_none() {
        assert!(nix::unistd::geteuid().is_root(), "this test makes network namespaces and needs root");
        let status = Command::new("unshare")
            .args(["--net", "--mount", "--propagation", "slave"])
            .arg(std::env::current_exe().expect("this program"))
            .args([name, "--exact", "--nocapture"])
            .env("HOLM_LINUX_INSIDE", "1")
            .status()
            .expect("unshare (package util-linux) runs");
        assert!(status.success(), "failed inside the namespaces");
        return;
    }
    let ready = Command::new("sh").args(["-c", "ip link set lo up; mount -t sysfs sysfs /sys"]).status();
    assert!(ready.expect("sh runs").success(), "the namespaces cannot be furnished");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let directory = tempfile::tempdir().expect("a directory");
    let ground = Ground::new(directory.path(), image.disk);
    let settings = ground.settings.clone();
    let came = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(test(ground))));
    if let Err(panic) = came {
        let _ = runtime.block_on(holm_linux::purge::everything(&settings));
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn a_guest_sees_disks_and_cards_come_and_go() {
    inside("a_guest_sees_disks_and_cards_come_and_go", async |mut ground| {
        let card = |id| NicPlan::new(id, NetworkId(0), MacAddr::for_nic(VM, id, None), None, None);
        let small = ground.order(vec![ground.boot_disk()], vec![card(0)]).await;
        ground.start(&small).await;
        let pid = ground.drivers.machines.look(VM).await.expect("looks").and_then(|seen| seen.pid);

        let scsi = DiskPlan { bus: Bus::Scsi, ..DiskPlan::new(2, None, 24) };
        let over = DiskPlan::new(3, Some(ground.image.clone()), 96);
        let disks = vec![ground.boot_disk(), DiskPlan::new(1, None, 16), scsi, over];
        let large = ground.order(disks, vec![card(0), card(1)]).await;
        let shape = ground.drivers.machines.ensure_shape(&large).await.expect("follows");
        assert!(shape.undone.is_none(), "{shape:?}");
        // The context media came before, so the new disks are the fourth and fifth.
        ground.shell_says("cat /sys/block/vd*/size", &(16 * 2048).to_string()).await;
        ground.shell_says("cat /sys/block/vd*/size", &(96 * 2048).to_string()).await;
        ground.shell_says("modprobe -a virtio_scsi sd_mod; cat /sys/block/sd*/size", &(24 * 2048).to_string()).await;
        ground.shell_says("cat /sys/class/net/*/address", &card(1).mac.to_string()).await;

        // What is written there is really there, also for a later agent.
        ground
            .shell_says(
                "d=$(grep -lx 32768 /sys/block/vd*/size); d=${d#/sys/block/}; d=/dev/${d%/size}; \
            echo kept-here | dd of=$d bs=512 conv=sync,fsync; dd if=$d bs=512 count=1",
                "kept-here",
            )
            .await;
        ground.again();
        let shape = ground.drivers.machines.ensure_shape(&small).await.expect("follows");
        assert!(shape.undone.is_none() && shape.nics == BTreeSet::from([0]), "{shape:?}");
        ground.shell_says("cat /sys/block/*/size | grep -c -e ^32768$ -e ^49152$ -e ^196608$", "0").await;
        ground.shell_says("ls /sys/class/net | grep -c eth", "1").await;
        let seen = ground.drivers.machines.look(VM).await.expect("looks").expect("it is there");
        assert_eq!((seen.pid, seen.state), (pid, RunState::Running), "the guest was restarted");
        let bytes = std::fs::read(&large.disks[1]).expect("the disk's file");
        assert!(bytes.windows(9).any(|w| w == b"kept-here"), "what the guest wrote is not on the disk");
        ground.end().await;
    });
}

/// What QEMU holds the guest's first disk to, bytes a second.
async fn held_to(ground: &Ground) -> u64 {
    let control = ground.settings.run_dir.join("vm").join(VM.to_string()).join("control");
    let stream = tokio::net::UnixStream::connect(control).await.expect("QEMU listens");
    let told = Qmp::once(stream, "query-block", serde_json::json!({}), PATIENCE).await.expect("it tells");
    let all = told.as_array().expect("a list");
    let disk = all.iter().find(|device| device["qdev"].as_str().is_some_and(|path| path.contains("/vd-0/")));
    disk.expect("the disk")["inserted"]["bps"].as_u64().expect("a number")
}

#[test]
fn disks_are_held_to_their_limits_and_cards_are_of_their_models() {
    inside("disks_are_held_to_their_limits_and_cards_are_of_their_models", async |mut ground| {
        let models = NicModel::ALL.iter().zip(0..);
        let cards: Vec<NicPlan> = models
            .map(|((_, model), id)| NicPlan {
                model: *model,
                ..NicPlan::new(id, NetworkId(0), MacAddr::for_nic(VM, id, None), None, None)
            })
            .collect();
        let plain = ground.boot_disk();
        let disk = |rate: u64| {
            let bytes = [Throttle { rate, ..Throttle::default() }, Throttle::default(), Throttle::default()];
            let limits = DiskLimits { bytes, ..DiskLimits::default() };
            DiskPlan { limits: Some(Box::new(limits)), ..plain.clone() }
        };
        // Booting reads some 4 MiB.
        let slow = ground.order(vec![disk(3 << 20)], cards.clone()).await;
        let begun = Instant::now();
        ground.start(&slow).await;
        eprintln!("from a disk of 3 MiB a second it booted within {:?}", begun.elapsed());
        assert_eq!(held_to(&ground).await, 3 << 20);
        let read = "echo 3 > /proc/sys/vm/drop_caches; dd if=/dev/vda of=/dev/null bs=1M count=15 2>&1";
        let begun = Instant::now();
        ground.shell_says(read, "15+0 records in").await;
        let limited = begun.elapsed();
        assert!(limited > Duration::from_secs(4), "15 MiB came within {limited:?}");

        // As the hardware would say: maker and model, of those with a number of their own.
        let seen =
            ground.shell("cd /sys/bus/pci/devices; for d in *; do cat $d/vendor $d/device | tr '\\n' ' '; done").await;
        for (maker, model) in [
            ("0x1af4", "0x1041"),
            ("0x8086", "0x100e"),
            ("0x8086", "0x10d3"),
            ("0x8086", "0x1229"),
            ("0x8086", "0x1209"),
            ("0x10ec", "0x8029"),
            ("0x1022", "0x2000"),
            ("0x10ec", "0x8139"),
            ("0x15ad", "0x07b0"),
        ] {
            assert!(seen.contains(&format!("{maker} {model}")), "no card {maker} {model}: {seen}");
        }

        // Other limits, and none, hold at once and need no restart, also by a later agent's hand.
        ground.again();
        let faster = ground.order(vec![disk(64 << 20)], cards.clone()).await;
        let shape = ground.drivers.machines.ensure_shape(&faster).await.expect("follows");
        assert!(shape.undone.is_none() && !shape.restart_needed, "{shape:?}");
        assert_eq!(held_to(&ground).await, 64 << 20);
        let free = ground.order(vec![plain.clone()], cards.clone()).await;
        let shape = ground.drivers.machines.ensure_shape(&free).await.expect("follows");
        assert!(shape.undone.is_none() && !shape.restart_needed, "{shape:?}");
        assert_eq!(held_to(&ground).await, 0);
        let begun = Instant::now();
        ground.shell_says(read, "15+0 records in").await;
        assert!(begun.elapsed() < limited, "a disk without limits is no faster than one with");

        // Another model comes with the next start; limits also hold for a guest that goes on from its memory.
        let mut other = free.clone();
        other.plan.nics[0].model = NicModel::E1000;
        assert!(ground.drivers.machines.ensure_shape(&other).await.expect("follows").restart_needed);
        ground.drivers.machines.ensure_saved(VM).await.expect("saved");
        let mut saved = ground.order(vec![disk(2 << 20)], cards).await;
        saved.plan.boot_seq = 1;
        ground.drivers.machines.ensure_process(&saved).await.expect("goes on");
        assert_eq!(held_to(&ground).await, 2 << 20);
        ground.off().await;
        ground.end().await;
    });
}

#[test]
fn a_disk_goes_back_to_its_snapshot() {
    inside("a_disk_goes_back_to_its_snapshot", async |ground| {
        let disks = vec![ground.boot_disk(), DiskPlan::new(1, None, 16)];
        let mut order = ground.order(disks, vec![]).await;
        ground.start(&order).await;
        let machines = ground.drivers.machines.clone();
        let write = |text: &str| {
            format!(
                "d=/dev/$(basename $(dirname $(grep -lx 32768 /sys/block/vd*/size))); \
                echo {text} | dd of=$d bs=512 conv=sync,fsync; echo 3 > /proc/sys/vm/drop_caches"
            )
        };
        let read = "d=/dev/$(basename $(dirname $(grep -lx 32768 /sys/block/vd*/size))); dd if=$d bs=512 count=1";
        ground.shell(&write("first")).await;
        let first = SnapshotRef::Disk { disk: 1, snapshot: 1 };
        machines.ensure_snapshot(&order, first).await.expect("taken");
        let whole = SnapshotRef::Vm { snapshot: 1 };
        ground.shell("touch /run-marker").await;
        machines.ensure_snapshot(&order, whole).await.expect("taken");
        ground.shell(&write("second")).await;
        ground.shell("rm /run-marker").await;
        ground.shell_says(read, "second").await;

        // Back with memory and all: the file that was only in memory is there again.
        machines.revert(&order, whole).await.expect("goes back");
        ground.shell_says("ls /run-marker && echo is-there", "is-there").await;
        ground.shell_says(read, "first").await;
        ground.shell(&write("third")).await;
        ground.shell_says(read, "third").await;

        ground.off().await;
        machines.revert(&order, first).await.expect("goes back");
        order.plan.boot_seq += 1;
        ground.start(&order).await;
        ground.shell_says(read, "first").await;
        ground.end().await;
    });
}

#[test]
fn a_saved_guest_goes_on_where_it_was() {
    inside("a_saved_guest_goes_on_where_it_was", async |mut ground| {
        let card = |id| NicPlan::new(id, NetworkId(0), MacAddr::for_nic(VM, id, None), None, None);
        let small = ground.order(vec![ground.boot_disk()], vec![card(0)]).await;
        ground.start(&small).await;
        // With devices that came while it ran: they have to be where they were.
        let scsi = DiskPlan { bus: Bus::Scsi, ..DiskPlan::new(2, None, 24) };
        let disks = vec![ground.boot_disk(), DiskPlan::new(1, None, 16), scsi];
        let order = ground.order(disks, vec![card(0), card(1)]).await;
        let shape = ground.drivers.machines.ensure_shape(&order).await.expect("follows");
        assert!(shape.undone.is_none(), "{shape:?}");
        ground.shell_says("cat /sys/block/vd*/size", "32768").await;
        let boot_id = ground.shell("cat /proc/sys/kernel/random/boot_id").await;
        let boot_id = boot_id.lines().find(|l| l.trim().len() == 36).expect("a boot id").trim().to_owned();
        ground.shell("touch /in-memory").await;

        ground.drivers.machines.ensure_saved(VM).await.expect("saved");
        ground.again();
        let seen = ground.drivers.machines.look(VM).await.expect("looks").expect("it is there");
        assert_eq!((seen.state, seen.pid), (RunState::Saved, None));
        let order = ground.order(order.plan.disks.clone(), order.plan.nics.clone()).await;
        let seen = ground.drivers.machines.ensure_process(&order).await.expect("goes on");
        assert_eq!((seen.state, seen.remark), (RunState::Running, None));
        ground.shell_says("cat /proc/sys/kernel/random/boot_id", &boot_id).await;
        ground.shell_says("ls /in-memory && echo is-there", "is-there").await;
        ground.shell_says("cat /sys/block/vd*/size", "32768").await;
        let first = ground.shell("cut -d. -f1 /proc/uptime").await;
        let uptime = |text: &str| text.lines().find_map(|l| l.trim().parse::<u64>().ok()).expect("seconds");
        until("its clock goes on", async || uptime(&ground.shell("cut -d. -f1 /proc/uptime").await) > uptime(&first))
            .await;
        let shape = ground.drivers.machines.ensure_shape(&small).await.expect("follows");
        assert!(shape.undone.is_none(), "what came before it was saved leaves after: {shape:?}");

        // Memory that cannot be read: it boots, and says why.
        ground.drivers.machines.ensure_saved(VM).await.expect("saved");
        let memory = ground.settings.data_dir.join("machines/7/memory");
        let length = std::fs::metadata(&memory).expect("the memory's file").len();
        let mut bytes = std::fs::read(&memory).expect("read");
        bytes[(length / 3) as usize..].fill(0x5a);
        std::fs::write(&memory, bytes).expect("spoiled");
        let from = ground.log().await.len();
        let small = ground.order(vec![ground.boot_disk()], vec![card(0)]).await;
        let seen = ground.drivers.machines.ensure_process(&small).await.expect("boots");
        assert!(seen.remark.as_ref().is_some_and(|r| r.contains("was booted")), "{:?}", seen.remark);
        assert_eq!(seen.state, RunState::Running);
        until("it boots", async || ground.log().await.get(from..).is_some_and(|l| l.contains("tiny: ready"))).await;
        assert!(!memory.exists(), "memory that cannot be used was left");
        ground.end().await;
    });
}

#[test]
fn a_copy_of_a_running_guests_disk_boots() {
    inside("a_copy_of_a_running_guests_disk_boots", async |ground| {
        let order = ground.order(vec![ground.boot_disk()], vec![]).await;
        ground.start(&order).await;
        let machines = ground.drivers.machines.clone();
        let export = Export { disk: 0, snapshot: None, image: ImageId(3) };
        let copy = machines.ensure_copy(&order, &export).await.expect("copied");
        let mut bytes = Vec::new();
        let mut stream = machines.read_copy(VM, ImageId(3), 0).await.expect("readable");
        stream.read_to_end(&mut bytes).await.expect("read");
        assert_eq!((bytes.len() as u64, blake3::hash(&bytes).to_hex().to_string()), (copy.size, copy.digest.clone()));
        ground.off().await;
        // As the base of another disk, as any image.
        let path = ground.settings.data_dir.with_file_name("copy.qcow2");
        std::fs::write(&path, &bytes).expect("written");
        let image = ImageRef { digest: copy.digest, format: ImageFormat::Qcow2, file_size: copy.size };
        ground.drivers.volumes.ensure_image(&image, &File(path)).await.expect("comes");
        ground.drivers.volumes.ensure_absent(VM).await.expect("removed");
        let mut order = ground.order(vec![DiskPlan::new(0, Some(image), 64)], vec![]).await;
        order.plan.boot_seq += 1;
        ground.start(&order).await;
        ground.end().await;
    });
}
