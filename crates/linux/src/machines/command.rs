//! QEMU's command line, as a pure function of the order and of what this machine offers.
//!
//! Everything is said explicitly: no default devices, no configuration files, no probing of formats. Block devices are
//! given as JSON, so that no character in a path can be read as an option; in the older key=value options commas are
//! doubled. Nothing of the guest's context appears here: every user of the machine can read a command line.

use super::details;
use super::devices::{self, virtio};
use holm_driver::{Fault, MachineOrder};
use holm_model::VmId;
use holm_model::host_plan::{BootPlan, Bus};
use holm_model::hosts::Accelerator;
use holm_model::vms::{BootDevice, Firmware, Machine, NicModel, Power};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Disks that the machine's own SATA controller takes.
const SATA_DISKS: usize = 6;

pub use super::devices::Sockets;

/// What the command line needs beyond the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surroundings {
    /// What executes guest code.
    pub accelerator: Accelerator,
    /// The descriptor under which QEMU inherits its listening control socket.
    pub qmp_fd: i32,
    /// Where QEMU listens for whoever wants to hear its events.
    pub events_socket: PathBuf,
    /// Where QEMU listens for the serial line.
    pub serial_socket: PathBuf,
    /// What the guest writes on the serial line is appended here.
    pub serial_log: PathBuf,
    /// Where QEMU listens for viewers of the screen.
    pub vnc_socket: PathBuf,
    /// Where QEMU listens for whoever speaks with the agent in the guest.
    pub agent_socket: PathBuf,
    /// Where QEMU writes its process id.
    pub pid_file: PathBuf,
    /// User and group the process changes to.
    pub uid: Option<u32>,
    /// UEFI firmware: its code, and this guest's own variables.
    pub uefi: Option<(PathBuf, PathBuf)>,
    /// MTU of each NIC, in the order of the plan's NICs.
    pub mtus: Vec<u16>,
    /// Whether the kernel moves guests' packets itself (vhost-net).
    pub vhost: bool,
    /// Frequency of the time stamp counter, kHz.
    pub tsc_khz: Option<u64>,
    /// Where devices are plugged in, on a machine that has sockets.
    pub sockets: Sockets,
    /// The descriptor under which QEMU inherits the memory it goes on from.
    pub memory_fd: Option<i32>,
}

/// Size of the cache of translated code, MiB. QEMU's own default grows to 1 GiB per guest; below 32 MiB translation is
/// thrown away faster than it pays off.
#[must_use]
pub fn translation_cache_mib(memory_mib: u64) -> u64 {
    (memory_mib / 4).clamp(32, 256)
}

/// The arguments, without the program.
///
/// # Errors
/// A permanent fault when the order asks for what its machine type cannot do, or contradicts itself.
pub fn arguments(order: &MachineOrder, around: &Surroundings) -> Result<Vec<OsString>, Fault> {
    check(order, around)?;
    let plan = &order.plan;
    let q35 = plan.machine == Machine::Q35;
    let mut argv = Argv::default();

    argv.pair("-name", format!("guest={},process=holm-vm-{},debug-threads=on", comma(&plan.name), plan.id));
    argv.pair("-uuid", plan.uuid.to_string());
    for word in ["-nodefaults", "-no-user-config"] {
        argv.word(word);
    }
    // Privileges are given up by -runas after start, which `elevateprivileges=deny` would forbid; the filter sets
    // no_new_privs in any case, so that the process cannot win back what it gave up.
    let elevate = if around.uid.is_some() { "" } else { "elevateprivileges=deny," };
    argv.pair("-sandbox", format!("on,obsolete=deny,{elevate}spawn=deny,resourcecontrol=deny"));
    if let Some(uid) = around.uid {
        argv.pair("-runas", format!("{uid}:{uid}"));
    }
    argv.path("-pidfile", "", &around.pid_file);

    hardware(&mut argv, order, around);
    firmware_and_boot(&mut argv, order, around);

    // A guest that switches itself off leaves a paused process behind, so that even an agent that was not there at
    // that moment can tell it from a crash.
    argv.pair("-action", "reboot=reset,shutdown=pause,panic=pause,watchdog=reset");
    if plan.power == Power::Paused {
        argv.word("-S");
    }

    // Two control connections: one that is held for the events, and one for a command at a time. QEMU serves one
    // client per connection, and commands of two agents that overlap for a moment must not wait for each other.
    argv.pair("-chardev", format!("socket,id=qmp,fd={},server=on,wait=off", around.qmp_fd));
    argv.pair("-mon", "chardev=qmp,mode=control");
    argv.path("-chardev", "socket,id=events,server=on,wait=off,path=", &around.events_socket);
    argv.pair("-mon", "chardev=events,mode=control");
    argv.pair(
        "-chardev",
        format!(
            "socket,id=serial0,server=on,wait=off,logappend=on,path={},logfile={}",
            comma_path(&around.serial_socket),
            comma_path(&around.serial_log)
        ),
    );
    argv.pair("-serial", "chardev:serial0");

    // Without sockets a device is wherever QEMU puts it, and stays there.
    let none = Sockets::default();
    let sockets = if q35 { &around.sockets } else { &none };
    for socket in sockets.devices() {
        argv.device(socket);
    }
    disks(&mut argv, order, around, sockets);
    nics(&mut argv, order, around, sockets);

    argv.pair("-object", "rng-random,id=rng0,filename=/dev/urandom");
    argv.device(json!({ "driver": virtio("rng", q35), "rng": "rng0" }));
    argv.device(json!({ "driver": virtio("balloon", q35), "free-page-reporting": true, "deflate-on-oom": true }));

    if plan.hardware.guest_agent {
        argv.path("-chardev", "socket,id=agent,server=on,wait=off,path=", &around.agent_socket);
        argv.device(json!({ "driver": virtio("serial", q35), "id": "ports" }));
        let port = json!({ "driver": "virtserialport", "chardev": "agent", "name": "org.qemu.guest_agent.0" });
        argv.device(port);
    }
    for device in details::screen(plan).into_iter().chain(details::pci(plan, sockets)) {
        argv.device(device);
    }
    if plan.graphics {
        if let Some(keymap) = &plan.hardware.keymap {
            argv.pair("-k", keymap);
        }
        argv.path("-vnc", "unix:", &around.vnc_socket);
    } else {
        argv.pair("-display", "none");
    }
    if let Some(fd) = around.memory_fd {
        argv.pair("-incoming", format!("fd:{fd}"));
    }
    Ok(argv.0)
}

fn check(order: &MachineOrder, around: &Surroundings) -> Result<(), Fault> {
    let plan = &order.plan;
    let refuse = |says: &str| Err(Fault::permanent(format!("VM {} cannot start: {says}", plan.id)));
    if order.disks.len() != plan.disks.len() {
        return refuse("the order does not name one file for each of its disks");
    }
    if order.ports.len() != plan.nics.len() || around.mtus.len() != plan.nics.len() {
        return refuse("the order does not name one port for each of its network cards");
    }
    if matches!(plan.boot, BootPlan::Kernel { .. }) != order.kernel.is_some() {
        return refuse("the order's kernel file does not match its way of booting");
    }
    if plan.vcpus == 0 || plan.memory_mib == 0 {
        return refuse("it has no processor or no memory");
    }
    let sata: Vec<_> = plan.disks.iter().filter(|disk| disk.bus == Bus::Sata).collect();
    if sata.len() > SATA_DISKS {
        return refuse("it has more than six SATA disks; attach the others as virtio (vd) or SCSI (sd) disks");
    }
    if let Some(disk) = sata.iter().find(|disk| disk.read_only && !disk.cdrom) {
        let says = format!("disk {} is to be read-only, which no SATA disk can be; attach it as vd or sd", disk.id);
        return refuse(&says);
    }
    if plan.machine == Machine::Microvm {
        if !sata.is_empty() {
            return refuse("machine type microvm has no SATA disks; attach them as vd or sd, or use machine type q35");
        }
        if plan.boot == BootPlan::Disk {
            return refuse("machine type microvm boots only a kernel given to it; give one, or use machine type q35");
        }
        if plan.firmware == Firmware::Uefi {
            return refuse("machine type microvm has no UEFI; use BIOS, or machine type q35");
        }
        if plan.graphics {
            return refuse("machine type microvm has no screen; leave graphics off, or use machine type q35");
        }
        if let Some(nic) = plan.nics.iter().find(|nic| nic.model != NicModel::Virtio) {
            let model = nic.model.word();
            return refuse(&format!(
                "machine type microvm has no network card of model {model}; use virtio, or machine type q35"
            ));
        }
        if !plan.bound.pci.is_empty() {
            return refuse("machine type microvm has no PCI devices; use machine type q35");
        }
    }
    if plan.firmware == Firmware::Uefi && around.uefi.is_none() {
        return refuse("this host has no UEFI firmware; install the package ovmf, or use BIOS");
    }
    Ok(())
}

fn hardware(argv: &mut Argv, order: &MachineOrder, around: &Surroundings) {
    let plan = &order.plan;
    let kvm = around.accelerator == Accelerator::Kvm;
    let switch = |on: bool| if on { "on" } else { "off" };
    let mut machine = match plan.machine {
        // Without a screen the firmware and boot loaders speak on the serial line, so that their complaints are in the
        // log.
        Machine::Q35 => format!(
            "{},vmport=off,hpet={},graphics={}{}{}",
            plan.hardware.machine_version.as_deref().unwrap_or("q35"),
            switch(!kvm),
            switch(plan.graphics),
            if plan.hardware.no_acpi { ",acpi=off" } else { "" },
            if plan.firmware == Firmware::Uefi { ",pflash0=uefi-code,pflash1=uefi-vars" } else { "" }
        ),
        Machine::Microvm => {
            format!("microvm,acpi={},isa-serial=on,rtc=on,pit=on,pic=on", switch(!plan.hardware.no_acpi))
        }
    };
    let memory = details::memory(plan);
    if let Some(property) = memory.machine {
        machine.push_str(property);
    }
    argv.pair("-machine", machine);
    if kvm {
        argv.pair("-accel", "kvm");
    } else {
        argv.pair("-accel", format!("tcg,thread=multi,tb-size={}", translation_cache_mib(plan.memory_mib)));
    }
    argv.pair("-cpu", details::processor(plan, kvm));
    argv.pair("-smp", details::arrangement(plan));
    argv.pair("-m", format!("size={}M", plan.memory_mib));
    for (option, value) in memory.options {
        argv.pair(option, value);
    }
    let base = if plan.hardware.local_time { "localtime" } else { "utc" };
    argv.pair("-rtc", format!("base={base}{}", if kvm { ",driftfix=slew" } else { "" }));
    if plan.machine == Machine::Q35 {
        argv.pair("-smbios", format!("type=1,manufacturer=Holm,product=Holm VM,uuid={}", plan.uuid));
    }
}

fn firmware_and_boot(argv: &mut Argv, order: &MachineOrder, around: &Surroundings) {
    if let (Firmware::Uefi, Some((code, vars))) = (order.plan.firmware, &around.uefi) {
        argv.blockdev(json!({
            "driver": "raw", "node-name": "uefi-code", "read-only": true, "file": { "driver": "file", "filename": text(code) },
        }));
        argv.blockdev(json!({
            "driver": "raw", "node-name": "uefi-vars", "file": { "driver": "file", "filename": text(vars) },
        }));
    }
    if let (BootPlan::Kernel { cmdline, .. }, Some(kernel)) = (&order.plan.boot, &order.kernel) {
        argv.pair("-kernel", kernel);
        if let Some(initrd) = &order.initrd {
            // QEMU reads a list of files separated by commas here.
            argv.path("-initrd", "", initrd);
        }
        let mut cmdline = cmdline.clone();
        // microvm has no clock against which a kernel under binary translation could measure its time stamp counter
        // on a busy host: without this hint one boot in three hangs.
        let translated_microvm = order.plan.machine == Machine::Microvm && around.accelerator == Accelerator::Tcg;
        if let (true, false, Some(khz)) = (translated_microvm, cmdline.contains("tsc_early_khz="), around.tsc_khz) {
            if !cmdline.is_empty() {
                cmdline.push(' ');
            }
            cmdline.push_str(&format!("tsc_early_khz={khz}"));
        }
        argv.pair("-append", cmdline);
    } else {
        argv.pair("-boot", "strict=on");
    }
}

fn disks(argv: &mut Argv, order: &MachineOrder, around: &Surroundings, sockets: &Sockets) {
    let plan = &order.plan;
    let q35 = plan.machine == Machine::Q35;
    // A thread of its own for the disks pays off only where the guest's CPUs run natively.
    let usual = u32::from(around.accelerator == Accelerator::Kvm && q35);
    let threads = if order.disks.is_empty() { 0 } else { plan.hardware.io_threads.unwrap_or(usual) };
    for thread in 0..threads {
        argv.pair("-object", format!("iothread,id={}", details::io_thread(thread)));
    }
    // One that came while the guest ran stays, as does memory that was saved with it.
    if plan.disks.iter().any(|disk| disk.bus == Bus::Scsi) || sockets.used.contains_key(devices::SCSI) {
        let mut controller = devices::scsi_device(q35, sockets);
        if let Some(queues) = plan.hardware.scsi_queues {
            controller["num_queues"] = json!(queues);
        }
        argv.device(controller);
    }
    let (mut sata, mut next_thread) = (0, 0);
    for (disk, file) in plan.disks.iter().zip(&order.disks) {
        argv.blockdev(devices::disk_blockdev(disk, &text(file)));
        let mut device = devices::disk_device(plan.id, disk, q35, sata, sockets);
        sata += u32::from(disk.bus == Bus::Sata);
        if let Some(index) = details::boot_index(plan, BootDevice::Disk(disk.id)) {
            device["bootindex"] = json!(index);
        }
        if disk.bus == Bus::Virtio {
            if threads > 0 {
                device["iothread"] = json!(details::io_thread(next_thread % threads));
                next_thread += 1;
            }
            if let Some(queues) = plan.hardware.disk_queues {
                device["num-queues"] = json!(queues);
            }
        }
        argv.device(device);
    }
    for (at, file) in order.media.iter().enumerate() {
        let node = format!("medium-{at}");
        argv.blockdev(json!({
            "driver": "raw", "node-name": node, "read-only": true,
            // The medium may be written anew for the next boot while this one still has it open.
            "file": { "driver": "file", "filename": text(file), "read-only": true, "locking": "off" },
        }));
        let id = format!("medium-{at}");
        let mut device = json!({
            "driver": virtio("blk", q35), "drive": node, "id": id, "serial": format!("holm-{}-m{at}", plan.id),
        });
        if let Some(bus) = sockets.bus(&id) {
            device["bus"] = json!(bus);
        }
        argv.device(device);
    }
}

fn nics(argv: &mut Argv, order: &MachineOrder, around: &Surroundings, sockets: &Sockets) {
    let q35 = order.plan.machine == Machine::Q35;
    for ((nic, port), mtu) in order.plan.nics.iter().zip(&order.ports).zip(&around.mtus) {
        let vhost = if around.vhost { ",vhost=on" } else { "" };
        argv.pair("-netdev", format!("tap,id=net-{},ifname={},script=no,downscript=no{vhost}", nic.id, comma(port)));
        let mut device = devices::nic_device(nic, *mtu, q35, sockets);
        if let Some(index) = details::boot_index(&order.plan, BootDevice::Nic(nic.id)) {
            device["bootindex"] = json!(index);
            // SeaBIOS speaks with the network through the card's own ROM; OVMF brings what it needs.
            if let (Firmware::Bios, Some(members)) = (order.plan.firmware, device.as_object_mut()) {
                members.remove("romfile");
            }
        }
        argv.device(device);
    }
}

#[derive(Default)]
struct Argv(Vec<OsString>);

impl Argv {
    fn word(&mut self, word: &str) {
        self.0.push(word.into());
    }

    fn pair(&mut self, option: &str, value: impl Into<OsString>) {
        self.0.push(option.into());
        self.0.push(value.into());
    }

    fn path(&mut self, option: &str, before: &str, path: &Path) {
        self.pair(option, format!("{before}{}", comma_path(path)));
    }

    fn blockdev(&mut self, value: Value) {
        self.pair("-blockdev", value.to_string());
    }

    fn device(&mut self, value: Value) {
        self.pair("-device", value.to_string());
    }
}

fn comma(value: &str) -> String {
    value.replace(',', ",,")
}

fn comma_path(path: &Path) -> String {
    comma(&text(path))
}

/// Paths come from our own directories and digests; one that is not UTF-8 would already have been refused with the
/// settings.
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// User and group id of the VM's process.
#[must_use]
pub fn uid_of(base: u32, vm: VmId) -> u32 {
    // Wraps within the range set aside for guests; two guests share an id only when 200 million VMs lie between them.
    base.saturating_add(vm.0 % 200_000_000)
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
