//! Templates, network templates and documents: nouns that are little more than an owned bag of attributes.

use crate::change::check_name_free;
use crate::view::{Owned, number};
use crate::{Caller, Desk, Error, ErrorKind, Intent};
use holm_model::operations::{Operation, OperationVerb};
use holm_model::permissions::Access;
use holm_model::templates::{Document, NetworkTemplate, Template};
use holm_model::{Attributes, DocumentId, Meta, Name, NetworkTemplateId, TemplateId};
use holm_store::{Row, Tx};
use std::sync::Arc;

/// A noun that is an owned bag of attributes.
pub trait Bag: Owned {
    /// One with this content; `kind` is the documents' kind, which the others do not have.
    fn make(id: Self::Id, meta: Meta, kind: i32) -> Self;
    /// The documents' kind; 0 for the others.
    fn document_kind(&self) -> i32;
    /// Whether an owner may have only one of a name.
    const UNIQUE: bool;
}

impl Bag for Template {
    fn make(id: TemplateId, meta: Meta, _: i32) -> Self {
        Self { id, meta }
    }
    fn document_kind(&self) -> i32 {
        0
    }
    const UNIQUE: bool = true;
}

impl Bag for NetworkTemplate {
    fn make(id: NetworkTemplateId, meta: Meta, _: i32) -> Self {
        Self { id, meta }
    }
    fn document_kind(&self) -> i32 {
        0
    }
    const UNIQUE: bool = true;
}

impl Bag for Document {
    fn make(id: DocumentId, meta: Meta, kind: i32) -> Self {
        Self { id, meta, kind }
    }
    fn document_kind(&self) -> i32 {
        self.kind
    }
    const UNIQUE: bool = false;
}

/// An unchecked request for such an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BagDraft {
    /// Its name.
    pub name: String,
    /// Its body.
    pub attributes: Attributes,
    /// The documents' kind.
    pub kind: i32,
}

impl Desk {
    /// Creates a template, network template or document.
    ///
    /// # Errors
    /// When the caller may not make one or may not write one of the attributes, the name is taken or no name, or the body
    /// is too large.
    pub async fn bag_create<T: Bag>(
        &self,
        caller: &Caller,
        intent: &Intent,
        draft: BagDraft,
    ) -> Result<Arc<Row<T>>, Error> {
        // Whoever makes a VM or a network of it later is not asked again for what it says.
        crate::restricted::check(T::KIND, &draft.attributes, caller)?;
        self.bag_put(caller, intent, draft).await
    }

    /// The same for a body that is a copy of one that was checked when it was written.
    pub(crate) async fn bag_put<T: Bag>(
        &self,
        caller: &Caller,
        intent: &Intent,
        draft: BagDraft,
    ) -> Result<Arc<Row<T>>, Error> {
        let made = self
            .accept::<T>(caller, intent, "template.create", move |tx, asked| {
                let value = put_new::<T>(tx, asked, draft)?;
                let operation = asked.operation(tx, OperationVerb::Create, T::object(value.id()), 1);
                Ok(crate::change::Left { value, operation })
            })
            .await?;
        Ok(made.row)
    }

    /// Makes another one with the same body, which belongs to the caller.
    ///
    /// # Errors
    /// When the caller may not use the original or make a new one, or the name is taken.
    pub async fn bag_clone<T: Bag>(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: T::Id,
        name: String,
    ) -> Result<Arc<Row<T>>, Error> {
        let made = self
            .accept::<T>(caller, intent, "template.clone", move |tx, asked| {
                let key = T::raw(id).to_string();
                let original = crate::view::find_for::<T>(tx, &asked.caller, &key, Access::Use)?.clone();
                let draft = BagDraft {
                    name,
                    attributes: original.value.owned().attributes.clone(),
                    kind: original.value.document_kind(),
                };
                let value = put_new::<T>(tx, asked, draft)?;
                let operation = asked.operation(tx, OperationVerb::Create, T::object(value.id()), 1);
                Ok(crate::change::Left { value, operation })
            })
            .await?;
        Ok(made.row)
    }

    /// Deletes a template, network template or document.
    ///
    /// # Errors
    /// When there is none the caller may see, or they may not delete it.
    pub async fn bag_delete<T: Bag>(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: T::Id,
    ) -> Result<Arc<Row<Operation>>, Error> {
        self.accept_deletion(caller, intent, "template.delete", move |tx, asked| {
            let key = T::raw(id).to_string();
            let row = crate::view::find_for::<T>(tx, &asked.caller, &key, Access::Manage)?.clone();
            asked.precondition(&row)?;
            tx.delete::<T>(id);
            Ok(asked.operation(tx, OperationVerb::Delete, T::object(id), 1))
        })
        .await
    }
}

fn put_new<T: Bag>(tx: &mut Tx, asked: &crate::change::Asked, draft: BagDraft) -> Result<T, Error> {
    if !asked.caller.may_create(T::ACL_KIND) {
        return Err(Error::new(
            ErrorKind::Forbidden,
            format!("user {} may not create objects of kind {}", asked.caller.user().name, T::KIND.noun()),
        )
        .hint("Ask an administrator for a rule that allows it."));
    }
    let name = Name::new(draft.name)?;
    draft.attributes.check()?;
    if T::UNIQUE {
        check_name_free::<T>(tx, &name, asked.caller.user_id(), None)?;
    }
    let id = tx.next_id::<T>();
    let meta = asked.meta(name, asked.caller.default_permissions(), draft.attributes);
    let value = T::make(id, meta, draft.kind);
    debug_assert_eq!(number(&value), T::raw(id));
    tx.put(value.clone());
    Ok(value)
}
