//! What `one.vm.updateconf` changes: the sections of a VM's definition that may be changed after it was made.

use crate::template::{Reading as _, Vector};
use holm_desk::vm_template::{guest, hardware};
use holm_model::vms::{Boot, Hardware, VmSpec};
use holm_model::{AttributeValue, Attributes, Invalid, Word};

/// The sections, and which of their members can be changed; an empty list stands for all.
const SECTIONS: [(&str, &[&str]); 9] = [
    (
        "OS",
        &[
            "ARCH",
            "BOOT",
            "BOOTLOADER",
            "FIRMWARE",
            "FIRMWARE_FORMAT",
            "FIRMWARE_SECURE",
            "INITRD",
            "KERNEL",
            "KERNEL_CMD",
            "MACHINE",
            "ROOT",
            "SD_DISK_BUS",
            "UUID",
        ],
    ),
    (
        "FEATURES",
        &[
            "ACPI",
            "APIC",
            "GIC",
            "GUEST_AGENT",
            "HYPERV",
            "IOTHREADS",
            "LOCALTIME",
            "MIGRATE_AUTO_CONVERGE",
            "MIGRATE_COMPRESSED",
            "PAE",
            "RAS",
            "VIRTIO_BLK_QUEUES",
            "VIRTIO_SCSI_QUEUES",
        ],
    ),
    ("INPUT", &["BUS", "TYPE"]),
    ("GRAPHICS", &["COMMAND", "KEYMAP", "LISTEN", "PASSWD", "TYPE"]),
    ("VIDEO", &["ATS", "IOMMU", "RESOLUTION", "TYPE", "VRAM"]),
    ("RAW", &["DATA", "DATA_VMX", "TYPE", "VALIDATE"]),
    ("CPU_MODEL", &[]),
    ("TPM", &["MODEL"]),
    ("BACKUP_CONFIG", &[]),
];

/// A change of a VM's definition, read and ready to be made.
#[derive(Debug)]
pub(crate) struct Conf {
    given: Attributes,
    /// The context's members with their variables replaced; none: the context stays.
    context: Option<Vec<(Word, Word)>>,
    append: bool,
}

impl Conf {
    /// A change to these sections. With `append`, what is not given stays; without, it goes, the context aside.
    pub(crate) fn new(given: Attributes, context: Option<Vec<(Word, Word)>>, append: bool) -> Self {
        Self { given, context, append }
    }

    /// Makes it.
    pub(crate) fn apply(self, spec: &mut VmSpec, attributes: &mut Attributes) -> Result<(), Invalid> {
        for (name, members) in SECTIONS {
            let changed = self.section(name, members, attributes.vector(name).map(|vector| vector.pairs));
            let at = attributes.0.iter().position(|(key, _)| key == name);
            attributes.take(name);
            if !changed.is_empty() {
                let value = (name.into(), AttributeValue::Vector(changed));
                attributes.0.insert(at.unwrap_or(attributes.0.len()).min(attributes.0.len()), value);
            }
        }
        spec.graphics = guest::has_screen(attributes);
        let written = attributes.vector("OS").map(|vector| vector.pairs.to_vec()).unwrap_or_default();
        let os = Vector { name: "OS", pairs: &written };
        if self.given.has("OS") || !self.append {
            spec.firmware = guest::firmware(&os);
            spec.machine = guest::machine(&os);
            if let Boot::Kernel { cmdline, .. } = &mut spec.boot {
                *cmdline = guest::cmdline(&os).unwrap_or_default();
            }
        }
        // Devices of the host have methods of their own.
        let Hardware { pci, next_pci, .. } = std::mem::take(&mut *spec.hardware);
        let hardware = hardware::read(attributes, spec.vcpus, spec.memory_mib)?;
        spec.hardware = Hardware { pci, next_pci, ..hardware }.into();
        if let Some(given) = self.context {
            let mut pairs: Vec<(Word, Word)> = Vec::new();
            if self.append {
                pairs = guest::context_members(&spec.context);
                pairs.retain(|(name, _)| !given.iter().any(|(other, _)| supersedes(other, name)));
            }
            pairs.extend(given.into_iter().filter(|(name, _)| !guest::is_card_variable(name)));
            spec.context = guest::context(&pairs)?.into();
        }
        Ok(())
    }

    fn section(&self, name: &str, members: &[&str], before: Option<&[(Word, Word)]>) -> Vec<(Word, Word)> {
        let before = before.unwrap_or_default();
        let changeable = |member: &str| members.is_empty() || members.contains(&member);
        let given: Vec<(Word, Word)> = self
            .given
            .vector(name)
            .map(|vector| vector.pairs.iter().filter(|(member, _)| changeable(member)).cloned().collect())
            .unwrap_or_default();
        let mut after: Vec<(Word, Word)> = before
            .iter()
            .filter(|(member, _)| {
                let named = given.iter().any(|(other, _)| other == member);
                !named && (self.append || !changeable(member))
            })
            .cloned()
            .collect();
        // An empty value takes the member away; a boot order may be empty.
        after.extend(given.into_iter().filter(|(member, value)| !value.is_empty() || member == "BOOT"));
        after
    }
}

/// Whether a new variable of a context makes an old one go: the two forms of a script exclude each other.
fn supersedes(new: &str, old: &str) -> bool {
    let scripts = ["START_SCRIPT", "START_SCRIPT_BASE64"];
    new == old || (scripts.contains(&new) && scripts.contains(&old))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::parse;
    use holm_model::CpuShare;
    use holm_model::vms::Firmware;

    fn spec() -> VmSpec {
        VmSpec::new(CpuShare(100), 1, 128)
    }

    fn conf(text: &str, append: bool) -> Conf {
        let given = parse(text).expect("is a template");
        let context = given.vector("CONTEXT").map(|vector| vector.pairs.to_vec());
        Conf::new(given, context, append)
    }

    #[test]
    fn appending_changes_members_and_replacing_takes_away_what_is_not_named() {
        let before = parse("OS=[BOOT=disk0,KERNEL_DS=\"$FILE[IMAGE_ID=1]\"]\nGRAPHICS=[TYPE=VNC,PORT=5901]\nLABELS=x")
            .expect("is a template");
        let (mut spec, mut bag) = (spec(), before.clone());
        conf("OS=[FIRMWARE=UEFI]", true).apply(&mut spec, &mut bag).expect("is fine");
        assert_eq!(spec.firmware, Firmware::Uefi);
        assert!(spec.graphics && bag.vector("OS").is_some_and(|os| os.text("BOOT") == Some("disk0")));
        conf("CPU_MODEL=[MODEL=host-passthrough]", false).apply(&mut spec, &mut bag).expect("is fine");
        assert_eq!(spec.firmware, Firmware::Bios);
        assert!(!spec.graphics && bag.has("CPU_MODEL") && bag.text("LABELS") == Some("x"));
        let os = bag.vector("OS").expect("what cannot be changed stays");
        assert_eq!(os.pairs, [("KERNEL_DS".into(), "$FILE[IMAGE_ID=1]".into())]);
    }

    #[test]
    fn a_context_is_merged_or_replaced_and_cards_cannot_be_set() {
        let (mut spec, mut bag) = (spec(), Attributes::default());
        conf("CONTEXT=[A=1,NETWORK=YES,START_SCRIPT=date,ETH0_IP=6.6.6.6]", false)
            .apply(&mut spec, &mut bag)
            .expect("is fine");
        assert_eq!(spec.context.environment, [("A".to_owned(), "1".to_owned())]);
        assert!(spec.context.network && spec.context.start_script.as_deref() == Some("date"));
        conf("CONTEXT=[B=2,START_SCRIPT_BASE64=\"dXB0aW1l\"]", true).apply(&mut spec, &mut bag).expect("is fine");
        assert_eq!(spec.context.start_script.as_deref(), Some("uptime"));
        assert!(spec.context.network && spec.context.environment.iter().any(|(name, _)| name == "A"));
        conf("CONTEXT=[C=3]", false).apply(&mut spec, &mut bag).expect("is fine");
        assert_eq!(spec.context.environment, [("C".to_owned(), "3".to_owned())]);
        assert!(!spec.context.network && spec.context.start_script.is_none());
    }

    #[test]
    fn the_same_change_twice_is_the_same_as_once() {
        let (mut spec, mut bag) = (spec(), Attributes::default());
        let text = "OS=[BOOT=\"nic0\",ARCH=x86_64]\nCONTEXT=[A=1,START_SCRIPT_BASE64=\"ZGF0ZQ==\"]\nINPUT=[TYPE=tablet,BUS=usb]";
        conf(text, true).apply(&mut spec, &mut bag).expect("is fine");
        let (spec_once, bag_once) = (spec.clone(), bag.clone());
        conf(text, true).apply(&mut spec, &mut bag).expect("is fine");
        assert_eq!((spec, bag), (spec_once, bag_once));
    }
}
