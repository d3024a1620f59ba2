//! Copies of disks on the fake host.

use super::{FakeHost, Verb, volumes};
use crate::{DiskCopy, Fault, FetchStream, MachineOrder};
use holm_model::vms::Export;
use holm_model::{ImageId, VmId};
use std::collections::BTreeSet;

/// Size of every copy, bytes. Its bytes are zeros, of which the digest is known.
const COPY: u64 = 1 << 20;
/// BLAKE3 of that many zeros.
const DIGEST: &str = "488de202f73bd976de4e7048f4e1f39a776d86d582b7348ff53bf432b987fca8";

impl FakeHost {
    pub(super) async fn copy(&self, order: &MachineOrder, export: &Export) -> Result<DiskCopy, Fault> {
        let vm = order.plan.id;
        let under = self.begin(Verb::EnsureCopy, Some(vm)).await?;
        let copy = {
            let mut state = self.inner.lock();
            let there = state.truth.disks.contains_key(&(vm, export.disk));
            let Some(machine) = state.truth.machines.get_mut(&vm).filter(|_| there) else {
                return Err(Fault::permanent(format!("cannot copy disk {} of VM {vm}: it is not there", export.disk)));
            };
            let fresh = || DiskCopy { size: COPY, digest: DIGEST.to_owned() };
            machine.copies.entry(export.image).or_insert_with(fresh).clone()
        };
        under.finish(copy).await
    }

    pub(super) async fn copied(&self, vm: VmId, image: ImageId, offset: u64) -> Result<FetchStream, Fault> {
        let under = self.begin(Verb::ReadCopy, Some(vm)).await?;
        let size = {
            let state = self.inner.lock();
            let machine = state.truth.machines.get(&vm);
            machine
                .and_then(|m| m.copies.get(&image))
                .map(|copy| copy.size)
                .ok_or_else(|| Fault::transient(format!("there is no copy of a disk of VM {vm} for image {image}")))?
        };
        under.finish(volumes::zeros(size.saturating_sub(offset))).await
    }

    pub(super) async fn drop_copies(&self, vm: VmId, keep: &BTreeSet<ImageId>) -> Result<(), Fault> {
        let under = self.begin(Verb::EnsureCopies, Some(vm)).await?;
        if let Some(machine) = self.inner.lock().truth.machines.get_mut(&vm) {
            machine.copies.retain(|image, _| keep.contains(image));
        }
        under.finish(()).await
    }
}
