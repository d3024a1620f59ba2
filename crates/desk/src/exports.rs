//! Copies of VMs' disks that hosts send, and images they become.
//!
//! A copy that is made anew after a crash has other bytes than the one before, so what has arrived counts only for the
//! copy with the same digest.

use crate::{Desk, Error, ErrorKind, upload_name};
use holm_blobs::Arrival;
use holm_model::host_plan::HostReport;
use holm_model::images::{ExpectedDigest, Image};
use holm_model::vms::ExportState;
use holm_model::{HostId, ImageId};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Room for the tables of a small disk's file, bytes.
pub(crate) const TABLES: u64 = 8 << 20;

/// A copy of a disk, as its host describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedCopy {
    /// Bytes in the whole copy.
    pub size: u64,
    /// BLAKE3 of the whole copy, lower-case hex.
    pub digest: String,
}

impl ExportedCopy {
    pub(crate) fn expected(&self) -> Result<ExpectedDigest, Error> {
        Ok(ExpectedDigest::parse(&format!("blake3:{}", self.digest))?)
    }
}

impl Desk {
    /// How many bytes of this copy are safely there; the next piece starts at this offset. `None`: the image has its
    /// content.
    ///
    /// # Errors
    /// `NotFound` when no VM on the host is to give the image its content, `Invalid` when the digest is none.
    pub async fn export_arrived(&self, host: HostId, id: ImageId, copy: &ExportedCopy) -> Result<Option<u64>, Error> {
        copy.expected()?;
        let Some(arrived) = self.host_image_offset(host, id).await? else { return Ok(None) };
        let resumes = self.resumes(&upload_name(id), &copy.digest).await?;
        Ok(Some(arrived.min(resumes)))
    }

    /// How much of a file that arrives under this name counts for the digest; what is there of another one is dropped.
    pub(crate) async fn resumes(&self, name: &str, digest: &str) -> Result<u64, Error> {
        let images = self.image_store();
        if images.note(name).await?.as_deref() != Some(digest) {
            images.abandon(name).await?;
            images.keep_note(name, digest).await?;
        }
        Ok(images.arrived(name).await?)
    }

    /// Takes a piece of a copy; the last one completes the image. Answers as [`Desk::export_arrived`].
    ///
    /// # Errors
    /// What [`Desk::export_arrived`] says; `Conflict` when the piece does not begin where the last one ended; what
    /// taking bytes in and checking them says.
    pub async fn export_append(
        &self,
        host: HostId,
        id: ImageId,
        copy: &ExportedCopy,
        offset: u64,
        bytes: impl AsyncRead + Send + Unpin,
    ) -> Result<Option<u64>, Error> {
        let Some(arrived) = self.export_arrived(host, id, copy).await? else { return Ok(None) };
        let Some(left) = copy.size.checked_sub(offset).filter(|_| offset == arrived) else {
            let says = format!("{arrived} of {} bytes of the copy for image {id} are there, not {offset}", copy.size);
            return Err(Error::new(ErrorKind::Conflict, says).hint("Ask how many have arrived, and go on from there."));
        };
        let row = self.view().row::<Image>(id);
        let row = row.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("image {id} was deleted")))?;
        let mut image = row.value.clone();
        // What was announced is the size of the disk; its file has tables besides.
        let announced = image.spec.announced_size.map(|size| size.saturating_add(size / 16).saturating_add(TABLES));
        let most = announced.unwrap_or(self.settings().largest_image);
        if copy.size > most {
            let says = format!("the copy for image {id} has {} bytes, more than {most}", copy.size);
            return Err(Error::new(ErrorKind::TooLarge, says).hint("Make the disk smaller, or the image anew."));
        }
        image.spec.expected = Some(copy.expected()?);
        image.spec.announced_size = Some(copy.size);
        let arrival = Arrival { expected: image.spec.expected.clone(), limit: copy.size };
        let images = self.image_store();
        let taken = images.append(&upload_name(id), offset, bytes.take(left), &arrival, |_| {}).await;
        let arrived = match (&taken, images.arrived(&upload_name(id)).await) {
            (Ok(arrived), _) => *arrived,
            (Err(_), Ok(arrived)) => arrived,
            (Err(_), Err(_)) => arrived,
        };
        self.image_progress(id, arrived).await?;
        if taken? < copy.size {
            return Ok(Some(arrived));
        }
        self.image_finish(&image).await?;
        Ok(None)
    }

    /// Images whose copies cannot be made, as a report of their host says, will never have content.
    pub(crate) async fn exports_failed(&self, host: HostId, failed: Vec<(ImageId, String)>) -> Result<(), Error> {
        for (image, why) in failed {
            // Only a host that was to make the copy has a say in it, and only until the image has its content.
            if matches!(self.host_image_offset(host, image).await, Ok(Some(_))) {
                self.image_failed(image, &why).await?;
            }
        }
        Ok(())
    }
}

/// The exports that a report says have failed, and why.
pub(crate) fn failed_in(report: &HostReport) -> Vec<(ImageId, String)> {
    let exports = report.vms.iter().flat_map(|(_, status)| &status.exports);
    let failed = exports.filter(|export| export.state == ExportState::Failed);
    failed.map(|e| (e.image, e.message.clone().unwrap_or_else(|| "its host could not copy the disk".into()))).collect()
}
