//! The fake host keeps every promise the real drivers keep, and its levers do what they say.

#![allow(clippy::unwrap_used, reason = "tests")]

use async_trait::async_trait;
use holm_driver::conformance::{self, Ground};
use holm_driver::fake::{FakeFetch, FakeHost, Interference, Manner, RuntimeClock, Verb};
use holm_driver::{Drivers, Ended, Fault, Fetch, MachineOrder, RunState};
use holm_model::host_plan::{BootPlan, ContextFiles, DiskPlan, ImageRef, NetworkPlan, NicPlan, VmPlan};
use holm_model::images::ImageFormat;
use holm_model::networks::{MacAddr, NetworkKind, NetworkSpec};
use holm_model::vms::{Firmware, Machine, Power, RestartPolicy};
use holm_model::{CpuShare, NetworkId, Timestamp, VmId};
use std::sync::Arc;
use std::time::Duration;

struct Fake {
    host: FakeHost,
    images: Arc<FakeFetch>,
}

impl Fake {
    fn new() -> Self {
        let clock = RuntimeClock::starting_at(Timestamp(1_800_000_000_000));
        Self { host: FakeHost::new(Arc::new(clock)), images: Arc::new(FakeFetch::new()) }
    }

    async fn start(&self, vm: VmId) -> MachineOrder {
        let drivers = self.drivers();
        let order = conformance::prepare(self, &drivers, &self.plan(vm)).await.expect("prepares");
        drivers.machines.ensure_process(&order).await.expect("starts");
        order
    }
}

#[async_trait]
impl Ground for Fake {
    fn drivers(&self) -> Drivers {
        self.host.drivers()
    }
    fn plan(&self, vm: VmId) -> VmPlan {
        let base = ImageRef { digest: "ab".repeat(32), format: ImageFormat::Qcow2, file_size: 100_000 };
        VmPlan {
            id: vm,
            name: format!("vm-{vm}"),
            uuid: "018f3f5e-0000-7000-8000-000000000001".parse().unwrap(),
            generation: 1,
            power: Power::On,
            boot_seq: 1,
            restart: RestartPolicy::OnFailure,
            cpu: CpuShare::cores(1),
            vcpus: 1,
            memory_mib: 128,
            machine: Machine::Q35,
            firmware: Firmware::Bios,
            boot: BootPlan::Disk,
            disks: vec![DiskPlan::new(0, Some(base), 100)],
            nics: vec![NicPlan::new(0, NetworkId(7), MacAddr::for_nic(vm, 0, None), Some([10, 0, 0, 2].into()), None)],
            context: ContextFiles::default(),
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
        NetworkPlan::new(NetworkId(7), "lab".into(), NetworkSpec::new(NetworkKind::Nat))
    }
    fn images(&self) -> Arc<dyn Fetch> {
        self.images.clone()
    }
    async fn kill_guest(&self, vm: VmId) -> Result<(), String> {
        self.host.guest_dies(vm, "killed by signal 9").then_some(()).ok_or_else(|| "it does not run".into())
    }
    fn follows_button_within(&self) -> Option<Duration> {
        Some(Duration::from_secs(1))
    }
    fn says_at_boot(&self) -> Option<(&'static str, Duration)> {
        Some(("boots", Duration::from_secs(1)))
    }
}

#[tokio::test(start_paused = true)]
async fn the_fake_keeps_every_promise() {
    let ground = Fake::new();
    conformance::all(&ground, VmId(1)).await.unwrap();
    assert_eq!(ground.host.violations(), Vec::<String>::new());
    assert!(ground.host.truth().owners().is_empty());
}

#[tokio::test(start_paused = true)]
async fn it_does_so_when_every_call_is_slow() {
    let ground = Fake::new();
    ground.host.interfere(Some(Box::new(|call| Interference {
        before: Duration::from_millis(call.number % 7),
        after: Duration::from_millis(call.number % 5),
        ..Interference::default()
    })));
    conformance::all(&ground, VmId(1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_power_cut_takes_processes_and_bridges_but_no_files() {
    let ground = Fake::new();
    ground.start(VmId(1)).await;
    let before = ground.host.truth();
    ground.host.power_cut();
    let after = ground.host.truth();
    assert!(after.process(VmId(1)).is_none());
    assert!(after.ports.is_empty() && after.networks.is_empty());
    assert_eq!((after.disks, after.images, after.media), (before.disks, before.images, before.media));
    let seen = ground.drivers().machines.look(VmId(1)).await.unwrap().expect("its files are there");
    assert_eq!(seen.state, RunState::Gone(Ended::Unseen));
    assert_eq!(ground.drivers().probe.facts().await.unwrap().boot_id, "boot-2");
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_fetch_goes_on_where_it_stopped() {
    let ground = Fake::new();
    let drivers = ground.drivers();
    let image = ground.plan(VmId(1)).images().remove(0);
    ground.images.cut_after(70_000);
    let fault = drivers.volumes.ensure_image(&image, ground.images.as_ref()).await.expect_err("is cut off");
    assert!(fault.says.contains("70000"), "{fault}");
    drivers.volumes.ensure_image(&image, ground.images.as_ref()).await.unwrap();
    assert_eq!(ground.images.fetches(), [(image.digest.clone(), 0), (image.digest, 70_000)]);
}

#[tokio::test(start_paused = true)]
async fn levers_refuse_lie_hang_and_let_go() {
    let ground = Fake::new();
    let vm = VmId(1);
    let order = conformance::prepare(&ground, &ground.drivers(), &ground.plan(vm)).await.unwrap();
    let machines = ground.drivers().machines;
    ground.host.fail(Verb::EnsureProcess, Some(vm), 1, Fault::permanent("no such machine type"));
    let fault = machines.ensure_process(&order).await.expect_err("refused once");
    assert_eq!(fault, Fault::permanent("no such machine type"));
    assert!(ground.host.truth().machines.is_empty());

    let lie = Interference { lie: Some(Fault::unknown("no answer")), ..Interference::default() };
    ground.host.rule(Verb::EnsureProcess, None, 1, lie);
    assert!(machines.ensure_process(&order).await.is_err());
    assert!(ground.host.truth().process(vm).is_some(), "the effect came about");

    ground.host.hang(Verb::EnsureOff, Some(vm));
    let call = tokio::time::timeout(Duration::from_secs(3600), machines.ensure_off(vm));
    let host = ground.host.clone();
    let (hung, ()) = tokio::join!(call, async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(host.truth().process(vm).is_some());
        host.release();
    });
    assert_eq!(hung, Ok(Ok(())));
    assert!(ground.host.truth().process(vm).is_none());
}

#[tokio::test(start_paused = true)]
async fn misuse_is_remembered() {
    let ground = Fake::new();
    let vm = VmId(1);
    let order = ground.start(vm).await;
    let drivers = ground.drivers();
    drivers.volumes.ensure_absent(vm).await.unwrap();
    drivers.links.ensure_ports_absent(vm).await.unwrap();
    let (_, _) = tokio::join!(drivers.machines.ensure_process(&order), drivers.machines.ensure_off(vm));
    let violations = ground.host.violations();
    assert_eq!(violations.len(), 3, "{violations:?}");
    // A caller that is killed in the middle of a call leaves the VM free for the next.
    ground.host.delay(Verb::EnsureOff, Some(vm), Duration::from_secs(60));
    let killed = tokio::time::timeout(Duration::from_secs(1), drivers.machines.ensure_off(vm)).await;
    assert!(killed.is_err());
    ground.host.release();
    drivers.machines.ensure_off(vm).await.unwrap();
    assert_eq!(ground.host.violations().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_guest_follows_its_button_in_its_own_time_or_never() {
    let ground = Fake::new();
    let machines = ground.drivers().machines;
    ground.host.manner(VmId(1), Manner { follows_button: Some(Duration::from_secs(5)), ..Manner::default() });
    ground.host.manner(VmId(2), Manner { follows_button: None, ..Manner::default() });
    ground.start(VmId(1)).await;
    ground.start(VmId(2)).await;
    let mut events = machines.events();
    machines.press_power(VmId(1)).await.unwrap();
    machines.press_power(VmId(2)).await.unwrap();
    let before = tokio::time::Instant::now();
    events.recv().await.unwrap();
    assert!(before.elapsed() >= Duration::from_secs(4));
    assert_eq!(machines.look(VmId(1)).await.unwrap().unwrap().state, RunState::ShutDown);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(machines.look(VmId(2)).await.unwrap().unwrap().state, RunState::Running);
}

/// A stream that is never read must not matter to another.
#[tokio::test(start_paused = true)]
async fn viewers_of_a_serial_line_do_not_wait_for_each_other() {
    use tokio::io::AsyncReadExt;
    let ground = Fake::new();
    ground.start(VmId(1)).await;
    let machines = ground.drivers().machines;
    let _lazy = machines.serial(VmId(1)).await.unwrap();
    let mut keen = machines.serial(VmId(1)).await.unwrap();
    let line = vec![b'x'; 300_000];
    ground.host.guest_says(VmId(1), &line);
    let mut read = vec![0; line.len()];
    keen.read_exact(&mut read).await.unwrap();
    assert_eq!(read, line);
    ground.host.guest_dies(VmId(1), "gone");
    assert_eq!(keen.read(&mut [0; 8]).await.unwrap(), 0, "the line ends with its guest");
}
