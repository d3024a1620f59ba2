//! The real drivers pass the suite every set of drivers passes: a real guest of the first image on a real bridge, in
//! namespaces of its own. Needs root and the packages of `holm_linux::packages`.
#![allow(missing_docs, reason = "tests")]

use async_trait::async_trait;
use holm_driver::conformance::{self, Ground};
use holm_driver::{Drivers, Fault, Fetch, FetchStream};
use holm_linux::{LinuxSettings, first_image};
use holm_model::host_plan::{BootPlan, ContextFiles, DiskPlan, ImageRef, NetworkPlan, NicPlan, VmPlan};
use holm_model::hosts::Accelerator;
use holm_model::images::ImageFormat;
use holm_model::networks::{MacAddr, NetworkDraft, NetworkSpec};
use holm_model::vms::{Firmware, Machine, Power, RestartPolicy};
use holm_model::{CpuShare, NetworkId, VmId};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncSeekExt;

struct Machine1 {
    settings: LinuxSettings,
    disk: ImageRef,
    source: Arc<File>,
}

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

#[async_trait]
impl Ground for Machine1 {
    fn drivers(&self) -> Drivers {
        holm_linux::drivers(self.settings.clone()).expect("good settings")
    }

    fn plan(&self, vm: VmId) -> VmPlan {
        let ip4 = Ipv4Addr::new(10, 77, 0, 10 + u8::try_from(vm.0).expect("a small id"));
        VmPlan {
            id: vm,
            name: format!("guest-{vm}"),
            uuid: format!("00000000-0000-4000-8000-{:012}", vm.0).parse().expect("a UUID"),
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
            disks: vec![DiskPlan::new(0, Some(self.disk.clone()), 64)],
            nics: vec![NicPlan::new(0, NetworkId(0), MacAddr::for_nic(vm, 0, Some(ip4)), Some(ip4), None)],
            context: ContextFiles {
                context_sh: format!("SET_HOSTNAME='guest-{vm}'\n"),
                meta_data: format!("instance-id: {vm}\n"),
                user_data: "#cloud-config\n".into(),
                network_config: None,
            },
            graphics: true,
            hardware: Default::default(),
            bound: Default::default(),
            snapshots: vec![],
            revert: None,
            exports: vec![],
            sends: false,
            receives: None,
        }
    }

    fn network(&self) -> NetworkPlan {
        let draft = NetworkDraft {
            name: "default".into(),
            kind: "nat".into(),
            subnet4: Some("10.77.0.0/16".into()),
            ..NetworkDraft::default()
        };
        NetworkPlan::new(NetworkId(0), "default".into(), NetworkSpec::try_from(draft).expect("a valid network"))
    }

    fn images(&self) -> Arc<dyn Fetch> {
        self.source.clone()
    }

    async fn kill_guest(&self, vm: VmId) -> Result<(), String> {
        let seen = self.drivers().machines.look(vm).await.map_err(|e| e.to_string())?;
        let pid = seen.and_then(|seen| seen.pid).ok_or("the guest has no process")?;
        let pid = i32::try_from(pid).map_err(|e| e.to_string())?;
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL)
            .map_err(|e| e.to_string())
    }

    fn patience(&self) -> Duration {
        // What is promised to users, and room for a machine that builds at the same time.
        Duration::from_secs(10)
    }

    fn says_at_boot(&self) -> Option<(&'static str, Duration)> {
        Some(("tiny: ready", Duration::from_secs(120)))
    }
}

#[test]
fn the_real_drivers_pass_the_suite() {
    let image = first_image::build(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("first-image"), &mut |_| {})
        .expect("the first image is made");
    if std::env::var_os("HOLM_LINUX_INSIDE").is_none() {
        assert!(nix::unistd::geteuid().is_root(), "this test makes network namespaces and needs root");
        let status = Command::new("unshare")
            .args(["--net", "--mount", "--propagation", "slave"])
            .arg(std::env::current_exe().expect("this program"))
            .args(["the_real_drivers_pass_the_suite", "--exact", "--nocapture"])
            .env("HOLM_LINUX_INSIDE", "1")
            .status()
            .expect("unshare (package util-linux) runs");
        assert!(status.success(), "failed inside the namespaces");
        return;
    }
    let ready = Command::new("sh").args(["-c", "ip link set lo up; mount -t sysfs sysfs /sys"]).status();
    assert!(ready.expect("sh runs").success(), "the namespaces cannot be furnished");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let bytes = std::fs::read(&image.disk).expect("the image is read");
        let ground = Machine1 {
            settings: LinuxSettings {
                instance: format!("hlc{}", std::process::id()),
                data_dir: directory.path().join("data"),
                run_dir: directory.path().join("run"),
                accelerator: Some(Accelerator::Tcg),
                ..LinuxSettings::default()
            },
            disk: ImageRef {
                digest: blake3::hash(&bytes).to_hex().to_string(),
                format: ImageFormat::Qcow2,
                file_size: bytes.len() as u64,
            },
            source: Arc::new(File(image.disk.clone())),
        };
        let outcome = conformance::all(&ground, VmId(1)).await;
        let removed = holm_linux::purge::everything(&ground.settings).await;
        outcome.expect("every promise is kept");
        removed.expect("everything is removed");
        assert!(!ground.settings.data_dir.exists() && !ground.settings.run_dir.exists(), "something was left behind");
    });
}
