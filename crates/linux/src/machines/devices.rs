//! Devices as QEMU is told of them, at the start and while a guest runs.
//!
//! On a q35 machine every disk and network card sits in a root port of its own (a *socket*), because only what sits in
//! one can come and go while the guest runs. Sockets come in slots of eight; some are left empty. Which device sits in
//! which socket is written down: memory that was saved fits only a machine with the same devices in the same places.

use holm_driver::MachineOrder;
use holm_model::VmId;
use holm_model::host_plan::{Bus, DiskPlan, NicPlan};
use holm_model::vms::NicModel;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Sockets left empty for devices that come while the guest runs.
const SPARE: u32 = 4;
/// Sockets in one slot of the machine.
const PER_SLOT: u32 = 8;
/// The slot of the first sockets; the machine's own devices lie below and above.
const FIRST_SLOT: u32 = 0x10;
/// The controller of SCSI disks.
pub const SCSI: &str = "scsi";

/// Where devices are plugged in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sockets {
    /// How many there are.
    pub count: u32,
    /// The socket of each device that has one, by the device's name.
    pub used: BTreeMap<String, u32>,
}

impl Sockets {
    /// Those of a guest that is booted. Disks come first, so that guests name them in their order.
    #[must_use]
    pub fn fresh(order: &MachineOrder) -> Self {
        let mut names = Vec::new();
        for disk in &order.plan.disks {
            match disk.bus {
                Bus::Virtio => names.push(disk_id(disk.id)),
                Bus::Scsi if !names.iter().any(|name| name == SCSI) => names.push(SCSI.to_owned()),
                Bus::Scsi | Bus::Sata => {}
            }
        }
        names.extend((0..order.media.len()).map(|at| format!("medium-{at}")));
        names.extend(order.plan.nics.iter().map(|nic| nic_id(nic.id)));
        names.extend(order.plan.bound.pci.iter().map(|device| pci_id(device.id)));
        let count = u32::try_from(names.len()).unwrap_or(u32::MAX / 2).saturating_add(SPARE);
        Self { count: count.next_multiple_of(PER_SLOT), used: names.into_iter().zip(0..).collect() }
    }

    /// The bus a device is on; `None` when it has no socket.
    #[must_use]
    pub fn bus(&self, device: &str) -> Option<String> {
        self.used.get(device).map(|socket| socket_id(*socket))
    }

    /// The root ports themselves.
    pub fn devices(&self) -> impl Iterator<Item = Value> + '_ {
        (0..self.count).map(|at| {
            let (slot, function) = (FIRST_SLOT + at / PER_SLOT, at % PER_SLOT);
            let mut port = json!({
                "driver": "pcie-root-port", "id": socket_id(at), "chassis": at + 1, "port": at,
                "addr": format!("{slot:x}.{function}"),
                // No device of ours needs ports of the old kind, of which there are few.
                "io-reserve": 0,
            });
            if function == 0 {
                port["multifunction"] = json!(true);
            }
            port
        })
    }
}

/// Name of a socket.
#[must_use]
pub fn socket_id(socket: u32) -> String {
    format!("socket-{socket}")
}

/// Number of the socket with this name.
#[must_use]
pub fn socket_of(name: &str) -> Option<u32> {
    name.strip_prefix("socket-")?.parse().ok()
}

/// Name of the block node behind the disk with this number.
#[must_use]
pub fn disk_node(disk: u32) -> String {
    format!("disk-{disk}")
}

/// Name of the device of the disk with this number.
#[must_use]
pub fn disk_id(disk: u32) -> String {
    format!("vd-{disk}")
}

/// Name of the device of the network card with this number.
#[must_use]
pub fn nic_id(nic: u32) -> String {
    format!("nic-{nic}")
}

/// Name of the device of the host with this number within the VM.
#[must_use]
pub fn pci_id(device: u32) -> String {
    format!("pci-{device}")
}

/// Name of the network end behind the card with this number.
#[must_use]
pub fn net_id(nic: u32) -> String {
    format!("net-{nic}")
}

/// The block node of a disk. Through the page cache, which guests of one image share, and with every flush of the guest
/// carried out.
#[must_use]
pub fn disk_blockdev(disk: &DiskPlan, filename: &str) -> Value {
    let mut node = json!({
        "driver": "qcow2", "node-name": disk_node(disk.id), "discard": "unmap", "detect-zeroes": "unmap",
        "cache": { "direct": false, "no-flush": false },
        "file": {
            "driver": "file", "filename": filename, "discard": "unmap", "aio": "threads", "locking": "on",
            "cache": { "direct": false, "no-flush": false },
        },
    });
    if disk.read_only {
        node["read-only"] = json!(true);
        node["file"]["read-only"] = json!(true);
        node["detect-zeroes"] = json!("off");
    }
    node
}

/// The device of a disk. `sata` counts the SATA disks before it.
#[must_use]
pub fn disk_device(vm: VmId, disk: &DiskPlan, q35: bool, sata: u32, sockets: &Sockets) -> Value {
    let id = disk_id(disk.id);
    let mut device = json!({ "drive": disk_node(disk.id), "id": id, "serial": format!("holm-{vm}-{}", disk.id) });
    let kind = if disk.cdrom { "cd" } else { "hd" };
    match disk.bus {
        Bus::Virtio => {
            device["driver"] = json!(virtio("blk", q35));
            device["write-cache"] = json!("on");
            device["discard"] = json!(true);
            if let Some(bus) = sockets.bus(&id) {
                device["bus"] = json!(bus);
            }
        }
        Bus::Scsi => {
            device["driver"] = json!(format!("scsi-{kind}"));
            device["bus"] = json!(format!("{SCSI}.0"));
            device["scsi-id"] = json!(disk.id % 256);
            device["lun"] = json!(disk.id / 256);
        }
        Bus::Sata => {
            device["driver"] = json!(format!("ide-{kind}"));
            device["bus"] = json!(format!("ide.{sata}"));
        }
    }
    device
}

/// The controller of SCSI disks.
#[must_use]
pub fn scsi_device(q35: bool, sockets: &Sockets) -> Value {
    let mut device = json!({ "driver": virtio("scsi", q35), "id": SCSI });
    if let Some(bus) = sockets.bus(SCSI) {
        device["bus"] = json!(bus);
    }
    device
}

/// The device of a network card.
#[must_use]
pub fn nic_device(nic: &NicPlan, mtu: u16, q35: bool, sockets: &Sockets) -> Value {
    let id = nic_id(nic.id);
    let virtual_card = nic.model == NicModel::Virtio;
    let driver = if virtual_card { virtio("net", q35) } else { nic.model.word().to_owned() };
    let mut device = json!({ "driver": driver, "netdev": net_id(nic.id), "id": id, "mac": nic.mac.to_string() });
    // Cards that exist do not learn it from the host.
    if mtu != 1500 && virtual_card {
        device["host_mtu"] = json!(mtu);
    }
    if q35 {
        // No boot ROM: guests boot from disk or kernel, and the ROM would cost time at every start.
        device["romfile"] = json!("");
    }
    if let Some(bus) = sockets.bus(&id) {
        device["bus"] = json!(bus);
    }
    device
}

/// A virtio device of the machine's kind.
#[must_use]
pub fn virtio(kind: &str, q35: bool) -> String {
    format!("virtio-{kind}-{}", if q35 { "pci" } else { "device" })
}

/// MTU of a port. Its name comes from the driver that made it; one without a readable MTU gets the usual, and QEMU
/// itself will say what is wrong with it.
#[must_use]
pub fn mtu(port: &str) -> u16 {
    let text = std::fs::read_to_string(Path::new("/sys/class/net").join(port).join("mtu")).unwrap_or_default();
    text.trim().parse().unwrap_or(1500)
}
