//! What only administrators may write: attributes that decide about the hosts' hardware, other users or money.
//!
//! The names are those of OpenNebula's interface, for they mean something only where that interface is served; `A/B` is
//! member `B` of every group `A`.

use crate::{Caller, Error, ErrorKind};
use holm_model::permissions::Access;
use holm_model::users::Group;
use holm_model::vms::VmVerb;
use holm_model::{AttributeValue, Attributes, ObjectKind, Word};
use holm_store::State;

const VM: &[&str] = &[
    "CONTEXT/FILES",
    "CPU_COST",
    "DEPLOY_ID",
    "DISK_COST",
    "DISK/ORIGINAL_SIZE",
    "DISK/READ_BYTES_SEC",
    "DISK/READ_BYTES_SEC_MAX",
    "DISK/READ_BYTES_SEC_MAX_LENGTH",
    "DISK/READ_IOPS_SEC",
    "DISK/READ_IOPS_SEC_MAX",
    "DISK/READ_IOPS_SEC_MAX_LENGTH",
    "DISK/SIZE_IOPS_SEC",
    "DISK/SIZE_PREV",
    "DISK/TOTAL_BYTES_SEC",
    "DISK/TOTAL_BYTES_SEC_MAX",
    "DISK/TOTAL_BYTES_SEC_MAX_LENGTH",
    "DISK/TOTAL_IOPS_SEC",
    "DISK/TOTAL_IOPS_SEC_MAX",
    "DISK/TOTAL_IOPS_SEC_MAX_LENGTH",
    "DISK/WRITE_BYTES_SEC",
    "DISK/WRITE_BYTES_SEC_MAX",
    "DISK/WRITE_BYTES_SEC_MAX_LENGTH",
    "DISK/WRITE_IOPS_SEC",
    "DISK/WRITE_IOPS_SEC_MAX",
    "DISK/WRITE_IOPS_SEC_MAX_LENGTH",
    "EMULATOR",
    "MEMORY_COST",
    "NIC/BRIDGE",
    "NIC/FILTER",
    "NIC/INBOUND_AVG_BW",
    "NIC/INBOUND_PEAK_BW",
    "NIC/INBOUND_PEAK_KB",
    "NIC/MAC",
    "NIC/OUTBOUND_AVG_BW",
    "NIC/OUTBOUND_PEAK_BW",
    "NIC/OUTBOUND_PEAK_KB",
    "NIC/VLAN_ID",
    "NIC_ALIAS/BRIDGE",
    "NIC_ALIAS/FILTER",
    "NIC_ALIAS/MAC",
    "NIC_ALIAS/VLAN_ID",
    "NIC_DEFAULT/BRIDGE",
    "NIC_DEFAULT/FILTER",
    "NIC_DEFAULT/INBOUND_AVG_BW",
    "NIC_DEFAULT/INBOUND_PEAK_BW",
    "NIC_DEFAULT/INBOUND_PEAK_KB",
    "NIC_DEFAULT/MAC",
    "NIC_DEFAULT/OUTBOUND_AVG_BW",
    "NIC_DEFAULT/OUTBOUND_PEAK_BW",
    "NIC_DEFAULT/OUTBOUND_PEAK_KB",
    "NIC_DEFAULT/VLAN_ID",
    "PCI",
    "RAW",
    "TOPOLOGY/HUGEPAGE_SIZE",
    "TOPOLOGY/PIN_POLICY",
    "USER_PRIORITY",
    "VMGROUP/PRIORITY",
];

const IMAGE: &[&str] = &["SOURCE"];

const NETWORK: &[&str] = &[
    "AR/BRIDGE",
    "AR/FILTER",
    "AR/PHYDEV",
    "AR/VLAN_ID",
    "AR/VN_MAD",
    "AUTOMATIC_OUTER_VLAN_ID",
    "AUTOMATIC_VLAN_ID",
    "BRIDGE",
    "BRIDGE_CONF",
    "BRIDGE_TYPE",
    "CLUSTER_IDS",
    "CONF",
    "CVLANS",
    "FILTER",
    "FILTER_IP_SPOOFING",
    "FILTER_MAC_SPOOFING",
    "INBOUND_AVG_BW",
    "INBOUND_PEAK_BW",
    "INBOUND_PEAK_KB",
    "IP_LINK_CONF",
    "OUTBOUND_AVG_BW",
    "OUTBOUND_PEAK_BW",
    "OUTBOUND_PEAK_KB",
    "OUTER_VLAN_ID",
    "OVS_BRIDGE_CONF",
    "PHYDEV",
    "QINQ_TYPE",
    "VLAN_ID",
    "VLAN_TAGGED_ID",
    "VN_MAD",
    "VXLAN_MODE",
    "VXLAN_TEP",
];

const OPERATIONS: &[&str] = &["VM_ADMIN_OPERATIONS", "VM_MANAGE_OPERATIONS", "VM_USE_OPERATIONS"];

/// The restricted names of a noun.
#[must_use]
pub fn names(kind: ObjectKind) -> &'static [&'static str] {
    match kind {
        ObjectKind::Vm | ObjectKind::Template => VM,
        ObjectKind::Image => IMAGE,
        ObjectKind::Network | ObjectKind::NetworkTemplate => NETWORK,
        ObjectKind::User | ObjectKind::Group => OPERATIONS,
        _ => &[],
    }
}

/// Every value of a restricted name, in order.
fn values<'a>(attributes: &'a Attributes, name: &str) -> Vec<Word> {
    let text = |value: &'a AttributeValue| match value {
        AttributeValue::Text(text) => text.clone(),
        AttributeValue::Vector(pairs) => format!("{pairs:?}").into(),
    };
    let Some((outer, inner)) = name.split_once('/') else {
        return attributes.0.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| text(v)).collect();
    };
    let groups = attributes.0.iter().filter(|(key, _)| key.eq_ignore_ascii_case(outer));
    groups
        .flat_map(|(_, value)| match value {
            AttributeValue::Text(_) => [].iter(),
            AttributeValue::Vector(pairs) => pairs.iter(),
        })
        .filter(|(key, _)| key.eq_ignore_ascii_case(inner))
        .map(|(_, value)| value.clone())
        .collect()
}

fn refusal(caller: &Caller, name: &str) -> Error {
    Error::new(ErrorKind::Forbidden, format!("user {} may not set the restricted attribute {name}", caller.user().name))
        .hint("Leave it as it is, or ask an administrator.")
        .field(name)
}

/// Refuses restricted attributes of a noun from a caller who is no administrator: for what is new, such as the template
/// of a VM or a card that is to be attached.
///
/// # Errors
/// `Forbidden`, with the name as its field.
pub fn check(kind: ObjectKind, given: &Attributes, caller: &Caller) -> Result<(), Error> {
    check_change(kind, &Attributes::default(), given, caller)
}

/// Refuses that a caller who is no administrator adds, changes or removes a restricted attribute.
///
/// # Errors
/// `Forbidden`, with the name as its field.
pub fn check_change(kind: ObjectKind, before: &Attributes, after: &Attributes, caller: &Caller) -> Result<(), Error> {
    if caller.is_admin() {
        return Ok(());
    }
    match names(kind).iter().find(|name| values(before, name) != values(after, name)) {
        None => Ok(()),
        Some(name) => Err(refusal(caller, name)),
    }
}

/// What the words in `VM_ADMIN_OPERATIONS` and its sisters cover.
fn word_of(verb: VmVerb) -> &'static [&'static str] {
    match verb {
        VmVerb::Create => &["create"],
        VmVerb::Deploy => &["deploy"],
        VmVerb::Migrate => &["migrate"],
        VmVerb::Start | VmVerb::Resume => &["resume"],
        VmVerb::Hold => &["hold"],
        VmVerb::Release => &["release"],
        VmVerb::Stop => &["stop"],
        VmVerb::Suspend | VmVerb::Pause => &["suspend"],
        VmVerb::Undeploy => &["undeploy"],
        VmVerb::UndeployHard => &["undeploy-hard", "undeploy"],
        VmVerb::Reboot => &["reboot"],
        VmVerb::RebootHard => &["reboot-hard", "reboot"],
        VmVerb::Poweroff => &["poweroff"],
        VmVerb::PoweroffHard => &["poweroff-hard", "poweroff"],
        VmVerb::Terminate => &["terminate"],
        VmVerb::TerminateHard => &["terminate-hard", "terminate"],
        VmVerb::Delete => &["delete"],
        VmVerb::Resched => &["resched"],
        VmVerb::Unresched => &["unresched", "resched"],
        VmVerb::DiskAttach | VmVerb::DiskDetach => &["disk-attach"],
        VmVerb::DiskResize => &["disk-resize"],
        VmVerb::DiskSnapshotCreate => &["disk-snapshot-create", "disk-snapshot"],
        VmVerb::DiskSnapshotDelete => &["disk-snapshot-delete", "disk-snapshot"],
        VmVerb::DiskSnapshotRevert => &["disk-snapshot-revert", "disk-snapshot"],
        VmVerb::DiskSnapshotRename => &["disk-snapshot-rename", "disk-snapshot"],
        VmVerb::DiskSaveAs => &["disk-saveas"],
        VmVerb::NicAttach | VmVerb::NicDetach | VmVerb::NicUpdate | VmVerb::AliasAttach | VmVerb::AliasDetach => {
            &["nic-attach"]
        }
        VmVerb::SecurityGroupAttach | VmVerb::SecurityGroupDetach => &["sg-attach"],
        VmVerb::SnapshotCreate => &["snapshot-create", "snapshot"],
        VmVerb::SnapshotDelete => &["snapshot-delete", "snapshot"],
        VmVerb::SnapshotRevert => &["snapshot-revert", "snapshot"],
        VmVerb::Resize => &["resize"],
        VmVerb::Update => &["update"],
        VmVerb::UpdateConf => &["updateconf"],
        VmVerb::Rename => &["rename"],
        VmVerb::Chown => &["chown"],
        VmVerb::Chmod => &["chmod"],
        VmVerb::Recover => &["recover"],
        VmVerb::Retry => &["retry", "recover"],
        VmVerb::SchedAdd | VmVerb::SchedUpdate | VmVerb::SchedDelete => &["sched-action"],
        VmVerb::VmGroupAdd | VmVerb::VmGroupDel => &["vmgroup"],
        VmVerb::PciAttach | VmVerb::PciDetach => &["pci-attach"],
    }
}

fn default_access(verb: VmVerb) -> Access {
    match verb {
        VmVerb::Migrate
        | VmVerb::Delete
        | VmVerb::Recover
        | VmVerb::Retry
        | VmVerb::Deploy
        | VmVerb::Resched
        | VmVerb::Unresched => Access::Admin,
        _ => Access::Manage,
    }
}

/// The access that somebody needs to a VM for what they want with it: what `VM_USE_OPERATIONS`, `VM_MANAGE_OPERATIONS`
/// and `VM_ADMIN_OPERATIONS` of their account say, else those of their primary group, else the usual.
pub(crate) fn operation_access(state: &State, caller: &Caller, verb: VmVerb) -> Access {
    let words = word_of(verb);
    let said = |attributes: &Attributes| {
        let lists = [
            (Access::Admin, "VM_ADMIN_OPERATIONS"),
            (Access::Manage, "VM_MANAGE_OPERATIONS"),
            (Access::Use, "VM_USE_OPERATIONS"),
        ];
        lists.into_iter().find(|(_, name)| {
            let mut listed = attributes.text(name).unwrap_or("").split([',', ' ']).map(str::trim);
            listed.any(|word| words.iter().any(|known| known.eq_ignore_ascii_case(word)))
        })
    };
    let of_group = || state.get::<Group>(caller.primary_group()).and_then(|group| said(&group.value.attributes));
    said(&caller.user().attributes).or_else(of_group).map_or_else(|| default_access(verb), |(access, _)| access)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bag(pairs: &[(&str, &str)]) -> Attributes {
        Attributes(
            pairs
                .iter()
                .map(|(name, value)| match name.split_once('/') {
                    None => ((*name).into(), AttributeValue::Text((*value).into())),
                    Some((outer, inner)) => {
                        (outer.into(), AttributeValue::Vector(vec![(inner.into(), (*value).into())]))
                    }
                })
                .collect(),
        )
    }

    #[test]
    fn values_are_found_whatever_their_case_and_place() {
        let given = bag(&[("nic/mac", "02:00"), ("NIC/IP", "10.0.0.1"), ("NIC/MAC", "02:01"), ("raw", "x")]);
        assert_eq!(values(&given, "NIC/MAC"), ["02:00", "02:01"]);
        assert_eq!(values(&given, "RAW"), ["x"]);
        assert_eq!(values(&bag(&[("PCI/VENDOR", "8086")]), "PCI").len(), 1);
        assert_eq!(values(&given, "DISK/SIZE_PREV"), [] as [&str; 0]);
    }
}
