//! VM templates, as far as they are more than an owned bag of attributes: VMs made from them, and what goes on to the
//! images that they name.

use crate::owned::{MetaChange, check_attributes};
use crate::view::check_access;
use crate::vm_template::{self, How, image_of, images_of, inputs};
use crate::{Accepted, BagDraft, Caller, Desk, Error, ErrorKind, Intent, restricted};
use holm_model::attributes::{Reading as _, Vector, merge};
use holm_model::operations::Operation;
use holm_model::permissions::Access;
use holm_model::templates::Template;
use holm_model::vms::{Vm, VmDraft};
use holm_model::{AttributeValue, Attributes, ImageId, ObjectKind, TemplateId};
use holm_store::Row;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How a VM is made from a template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TemplateUse {
    /// The VM's name; nothing: the template's, and the VM's number.
    pub name: String,
    /// Whether it waits to be released before it is placed.
    pub hold: bool,
    /// What is laid over the template. Of names that both have, these count, whole.
    pub over: Attributes,
    /// Whether `over` is what a draft says, and laid over as such; see [`vm_template::lay_over`].
    pub by_member: bool,
    /// Answers to the template's inputs, checked against what it asks.
    pub inputs: BTreeMap<String, String>,
    /// Whether the template and the images of its disks are copied first, and the VM is made from the copy: what it writes
    /// stays when it is deleted.
    pub persistent: bool,
}

/// A step of something larger: its own repetition is no repetition of the whole.
fn step(intent: &Intent) -> Intent {
    Intent { idempotency_key: None, if_revision: None, ..intent.clone() }
}

impl Desk {
    /// Makes a VM from a template.
    ///
    /// # Errors
    /// When there is no such template, what is laid over it may not be said by this caller, an input that it demands is
    /// missing, or the VM is refused as any other would be.
    pub async fn template_instantiate(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: TemplateId,
        wanted: TemplateUse,
    ) -> Result<Accepted<Vm>, Error> {
        let view = self.view();
        if view.is_repeated(caller, intent) {
            // Whatever was copied then is not copied again: what the request made is answered.
            return self.vm_create(caller, intent, VmDraft::default(), Attributes::default()).await;
        }
        let row = view.get_id::<Template>(caller, id)?;
        check_access(&row.value, caller, Access::Use)?;
        if let Some(revision) = intent.if_revision.filter(|revision| *revision != row.revision) {
            return Err(Error::new(
                ErrorKind::PreconditionFailed,
                format!("template {id} is at revision {}, not at {revision}", row.revision),
            )
            .hint("Read it again, look at what changed, and repeat the request."));
        }
        let own = &row.value.meta.attributes;
        if own.yes("VROUTER") {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("template {id} ({}) is for virtual routers", row.value.meta.name),
            )
            .hint("It is instantiated through one."));
        }
        let answers = inputs::answered(own, &wanted.inputs)?;
        let lay = |template: &mut Attributes, over: Attributes| {
            if wanted.by_member {
                vm_template::lay_over(template, over)
            } else {
                merge(template, over)
            }
            merge(template, answers.clone());
        };
        let mut merged = own.clone();
        lay(&mut merged, wanted.over.clone());
        // What the template says itself was checked when it was made; the caller may repeat it and not change it.
        restricted::check_change(ObjectKind::Vm, own, &merged, caller)?;
        inputs::complete(&mut merged)?;
        let copy = if wanted.persistent {
            let label = match wanted.name.as_str() {
                "" => format!("{}-copy", row.value.meta.name),
                name => name.to_owned(),
            };
            Some(self.template_deep_copy(caller, &step(intent), &row, &label, true).await?)
        } else {
            None
        };
        if let Some(copy) = &copy {
            // The disks are the copy's now, unless others are laid over them.
            merged = copy.value.meta.attributes.clone();
            let mut rest = wanted.over.clone();
            rest.take("DISK");
            lay(&mut merged, rest);
            inputs::complete(&mut merged)?;
            merged.0.push(("CLONING_TEMPLATE_ID".into(), AttributeValue::Text(id.to_string().into())));
        }
        merged.take("NAME");
        let source = copy.as_ref().map_or(id, |copy| copy.value.id);
        let how = How {
            name: Some(wanted.name),
            prefix: Some(row.value.meta.name.to_string()),
            hold: wanted.hold,
            template: Some(source),
            verbatim: false,
        };
        let made = match vm_template::read(caller, &self.view(), merged, how) {
            Ok(read) => {
                let once = Intent { if_revision: None, ..intent.clone() };
                self.vm_create(caller, &once, read.draft, read.attributes).await
            }
            Err(error) => Err(error),
        };
        if let (Err(_), Some(copy)) = (&made, &copy) {
            let images = images_of(caller, &self.view(), &copy.value.meta.attributes);
            if let Err(error) = self.bag_delete::<Template>(caller, &step(intent), copy.value.id).await {
                tracing::warn!(template = %copy.value.id, %error, "a copy made in vain stays");
            }
            self.take_back(caller, intent, &images).await;
        }
        made
    }

    /// Changes a template: what every owned object has, and then what `work` makes of its attributes.
    ///
    /// # Errors
    /// When there is no such template, the caller may not, `work` refuses, or a restricted attribute would change.
    pub async fn template_change(
        &self,
        caller: &Caller,
        intent: &Intent,
        key: &str,
        meta: MetaChange,
        work: impl FnOnce(&mut Attributes) -> Result<(), Error> + Send + 'static,
    ) -> Result<Arc<Row<Template>>, Error> {
        self.edit_key::<Template>(caller, intent, key, "template.change", move |tx, asked, template| {
            meta.apply(tx, asked, template)?;
            let before = template.meta.attributes.clone();
            work(&mut template.meta.attributes)?;
            check_attributes(template, &before, &asked.caller)
        })
        .await
    }

    /// Copies a template, also with the images of its disks; the copies' names begin with the template's.
    ///
    /// # Errors
    /// When there is no such template or image, or the caller may not copy one of them.
    pub async fn template_clone(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: TemplateId,
        name: String,
        with_images: bool,
    ) -> Result<Arc<Row<Template>>, Error> {
        if !with_images || self.view().is_repeated(caller, intent) {
            return self.bag_clone::<Template>(caller, intent, id, name).await;
        }
        let original = self.view().get_id::<Template>(caller, id)?;
        self.template_deep_copy(caller, intent, &original, &name, false).await
    }

    /// Deletes a template, also with the images of its disks. An image that cannot be deleted keeps the template as well.
    ///
    /// # Errors
    /// When there is no such template, the caller may not delete it or one of the images, or VMs use one of them.
    pub async fn template_delete(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: TemplateId,
        with_images: bool,
    ) -> Result<Arc<Row<Operation>>, Error> {
        let view = self.view();
        if with_images && !view.is_repeated(caller, intent) {
            let row = view.get_id::<Template>(caller, id)?;
            check_access(&row.value, caller, Access::Manage)?;
            let images = images_of(caller, &view, &row.value.meta.attributes);
            // Before the first one is deleted, all are looked at.
            for image in &images {
                crate::vms::refuse_while_used(&format!("image {image}"), view.vms_of_image(*image), &view.0)
                    .map_err(|error| error.field("image"))?;
            }
            for image in images {
                self.image_delete(caller, &step(intent), &image.to_string()).await.map_err(|e| e.field("image"))?;
            }
        }
        self.bag_delete::<Template>(caller, intent, id).await
    }

    /// Takes back what a copy had made before it failed. What cannot be taken back stays, and its owner sees it.
    async fn take_back(&self, caller: &Caller, intent: &Intent, images: &[ImageId]) {
        for image in images {
            if let Err(error) = self.image_delete(caller, &step(intent), &image.to_string()).await {
                tracing::warn!(%image, %error, "a copy made in vain stays");
            }
        }
    }

    /// Copies a template and the images of its disks. The intent's key is that of the copied template.
    async fn template_deep_copy(
        &self,
        caller: &Caller,
        intent: &Intent,
        original: &Row<Template>,
        name: &str,
        persistent: bool,
    ) -> Result<Arc<Row<Template>>, Error> {
        let view = self.view();
        let once = step(intent);
        let mut attributes = original.value.meta.attributes.clone();
        let mut made: Vec<ImageId> = Vec::new();
        for (at, value) in attributes.0.iter_mut().filter(|(key, _)| key == "DISK").map(|(_, value)| value).enumerate()
        {
            let AttributeValue::Vector(pairs) = value else { continue };
            let Some(image) = image_of(caller, &view, &Vector { name: "DISK", pairs }) else { continue };
            let label = format!("{name}-disk-{at}");
            let copy = match self.image_clone(caller, &once, image.value.id, label, None).await {
                Ok(copy) => copy.row.value.id,
                Err(error) => {
                    self.take_back(caller, intent, &made).await;
                    return Err(error.field("image"));
                }
            };
            made.push(copy);
            if persistent && let Err(error) = self.image_persistent(caller, &once, copy, true).await {
                self.take_back(caller, intent, &made).await;
                return Err(error.field("image"));
            }
            pairs.retain(|(name, _)| !matches!(name.as_str(), "IMAGE" | "IMAGE_ID" | "IMAGE_UID" | "IMAGE_UNAME"));
            pairs.insert(0, ("IMAGE_ID".into(), copy.to_string().into()));
            if persistent {
                // A persistent disk is the image itself, which has the size it has.
                pairs.retain(|(name, _)| name != "SIZE");
            }
        }
        let draft = BagDraft { name: name.to_owned(), attributes, kind: 0 };
        match self.bag_put::<Template>(caller, &Intent { if_revision: None, ..intent.clone() }, draft).await {
            Ok(row) => Ok(row),
            Err(error) => {
                self.take_back(caller, intent, &made).await;
                Err(error)
            }
        }
    }
}
