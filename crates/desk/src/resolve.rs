//! Finds what a VM's draft names, with the caller's rights.

use crate::view::{find, find_for};
use crate::{Caller, Error, ErrorKind};
use holm_model::clusters::Cluster;
use holm_model::hosts::Host;
use holm_model::images::{Image, ImagePhase};
use holm_model::networks::Network;
use holm_model::permissions::Access;
use holm_model::vms::{ImageChoice, Resolve};
use holm_model::{ClusterId, HostId, NetworkId};
use holm_store::State;

pub(crate) struct Names<'a> {
    pub(crate) state: &'a State,
    pub(crate) caller: &'a Caller,
}

impl Resolve for Names<'_> {
    type Error = Error;

    fn image(&self, field: &str, name: &str) -> Result<ImageChoice, Error> {
        let image = &find_for::<Image>(self.state, self.caller, name, Access::Use).map_err(|e| e.field(field))?.value;
        let called = format!("image {} ({})", image.id, image.meta.name);
        match image.phase {
            ImagePhase::Removing => Err(Error::new(ErrorKind::Conflict, format!("{called} is being deleted"))
                .hint("Choose another image.")
                .field(field)),
            ImagePhase::Failed => Err(Error::new(
                ErrorKind::Conflict,
                format!("{called} cannot be used: {}", image.trouble.as_ref().map_or("its import failed", |t| &t.why)),
            )
            .hint("Delete it and import it anew.")
            .field(field)),
            ImagePhase::Awaiting | ImagePhase::Fetching | ImagePhase::Ready => Ok(ImageChoice {
                id: image.id,
                kind: image.spec.kind,
                virtual_mib: image.content.as_ref().map(holm_model::images::ImageContent::virtual_mib),
            }),
        }
    }

    fn network(&self, field: &str, name: &str) -> Result<NetworkId, Error> {
        let network =
            &find_for::<Network>(self.state, self.caller, name, Access::Use).map_err(|e| e.field(field))?.value;
        if network.removing {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("network {} ({}) is being deleted", network.id, network.meta.name),
            )
            .hint("Choose another network.")
            .field(field));
        }
        Ok(network.id)
    }

    fn host(&self, field: &str, name: &str) -> Result<HostId, Error> {
        Ok(find::<Host>(self.state, self.caller, name).map_err(|e| e.field(field))?.value.id)
    }

    fn cluster(&self, field: &str, name: &str) -> Result<ClusterId, Error> {
        Ok(find::<Cluster>(self.state, self.caller, name).map_err(|e| e.field(field))?.value.id)
    }
}
