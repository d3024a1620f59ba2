//! Objects as XML documents.

pub(crate) mod hosts;
pub(crate) mod networks;
pub(crate) mod quotas;
pub(crate) mod storage;
pub(crate) mod users;
pub(crate) mod vm_devices;
pub(crate) mod vm_hardware;
pub(crate) mod vm_history;
pub(crate) mod vm_monitoring;
pub(crate) mod vms;

use crate::xml::Xml;
use holm_desk::View;
use holm_model::users::{Group, User};
use holm_model::{GroupId, LockLevel, Meta, Permissions, UserId};

/// The name of a user; of one that is gone, the number.
pub(crate) fn user_name(view: &View, user: UserId) -> String {
    view.row::<User>(user).map_or_else(|| user.to_string(), |row| row.value.name.to_string())
}

/// The name of a group; of one that is gone, the number.
pub(crate) fn group_name(view: &View, group: GroupId) -> String {
    view.row::<Group>(group).map_or_else(|| group.to_string(), |row| row.value.name.to_string())
}

/// `UID`, `GID`, `UNAME`, `GNAME` and `NAME`.
pub(crate) fn ownership(xml: &mut Xml, view: &View, meta: &Meta) {
    xml.text("UID", meta.owner)
        .text("GID", meta.group)
        .escaped("UNAME", &user_name(view, meta.owner))
        .escaped("GNAME", &group_name(view, meta.group))
        .escaped("NAME", meta.name.as_str());
}

/// `PERMISSIONS`
pub(crate) fn permissions(xml: &mut Xml, permissions: Permissions) {
    const TAGS: [(&str, u16); 9] = [
        ("OWNER_U", 0o400),
        ("OWNER_M", 0o200),
        ("OWNER_A", 0o100),
        ("GROUP_U", 0o040),
        ("GROUP_M", 0o020),
        ("GROUP_A", 0o010),
        ("OTHER_U", 0o004),
        ("OTHER_M", 0o002),
        ("OTHER_A", 0o001),
    ];
    xml.within("PERMISSIONS", |xml| {
        for (tag, bit) in TAGS {
            xml.flag(tag, permissions.octal() & bit != 0);
        }
    });
}

/// `LOCK`, where there is one.
pub(crate) fn lock(xml: &mut Xml, meta: &Meta) {
    if let Some(lock) = meta.lock {
        let level = match lock.level {
            LockLevel::Use => 1,
            LockLevel::Manage => 2,
            LockLevel::Admin => 3,
        };
        xml.within("LOCK", |xml| {
            xml.text("LOCKED", level).text("OWNER", lock.owner).text("TIME", lock.at.seconds()).text("REQ_ID", -1);
        });
    }
}

/// A list of ids in an element.
pub(crate) fn ids(xml: &mut Xml, tag: &str, ids: impl IntoIterator<Item = u32>) {
    xml.within(tag, |xml| {
        for id in ids {
            xml.text("ID", id);
        }
    });
}
