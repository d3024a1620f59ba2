//! The sections of a VM's definition about its hardware: `OS`, `CPU_MODEL`, `FEATURES`, `INPUT`, `GRAPHICS`, `VIDEO`,
//! `TOPOLOGY`, `NUMA_NODE` and `PCI`.
//!
//! What a host can do is read into the VM's spec; the sections themselves stay as they are written. What no host of Holm
//! can do is refused here, with the reason, so that nobody believes in something that is not there. Not refused are the
//! address, port and password of a screen: screens are reached through Holm alone, for which one has to log in anyway.

use holm_model::attributes::{Reading as _, Vector, is_yes, list};
use holm_model::vms::{
    BootDevice, CpuTopology, GuestNode, Hardware, Input, InputBus, NumaSpec, PciSpec, PinPolicy, Video, VideoKind,
};
use holm_model::{AttributeValue, Attributes, Invalid, Word};

/// Sections that say something to a hypervisor of another kind.
const FOREIGN: [(&str, &str, &str); 6] = [
    (
        "RAW",
        "is for libvirt or QEMU itself, and hosts take no options from outside but those that are checked",
        "Say it with OS, CPU_MODEL, FEATURES, VIDEO, INPUT or TOPOLOGY.",
    ),
    ("EMULATOR", "names a program of the host; hosts run the QEMU that their settings name", "Leave it out."),
    ("HYPERV_OPTIONS", "is for libvirt", "Use FEATURES=[HYPERV=YES]."),
    ("SPICE_OPTIONS", "is for SPICE screens, which there are none of", "Use GRAPHICS=[TYPE=VNC]."),
    ("TPM", "asks for a trusted platform module, which no host of Holm has for its guests", "Leave it out."),
    ("MEMORY_ENCRYPTION", "asks for encrypted memory, which no host of Holm has for its guests", "Leave it out."),
];

fn refuse<T>(field: String, given: &str, wrong: &str, fix: &str) -> Result<T, Invalid> {
    Err(Invalid::new(field, given, wrong, fix))
}

/// A member that says yes or no.
fn switch(vector: &Vector<'_>, member: &str) -> Option<bool> {
    vector.given(member).map(is_yes)
}

/// A member that is refused when it has any value but `NO`.
fn refused(vector: &Vector<'_>, member: &str, wrong: &str, fix: &str) -> Result<(), Invalid> {
    match vector.given(member) {
        Some(given) if !given.eq_ignore_ascii_case("NO") => refuse(vector.field(member), given, wrong, fix),
        _ => Ok(()),
    }
}

/// Reads the sections for a VM with so many processors and so much memory. Devices of the host are read by
/// [`take_pci`].
pub fn read(given: &Attributes, vcpus: u32, memory_mib: u64) -> Result<Hardware, Invalid> {
    for (name, wrong, fix) in FOREIGN {
        let empty = |value: &AttributeValue| match value {
            AttributeValue::Text(text) => text.trim().is_empty(),
            AttributeValue::Vector(pairs) => pairs.iter().all(|(_, value)| value.trim().is_empty()),
        };
        if given.0.iter().any(|(key, value)| key == name && !empty(value)) {
            return refuse(name.to_owned(), "", wrong, fix);
        }
    }
    let mut hardware = Hardware::default();
    os(&mut hardware, given)?;
    processor(&mut hardware, given);
    features(&mut hardware, given)?;
    screen(&mut hardware, given)?;
    topology(&mut hardware, given, vcpus, memory_mib)?;
    Ok(hardware)
}

fn os(hardware: &mut Hardware, given: &Attributes) -> Result<(), Invalid> {
    let Some(os) = given.vector("OS") else { return Ok(()) };
    for member in ["KERNEL", "INITRD"] {
        if let Some(path) = os.given(member) {
            let wrong = "is a file of the host, which hosts do not hand to guests";
            let fix = format!("Import it as an image and write {member}_DS=\"$FILE[IMAGE_ID=...]\".");
            return refuse(os.field(member), path, wrong, &fix);
        }
    }
    refused(&os, "BOOTLOADER", "is for Xen", "Boot from a disk, or give KERNEL_DS.")?;
    refused(&os, "FIRMWARE_SECURE", "asks for secure boot, which is not there", "Use FIRMWARE=UEFI without it.")?;
    for word in list(os.text("BOOT").unwrap_or("")) {
        let number = |prefix: &str| {
            let rest = word.get(..prefix.len()).filter(|start| start.eq_ignore_ascii_case(prefix))?;
            word[rest.len()..].parse::<u32>().ok()
        };
        let device = number("disk").map(BootDevice::Disk).or_else(|| number("nic").map(BootDevice::Nic));
        hardware.boot_order.push(device.ok_or_else(|| {
            Invalid::new("OS/BOOT", word, "is neither a disk nor a network card", "Write disk0, nic0 and the like.")
        })?);
    }
    if let Some(machine) = os.given("MACHINE") {
        match machine {
            "q35" => {}
            _ if machine.starts_with("microvm") => {}
            _ if machine.starts_with("pc-q35-") => hardware.machine_version = Some(machine.to_owned()),
            other => {
                let wrong = "is no machine that Holm gives to guests";
                return refuse("OS/MACHINE".into(), other, wrong, "Use q35, one of its versions, or microvm.");
            }
        }
    }
    hardware.arch = os.given("ARCH").map(str::to_owned);
    hardware.scsi_is_sata = os.given("SD_DISK_BUS").is_some_and(|bus| bus.eq_ignore_ascii_case("sata"));
    if let Some(uuid) = os.given("UUID") {
        let parsed = uuid.parse().map_err(|_| Invalid::new("OS/UUID", uuid, "is no UUID", "Correct it."))?;
        hardware.uuid = Some(parsed);
    }
    Ok(())
}

fn processor(hardware: &mut Hardware, given: &Attributes) {
    let Some(model) = given.vector("CPU_MODEL") else { return };
    hardware.cpu_model = model.given("MODEL").map(str::to_owned);
    hardware.cpu_features = list(model.text("FEATURES").unwrap_or(""))
        .map(|word| match (word.strip_prefix('-'), word.strip_prefix('+')) {
            (Some(name), _) => (name.to_owned(), false),
            (None, Some(name)) => (name.to_owned(), true),
            (None, None) => (word.to_owned(), true),
        })
        .collect();
}

fn features(hardware: &mut Hardware, given: &Attributes) -> Result<(), Invalid> {
    let Some(features) = given.vector("FEATURES") else { return Ok(()) };
    refused(&features, "IOMMU", "asks for an IOMMU of the guest's own, which is not there", "Leave it out.")?;
    for member in ["GIC", "RAS"] {
        refused(&features, member, "is for ARM processors", "Leave it out.")?;
    }
    hardware.no_acpi = switch(&features, "ACPI") == Some(false);
    for (member, feature) in [("PAE", "pae"), ("APIC", "apic")] {
        if let Some(on) = switch(&features, member) {
            hardware.cpu_features.push((feature.to_owned(), on));
        }
    }
    let yes = |member: &str| switch(&features, member) == Some(true);
    hardware.local_time = yes("LOCALTIME");
    hardware.hyper_v = yes("HYPERV");
    hardware.guest_agent = yes("GUEST_AGENT");
    let number = |member: &str| match features.given(member) {
        // What QEMU does by itself.
        Some(word) if word.eq_ignore_ascii_case("auto") || word == "0" => Ok(None),
        _ => features.integer::<u32>(member),
    };
    hardware.io_threads = number("IOTHREADS")?;
    hardware.disk_queues = number("VIRTIO_BLK_QUEUES")?;
    hardware.scsi_queues = number("VIRTIO_SCSI_QUEUES")?;
    Ok(())
}

fn screen(hardware: &mut Hardware, given: &Attributes) -> Result<(), Invalid> {
    if let Some(graphics) = given.vector("GRAPHICS") {
        if let Some(kind) = graphics.given("TYPE").filter(|kind| !kind.eq_ignore_ascii_case("vnc")) {
            return refuse("GRAPHICS/TYPE".into(), kind, "is no kind of screen that there is", "Use VNC.");
        }
        refused(&graphics, "COMMAND", "is for containers", "Leave it out.")?;
        hardware.keymap = graphics.given("KEYMAP").map(str::to_owned);
    }
    if let Some(video) = given.vector("VIDEO") {
        for member in ["IOMMU", "ATS"] {
            refused(&video, member, "is nothing that a guest's IOMMU could serve: there is none", "Leave it out.")?;
        }
        let kind = video.given("TYPE").unwrap_or("vga").to_ascii_lowercase();
        let memory_kib: Option<u32> = video.integer("VRAM")?;
        hardware.video = Video {
            kind: match kind.as_str() {
                "vga" | "auto" => VideoKind::Vga,
                "cirrus" => VideoKind::Cirrus,
                "virtio" => VideoKind::Virtio,
                "none" => VideoKind::None,
                other => {
                    return refuse("VIDEO/TYPE".into(), other, "is no card", "Use vga, cirrus, virtio or none.");
                }
            },
            // QEMU wants a power of two.
            memory_mib: memory_kib.map(|kib| kib.div_ceil(1024).max(1).next_power_of_two()),
            resolution: match video.given("RESOLUTION") {
                None => None,
                Some(text) => {
                    let sides = text.split_once(['x', 'X']);
                    let sides = sides.and_then(|(w, h)| Some((w.trim().parse().ok()?, h.trim().parse().ok()?)));
                    Some(sides.ok_or_else(|| {
                        Invalid::new("VIDEO/RESOLUTION", text, "is no size of a screen", "Write such as 1280x800.")
                    })?)
                }
            },
        };
    }
    for input in given.vectors("INPUT").filter(|input| !input.pairs.is_empty()) {
        let word = |member: &str| input.given(member).map(str::to_ascii_lowercase);
        let tablet = match word("TYPE").as_deref() {
            Some("tablet") => true,
            Some("mouse") | None => false,
            Some(other) => return refuse("INPUT/TYPE".into(), other, "is no pointer device", "Use mouse or tablet."),
        };
        let bus = match word("BUS").as_deref() {
            Some("usb") | None => InputBus::Usb,
            Some("virtio") => InputBus::Virtio,
            Some("ps2") => InputBus::Ps2,
            Some(other) => return refuse("INPUT/BUS".into(), other, "is no bus for it", "Use usb, virtio or ps2."),
        };
        hardware.inputs.push(Input { tablet, bus });
    }
    Ok(())
}

fn topology(hardware: &mut Hardware, given: &Attributes, vcpus: u32, memory_mib: u64) -> Result<(), Invalid> {
    let Some(topology) = given.vector("TOPOLOGY") else { return Ok(()) };
    let count = |member: &str| -> Result<Option<u32>, Invalid> {
        match topology.integer::<u32>(member)? {
            Some(0) => refuse(topology.field(member), "0", "is no number of them", "Give at least 1."),
            other => Ok(other),
        }
    };
    let (sockets, cores, threads) = (count("SOCKETS")?, count("CORES")?, count("THREADS")?);
    if sockets.or(cores).or(threads).is_some() {
        let threads = threads.unwrap_or(1);
        let fits = |parts: u32| (vcpus / parts.max(1)).max(1);
        let (sockets, cores) = match (sockets, cores) {
            (Some(sockets), Some(cores)) => (sockets, cores),
            (Some(sockets), None) => (sockets, fits(sockets.saturating_mul(threads))),
            (None, Some(cores)) => (fits(cores.saturating_mul(threads)), cores),
            (None, None) => (1, fits(threads)),
        };
        hardware.topology = Some(CpuTopology { sockets, cores, threads });
    }
    let pin = match topology.given("PIN_POLICY").map(str::to_ascii_uppercase).as_deref() {
        None | Some("NONE") => PinPolicy::None,
        Some("CORE") => PinPolicy::Core,
        Some("THREAD") => PinPolicy::Thread,
        Some("SHARED") => PinPolicy::Shared,
        Some(other) => {
            let fix = "Use CORE, THREAD, SHARED or NONE.";
            return refuse("TOPOLOGY/PIN_POLICY".into(), other, "is no way to tie processors", fix);
        }
    };
    let mut nodes = Vec::new();
    for node in given.vectors("NUMA_NODE") {
        let (Some(vcpus), Some(memory_mib)) = (node.integer("TOTAL_CPUS")?, node.integer("MEMORY")?) else { continue };
        nodes.push(GuestNode { vcpus, memory_mib });
    }
    if nodes.is_empty()
        && let Some(number) = count("NUMA_NODES")?.filter(|number| *number > 1)
    {
        if !vcpus.is_multiple_of(number) || !memory_mib.is_multiple_of(u64::from(number)) {
            let wrong = format!("nodes do not share {vcpus} processors and {memory_mib} MB evenly");
            let fix = "Choose another number, or say what each has in NUMA_NODE=[TOTAL_CPUS=..., MEMORY=...].";
            return refuse("TOPOLOGY/NUMA_NODES".into(), &number.to_string(), &wrong, fix);
        }
        let node = GuestNode { vcpus: vcpus / number, memory_mib: memory_mib / u64::from(number) };
        nodes = vec![node; number as usize];
    }
    // One node with everything is what a guest without nodes has.
    if nodes.len() == 1 && nodes[0] == (GuestNode { vcpus, memory_mib }) {
        nodes.clear();
    }
    hardware.numa = NumaSpec {
        pin,
        node: topology.integer("NODE_AFFINITY")?,
        huge_page_mib: topology.integer("HUGEPAGE_SIZE")?,
        shared: topology.given("MEMORY_ACCESS").is_some_and(|word| word.eq_ignore_ascii_case("shared")),
        nodes,
    };
    Ok(())
}

/// Members of a device that say which one is meant, or are computed.
const PCI_MODELLED: &[&str] = &[
    "ADDRESS",
    "BUS",
    "CLASS",
    "DEVICE",
    "DOMAIN",
    "FUNCTION",
    "NUMA_NODE",
    "PCI_ID",
    "PREV_ADDRESS",
    "SHORT_ADDRESS",
    "SLOT",
    "TYPE",
    "VENDOR",
    "VM_ADDRESS",
    "VM_BUS",
];

/// Takes the devices of hosts out of a template.
pub fn take_pci(given: &mut Attributes) -> Result<Vec<PciSpec>, Invalid> {
    let mut all = Vec::new();
    for value in given.take("PCI") {
        if let AttributeValue::Vector(pairs) = value
            && !pairs.is_empty()
        {
            let id = u32::try_from(all.len()).unwrap_or(u32::MAX);
            all.push(PciSpec { id, ..pci(&Vector { name: "PCI", pairs: &pairs })? });
        }
    }
    Ok(all)
}

/// Reads one device of a host.
pub fn pci(vector: &Vector<'_>) -> Result<PciSpec, Invalid> {
    if let Some(kind) = vector.given("TYPE").filter(|kind| kind.eq_ignore_ascii_case("NIC")) {
        let wrong = "asks for addresses on a card that is the host's own, which Holm does not lend";
        return refuse("PCI/TYPE".into(), kind, wrong, "Leave TYPE out, and set addresses up in the guest.");
    }
    for member in ["PROFILE", "UUID", "MDEV_MODE"] {
        refused(vector, member, "asks for a part of a device, and devices are handed over whole", "Leave it out.")?;
    }
    let number = |member: &str| -> Result<Option<u16>, Invalid> {
        let Some(text) = vector.given(member) else { return Ok(None) };
        let digits = text.strip_prefix("0x").unwrap_or(text);
        match u16::from_str_radix(digits, 16) {
            Ok(number) => Ok(Some(number)),
            Err(_) => refuse(vector.field(member), text, "are no hexadecimal digits", "Write such as 10de."),
        }
    };
    let (vendor, device, class) = (number("VENDOR")?, number("DEVICE")?, number("CLASS")?);
    let address = vector.given("SHORT_ADDRESS").map(str::to_ascii_lowercase);
    if let Some(address) = &address {
        let plain = address.strip_prefix("0000:").unwrap_or(address);
        let parts: Vec<&str> = plain.split([':', '.']).collect();
        let hex = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_hexdigit());
        if parts.len() != 3 || plain.len() != 7 || !parts.iter().all(hex) {
            return refuse("PCI/SHORT_ADDRESS".into(), address, "is no address", "Write such as 01:00.0.");
        }
    }
    if address.is_none() && vendor.or(device).or(class).is_none() {
        let fix = "Give SHORT_ADDRESS, or some of VENDOR, DEVICE and CLASS.";
        return refuse("PCI".into(), "", "does not say which device is meant", fix);
    }
    let kept = |(name, _): &&(Word, Word)| !PCI_MODELLED.contains(&name.as_str());
    let attributes = vector.pairs.iter().filter(kept).cloned().collect();
    // Where the very device is named, the rest is what clients were shown of it.
    let (vendor, device, class) = if address.is_some() { (None, None, None) } else { (vendor, device, class) };
    Ok(PciSpec { id: 0, vendor, device, class, address, attributes })
}
