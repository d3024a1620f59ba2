//! Parts of guests that go to another fake host: what they hold, as bytes that the other one reads.

use super::{FakeDisk, FakeHost, FakeMachine, FakeProcess, State, Verb};
use crate::{Ended, Fault, Fetch, FetchStream, MachineOrder};
use holm_model::host_plan::{DiskPlan, ImageRef, SnapshotRef};
use holm_model::images::ImageFormat;
use holm_model::vms::{Parcel, Part};
use holm_model::{Timestamp, VmId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tokio::io::AsyncReadExt;

#[derive(Serialize, Deserialize)]
struct PackedDisk {
    size_mib: u64,
    base: Option<ImageRef>,
    content: u64,
    snapshots: Vec<(SnapshotRef, u64)>,
}

#[derive(Serialize, Deserialize)]
struct PackedNotes {
    snapshots: Vec<(u32, u64)>,
}

fn bytes(value: &impl Serialize) -> Vec<u8> {
    // These types have a JSON form whatever is in them.
    serde_json::to_vec(value).unwrap_or_default()
}

fn digest_of(file: &Path) -> String {
    file.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned()
}

impl State {
    fn pack(&self, order: &MachineOrder) -> Vec<(Part, Vec<u8>)> {
        let vm = order.plan.id;
        let disks = order.plan.disks.iter().filter(|disk| !disk.read_only);
        let mut all: Vec<(Part, Vec<u8>)> = disks
            .filter_map(|disk| {
                let FakeDisk { size_mib, base, content, snapshots, .. } = self.truth.disks.get(&(vm, disk.id))?.clone();
                let snapshots = snapshots.into_iter().collect();
                Some((Part::Disk(disk.id), bytes(&PackedDisk { size_mib, base, content, snapshots })))
            })
            .collect();
        if let Some(machine) = self.truth.machines.get(&vm) {
            let snapshots = machine.snapshots.clone().into_iter().collect();
            all.push((Part::Notes, bytes(&PackedNotes { snapshots })));
            all.extend(machine.saved.as_ref().map(|saved| (Part::Memory, bytes(saved))));
        }
        all
    }

    fn machine(&mut self, vm: VmId) -> &mut FakeMachine {
        self.truth.machines.entry(vm).or_insert_with(|| FakeMachine {
            process: None,
            ended: Ended::Unseen,
            last: (0, 0, Timestamp(0)),
            starts: 0,
            presses: 0,
            saved: None,
            remark: None,
            snapshots: BTreeMap::new(),
            copies: BTreeMap::new(),
        })
    }

    fn refuse_running(&mut self, vm: VmId, what: &str) -> Result<(), Fault> {
        if self.truth.machines.get(&vm).is_some_and(|machine| machine.process.is_some()) {
            self.violations.push(format!("{what} of VM {vm} while its guest ran"));
            return Err(Fault::transient(format!("cannot handle {what} of VM {vm}: its guest runs")));
        }
        Ok(())
    }
}

impl FakeHost {
    pub(super) async fn pack(&self, order: &MachineOrder) -> Result<Vec<Parcel>, Fault> {
        let under = self.begin(Verb::Parts, Some(order.plan.id)).await?;
        let parcels = {
            let state = self.inner.lock();
            if state.truth.machines.get(&order.plan.id).is_some_and(|machine| machine.process.is_some()) {
                return Err(Fault::transient(format!("VM {} runs, and nothing of it can be sent", order.plan.id)));
            }
            let parcel = |(part, bytes): (Part, Vec<u8>)| Parcel {
                part,
                size: bytes.len() as u64,
                digest: blake3::hash(&bytes).to_hex().to_string(),
            };
            state.pack(order).into_iter().map(parcel).collect()
        };
        under.finish(parcels).await
    }

    pub(super) async fn packed(&self, order: &MachineOrder, part: Part, offset: u64) -> Result<FetchStream, Fault> {
        let vm = order.plan.id;
        let under = self.begin(Verb::ReadPart, Some(vm)).await?;
        let found = self.inner.lock().pack(order).into_iter().find(|(which, _)| *which == part);
        let (_, bytes) = found.ok_or_else(|| Fault::transient(format!("VM {vm} has no part {part}")))?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        under.finish(Box::new(std::io::Cursor::new(bytes[from..].to_vec())) as FetchStream).await
    }

    pub(super) async fn bring(&self, parcel: &Parcel, from: &dyn Fetch) -> Result<PathBuf, Fault> {
        let under = self.begin(Verb::EnsurePart, None).await?;
        let digest = &parcel.digest;
        let path = PathBuf::from(format!("/fake/moving/{digest}"));
        let (complete, mut have) = {
            let state = self.inner.lock();
            let have = state.truth.partial_parts.get(digest).cloned().unwrap_or_default();
            (state.truth.parts.contains_key(digest), have)
        };
        if complete {
            return under.finish(path).await;
        }
        let image = ImageRef { digest: digest.clone(), format: ImageFormat::Raw, file_size: parcel.size };
        let mut stream = from.fetch(&image, have.len() as u64).await?;
        let mut block = vec![0; 64];
        loop {
            let count = stream.read(&mut block).await;
            let count = count.map_err(|e| Fault::transient(format!("fetching part {}: {e}", parcel.part)))?;
            if count == 0 {
                break;
            }
            have.extend_from_slice(&block[..count]);
            self.inner.lock().truth.partial_parts.insert(digest.clone(), have.clone());
        }
        {
            let mut state = self.inner.lock();
            if (have.len() as u64) < parcel.size {
                return Err(Fault::transient(format!("fetching part {}: it ended too early", parcel.part)));
            }
            state.truth.partial_parts.remove(digest);
            if blake3::hash(&have).to_hex().as_str() != digest {
                return Err(Fault::transient(format!("fetching part {}: its digest is another one", parcel.part)));
            }
            state.truth.parts.insert(digest.clone(), have);
        }
        under.finish(path).await
    }

    pub(super) async fn adopt_as_disk(&self, vm: VmId, disk: &DiskPlan, file: &Path) -> Result<(), Fault> {
        let under = self.begin(Verb::AdoptDisk, Some(vm)).await?;
        {
            let mut state = self.inner.lock();
            let state = &mut *state;
            state.refuse_running(vm, "a disk that comes")?;
            let what = format!("cannot take disk {} of VM {vm}", disk.id);
            let bytes = state.truth.parts.remove(&digest_of(file));
            let bytes = bytes.ok_or_else(|| Fault::transient(format!("{what}: {} is not there", file.display())))?;
            let packed: PackedDisk =
                serde_json::from_slice(&bytes).map_err(|e| Fault::permanent(format!("{what}: {e}")))?;
            if packed.base != disk.base {
                return Err(Fault::permanent(format!("{what}: it lay over something else")));
            }
            if let Some(base) = disk.base.as_ref().filter(|base| !state.truth.images.contains_key(&base.digest)) {
                return Err(Fault::transient(format!("{what}: its base {} is not there", base.digest)));
            }
            let birth = state.next_birth;
            state.next_birth += 1;
            let PackedDisk { size_mib, base, content, snapshots } = packed;
            let made = FakeDisk { birth, size_mib, base, content, snapshots: snapshots.into_iter().collect() };
            state.truth.disks.insert((vm, disk.id), made);
        }
        under.finish(()).await
    }

    pub(super) async fn adopt_part(&self, vm: VmId, part: Part, file: &Path) -> Result<(), Fault> {
        let under = self.begin(Verb::Adopt, Some(vm)).await?;
        {
            let mut state = self.inner.lock();
            let state = &mut *state;
            state.refuse_running(vm, "a part that comes")?;
            let what = format!("cannot take part {part} of VM {vm}");
            let bytes = state.truth.parts.remove(&digest_of(file));
            let bytes = bytes.ok_or_else(|| Fault::transient(format!("{what}: {} is not there", file.display())))?;
            let wrong = |e: serde_json::Error| Fault::permanent(format!("{what}: {e}"));
            match part {
                Part::Disk(_) => return Err(Fault::permanent(format!("{what}: it is a disk"))),
                Part::Firmware => {}
                Part::Notes => {
                    let PackedNotes { snapshots } = serde_json::from_slice(&bytes).map_err(wrong)?;
                    state.machine(vm).snapshots = snapshots.into_iter().collect();
                }
                Part::Memory => {
                    let saved: FakeProcess = serde_json::from_slice(&bytes).map_err(wrong)?;
                    state.machine(vm).saved = Some(saved);
                }
            }
        }
        under.finish(()).await
    }
}
