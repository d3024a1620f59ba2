//! Snapshots of VMs and of their disks, and copies of disks as images.

use crate::change::check_name_free;
use crate::view::Owned;
use crate::vm_actions::Did;
use crate::{Accepted, Caller, Desk, Error, ErrorKind, Intent};
use holm_model::acl::AclKind;
use holm_model::images::{Image, ImageKind, ImageOrigin, ImageSpec};
use holm_model::vms::{Export, Vm, VmVerb};
use holm_model::{Attributes, ImageId, Name, VmId};
use holm_plan::vm_actions::{Refused, Standing, snapshots};

impl Desk {
    /// Takes a snapshot of a running VM: memory, devices and disks. Answers with its number.
    ///
    /// # Errors
    /// `Conflict` when it does not run; when the name is refused or there are too many.
    pub async fn vm_snapshot_create(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        name: String,
    ) -> Result<(Accepted<Vm>, Option<u32>), Error> {
        self.vm_edit(caller, intent, id, VmVerb::SnapshotCreate, move |hand| {
            Ok(Did::Done(snapshots::create(&mut hand.vm, hand.standing, &name, hand.asked.now)?))
        })
        .await
    }

    /// Deletes a snapshot of a VM.
    ///
    /// # Errors
    /// `NotFound` when there is none of that number; `Conflict` when the VM's state is not one for it.
    pub async fn vm_snapshot_delete(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        snapshot: u32,
    ) -> Result<Accepted<Vm>, Error> {
        self.vm_edit_plain(caller, intent, id, VmVerb::SnapshotDelete, move |hand| {
            snapshots::delete(&mut hand.vm, hand.standing, snapshot)?;
            Ok(Did::Done(()))
        })
        .await
    }

    /// Lets a running VM go on from a snapshot.
    ///
    /// # Errors
    /// `NotFound` when there is none of that number; `Conflict` when the VM does not run.
    pub async fn vm_snapshot_revert(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        snapshot: u32,
    ) -> Result<Accepted<Vm>, Error> {
        self.vm_edit_plain(caller, intent, id, VmVerb::SnapshotRevert, move |hand| {
            snapshots::revert(&mut hand.vm, hand.standing, snapshot)?;
            Ok(Did::Done(()))
        })
        .await
    }

    /// Takes a snapshot of one disk. Answers with its number.
    ///
    /// # Errors
    /// `NotFound` when there is no such disk; `Conflict` when the VM's state is not one for it; when the name is refused,
    /// there are too many, or nothing can be written to the disk.
    pub async fn vm_disk_snapshot_create(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        disk: u32,
        name: String,
    ) -> Result<(Accepted<Vm>, Option<u32>), Error> {
        self.vm_edit(caller, intent, id, VmVerb::DiskSnapshotCreate, move |hand| {
            Ok(Did::Done(snapshots::create_of_disk(&mut hand.vm, hand.standing, disk, &name, hand.asked.now)?))
        })
        .await
    }

    /// Deletes a snapshot of a disk.
    ///
    /// # Errors
    /// `NotFound` when there is no such disk or snapshot; `Conflict` when the VM's state is not one for it.
    pub async fn vm_disk_snapshot_delete(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        disk: u32,
        snapshot: u32,
    ) -> Result<Accepted<Vm>, Error> {
        self.vm_edit_plain(caller, intent, id, VmVerb::DiskSnapshotDelete, move |hand| {
            snapshots::delete_of_disk(&mut hand.vm, hand.standing, disk, snapshot)?;
            Ok(Did::Done(()))
        })
        .await
    }

    /// Brings a disk of a VM that is off back to a snapshot.
    ///
    /// # Errors
    /// `NotFound` when there is no such disk or snapshot; `Conflict` when the VM is not off.
    pub async fn vm_disk_snapshot_revert(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        disk: u32,
        snapshot: u32,
    ) -> Result<Accepted<Vm>, Error> {
        self.vm_edit_plain(caller, intent, id, VmVerb::DiskSnapshotRevert, move |hand| {
            snapshots::revert_disk(&mut hand.vm, hand.standing, disk, snapshot)?;
            Ok(Did::Done(()))
        })
        .await
    }

    /// Gives a snapshot of a disk another name.
    ///
    /// # Errors
    /// `NotFound` when there is no such disk or snapshot; when the name is refused.
    pub async fn vm_disk_snapshot_rename(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        disk: u32,
        snapshot: u32,
        name: String,
    ) -> Result<Accepted<Vm>, Error> {
        self.vm_edit_plain(caller, intent, id, VmVerb::DiskSnapshotRename, move |hand| {
            snapshots::rename_of_disk(&mut hand.vm, disk, snapshot, &name)?;
            Ok(Did::Done(()))
        })
        .await
    }

    /// Makes an image of a disk, or of one of its snapshots. The image exists at once and gets its content when the VM's
    /// host has sent it.
    ///
    /// # Errors
    /// `NotFound` when there is no such disk or snapshot; `Conflict` when the VM's state is not one for it or the name is
    /// taken; when the caller may not create images, or the datastore is full.
    #[allow(clippy::too_many_arguments, reason = "each says one thing, and no two of a type lie beside each other")]
    pub async fn vm_save_as(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        disk: u32,
        name: String,
        kind: Option<ImageKind>,
        snapshot: Option<u32>,
    ) -> Result<(Accepted<Vm>, Option<ImageId>), Error> {
        use Standing as S;
        self.vm_edit(caller, intent, id, VmVerb::DiskSaveAs, move |hand| {
            hand.only(VmVerb::DiskSaveAs, &[S::Running, S::Paused, S::Off, S::Saved])?;
            let caller = &hand.asked.caller;
            crate::acl::require_create(caller, AclKind::Image)?;
            let kept = hand.vm.spec.disks.iter().find(|kept| kept.id == disk);
            let kept = kept.ok_or_else(|| Refused::missing(&hand.vm, "disk", disk))?;
            if let Some(number) = snapshot
                && !kept.snapshots.iter().any(|snapshot| snapshot.id == number)
            {
                return Err(Refused::missing(&hand.vm, "disk snapshot", number).into());
            }
            if let Some(kind) = kind.filter(|kind| !kind.is_disk()) {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!("kind: a disk cannot become an image of kind {kind:?}"),
                )
                .hint("Choose a kind of disk.")
                .field("kind"));
            }
            if hand.vm.spec.exports.len() >= 16 {
                return Err(Error::new(ErrorKind::Conflict, "16 disks of the VM are being copied already")
                    .hint("Wait until some of them are done."));
            }
            let name = Name::new(name)?;
            check_name_free::<Image>(hand.tx, &name, caller.user_id(), None)?;
            let from = kept.image.and_then(|image| hand.tx.get::<Image>(image)).map(|row| &row.value.spec);
            let kind = kind.or_else(|| from.map(|spec| spec.kind)).unwrap_or(ImageKind::Datablock);
            let datastore = from.map(|spec| spec.datastore);
            let mut spec = ImageSpec::new(kind, ImageOrigin::Disk(id));
            spec.datastore = datastore.unwrap_or(spec.datastore);
            spec.announced_size = kept.size_mib.checked_mul(1 << 20);
            let image = hand.tx.next_id::<Image>();
            let meta = hand.asked.meta(name, caller.default_permissions(), Attributes::default());
            let row = Image::new(image, meta, spec, hand.asked.now);
            debug_assert_eq!(row.owned().owner, caller.user_id());
            hand.tx.put(row.clone());
            crate::datastores::admit(hand.tx, &row)?;
            hand.vm.spec.exports.push(Export { disk, snapshot, image });
            Ok(Did::Changed(image))
        })
        .await
    }
}
