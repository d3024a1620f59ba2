//! Devices that come to a running guest and leave it.
//!
//! What the guest has is asked of QEMU each time, so that nothing depends on how far an earlier agent came. QEMU has
//! given up its rights by then: files and ports are opened here and handed over. A guest has to let go of a device; one
//! that does not within [`PATIENCE`] keeps it, and that is said.

use super::command::Sockets;
use super::devices::{self, SCSI, disk_id, disk_node, net_id, nic_id};
use super::driver::{COMMAND_LIMIT, told};
use super::guest::{Guest, Live};
use super::qmp::{Qmp, QmpError};
use super::record::Started;
use super::throttle;
use crate::links::tap;
use crate::volumes::header;
use holm_driver::{Fault, MachineOrder, Shape};
use holm_model::host_plan::{Bus, DiskPlan, NicPlan};
use holm_model::vms::Machine;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// How long a guest may take to let go of devices.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long QEMU may take to close a disk that no device uses any more.
const CLOSING: Duration = Duration::from_secs(5);
/// How long a growing disk may take.
const RESIZE_LIMIT: Duration = Duration::from_secs(30);
/// How often a device that is leaving is looked at.
const GLANCE: Duration = Duration::from_millis(50);
/// Descriptors of disks get numbers from here on, two for each disk.
const FIRST_FDSET: u64 = 10_000;

/// What QEMU has.
#[derive(Debug, Default)]
struct There {
    /// Devices with a name.
    devices: BTreeSet<String>,
    /// Sizes of the disks' block nodes, bytes.
    nodes: BTreeMap<String, u64>,
    /// Sockets with nothing in them.
    free: BTreeSet<u32>,
    /// The socket of each device that has one.
    used: BTreeMap<String, u32>,
}

/// One change of a running guest, in steps.
struct Change<'a> {
    guest: &'a Guest,
    qmp: Qmp,
    q35: bool,
    undone: Vec<String>,
    restart_needed: bool,
}

/// What came of a step: done, refused with QEMU's words, or nothing is known.
type Step<T> = Result<Result<T, String>, Fault>;

/// Makes the guest follow the order as far as it can. The caller holds the guest's turn.
pub(super) async fn follow(guest: &Guest, live: &Live, order: &MachineOrder) -> Result<Shape, Fault> {
    let vm = guest.vm;
    let qmp = guest.session(COMMAND_LIMIT).await.map_err(|e| told(vm, "change", &e))?;
    let started = live.started();
    let machine = started.as_ref().map_or(order.plan.machine, |s| s.plan.machine);
    let q35 = machine == Machine::Q35;
    let mut change = Change { guest, qmp, q35, undone: Vec::new(), restart_needed: false };
    let mut there = change.look().await?;
    change.leave(&mut there, order).await?;
    if let Some(started) = started {
        // From here on it may have everything that is wanted, besides what has not left.
        change.come(&mut there, order, started.clone(), live).await?;
        change.grow(order).await?;
        there = change.look().await?;
        let restated = restated(&there, order, &started);
        if restated != live.started().unwrap_or_else(|| started.clone()) {
            live.restate(&guest.dirs, restated).map_err(|e| record_fault(guest, &e))?;
        }
    } else {
        change.grow(order).await?;
    }
    let refused =
        throttle::ensure(&change.qmp, &order.plan.disks).await.map_err(|e| told(vm, "limit the disks of", &e))?;
    change.undone.extend(refused);
    let nics = there.devices.iter().filter_map(|d| d.strip_prefix("nic-")?.parse().ok()).collect();
    let undone = (!change.undone.is_empty()).then(|| format!("VM {vm}: {}", change.undone.join("; ")));
    Ok(Shape { restart_needed: change.restart_needed, undone, nics })
}

fn record_fault(guest: &Guest, error: &io::Error) -> Fault {
    Fault::transient(format!("the devices of VM {} cannot be written down: {error}", guest.vm))
}

/// The record, with the devices that are really there.
fn restated(there: &There, order: &MachineOrder, started: &Started) -> Started {
    let mut now = started.clone();
    let known = started.plan.disks.iter().chain(&super::record::shape(&order.plan).disks).cloned().collect::<Vec<_>>();
    now.plan.disks = Vec::new();
    for disk in known {
        let here = there.devices.contains(&disk_id(disk.id));
        if here && !now.plan.disks.iter().any(|d| d.id == disk.id) {
            now.plan.disks.push(disk);
        }
    }
    let known = started.plan.nics.iter().chain(&super::record::shape(&order.plan).nics).cloned().collect::<Vec<_>>();
    now.plan.nics = Vec::new();
    for nic in known {
        if there.devices.contains(&nic_id(nic.id)) && !now.plan.nics.iter().any(|n| n.id == nic.id) {
            now.plan.nics.push(nic);
        }
    }
    now.sockets.used.clone_from(&there.used);
    now
}

impl Change<'_> {
    async fn ask(&self, command: &str, arguments: Value) -> Step<Value> {
        self.settle(command, self.qmp.execute(command, arguments, COMMAND_LIMIT).await)
    }

    async fn hand(&self, command: &str, arguments: Value, file: &File) -> Step<Value> {
        let came = self.qmp.execute_with(command, arguments, Some(file.as_fd()), COMMAND_LIMIT).await;
        self.settle(command, came)
    }

    fn settle(&self, command: &str, came: Result<Value, QmpError>) -> Step<Value> {
        match came {
            Ok(value) => Ok(Ok(value)),
            Err(QmpError::Refused { says, .. }) => Ok(Err(says)),
            Err(e) => Err(told(self.guest.vm, &format!("change ({command})"), &e)),
        }
    }

    async fn must(&self, command: &str, arguments: Value) -> Result<Value, Fault> {
        let came = self.qmp.execute(command, arguments, COMMAND_LIMIT).await;
        came.map_err(|e| told(self.guest.vm, "look at the devices of", &e))
    }

    /// Notes what cannot be done while the guest runs, or cannot be done now.
    fn note(&mut self, what: &str, says: &str) {
        if says.contains("does not support hotplug") {
            self.restart_needed = true;
        } else {
            self.undone.push(format!("{what}: {says}"));
        }
    }

    async fn look(&self) -> Result<There, Fault> {
        let mut there = There::default();
        for item in list(&self.must("qom-list", json!({ "path": "/machine/peripheral" })).await?) {
            if let Some(name) = item["name"].as_str().filter(|_| item["type"] != "string") {
                there.devices.insert(name.to_owned());
            }
        }
        for node in list(&self.must("query-named-block-nodes", json!({ "flat": true })).await?) {
            if let (Some(name), Some(size)) = (node["node-name"].as_str(), node["image"]["virtual-size"].as_u64())
                && name.starts_with("disk-")
            {
                there.nodes.insert(name.to_owned(), size);
            }
        }
        if self.q35 {
            for bus in list(&self.must("query-pci", json!({})).await?) {
                for bridge in list(&bus["devices"]) {
                    let Some(socket) = bridge["qdev_id"].as_str().and_then(devices::socket_of) else { continue };
                    match list(&bridge["pci_bridge"]["devices"]).first().and_then(|d| d["qdev_id"].as_str()) {
                        Some(device) => {
                            there.used.insert(device.to_owned(), socket);
                        }
                        None => {
                            there.free.insert(socket);
                        }
                    }
                }
            }
        }
        Ok(there)
    }

    /// Has everything leave that the order does not name.
    async fn leave(&mut self, there: &mut There, order: &MachineOrder) -> Result<(), Fault> {
        let mut wanted: BTreeSet<String> = order.plan.disks.iter().map(|disk| disk_id(disk.id)).collect();
        wanted.extend(order.plan.nics.iter().map(|nic| nic_id(nic.id)));
        let ours = |device: &&String| device.starts_with("vd-") || device.starts_with("nic-");
        let leaving: Vec<String> =
            there.devices.iter().filter(ours).filter(|d| !wanted.contains(*d)).cloned().collect();
        let mut going = BTreeSet::new();
        for device in &leaving {
            match self.ask("device_del", json!({ "id": device })).await? {
                Ok(_) => {
                    going.insert(device.clone());
                }
                Err(says) if says.contains("already in the process of unplug") => {
                    going.insert(device.clone());
                }
                Err(says) if says.contains("not found") => {}
                Err(says) => self.note(&spoken(device), &says),
            }
        }
        let deadline = Instant::now() + PATIENCE;
        while !going.is_empty() {
            *there = self.look().await?;
            going.retain(|device| there.devices.contains(device));
            if Instant::now() >= deadline {
                break;
            }
            if !going.is_empty() {
                tokio::time::sleep(GLANCE).await;
            }
        }
        for device in &going {
            let says = format!("the guest has not let go of it within {} s", PATIENCE.as_secs());
            self.note(&spoken(device), &says);
        }
        // What stood behind devices that have left, now or when nobody looked.
        let mut closing: Vec<String> = leaving.clone();
        closing.extend(there.nodes.keys().filter_map(|node| Some(disk_id(node.strip_prefix("disk-")?.parse().ok()?))));
        for device in closing.iter().filter(|d| !wanted.contains(*d) && !there.devices.contains(*d)) {
            match number(device) {
                Some((true, disk)) if there.nodes.contains_key(&disk_node(disk)) => self.close(disk).await?,
                Some((false, nic)) => {
                    // One that is not there any more is as good as removed.
                    let _ = self.ask("netdev_del", json!({ "id": net_id(nic) })).await?;
                }
                _ => {}
            }
        }
        *there = self.look().await?;
        Ok(())
    }

    /// Closes a disk that no device uses.
    async fn close(&mut self, disk: u32) -> Result<(), Fault> {
        let deadline = Instant::now() + CLOSING;
        loop {
            match self.ask("blockdev-del", json!({ "node-name": disk_node(disk) })).await? {
                Ok(_) => break,
                Err(says) if says.contains("find") => break,
                // The device's own end comes a moment after its name has gone.
                Err(says) if Instant::now() >= deadline => {
                    self.note(&format!("disk {disk}"), &says);
                    return Ok(());
                }
                Err(_) => tokio::time::sleep(GLANCE).await,
            }
        }
        for set in [fdset(disk), fdset(disk) + 1] {
            // QEMU drops descriptors that nothing uses by itself; this only makes it happen now.
            let _ = self.ask("remove-fd", json!({ "fdset-id": set })).await?;
        }
        Ok(())
    }

    /// Has everything come that the order names.
    async fn come(
        &mut self,
        there: &mut There,
        order: &MachineOrder,
        started: Started,
        live: &Live,
    ) -> Result<(), Fault> {
        let plan = &order.plan;
        let new_disks: Vec<(&DiskPlan, &Path)> = (plan.disks.iter().zip(order.disks.iter().map(AsRef::as_ref)))
            .filter(|(disk, _)| !there.devices.contains(&disk_id(disk.id)))
            .collect();
        let new_nics: Vec<(&NicPlan, &String)> =
            (plan.nics.iter().zip(&order.ports)).filter(|(nic, _)| !there.devices.contains(&nic_id(nic.id))).collect();
        if new_disks.is_empty() && new_nics.is_empty() {
            return Ok(());
        }
        if !self.q35 {
            self.restart_needed = true;
            return Ok(());
        }
        let mut sockets = Sockets { used: there.used.clone(), ..started.sockets };
        // Written down before it comes: a file that may be open must not be touched by anybody else.
        let mut may = Started { sockets: sockets.clone(), ..started };
        may.plan
            .disks
            .extend(super::record::shape(plan).disks.into_iter().filter(|d| new_disks.iter().any(|n| n.0.id == d.id)));
        live.restate(&self.guest.dirs, may).map_err(|e| record_fault(self.guest, &e))?;
        for (disk, file) in new_disks {
            if let Err(says) = self.plug_disk(there, &mut sockets, order, disk, file).await? {
                self.note(&format!("disk {}", disk.id), &says);
            }
        }
        for (nic, port) in new_nics {
            if let Err(says) = self.plug_nic(there, &mut sockets, nic, port).await? {
                self.note(&format!("network card {}", nic.id), &says);
            }
        }
        Ok(())
    }

    /// A free socket for the device; `None` when there is none, and then it comes with the next start.
    fn socket(&mut self, there: &mut There, sockets: &mut Sockets, device: &str) -> Option<()> {
        let Some(socket) = there.free.pop_first() else {
            self.restart_needed = true;
            return None;
        };
        sockets.used.insert(device.to_owned(), socket);
        Some(())
    }

    async fn plug_disk(
        &mut self,
        there: &mut There,
        sockets: &mut Sockets,
        order: &MachineOrder,
        disk: &DiskPlan,
        file: &Path,
    ) -> Step<()> {
        match disk.bus {
            Bus::Sata => {
                self.restart_needed = true;
                return Ok(Ok(()));
            }
            Bus::Scsi if !there.devices.contains(SCSI) => {
                if self.socket(there, sockets, SCSI).is_none() {
                    return Ok(Ok(()));
                }
                if let Err(says) = self.ask("device_add", devices::scsi_device(true, sockets)).await? {
                    return Ok(Err(says));
                }
                there.devices.insert(SCSI.to_owned());
            }
            Bus::Scsi => {}
            Bus::Virtio if self.socket(there, sockets, &disk_id(disk.id)).is_none() => return Ok(Ok(())),
            Bus::Virtio => {}
        }
        if !there.nodes.contains_key(&disk_node(disk.id))
            && let Err(says) = self.open(disk, file).await?
        {
            return Ok(Err(says));
        }
        let device = devices::disk_device(order.plan.id, disk, true, 0, sockets);
        if let Err(says) = self.ask("device_add", device).await? {
            self.close(disk.id).await?;
            return Ok(Err(says));
        }
        tracing::info!(vm = self.guest.vm.0, disk = disk.id, "a disk came to a running guest");
        Ok(Ok(()))
    }

    /// Opens a disk and what lies under it, and hands both over.
    async fn open(&self, disk: &DiskPlan, file: &Path) -> Step<()> {
        let says = |path: &Path, e: &dyn std::fmt::Display| format!("{} cannot be opened: {e}", path.display());
        let head = match header::read(file) {
            Ok(head) => head,
            Err(e) => return Ok(Err(says(file, &e))),
        };
        let mut node = devices::disk_blockdev(disk, &format!("/dev/fdset/{}", fdset(disk.id)));
        let mut files = vec![(fdset(disk.id), file.to_owned(), !disk.read_only)];
        if let Some(base) = head.backing {
            let set = fdset(disk.id) + 1;
            let format = disk.base.as_ref().map_or("qcow2", |base| base.format.qemu_name());
            node["backing"] = json!({
                "driver": format, "read-only": true,
                "file": { "driver": "file", "filename": format!("/dev/fdset/{set}"), "read-only": true },
            });
            files.push((set, base, false));
        }
        for (set, path, writes) in files {
            let opened = match OpenOptions::new().read(true).write(writes).open(&path) {
                Ok(opened) => opened,
                Err(e) => return Ok(Err(says(&path, &e))),
            };
            // Left by an agent that did not come further than this.
            let _ = self.ask("remove-fd", json!({ "fdset-id": set })).await?;
            if let Err(e) = self.hand("add-fd", json!({ "fdset-id": set }), &opened).await? {
                return Ok(Err(says(&path, &e)));
            }
        }
        Ok(self.ask("blockdev-add", node).await?.map(|_| ()))
    }

    async fn plug_nic(&mut self, there: &mut There, sockets: &mut Sockets, nic: &NicPlan, port: &str) -> Step<()> {
        if self.socket(there, sockets, &nic_id(nic.id)).is_none() {
            return Ok(Ok(()));
        }
        let tap = match tap::open(port) {
            Ok(tap) => tap,
            Err(e) => return Ok(Err(format!("its port {port} cannot be opened: {e}"))),
        };
        let name = format!("tap-{}", nic.id);
        if let Err(says) = self.hand("getfd", json!({ "fdname": name }), &tap).await? {
            return Ok(Err(says));
        }
        let mut end = json!({ "type": "tap", "id": net_id(nic.id), "fd": name });
        // As at the start: the kernel moves packets where the guest's CPUs run natively.
        if let Some(vhost) = self.vhost().await? {
            let name = format!("vhost-{}", nic.id);
            if self.hand("getfd", json!({ "fdname": name }), &vhost).await?.is_ok() {
                end["vhost"] = json!(true);
                end["vhostfd"] = json!(name);
            }
        }
        match self.ask("netdev_add", end).await? {
            Err(says) if !says.contains("Duplicate ID") => return Ok(Err(says)),
            _ => {}
        }
        let device = devices::nic_device(nic, devices::mtu(port), true, sockets);
        if let Err(says) = self.ask("device_add", device).await? {
            let _ = self.ask("netdev_del", json!({ "id": net_id(nic.id) })).await?;
            return Ok(Err(says));
        }
        tracing::info!(vm = self.guest.vm.0, nic = nic.id, "a network card came to a running guest");
        Ok(Ok(()))
    }

    async fn vhost(&self) -> Result<Option<File>, Fault> {
        let kvm = self.must("query-kvm", json!({})).await?["enabled"] == true;
        Ok(kvm.then(|| OpenOptions::new().read(true).write(true).open("/dev/vhost-net").ok()).flatten())
    }

    async fn grow(&mut self, order: &MachineOrder) -> Result<(), Fault> {
        let there = self.look().await?;
        for disk in order.plan.disks.iter().filter(|disk| !disk.read_only) {
            let node = disk_node(disk.id);
            let Some(size) = there.nodes.get(&node).copied() else { continue };
            let wanted = disk.size_mib << 20;
            if wanted <= size {
                continue;
            }
            let arguments = json!({ "node-name": node, "size": wanted });
            let came = self.qmp.execute("block_resize", arguments, RESIZE_LIMIT).await;
            match self.settle("block_resize", came)? {
                Ok(_) => {
                    tracing::info!(vm = self.guest.vm.0, disk = disk.id, from = size, to = wanted, "a disk grew");
                }
                Err(says) => self.note(&format!("disk {} does not grow", disk.id), &says),
            }
        }
        Ok(())
    }
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn fdset(disk: u32) -> u64 {
    FIRST_FDSET + 2 * u64::from(disk)
}

/// Whether a device is a disk, and its number.
fn number(device: &str) -> Option<(bool, u32)> {
    match device.strip_prefix("vd-") {
        Some(disk) => Some((true, disk.parse().ok()?)),
        None => Some((false, device.strip_prefix("nic-")?.parse().ok()?)),
    }
}

fn spoken(device: &str) -> String {
    match number(device) {
        Some((true, disk)) => format!("disk {disk}"),
        Some((false, nic)) => format!("network card {nic}"),
        None => device.to_owned(),
    }
}
