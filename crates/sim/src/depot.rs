//! The way of a VM's parts from host to host: through the front-end, whose disk outlives it, over a network that breaks.

use crate::chance::Chance;
use crate::wire::Wire;
use async_trait::async_trait;
use holm_driver::fake::{FakeFetch, FakePush};
use holm_driver::{DiskCopy, Fault, Fetch, FetchStream, Freight, Push};
use holm_model::HostId;
use holm_model::host_plan::ImageRef;
use holm_model::vms::Parcel;
use std::sync::Arc;

/// One host's way to the front-end's files.
pub(crate) struct Depot {
    pub(crate) host: HostId,
    pub(crate) wire: Wire,
    pub(crate) chance: Chance,
    /// What the front-end has on its disk; the same for all hosts.
    pub(crate) disk: Arc<FakePush>,
    pub(crate) images: FakeFetch,
}

impl Depot {
    fn desk(&self) -> Result<holm_desk::Desk, Fault> {
        let out_of_reach = || Fault::transient("the simulated front-end is out of reach");
        if !self.wire.is_reachable() || self.wire.is_rough() && self.chance.once_in(6) {
            return Err(out_of_reach());
        }
        self.wire.front().desk().ok_or_else(out_of_reach)
    }
}

#[async_trait]
impl Push for Depot {
    async fn arrived(&self, freight: Freight, copy: &DiskCopy) -> Result<Option<u64>, Fault> {
        let desk = self.desk()?;
        let arrived = self.disk.arrived(freight, copy).await?;
        if let (None, Freight::Part(vm, part)) = (arrived, freight) {
            let parcel = Parcel { part, size: copy.size, digest: copy.digest.clone() };
            let stored = desk.part_stored(self.host, vm, parcel).await;
            stored.map_err(|error| Fault::transient(format!("the front-end does not write it down: {error}")))?;
        }
        Ok(arrived)
    }

    async fn push(&self, freight: Freight, copy: &DiskCopy, offset: u64, bytes: FetchStream) -> Result<(), Fault> {
        self.desk()?;
        if self.wire.is_rough() && self.chance.once_in(4) {
            self.disk.cut_after(1);
        }
        self.disk.push(freight, copy, offset, bytes).await
    }
}

#[async_trait]
impl Fetch for Depot {
    async fn fetch(&self, image: &ImageRef, offset: u64) -> Result<FetchStream, Fault> {
        if self.disk.part(&image.digest).is_none() {
            return self.images.fetch(image, offset).await;
        }
        let allowed = self.desk()?.image_file_for_host(self.host, &image.digest);
        allowed.map_err(|error| Fault::transient(error.to_string()))?;
        self.disk.fetch(image, offset).await
    }
}
