//! Parts of VMs that move: they come from one host, lie in the image store, and go to another.
//!
//! What a host sends counts only for the VM that moves from there, and only until it has arrived. A part that is looked
//! at anew after a crash has the same bytes as before; what has arrived counts only for the same digest all the same.

use crate::exports::{ExportedCopy, TABLES};
use crate::images::ImageFile;
use crate::{Desk, Error, ErrorKind};
use holm_blobs::Arrival;
use holm_model::vms::{Parcel, Part, Stored, Vm, VmPhase};
use holm_model::{HostId, VmId};
use holm_store::State;
use std::collections::BTreeSet;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Most bytes of what was written down of a guest's hardware, and of its firmware's variables.
const SMALL: u64 = 64 << 20;

/// The name under which what has arrived of a part lies in the image store.
fn part_name(vm: VmId, part: Part) -> String {
    format!("part-{vm}-{part}")
}

/// Most bytes that the part of a VM may have.
fn limit(vm: &Vm, part: Part) -> Option<u64> {
    let spec = &vm.spec;
    let memory = (spec.memory_mib << 20).saturating_add(spec.memory_mib << 17).saturating_add(SMALL);
    match part {
        Part::Disk(id) => {
            let disk = spec.disks.iter().find(|disk| disk.id == id)?;
            let size = disk.size_mib << 20;
            // In the worst case each snapshot holds everything anew, and those of the VM hold its memory as well.
            let whole = (disk.snapshots.len() + spec.snapshots.len() + 1) as u64;
            let disks = size.saturating_add(size / 16).saturating_mul(whole);
            Some(disks.saturating_add(memory.saturating_mul(spec.snapshots.len() as u64)).saturating_add(TABLES))
        }
        Part::Memory => Some(memory),
        Part::Notes | Part::Firmware => Some(SMALL),
    }
}

impl Desk {
    /// The VM whose parts the host is to send.
    fn sending(&self, host: HostId, id: VmId, part: Part) -> Result<(Vm, u64), Error> {
        let view = self.view();
        let row = view.row::<Vm>(id);
        let from_there = |vm: &Vm| matches!(vm.phase, VmPhase::Moving { from, .. } if from == host);
        let vm = row.map(|row| row.value.clone()).filter(from_there);
        let found = vm.and_then(|vm| limit(&vm, part).map(|limit| (vm, limit)));
        found.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("part {part} of vm {id} is not to be sent by host {host}"))
                .hint("The VM does not move from there any more; the host's next plan says so.")
        })
    }

    /// How many bytes of this part are safely there; the next piece starts at this offset. `None`: all of them.
    ///
    /// # Errors
    /// `NotFound` when the host is not to send it, `Invalid` when the digest is none.
    pub async fn part_arrived(
        &self,
        host: HostId,
        vm: VmId,
        part: Part,
        copy: &ExportedCopy,
    ) -> Result<Option<u64>, Error> {
        copy.expected()?;
        let (row, _) = self.sending(host, vm, part)?;
        if row.luggage.has(&parcel(part, copy)) {
            return Ok(None);
        }
        Ok(Some(self.resumes(&part_name(vm, part), &copy.digest).await?))
    }

    /// Takes a piece of a part; with the last one it is complete. Answers as [`Desk::part_arrived`].
    ///
    /// # Errors
    /// What [`Desk::part_arrived`] says; `Conflict` when the piece does not begin where the last one ended; what taking
    /// bytes in and checking them says.
    pub async fn part_append(
        &self,
        host: HostId,
        vm: VmId,
        part: Part,
        copy: &ExportedCopy,
        offset: u64,
        bytes: impl AsyncRead + Send + Unpin,
    ) -> Result<Option<u64>, Error> {
        let Some(arrived) = self.part_arrived(host, vm, part, copy).await? else { return Ok(None) };
        let (_, most) = self.sending(host, vm, part)?;
        let Some(left) = copy.size.checked_sub(offset).filter(|_| offset == arrived) else {
            let says = format!("{arrived} of {} bytes of part {part} of vm {vm} are there, not {offset}", copy.size);
            return Err(Error::new(ErrorKind::Conflict, says).hint("Ask how many have arrived, and go on from there."));
        };
        if copy.size > most {
            let says = format!("part {part} of vm {vm} has {} bytes, more than {most}", copy.size);
            return Err(
                Error::new(ErrorKind::TooLarge, says).hint("Delete snapshots of the VM, or make its disk smaller.")
            );
        }
        let (name, images) = (part_name(vm, part), self.image_store());
        let arrival = Arrival { expected: Some(copy.expected()?), limit: copy.size };
        let taken = images.append(&name, offset, bytes.take(left), &arrival, |_| {}).await;
        let arrived = match (&taken, images.arrived(&name).await) {
            (Ok(arrived), _) => *arrived,
            (Err(_), Ok(arrived)) => arrived,
            (Err(_), Err(_)) => arrived,
        };
        if taken.as_ref().is_ok_and(|taken| *taken >= copy.size) {
            // From naming the file until a row names it, nobody may delete files that no row names.
            let _digests = self.0.digests.lock().await;
            images.complete_part(&name, matches!(part, Part::Disk(_)), &arrival).await?;
            self.part_stored(host, vm, parcel(part, copy)).await?;
            return Ok(None);
        }
        self.part_progress(host, vm, Stored { parcel: parcel(part, copy), received: arrived, complete: false }).await?;
        taken?;
        Ok(Some(arrived))
    }

    /// A part is in the store, complete and checked.
    ///
    /// # Errors
    /// When the store does not take it.
    pub async fn part_stored(&self, host: HostId, vm: VmId, parcel: Parcel) -> Result<(), Error> {
        let received = parcel.size;
        self.part_progress(host, vm, Stored { parcel, received, complete: true }).await
    }

    async fn part_progress(&self, host: HostId, id: VmId, stored: Stored) -> Result<(), Error> {
        let write = self.0.store.write(move |tx| {
            let Some(mut vm) = tx.get::<Vm>(id).map(|row| row.value.clone()) else { return Ok(()) };
            // It may have turned back meanwhile: then nothing is on its way.
            if matches!(vm.phase, VmPhase::Moving { from, .. } if from == host) && !vm.luggage.stored.contains(&stored)
            {
                vm.luggage.stored.retain(|other| other.parcel.part != stored.parcel.part);
                vm.luggage.stored.push(stored);
                tx.put(vm);
            }
            Ok::<_, Error>(())
        });
        write.await.map_err(Error::from)
    }

    /// The file with this digest for a host to which a VM moves of which it is a part.
    pub(crate) fn part_for_host(&self, host: HostId, digest: &str) -> Result<Option<ImageFile>, Error> {
        let view = self.view();
        let comes = view.0.vms_on_host(host).filter_map(|vm| view.0.get::<Vm>(vm));
        let size = comes
            .filter(|row| row.value.phase.destination() == Some(host))
            .filter_map(|row| row.value.packed()?.iter().find(|parcel| parcel.digest == digest).map(|p| p.size))
            .next();
        Ok(match size {
            Some(size) => Some(ImageFile { path: self.image_store().path(digest)?, size }),
            None => None,
        })
    }
}

fn parcel(part: Part, copy: &ExportedCopy) -> Parcel {
    Parcel { part, size: copy.size, digest: copy.digest.clone() }
}

/// The digests of all parts that are on their way, and the names of what has arrived of others.
pub(crate) fn under_way(state: &State) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut digests, mut names) = (BTreeSet::new(), BTreeSet::new());
    for vm in state.list::<Vm>().map(|row| &row.value).filter(|vm| matches!(vm.phase, VmPhase::Moving { .. })) {
        digests.extend(vm.luggage.stored.iter().filter(|s| s.complete).map(|s| s.parcel.digest.clone()));
        let disks = vm.spec.disks.iter().map(|disk| Part::Disk(disk.id));
        names.extend(disks.chain([Part::Notes, Part::Firmware, Part::Memory]).map(|part| part_name(vm.id, part)));
    }
    (digests, names)
}
