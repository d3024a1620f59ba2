//! Networks made from templates. The templates themselves are kept like every bag of attributes.

use crate::change::Left;
use crate::networks::{fresh_mac, put_new};
use crate::view::find_id;
use crate::{Accepted, Caller, Desk, Error, Intent};
use holm_model::networks::{Network, NetworkDraft};
use holm_model::operations::OperationVerb;
use holm_model::permissions::Access;
use holm_model::templates::NetworkTemplate;
use holm_model::{Attributes, NetworkTemplateId};
use holm_store::Noun;

impl Desk {
    /// Makes a network from a template that the caller may use, whether or not they may create networks otherwise.
    /// `read` makes the request out of the template's body, in the terms of the door it came through; restricted
    /// attributes may come from the body only, which is the door's to see to.
    ///
    /// # Errors
    /// When there is no such template, the caller may not use it, `read` refuses, or as for [`Desk::network_create`].
    pub async fn network_template_instantiate(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: NetworkTemplateId,
        read: impl FnOnce(&Attributes) -> Result<NetworkDraft, Error> + Send + 'static,
    ) -> Result<Accepted<Network>, Error> {
        let fresh = fresh_mac(self);
        self.accept(caller, intent, "network_template.instantiate", move |tx, asked| {
            let body = find_id::<NetworkTemplate>(tx, &asked.caller, id, Access::Use)?.value.meta.attributes.clone();
            let value = put_new(tx, asked, read(&body)?, fresh, Some(id))?;
            let operation = asked.operation(tx, OperationVerb::Create, Network::object(value.id), 1);
            Ok(Left { value, operation })
        })
        .await
    }
}
