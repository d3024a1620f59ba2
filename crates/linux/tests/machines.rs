//! Guests' processes with the real QEMU: no network and no image is needed, only root and `qemu-system-x86_64`.

use holm_driver::{Ended, FaultClass, MachineEvent, MachineOrder, MachineSeen, Machines, RunState};
use holm_linux::LinuxSettings;
use holm_linux::machines::{QemuMachines, purge};
use holm_model::host_plan::{BootPlan, ContextFiles, DiskPlan, VmPlan};
use holm_model::hosts::Accelerator;
use holm_model::vms::{
    BootDevice, Bound, BoundNode, CpuTopology, Firmware, GuestNode, Input, InputBus, Machine, PinPolicy, Power,
    RestartPolicy, VideoKind,
};
use holm_model::{CpuShare, VmId};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A place for one test, removed with everything in it at its end, also when the test fails.
struct Place {
    settings: LinuxSettings,
    _dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "these tests start real guests: run them as root");
        let found = Command::new("qemu-system-x86_64").arg("--version").output();
        assert!(found.is_ok(), "these tests start real guests: install the package qemu-system-x86");
        let dir = tempfile::tempdir().expect("a directory");
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let settings = LinuxSettings {
            instance: format!("hl{}-{number}", std::process::id()),
            data_dir: dir.path().join("data"),
            run_dir: dir.path().join("run"),
            accelerator: Some(Accelerator::Tcg),
            ..LinuxSettings::default()
        };
        Self { settings, _dir: dir }
    }

    fn machines(&self) -> QemuMachines {
        QemuMachines::new(self.settings.clone()).expect("good settings")
    }

    fn data(&self, vm: u32) -> PathBuf {
        self.settings.data_dir.join("machines").join(vm.to_string())
    }

    fn run(&self, vm: u32) -> PathBuf {
        self.settings.run_dir.join("vm").join(vm.to_string())
    }

    /// A disk that boots a guest which says [`HELLO`] on its serial line, then repeats what it is told, and after an
    /// `f` repeats that without end.
    fn talking_disk(&self) -> PathBuf {
        self.disk_saying("disk,0.qcow2", HELLO)
    }

    /// One that says something else.
    fn disk_saying(&self, name: &str, hello: &[u8]) -> PathBuf {
        let mut sector = vec![0; 512];
        sector[..CODE.len()].copy_from_slice(&CODE);
        sector[0x30..0x30 + hello.len()].copy_from_slice(hello);
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        sector.resize(1 << 20, 0);
        std::fs::create_dir_all(&self.settings.data_dir).expect("a directory");
        let (raw, disk) = (self.settings.data_dir.join("raw"), self.settings.data_dir.join(name));
        std::fs::write(&raw, sector).expect("written");
        let made = Command::new("qemu-img").args(["convert", "-O", "qcow2"]).args([&raw, &disk]).status();
        assert!(made.expect("qemu-img runs").success());
        disk
    }

    fn talking(&self, vm: u32) -> MachineOrder {
        let mut order = order(vm);
        order.plan.disks = vec![DiskPlan::new(0, None, 1)];
        order.disks = vec![self.talking_disk()];
        order
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let settings = self.settings.clone();
        // A runtime of its own, because the test's may be on its way down.
        let left = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(purge::purge(&settings)).map(|_| purge::list(&settings))
        });
        let left = left.join().expect("the purge does not panic");
        if !std::thread::panicking() {
            assert_eq!(left, Ok(vec![]), "the purge left something");
        }
    }
}

const HELLO: &[u8] = b"HOLM TEST GUEST\r\n";

/// x86 real mode, loaded at 0x7c00. Interrupts are off, because SeaBIOS reads the serial line from its clock interrupt.
#[rustfmt::skip]
const CODE: [u8; 41] = [
    0xfa,                   // cli
    0x31, 0xc0,             // xor ax, ax
    0x8e, 0xd8,             // mov ds, ax
    0xbe, 0x30, 0x7c,       // mov si, 0x7c30
    0xac,                   // next: lodsb
    0x84, 0xc0,             // test al, al
    0x74, 0x06,             // jz wait
    0xba, 0xf8, 0x03,       // mov dx, 0x3f8
    0xee,                   // out dx, al
    0xeb, 0xf5,             // jmp next
    0xba, 0xfd, 0x03,       // wait: mov dx, 0x3fd
    0xec,                   // in al, dx
    0xa8, 0x01,             // test al, 1
    0x74, 0xf8,             // jz wait
    0xba, 0xf8, 0x03,       // mov dx, 0x3f8
    0xec,                   // in al, dx
    0x3c, b'f',             // cmp al, 'f'
    0x74, 0x03,             // je flood
    0xee,                   // out dx, al
    0xeb, 0xed,             // jmp wait
    0xee,                   // flood: out dx, al
    0xeb, 0xfd,             // jmp flood
];

/// A guest with nothing to boot from.
fn order(vm: u32) -> MachineOrder {
    MachineOrder {
        plan: VmPlan {
            id: VmId(vm),
            name: format!("test {vm}, with a comma"),
            uuid: format!("00000000-0000-4000-8000-{vm:012}").parse().expect("a UUID"),
            generation: 3,
            power: Power::On,
            boot_seq: 5,
            restart: RestartPolicy::OnFailure,
            cpu: CpuShare::cores(1),
            vcpus: 1,
            memory_mib: 64,
            machine: Machine::Q35,
            firmware: Firmware::Bios,
            boot: BootPlan::Disk,
            disks: vec![],
            nics: vec![],
            context: ContextFiles::default(),
            graphics: false,
            hardware: Default::default(),
            bound: Default::default(),
            snapshots: vec![],
            revert: None,
            exports: vec![],
            sends: false,
            receives: None,
        },
        disks: vec![],
        kernel: None,
        initrd: None,
        media: vec![],
        ports: vec![],
    }
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.unwrap_or_else(|_| panic!("{what}: not within 60 s"))
}

async fn until(what: &str, mut check: impl AsyncFnMut() -> bool) {
    soon(what, async {
        while !check().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

async fn state(machines: &QemuMachines, vm: u32) -> Option<RunState> {
    machines.look(VmId(vm)).await.expect("looks").map(|seen| seen.state)
}

async fn needs_restart(machines: &QemuMachines, order: &MachineOrder) -> bool {
    let shape = machines.ensure_shape(order).await.expect("follows");
    assert_eq!(shape.undone, None);
    shape.restart_needed
}

/// Waits until a talking guest listens: what is typed earlier the firmware reads.
async fn hello(machines: &QemuMachines, vm: u32) {
    said(machines, vm, HELLO).await;
}

async fn said(machines: &QemuMachines, vm: u32, words: &[u8]) {
    until("the guest says hello", async || {
        let log = machines.serial_log(VmId(vm), 1 << 20).await.expect("a log");
        log.windows(words.len()).any(|w| w == words)
    })
    .await;
}

fn kill(pid: u32, signal: nix::sys::signal::Signal) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).expect("a pid"));
    nix::sys::signal::kill(pid, signal).expect("the process is there");
}

fn status_line(pid: u32, name: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = text.lines().find(|l| l.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
    line.split_once(':').expect("a colon").1.trim().to_owned()
}

#[tokio::test]
async fn a_guest_is_started_once_paused_continued_ended_and_removed() {
    let place = Place::new();
    let machines = place.machines();
    assert_eq!(machines.survey().await, Ok(vec![]));
    assert_eq!(machines.look(VmId(1)).await, Ok(None));
    machines.ensure_off(VmId(1)).await.expect("nothing is off");

    let seen = machines.ensure_process(&order(1)).await.expect("starts");
    assert_eq!(seen.state, RunState::Running);
    assert_eq!((seen.generation, seen.boot_seq, seen.accelerator), (3, 5, Some(Accelerator::Tcg)));
    let mut later = order(1);
    later.plan.boot_seq = 6;
    assert_eq!(machines.ensure_process(&later).await, Ok(seen.clone()), "a second call changes nothing");
    assert_eq!(machines.survey().await, Ok(vec![seen]));

    machines.ensure_cpus(VmId(1), false).await.expect("pauses");
    machines.ensure_cpus(VmId(1), false).await.expect("pauses again");
    assert_eq!(state(&machines, 1).await, Some(RunState::Paused));
    machines.ensure_cpus(VmId(1), true).await.expect("continues");
    assert_eq!(state(&machines, 1).await, Some(RunState::Running));

    machines.ensure_off(VmId(1)).await.expect("off");
    machines.ensure_off(VmId(1)).await.expect("still off");
    assert_eq!(state(&machines, 1).await, Some(RunState::Gone(Ended::Unseen)));
    assert!(machines.ensure_cpus(VmId(1), true).await.expect_err("no process").says.contains("has no process"));
    machines.ensure_absent(VmId(1)).await.expect("absent");
    machines.ensure_absent(VmId(1)).await.expect("still absent");
    assert_eq!(machines.look(VmId(1)).await, Ok(None));
    assert!(!place.data(1).exists() && !place.run(1).exists());
}

#[tokio::test]
async fn a_process_is_detached_and_has_no_rights() {
    let place = Place::new();
    let machines = place.machines();
    let seen = machines.ensure_process(&order(7)).await.expect("starts");
    let pid = seen.pid.expect("a process");
    let user = (1_900_000_007_u32).to_string();
    assert!(status_line(pid, "Uid").split_whitespace().all(|uid| uid == user), "{}", status_line(pid, "Uid"));
    assert!(status_line(pid, "Gid").split_whitespace().all(|gid| gid == user));
    assert_eq!(status_line(pid, "CapEff"), "0000000000000000");
    assert_eq!(status_line(pid, "NoNewPrivs"), "1");
    assert_eq!(status_line(pid, "Seccomp"), "2");
    let own = nix::unistd::getsid(None).expect("our session");
    let raw = nix::unistd::Pid::from_raw(i32::try_from(pid).expect("a pid"));
    assert_ne!(nix::unistd::getsid(Some(raw)).expect("its session"), own);
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("its groups");
    let ours = format!("/{}/vm-7", place.settings.instance);
    assert!(groups.lines().any(|l| l.ends_with(&ours)), "{groups}");
    let mine = std::fs::read_to_string("/proc/self/cgroup").expect("our groups");
    assert!(!mine.contains(&place.settings.instance), "{mine}");
    for secret in ["lock", "started.json", "serial.log", "stderr.log"] {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(place.data(7).join(secret)).expect("there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{secret} can be read by others");
    }
}

#[tokio::test]
async fn a_later_agent_adopts_what_it_finds() {
    let place = Place::new();
    let first = place.machines();
    let started = first.ensure_process(&order(1)).await.expect("starts");
    drop(first);

    let second = place.machines();
    assert_eq!(second.survey().await, Ok(vec![started.clone()]));
    assert_eq!(second.ensure_process(&order(1)).await, Ok(started.clone()));
    let mut events = second.events();
    second.ensure_cpus(VmId(1), false).await.expect("pauses");
    assert_eq!(soon("the pause is announced", events.recv()).await, Ok(MachineEvent::Changed(VmId(1))));
    second.ensure_cpus(VmId(1), true).await.expect("continues");

    // The guest has no system that would follow its power button.
    second.press_power(VmId(1)).await.expect("pressed");
    assert_eq!(state(&second, 1).await, Some(RunState::Running));

    kill(started.pid.expect("a process"), nix::sys::signal::Signal::SIGKILL);
    let killed = Instant::now();
    until("the death is seen", async || matches!(state(&second, 1).await, Some(RunState::Gone(Ended::Died(_))))).await;
    assert!(killed.elapsed() < Duration::from_secs(2), "{:?}", killed.elapsed());
}

#[tokio::test]
async fn a_death_is_announced_at_once_and_remembered_by_the_next_agent() {
    let place = Place::new();
    let machines = place.machines();
    let seen = machines.ensure_process(&order(1)).await.expect("starts");
    let mut events = machines.events();
    let killed = Instant::now();
    kill(seen.pid.expect("a process"), nix::sys::signal::Signal::SIGKILL);
    assert_eq!(soon("the death is announced", events.recv()).await, Ok(MachineEvent::Changed(VmId(1))));
    assert!(killed.elapsed() < Duration::from_secs(2), "{:?}", killed.elapsed());
    let gone = state(&machines, 1).await;
    let Some(RunState::Gone(Ended::Died(words))) = &gone else { panic!("it is {gone:?}") };
    assert!(words.contains("SIGKILL"), "{words}");
    drop(machines);

    let next = place.machines();
    assert_eq!(state(&next, 1).await, gone);
    let again = next.ensure_process(&order(1)).await.expect("starts again");
    assert_eq!(again.state, RunState::Running);
    next.ensure_off(VmId(1)).await.expect("off");
    assert_eq!(state(&next, 1).await, Some(RunState::Gone(Ended::Unseen)), "an old death is not told of a new process");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_starters_start_one_process() {
    let place = Place::new();
    let agents: Vec<Arc<QemuMachines>> = (0..3).map(|_| Arc::new(place.machines())).collect();
    let starts = agents.iter().flat_map(|agent| [agent, agent]).map(|agent| {
        let agent = agent.clone();
        tokio::spawn(async move { agent.ensure_process(&order(1)).await })
    });
    let mut pids = Vec::new();
    for start in futures::future::join_all(starts).await {
        pids.push(start.expect("no panic").expect("started or found").pid);
    }
    pids.dedup();
    assert_eq!(pids.len(), 1, "{pids:?}");
    let processes = purge::list(&place.settings).into_iter().filter(|l| l.starts_with("The process")).count();
    assert_eq!(processes, 1);
    // What one of them ends on purpose is no death for the others.
    agents[0].ensure_off(VmId(1)).await.expect("off");
    for agent in &agents {
        assert_eq!(state(agent, 1).await, Some(RunState::Gone(Ended::Unseen)));
    }
}

#[tokio::test]
async fn a_process_whose_starter_was_killed_before_writing_it_down_is_found() {
    let place = Place::new();
    let first = place.machines();
    let started = first.ensure_process(&order(1)).await.expect("starts");
    drop(first);
    let record = place.data(1).join("started.json");
    let mut content: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&record).expect("a record")).expect("JSON");
    content["process"] = serde_json::Value::Null;
    for pid_file in [true, false] {
        std::fs::write(&record, content.to_string()).expect("written");
        if !pid_file {
            std::fs::remove_file(place.run(1).join("pid")).expect("a pid file");
        }
        assert_eq!(place.machines().look(VmId(1)).await, Ok(Some(started.clone())), "pid file: {pid_file}");
    }
    // With the record torn nothing is known of it but that it runs; it is not started again.
    std::fs::write(&record, b"{").expect("torn");
    let machines = place.machines();
    let found = machines.ensure_process(&order(1)).await.expect("found");
    let unknown = MachineSeen {
        generation: 0,
        boot_seq: 0,
        accelerator: None,
        started_at: Default::default(),
        devices: None,
        ..started
    };
    assert_eq!(found, unknown);
    assert!(needs_restart(&machines, &order(1)).await);
}

#[tokio::test]
async fn nothing_is_started_while_somebody_holds_the_lock() {
    let place = Place::new();
    let machines = place.machines();
    machines.ensure_process(&order(1)).await.expect("starts");
    machines.ensure_off(VmId(1)).await.expect("off");
    let lock = std::fs::File::open(place.data(1).join("lock")).expect("a lock");
    lock.lock().expect("free");
    let fault = machines.ensure_process(&order(1)).await.expect_err("refused");
    assert_eq!(fault.class, FaultClass::Unknown, "{fault}");
    let seen = machines.survey().await.expect("a survey");
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].state.clone(), seen[0].pid), (RunState::Running, None), "somebody has it");
    drop(lock);
    machines.ensure_process(&order(1)).await.expect("starts now");
}

#[tokio::test]
async fn a_start_that_fails_says_why_and_leaves_no_process() {
    let place = Place::new();
    let machines = place.machines();
    let mut order = place.talking(1);
    order.disks = vec!["/nonexistent/disk.qcow2".into()];
    let fault = machines.ensure_process(&order).await.expect_err("no such disk");
    assert!(fault.says.contains("/nonexistent/disk.qcow2") && !fault.says.contains('\n'), "{fault}");
    let gone = machines.look(VmId(1)).await.expect("looks").expect("files");
    assert_eq!(gone.pid, None);
    assert!(matches!(gone.state, RunState::Gone(Ended::Died(_))), "{gone:?}");
    assert!(!place.run(1).exists());

    let mut settings = place.settings.clone();
    settings.qemu = Some("/nonexistent/qemu".into());
    let machines = QemuMachines::new(settings).expect("good settings");
    let fault = machines.ensure_process(&order).await.expect_err("no QEMU");
    assert!(fault.says.contains("/nonexistent/qemu"), "{fault}");
}

#[tokio::test]
async fn a_guest_that_never_speaks_is_killed_after_the_time_limit() {
    let place = Place::new();
    let mute = place.settings.data_dir.join("mute");
    std::fs::create_dir_all(&place.settings.data_dir).expect("a directory");
    std::fs::write(&mute, "#!/bin/sh\nsleep 600\n").expect("written");
    std::fs::set_permissions(&mute, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("executable");
    let settings =
        LinuxSettings { qemu: Some(mute), start_timeout: Duration::from_millis(300), ..place.settings.clone() };
    let machines = QemuMachines::new(settings).expect("good settings");
    let fault = machines.ensure_process(&order(1)).await.expect_err("mute");
    assert!(fault.says.contains("VM 1"), "{fault}");
    // The shell's child is no QEMU, yet it inherited the lock: whatever holds it keeps a second start away.
    purge::purge(&place.settings).await.expect("purged");
    assert_eq!(machines.look(VmId(1)).await, Ok(None));
}

#[tokio::test]
async fn a_hung_guest_delays_nobody_else_and_is_ended_by_force() {
    let place = Place::new();
    let settings = LinuxSettings { quit_grace: Duration::from_millis(300), ..place.settings.clone() };
    let machines = QemuMachines::new(settings).expect("good settings");
    let hung = machines.ensure_process(&order(1)).await.expect("starts").pid.expect("a process");
    machines.ensure_process(&order(2)).await.expect("starts");
    kill(hung, nix::sys::signal::Signal::SIGSTOP);
    let (slow, quick) = tokio::join!(machines.look(VmId(1)), async {
        let began = Instant::now();
        let seen = machines.look(VmId(2)).await;
        (began.elapsed(), seen)
    });
    assert_eq!(slow.expect("looks").expect("there").pid, Some(hung));
    assert_eq!(quick.1.expect("looks").expect("there").state, RunState::Running);
    assert!(quick.0 < Duration::from_secs(1), "{:?}", quick.0);
    machines.ensure_off(VmId(1)).await.expect("killed");
    assert_eq!(state(&machines, 1).await, Some(RunState::Gone(Ended::Unseen)));
}

#[tokio::test]
async fn a_disk_grows_while_the_guest_runs_and_memory_waits() {
    let place = Place::new();
    let machines = place.machines();
    let mut order = place.talking(1);
    assert!(!needs_restart(&machines, &order).await, "without a process there is nothing to do");
    machines.ensure_process(&order).await.expect("starts");
    assert!(!needs_restart(&machines, &order).await);
    order.plan.generation += 1;
    order.plan.disks[0].size_mib = 8;
    assert!(!needs_restart(&machines, &order).await);
    order.plan.disks[0].size_mib = 4;
    assert!(!needs_restart(&machines, &order).await, "a disk never shrinks");
    order.plan.memory_mib = 128;
    assert!(needs_restart(&machines, &order).await);
    machines.ensure_off(VmId(1)).await.expect("off");
    let told = Command::new("qemu-img").args(["info", "--output=json"]).arg(&order.disks[0]).output();
    let told: serde_json::Value = serde_json::from_slice(&told.expect("qemu-img runs").stdout).expect("JSON");
    assert_eq!(told["virtual-size"], 8 << 20);
}

#[tokio::test]
async fn the_serial_line_is_shared_and_its_log_complete() {
    let place = Place::new();
    let machines = place.machines();
    machines.ensure_process(&place.talking(1)).await.expect("starts");
    hello(&machines, 1).await;
    let mut one = machines.serial(VmId(1)).await.expect("joins");
    let mut two = machines.serial(VmId(1)).await.expect("joins");
    for byte in b"hi!" {
        one.write_all(&[*byte]).await.expect("typed");
        for viewer in [&mut one, &mut two] {
            assert_eq!(soon("an echo", viewer.read_u8()).await.expect("read"), *byte);
        }
    }
    // A line that one agent has let go of serves the next.
    drop((one, two, machines));
    let next = place.machines();
    let mut three = next.serial(VmId(1)).await.expect("joins");
    three.write_all(b"x").await.expect("typed");
    assert_eq!(soon("an echo", three.read_u8()).await.expect("read"), b'x');
    // QEMU writes to the log after it has written to the viewers.
    until("the log is complete", async || next.serial_log(VmId(1), 4).await.expect("a log") == b"hi!x").await;
    next.ensure_off(VmId(1)).await.expect("off");
    assert_eq!(soon("the end", three.read(&mut [0; 1])).await.expect("the end"), 0);
    assert_eq!(next.serial_log(VmId(1), 4).await.expect("a log"), b"hi!x", "the log outlives the process");
    assert!(next.serial(VmId(1)).await.is_err());
}

#[tokio::test]
async fn a_flood_on_the_serial_line_stays_bounded() {
    let place = Place::new();
    let settings = LinuxSettings { serial_log_limit: 64 << 10, serial_log_keep: 16 << 10, ..place.settings.clone() };
    let machines = QemuMachines::new(settings).expect("good settings");
    machines.ensure_process(&place.talking(1)).await.expect("starts");
    let log = place.data(1).join("serial.log");
    let size = |log: &Path| std::fs::metadata(log).map_or(0, |m| m.len());
    hello(&machines, 1).await;
    let mut line = machines.serial(VmId(1)).await.expect("joins");
    line.write_all(b"f").await.expect("typed");
    drop(line);
    let mut largest = 0;
    until("the log is cut", async || {
        let now = size(&log);
        let cut = largest > 64 << 10 && now < largest;
        largest = largest.max(now);
        cut
    })
    .await;
    let tail = machines.serial_log(VmId(1), 1000).await.expect("a log");
    assert_eq!(tail, vec![b'f'; 1000], "the writer goes on at the end, without holes");
}

#[tokio::test]
async fn a_screen_speaks_rfb_and_a_guest_without_one_says_so() {
    let place = Place::new();
    let machines = place.machines();
    let mut with = order(1);
    with.plan.graphics = true;
    machines.ensure_process(&with).await.expect("starts");
    let mut screen = machines.screen(VmId(1)).await.expect("connects");
    let mut head = [0; 4];
    soon("a greeting", screen.read_exact(&mut head)).await.expect("read");
    assert_eq!(&head, b"RFB ");
    machines.ensure_process(&order(2)).await.expect("starts");
    let refused = machines.screen(VmId(2)).await.err().expect("no screen");
    assert_eq!(refused.class, FaultClass::Permanent, "{refused}");
}

#[tokio::test]
async fn uefi_and_paused_starts() {
    let place = Place::new();
    assert!(holm_linux::machines::uefi_available(&place.settings), "install the package ovmf");
    let machines = place.machines();
    let mut order = order(1);
    order.plan.firmware = Firmware::Uefi;
    order.plan.memory_mib = 128;
    order.plan.power = Power::Paused;
    let seen = machines.ensure_process(&order).await.expect("starts");
    assert_eq!(seen.state, RunState::Paused);
    assert!(place.data(1).join("vars.fd").is_file());
    machines.ensure_cpus(VmId(1), true).await.expect("continues");
    assert_eq!(state(&machines, 1).await, Some(RunState::Running));
}

#[tokio::test]
async fn a_purge_finds_guests_whose_files_are_gone() {
    let place = Place::new();
    let machines = place.machines();
    let seen = machines.ensure_process(&order(1)).await.expect("starts");
    drop(machines);
    std::fs::remove_dir_all(&place.settings.data_dir).expect("removed");
    let pid = seen.pid.expect("a process");
    let left = purge::list(&place.settings);
    assert!(left.iter().any(|l| l.contains(&format!("process {pid} "))), "{left:?}");
    purge::purge(&place.settings).await.expect("purged");
    assert_eq!(purge::list(&place.settings), Vec::<String>::new());
}

#[tokio::test]
async fn stopping_all_leaves_only_records() {
    let place = Place::new();
    let machines = place.machines();
    for vm in [1, 2] {
        machines.ensure_process(&order(vm)).await.expect("starts");
    }
    drop(machines);
    purge::stop(&place.settings, Duration::from_millis(100)).await.expect("stopped");
    let machines = place.machines();
    let states: Vec<RunState> = machines.survey().await.expect("a survey").into_iter().map(|s| s.state).collect();
    assert_eq!(states, [RunState::Gone(Ended::Unseen), RunState::Gone(Ended::Unseen)]);
    let left = purge::list(&place.settings);
    assert!(left.iter().all(|l| l.contains("/data/machines/")), "{left:?}");
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    let place = Place::new();
    let refused = |change: &dyn Fn(&mut LinuxSettings)| {
        let mut settings = place.settings.clone();
        change(&mut settings);
        QemuMachines::new(settings).err().expect("refused").says
    };
    assert!(refused(&|s| s.instance = "../x".into()).contains("instance"));
    assert!(refused(&|s| s.run_dir = PathBuf::from(format!("/{}", "x".repeat(90)))).contains("too long"));
    assert!(refused(&|s| s.data_dir = "relative".into()).contains("absolute"));
}

/// Not a test: prints what a start costs on top of QEMU's own. Run with `--ignored --nocapture` on an idle machine.
#[tokio::test]
#[ignore = "a measurement"]
async fn what_a_start_costs() {
    let place = Place::new();
    let machines = place.machines();
    let mut ours = Vec::new();
    let mut alone = Vec::new();
    for vm in 0..20 {
        let began = Instant::now();
        machines.ensure_process(&order(vm)).await.expect("starts");
        ours.push(began.elapsed());
        machines.ensure_absent(VmId(vm)).await.expect("absent");
        alone.push(bare(&place.settings.data_dir));
    }
    ours.sort();
    alone.sort();
    println!(
        "ensure_process: p50 {:?}, max {:?}; QEMU alone: p50 {:?}, max {:?}",
        ours[10], ours[19], alone[10], alone[19]
    );
}

/// Time from fork to the greeting of a bare QEMU with the same machine.
fn bare(dir: &Path) -> Duration {
    use std::io::Read;
    let socket = dir.join("bare");
    let _ = std::fs::remove_file(&socket);
    let began = Instant::now();
    let mut child = Command::new("qemu-system-x86_64")
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-accel", "tcg,tb-size=32"])
        .args(["-cpu", "max", "-m", "64", "-qmp"])
        .arg(format!("unix:{},server=on,wait=off", socket.display()))
        .spawn()
        .expect("QEMU starts");
    let mut stream = loop {
        match std::os::unix::net::UnixStream::connect(&socket) {
            Ok(stream) => break stream,
            Err(_) => std::thread::sleep(Duration::from_micros(500)),
        }
    };
    assert!(stream.read(&mut [0; 256]).expect("a greeting") > 0);
    let took = began.elapsed();
    child.kill().expect("killed");
    child.wait().expect("reaped");
    took
}

#[tokio::test]
async fn a_guest_boots_from_what_its_order_names_first() {
    let place = Place::new();
    let machines = place.machines();
    let mut order = place.talking(1);
    order.plan.disks.push(DiskPlan::new(1, None, 1));
    order.disks.push(place.disk_saying("second.qcow2", b"THE SECOND ONE\r\n"));
    machines.ensure_process(&order).await.expect("starts");
    hello(&machines, 1).await;
    let mut other = order.clone();
    other.plan.hardware.boot_order = vec![BootDevice::Disk(1), BootDevice::Disk(0)];
    assert!(needs_restart(&machines, &other).await, "it is the firmware that looks, at the next start");
    machines.ensure_off(VmId(1)).await.expect("off");
    machines.ensure_process(&other).await.expect("starts");
    said(&machines, 1, b"THE SECOND ONE").await;
}

#[tokio::test]
async fn a_tied_guest_runs_on_its_processors_alone() {
    let place = Place::new();
    let machines = place.machines();
    let last = u32::try_from(std::thread::available_parallelism().expect("is known").get() - 1).expect("fits");
    let mut order = order(1);
    (order.plan.vcpus, order.plan.memory_mib) = (2, 128);
    order.plan.hardware.topology = Some(CpuTopology { sockets: 2, cores: 1, threads: 1 });
    order.plan.hardware.numa.shared = true;
    order.plan.hardware.numa.nodes = vec![GuestNode { vcpus: 1, memory_mib: 64 }; 2];
    let node = |cpu| BoundNode { node: 0, vcpus: 1, memory_mib: 64, page_kib: None, cpus: vec![cpu], kept: vec![] };
    order.plan.bound = Bound { nodes: vec![node(last), node(0)], pin: PinPolicy::Thread, pci: vec![] };
    let seen = machines.ensure_process(&order).await.expect("starts");
    assert_eq!(seen.remark, None);
    let mut tied = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{}/task", seen.pid.expect("a process"))).expect("is there").flatten() {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default();
        if name.starts_with("CPU ") {
            tied.push((name.trim().to_owned(), allowed.trim().to_owned()));
        }
    }
    tied.sort();
    assert_eq!(tied, [("CPU 0/TCG".into(), last.to_string()), ("CPU 1/TCG".into(), "0".to_owned())]);
}

#[tokio::test]
async fn every_detail_of_the_hardware_is_one_that_qemu_knows() {
    let place = Place::new();
    let machines = place.machines();
    let mut order = place.talking(1);
    order.plan.graphics = true;
    let hardware = &mut order.plan.hardware;
    hardware.cpu_model = Some("Nehalem".into());
    hardware.cpu_features = vec![("pae".into(), true), ("aes".into(), false)];
    hardware.local_time = true;
    hardware.guest_agent = true;
    hardware.hyper_v = true;
    (hardware.io_threads, hardware.disk_queues, hardware.scsi_queues) = (Some(2), Some(1), Some(2));
    hardware.keymap = Some("de".into());
    hardware.video.memory_mib = Some(32);
    hardware.video.resolution = Some((1280, 800));
    let input = |tablet, bus| Input { tablet, bus };
    hardware.inputs = vec![input(false, InputBus::Usb), input(true, InputBus::Virtio), input(false, InputBus::Ps2)];
    for kind in [VideoKind::Vga, VideoKind::Cirrus, VideoKind::None] {
        order.plan.hardware.video.kind = kind;
        if kind == VideoKind::Cirrus {
            order.plan.hardware.video.resolution = None;
            order.plan.hardware.no_acpi = true;
        }
        machines.ensure_process(&order).await.unwrap_or_else(|fault| panic!("{kind:?}: {}", fault.says));
        hello(&machines, 1).await;
        machines.ensure_off(VmId(1)).await.expect("off");
    }
}
