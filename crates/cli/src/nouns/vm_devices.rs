//! `holm vm disk`, `holm vm nic` and `holm vm snapshot`.

use super::vms::{ask, print_rows};
use super::{App, Noun as _};
use crate::args::WaitArgs;
use crate::args::vm_devices::{DiskCommand, DiskSaveArgs, DiskSnapshotOne, NicCommand, NicOne, SnapshotCommand};
use crate::client::{Call, path, shaped};
use crate::errors::{Error, Result};
use crate::output::{Column, Names, show_age, show_mib};
use crate::wait::{LOOK_WITH_STREAM, Look, Wait};
use holm_wire::v1::{
    Disk, DiskChange, DiskSave, DiskSnapshot, Image, Nic, NicChange, SnapshotName, Vm, VmPartAccepted, VmSnapshot,
};
use reqwest::Method;
use serde_json::Value;
use tokio::time::Instant;

pub(super) async fn disks(app: &App, command: DiskCommand) -> Result {
    match command {
        DiskCommand::List(one) => {
            let (value, vm) = app.load::<Vm>(&one.name).await?;
            let names = app.names(vm.mentions()).await;
            super::vms::print_rows_with(
                app,
                &disk_columns(),
                &vm.disks,
                &value["disks"],
                &names,
                |d| d.id.to_string(),
                "disk",
            )
        }
        DiskCommand::Attach(args) => {
            ask(app, Call::new(Method::POST, path(&["vms", &args.name, "disks"])?).json(&args.disk)?, &args.wait).await
        }
        DiskCommand::Detach(args) => {
            let at = path(&["vms", &args.name, "disks", &args.disk.to_string()])?;
            ask(app, Call::new(Method::DELETE, at), &args.wait).await
        }
        DiskCommand::Resize(args) => {
            let at = path(&["vms", &args.name, "disks", &args.disk.to_string()])?;
            ask(app, Call::new(Method::PATCH, at).json(&DiskChange { size_mib: args.size })?, &args.wait).await
        }
        DiskCommand::Save(args) => save(app, args).await,
        DiskCommand::Snapshots(one) => {
            let (value, vm) = app.load::<Vm>(&one.name).await?;
            disk_snapshots(app, &value, &vm)
        }
        DiskCommand::Snapshot(args) => {
            let at = path(&["vms", &args.name, "disks", &args.disk.to_string(), "snapshots"])?;
            numbered(app, Call::new(Method::POST, at).json(&SnapshotName { name: args.snapshot })?, &args.wait).await
        }
        DiskCommand::Revert(args) => {
            ask(app, Call::new(Method::POST, of_snapshot(&args)? + "/revert"), &args.wait).await
        }
        DiskCommand::SnapshotDelete(args) => ask(app, Call::new(Method::DELETE, of_snapshot(&args)?), &args.wait).await,
        DiskCommand::SnapshotRename(args) => {
            let call = Call::new(Method::PATCH, of_snapshot(&args.of)?);
            ask(app, call.json(&SnapshotName { name: args.new_name })?, &args.of.wait).await
        }
    }
}

fn of_snapshot(args: &DiskSnapshotOne) -> Result<String> {
    path(&["vms", &args.name, "disks", &args.disk.to_string(), "snapshots", &args.snapshot.to_string()])
}

/// As [`ask`], telling the number of what was made.
pub(super) async fn numbered(app: &App, call: Call, wait: &WaitArgs) -> Result {
    super::vms::ask_then(app, call, wait, |answer| {
        if let Ok(VmPartAccepted { id: Some(id), vm, .. }) = shaped(answer) {
            app.remarks.note(&format!("vm {}: it has the number {id}", vm.meta.name));
        }
    })
    .await
}

fn disk_columns() -> Vec<Column<Disk>> {
    let field = Column::<Disk>::new;
    vec![
        field("DISK", "id", |d, _| d.id.to_string(), |d| d.id.to_string()),
        field("IMAGE", "image", image_of, |d| d.image.map(|image| image.to_string()).unwrap_or_default()),
        field("SIZE", "size_mib", |d, _| show_mib(d.size_mib), |d| d.size_mib.to_string()),
        field("SNAPSHOTS", "snapshots", |d, _| d.snapshots.len().to_string(), |d| d.snapshots.len().to_string()),
        field("NOTE", "note", |d, _| disk_note(d), disk_note),
    ]
}

fn image_of(disk: &Disk, names: &Names) -> String {
    disk.image.map_or("empty".to_owned(), |image| names.of("images", image))
}

/// What is particular about a disk.
pub(super) fn disk_note(disk: &Disk) -> String {
    let kind = disk.attributes.get("TYPE").filter(|_| disk.image.is_none()).cloned().unwrap_or_default();
    let marks = [
        (disk.cdrom, "CD-ROM"),
        (disk.read_only && !disk.cdrom, "read only"),
        (disk.persistent, "persistent"),
        (!disk.saving_as.is_empty(), "being saved as an image"),
        (!kind.is_empty(), kind.as_str()),
    ];
    marks.into_iter().filter(|(holds, _)| *holds).map(|(_, mark)| mark).collect::<Vec<_>>().join(", ")
}

/// A snapshot with the disk it is of.
struct OfDisk<'a> {
    disk: u32,
    snapshot: &'a DiskSnapshot,
    current: bool,
}

fn disk_snapshots(app: &App, value: &Value, vm: &Vm) -> Result {
    let rows: Vec<OfDisk<'_>> = vm
        .disks
        .iter()
        .flat_map(|disk| {
            disk.snapshots.iter().map(|snapshot| OfDisk {
                disk: disk.id,
                snapshot,
                current: disk.current_snapshot == Some(snapshot.id),
            })
        })
        .collect();
    let raw = value["disks"].as_array().into_iter().flatten().flat_map(|disk| {
        let number = disk["id"].clone();
        disk["snapshots"].as_array().cloned().unwrap_or_default().into_iter().map(move |mut snapshot| {
            snapshot["disk"] = number.clone();
            snapshot
        })
    });
    let raw = Value::Array(raw.collect());
    let columns = [
        Column {
            title: "DISK",
            key: "disk",
            text: |s: &OfDisk<'_>, _| s.disk.to_string(),
            plain: |s| s.disk.to_string(),
            state: false,
        },
        Column {
            title: "SNAPSHOT",
            key: "id",
            text: |s, _| s.snapshot.id.to_string(),
            plain: |s| s.snapshot.id.to_string(),
            state: false,
        },
        Column {
            title: "NAME",
            key: "name",
            text: |s, _| s.snapshot.name.clone(),
            plain: |s| s.snapshot.name.clone(),
            state: false,
        },
        Column {
            title: "AFTER",
            key: "parent",
            text: |s, _| parent_of(s.snapshot),
            plain: |s| parent_of(s.snapshot),
            state: false,
        },
        Column {
            title: "AGE",
            key: "created_at",
            text: |s, _| show_age(&s.snapshot.created_at),
            plain: |s| s.snapshot.created_at.clone(),
            state: false,
        },
        Column {
            title: "CURRENT",
            key: "current",
            text: |s, _| if s.current { "yes".into() } else { String::new() },
            plain: |s| s.current.to_string(),
            state: false,
        },
    ];
    print_rows(app, &columns, &rows, &raw, |s| s.snapshot.id.to_string(), "snapshot of a disk")
}

fn parent_of(snapshot: &DiskSnapshot) -> String {
    snapshot.parent.map(|parent| parent.to_string()).unwrap_or_default()
}

/// Saves a disk, and stays until its image is ready.
async fn save(app: &App, args: DiskSaveArgs) -> Result {
    let at = path(&["vms", &args.name, "disks", &args.disk.to_string(), "save"])?;
    let body = DiskSave { name: args.image, kind: args.kind.map(|kind| kind.word()), snapshot: args.snapshot };
    let answer = app.client.send(Call::new(Method::POST, at).json(&body)?).await?.json()?;
    let VmPartAccepted { id, vm, .. } = shaped(&answer)?;
    let key = id.map_or(body.name, |id| id.to_string());
    let at = path(&["images", &key])?;
    let (value, image) = app.load::<Image>(&key).await?;
    if args.wait.no_wait {
        app.remarks.note(&format!("image {} ({}) is being made", image.meta.name, image.id));
        return app.print_one::<Image>(&value).await;
    }
    let wait = Wait {
        client: &app.client,
        remarks: &app.remarks,
        deadline: Instant::now() + args.wait.timeout,
        kind: "image".to_owned(),
        id: image.id,
        label: format!("image {}", image.meta.name),
        after: Some(vm.meta.revision),
        look_every: LOOK_WITH_STREAM,
        goes_on: format!("It goes on; see `holm image show {}`.", image.id),
    };
    let found = wait
        .until(|| async {
            let value = app.client.get(&at).await?;
            let image: Image = shaped(&value)?;
            match image.state.as_str() {
                "ready" | "used" => Ok(Look::Done(value)),
                "failed" => Err(Error::failed(format!("image {}: {}", image.meta.name, image.why))
                    .hint(format!("See `holm vm explain {}`.", vm.id))),
                _ => Ok(Look::NotYet(image.why)),
            }
        })
        .await?;
    app.print_one::<Image>(&found).await
}

pub(super) async fn nics(app: &App, command: NicCommand) -> Result {
    match command {
        NicCommand::List(one) => {
            let (value, vm) = app.load::<Vm>(&one.name).await?;
            let names = app.names(vm.mentions()).await;
            super::vms::print_rows_with(
                app,
                &nic_columns(),
                &vm.nics,
                &value["nics"],
                &names,
                |n| n.id.to_string(),
                "network card",
            )
        }
        NicCommand::Attach(args) => {
            ask(app, Call::new(Method::POST, path(&["vms", &args.name, "nics"])?).json(&args.nic)?, &args.wait).await
        }
        NicCommand::Detach(args) => ask(app, Call::new(Method::DELETE, of_nic(&args)?), &args.wait).await,
        NicCommand::Change(args) => {
            let change = NicChange {
                security_groups: Some(args.group).filter(|groups| !groups.is_empty()),
                attributes: args.set.into_iter().collect(),
            };
            ask(app, Call::new(Method::PATCH, of_nic(&args.of)?).json(&change)?, &args.of.wait).await
        }
        NicCommand::Join(args) => {
            let at = of_nic(&args.of)? + &path(&["security-groups", &args.group])?;
            ask(app, Call::new(Method::PUT, at), &args.of.wait).await
        }
        NicCommand::Leave(args) => {
            let at = of_nic(&args.of)? + &path(&["security-groups", &args.group])?;
            ask(app, Call::new(Method::DELETE, at), &args.of.wait).await
        }
    }
}

fn of_nic(args: &NicOne) -> Result<String> {
    path(&["vms", &args.name, "nics", &args.nic.to_string()])
}

fn nic_columns() -> Vec<Column<Nic>> {
    let field = Column::<Nic>::new;
    vec![
        field("NIC", "id", |n, _| n.id.to_string(), |n| n.id.to_string()),
        field("NETWORK", "network", |n, names| names.of("networks", n.network), |n| n.network.to_string()),
        field("IPV4", "ip4", |n, _| n.ip4.clone().unwrap_or_default(), |n| n.ip4.clone().unwrap_or_default()),
        field("IPV6", "ip6", |n, _| n.ip6.clone().unwrap_or_default(), |n| n.ip6.clone().unwrap_or_default()),
        field("MAC", "mac", |n, _| n.mac.clone().unwrap_or_default(), |n| n.mac.clone().unwrap_or_default()),
        field("GROUPS", "security_groups", groups_of, |n| {
            n.security_groups.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        }),
        field("NOTE", "note", |n, _| nic_note(n), nic_note),
    ]
}

fn groups_of(nic: &Nic, names: &Names) -> String {
    nic.security_groups.iter().map(|group| names.of("security-groups", *group)).collect::<Vec<_>>().join(", ")
}

/// What is particular about a card.
pub(super) fn nic_note(nic: &Nic) -> String {
    nic.alias_of.map(|card| format!("alias of {card}")).unwrap_or_default()
}

pub(super) async fn snapshots(app: &App, command: SnapshotCommand) -> Result {
    match command {
        SnapshotCommand::List(one) => {
            let (value, vm) = app.load::<Vm>(&one.name).await?;
            let columns = [
                Column {
                    title: "SNAPSHOT",
                    key: "id",
                    text: |s: &VmSnapshot, _| s.id.to_string(),
                    plain: |s| s.id.to_string(),
                    state: false,
                },
                Column {
                    title: "NAME",
                    key: "name",
                    text: |s, _| s.name.clone(),
                    plain: |s| s.name.clone(),
                    state: false,
                },
                Column {
                    title: "AGE",
                    key: "created_at",
                    text: |s, _| show_age(&s.created_at),
                    plain: |s| s.created_at.clone(),
                    state: false,
                },
            ];
            print_rows(app, &columns, &vm.snapshots, &value["snapshots"], |s| s.id.to_string(), "snapshot")
        }
        SnapshotCommand::Create(args) => {
            let at = path(&["vms", &args.name, "snapshots"])?;
            numbered(app, Call::new(Method::POST, at).json(&SnapshotName { name: args.snapshot })?, &args.wait).await
        }
        SnapshotCommand::Revert(args) => {
            let at = path(&["vms", &args.name, "snapshots", &args.snapshot.to_string(), "revert"])?;
            ask(app, Call::new(Method::POST, at), &args.wait).await
        }
        SnapshotCommand::Delete(args) => {
            let at = path(&["vms", &args.name, "snapshots", &args.snapshot.to_string()])?;
            ask(app, Call::new(Method::DELETE, at), &args.wait).await
        }
    }
}
