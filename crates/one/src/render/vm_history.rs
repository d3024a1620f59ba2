//! Where a VM was and when.

use super::hosts::driver_of;
use crate::states::action_number;
use crate::xml::Xml;
use holm_desk::View;
use holm_model::datastores::SYSTEM_DATASTORE;
use holm_model::hosts::Host;
use holm_model::users::User;
use holm_model::vms::{PlacementRecord, Vm};
use holm_model::{Timestamp, VmId};

fn seconds(at: Option<Timestamp>) -> i64 {
    at.map_or(0, Timestamp::seconds)
}

fn place(xml: &mut Xml, vm: VmId, record: &PlacementRecord) {
    xml.text("OID", vm)
        .text("SEQ", record.seq)
        .escaped("HOSTNAME", &record.host_name)
        .text("HID", record.host)
        .text("CID", record.cluster);
}

fn hypervisor(view: &View, record: &PlacementRecord) -> String {
    view.row::<Host>(record.host).map_or_else(|| "kvm".into(), |row| driver_of(&row.value, "VM_MAD"))
}

fn action(record: &PlacementRecord) -> u8 {
    record.ended_by.map_or(0, action_number)
}

/// The members of the element `HISTORY`, without its tags.
pub(crate) fn members(xml: &mut Xml, view: &View, vm: VmId, record: &PlacementRecord) {
    let user = record.ended_by_user;
    let group = user.and_then(|user| view.row::<User>(user)).and_then(|row| row.value.groups.first().copied());
    let ran_until = record.running_from.and(record.running_until);
    // What is done with a VM after it ran: from its last moment there until nothing is left of it.
    let tidied_from = record.until.and(ran_until);
    place(xml, vm, record);
    xml.text("STIME", record.from.seconds())
        .text("ETIME", seconds(record.until))
        .cdata("VM_MAD", &hypervisor(view, record))
        .cdata("TM_MAD", "local")
        .text("DS_ID", record.datastore.unwrap_or(SYSTEM_DATASTORE))
        .text("PLAN_ID", -1)
        .text("ACTION_ID", -1)
        .text("PSTIME", record.from.seconds())
        .text("PETIME", seconds(record.running_from.or(record.until)))
        .text("RSTIME", seconds(record.running_from))
        .text("RETIME", seconds(ran_until))
        .text("ESTIME", seconds(tidied_from))
        .text("EETIME", seconds(record.until.filter(|_| tidied_from.is_some())))
        .text("ACTION", action(record))
        .text("UID", user.map_or(-1, |user| i64::from(user.0)))
        .text("GID", group.map_or(-1, |group| i64::from(group.0)))
        .text("REQUEST_ID", -1);
}

/// `HISTORY_RECORDS` with every stay.
pub(crate) fn all(xml: &mut Xml, view: &View, vm: &Vm) {
    xml.within("HISTORY_RECORDS", |xml| {
        for record in &vm.history {
            xml.within("HISTORY", |xml| members(xml, view, vm.id, record));
        }
    });
}

/// `HISTORY_RECORDS` with the last stay, as pools show it.
pub(crate) fn last(xml: &mut Xml, view: &View, vm: &Vm) {
    xml.within("HISTORY_RECORDS", |xml| {
        if let Some(record) = vm.history.last() {
            xml.within("HISTORY", |xml| {
                place(xml, vm.id, record);
                xml.text("DS_ID", record.datastore.unwrap_or(SYSTEM_DATASTORE))
                    .cdata("VM_MAD", &hypervisor(view, record))
                    .cdata("TM_MAD", "local")
                    .text("ACTION", action(record));
            });
        }
    });
}
