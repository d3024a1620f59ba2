//! The details of a guest's hardware as options of QEMU, each a pure function of the plan.
//!
//! Every word that comes from a user was checked by the model to be a single word, so that none of them can be read as
//! another option.

use super::devices::{Sockets, pci_id};
use holm_model::host_plan::{BootPlan, VmPlan};
use holm_model::vms::{BootDevice, GuestNode, InputBus, Machine, VideoKind};
use serde_json::{Value, json};

/// The value of `-cpu`.
pub fn processor(plan: &VmPlan, kvm: bool) -> String {
    let hardware = &plan.hardware;
    // What there is, under KVM; else what boots within a few percent of qemu64 and has the instructions that newer
    // distributions insist on.
    let all = if kvm { "host" } else { "max" };
    let mut text = match hardware.cpu_model.as_deref() {
        None | Some("host-passthrough" | "host-model" | "host" | "max") => all.to_owned(),
        Some(model) => model.to_owned(),
    };
    if hardware.hyper_v && kvm {
        text.push_str(",hv-relaxed=on,hv-vapic=on,hv-spinlocks=0x1fff,hv-time=on");
    }
    for (feature, on) in &hardware.cpu_features {
        text.push_str(&format!(",{feature}={}", if *on { "on" } else { "off" }));
    }
    text
}

/// The value of `-smp`.
pub fn arrangement(plan: &VmPlan) -> String {
    match plan.hardware.topology {
        Some(t) => format!("{},sockets={},cores={},threads={}", plan.vcpus, t.sockets, t.cores, t.threads),
        None => format!("{0},sockets=1,cores={0},threads=1", plan.vcpus),
    }
}

/// How memory is made.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// What is added to the machine's options.
    pub machine: Option<&'static str>,
    /// Further options.
    pub options: Vec<(&'static str, String)>,
}

/// Memory that is made of pages, nodes or in a way of its own. Nothing for the usual guest.
pub fn memory(plan: &VmPlan) -> Memory {
    let numa = &plan.hardware.numa;
    let nodes = numa.guest_nodes(plan.vcpus, plan.memory_mib);
    if plan.bound.nodes.is_empty() && !numa.shared && nodes.len() == 1 {
        return Memory::default();
    }
    let mut memory = Memory::default();
    let mut first_cpu = 0;
    for (at, GuestNode { vcpus, memory_mib }) in nodes.iter().enumerate() {
        let bound = plan.bound.nodes.get(at);
        let share = if numa.shared { "on" } else { "off" };
        let mut object = match bound.and_then(|bound| bound.page_kib) {
            // Pages are taken at the start: one that is missing later would kill the guest when it touches it.
            Some(kib) => format!("memory-backend-memfd,hugetlb=on,hugetlbsize={kib}K,prealloc=on"),
            None if numa.shared => "memory-backend-memfd".to_owned(),
            None => "memory-backend-ram".to_owned(),
        };
        object.push_str(&format!(",id=memory-{at},size={memory_mib}M,share={share}"));
        if let Some(bound) = bound {
            object.push_str(&format!(",host-nodes={},policy=bind", bound.node));
        }
        memory.options.push(("-object", object));
        if nodes.len() > 1 {
            let last = first_cpu + vcpus - 1;
            memory.options.push(("-numa", format!("node,nodeid={at},cpus={first_cpu}-{last},memdev=memory-{at}")));
            first_cpu += vcpus;
        }
    }
    memory.machine = (nodes.len() == 1).then_some(",memory-backend=memory-0");
    memory
}

/// The place of a device in the order in which the firmware tries them; `None`: it does not boot from it.
pub fn boot_index(plan: &VmPlan, device: BootDevice) -> Option<usize> {
    if plan.boot != BootPlan::Disk {
        return None;
    }
    let order = &plan.hardware.boot_order;
    match device {
        _ if !order.is_empty() => order.iter().position(|wanted| *wanted == device),
        BootDevice::Disk(id) => plan.disks.iter().position(|disk| disk.id == id),
        BootDevice::Nic(_) => None,
    }
}

/// The name of a thread that serves disks.
pub fn io_thread(number: u32) -> String {
    if number == 0 { "disks".into() } else { format!("disks-{number}") }
}

/// The card behind the screen, and pointer devices.
pub fn screen(plan: &VmPlan) -> Vec<Value> {
    let mut all = Vec::new();
    let (hardware, video) = (&plan.hardware, &plan.hardware.video);
    if plan.graphics {
        let mut card = match video.kind {
            VideoKind::None => Value::Null,
            VideoKind::Vga => json!({ "driver": "VGA", "vgamem_mb": video.memory_mib.unwrap_or(16) }),
            // That card knows no more and no less.
            VideoKind::Cirrus => {
                json!({ "driver": "cirrus-vga", "vgamem_mb": video.memory_mib.unwrap_or(16).clamp(4, 16) })
            }
            VideoKind::Virtio => json!({ "driver": "virtio-vga" }),
        };
        if let (Some((width, height)), false) = (video.resolution, card.is_null()) {
            card["xres"] = json!(width);
            card["yres"] = json!(height);
        }
        if !card.is_null() {
            all.push(card);
        }
    }
    let by_default = plan.graphics && hardware.inputs.is_empty();
    if by_default || hardware.inputs.iter().any(|input| input.bus == InputBus::Usb) {
        all.push(json!({ "driver": "qemu-xhci", "id": "usb" }));
    }
    if by_default {
        all.push(json!({ "driver": "usb-tablet", "bus": "usb.0" }));
    }
    for input in &hardware.inputs {
        let kind = if input.tablet { "tablet" } else { "mouse" };
        match input.bus {
            InputBus::Usb => all.push(json!({ "driver": format!("usb-{kind}"), "bus": "usb.0" })),
            InputBus::Virtio => {
                all.push(json!({ "driver": super::devices::virtio(kind, plan.machine == Machine::Q35) }));
            }
            InputBus::Ps2 => {}
        }
    }
    all
}

/// Devices of the host that are the guest's.
pub fn pci(plan: &VmPlan, sockets: &Sockets) -> Vec<Value> {
    let device = |bound: &holm_model::vms::BoundPci| {
        let id = pci_id(bound.id);
        let mut device = json!({ "driver": "vfio-pci", "host": bound.address, "id": id });
        if let Some(bus) = sockets.bus(&id) {
            device["bus"] = json!(bus);
        }
        device
    };
    plan.bound.pci.iter().map(device).collect()
}
