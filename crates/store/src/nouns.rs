//! What every table needs to know of its noun.

use crate::docs;
use crate::error::JournalError;
use crate::indexes::Indexes;
use crate::state::State;
use crate::table::Table;
use holm_model::acl::Acl;
use holm_model::clusters::Cluster;
use holm_model::datastores::Datastore;
use holm_model::hosts::Host;
use holm_model::images::Image;
use holm_model::networks::Network;
use holm_model::operations::Operation;
use holm_model::security_groups::SecurityGroup;
use holm_model::templates::{Document, NetworkTemplate, Template};
use holm_model::users::{Group, JoinToken, Token, User};
use holm_model::vdcs::Vdc;
use holm_model::vm_groups::VmGroup;
use holm_model::vms::{EndedVm, Vm};
use holm_model::zones::Zone;
use holm_model::{
    AclId, ClusterId, DatastoreId, DocumentId, GroupId, HostId, ImageId, JoinTokenId, NetworkId, NetworkTemplateId,
    ObjectKind, ObjectRef, OperationId, SecurityGroupId, TemplateId, TokenId, UserId, VdcId, VmGroupId, VmId, ZoneId,
};
use std::fmt::{Debug, Display};
use std::hash::Hash;

mod sealed {
    pub trait Sealed {}
}

/// A kind of object the store holds. Implemented here for every noun of the model, nowhere else.
pub trait Noun: Clone + Debug + PartialEq + Send + Sync + Sized + 'static + sealed::Sealed {
    /// Its typed id.
    type Id: Copy + Ord + Hash + Debug + Display + Send + Sync + 'static;
    /// The noun.
    const KIND: ObjectKind;
    /// The version of the documents it is written as.
    const VERSION: u32;
    /// The object's id.
    fn id(&self) -> Self::Id;
    /// An id as a number.
    fn raw(id: Self::Id) -> u32;
    /// A number as an id.
    fn from_raw(raw: u32) -> Self::Id;
    /// The object's name; `None` for nouns without names.
    fn name(&self) -> Option<&str>;
    /// The object as a reference without type.
    #[must_use]
    fn object(id: Self::Id) -> ObjectRef {
        ObjectRef { kind: Self::KIND, id: Self::raw(id) }
    }

    #[doc(hidden)]
    fn table(state: &State) -> &Table<Self>;
    #[doc(hidden)]
    fn table_mut(state: &mut State) -> &mut Table<Self>;
    #[doc(hidden)]
    fn reindex(indexes: &mut Indexes, old: Option<&Self>, new: Option<&Self>);
    #[doc(hidden)]
    fn encode(&self) -> Result<String, serde_json::Error>;
    #[doc(hidden)]
    fn decode(id: u32, version: u32, text: &str) -> Result<Self, JournalError>;
}

macro_rules! nouns {
    ($($noun:ident, $id:ident, $table:ident, $reindex:ident, $doc:ident, $name:expr;)*) => {
        $(
            impl sealed::Sealed for $noun {}

            impl Noun for $noun {
                type Id = $id;
                const KIND: ObjectKind = ObjectKind::$noun;
                const VERSION: u32 = docs::$doc::VERSION;

                fn id(&self) -> $id {
                    self.id
                }
                fn raw(id: $id) -> u32 {
                    id.0
                }
                fn from_raw(raw: u32) -> $id {
                    $id(raw)
                }
                fn name(&self) -> Option<&str> {
                    let name: fn(&$noun) -> Option<&str> = $name;
                    name(self)
                }
                fn table(state: &State) -> &Table<Self> {
                    &state.$table
                }
                fn table_mut(state: &mut State) -> &mut Table<Self> {
                    &mut state.$table
                }
                fn reindex(indexes: &mut Indexes, old: Option<&Self>, new: Option<&Self>) {
                    indexes.$reindex(old, new);
                }
                fn encode(&self) -> Result<String, serde_json::Error> {
                    docs::$doc::write(self)
                }
                fn decode(id: u32, version: u32, text: &str) -> Result<Self, JournalError> {
                    let value = docs::$doc::read(id, version, text)?;
                    if value.id.0 == id {
                        Ok(value)
                    } else {
                        Err(JournalError::Damaged {
                            what: format!("the row of {} {id} holds {}", Self::KIND.noun(), value.id),
                        })
                    }
                }
            }
        )*

        /// Every noun, in the order tables are loaded and written.
        pub(crate) const KINDS: &[ObjectKind] = &[$(ObjectKind::$noun),*];

        impl State {
            /// Puts a stored row into its table.
            pub(crate) fn load_row(&mut self, row: &crate::journal::StoredRow) -> Result<(), JournalError> {
                match row.object.kind {
                    $(ObjectKind::$noun => {
                        let value = $noun::decode(row.object.id, row.version, &row.text)?;
                        self.insert(value, row.revision);
                    })*
                }
                Ok(())
            }

            /// Raises a noun's sequence of ids.
            pub(crate) fn load_sequence(&mut self, kind: ObjectKind, next: u32) {
                match kind {
                    $(ObjectKind::$noun => self.$table.next = self.$table.next.max(next),)*
                }
            }

            /// The next id of a noun as a number.
            pub(crate) fn sequence(&self, kind: ObjectKind) -> u32 {
                match kind {
                    $(ObjectKind::$noun => self.$table.next,)*
                }
            }

            /// Writes down one object; `None` when it is not there.
            pub(crate) fn document(&self, object: ObjectRef) -> Result<Option<crate::journal::Document>, serde_json::Error> {
                match object.kind {
                    $(ObjectKind::$noun => self
                        .get::<$noun>($id(object.id))
                        .map(|row| Ok(crate::journal::Document { version: $noun::VERSION, text: row.value.encode()? }))
                        .transpose(),)*
                }
            }
        }
    };
}

nouns! {
    Cluster, ClusterId, clusters, cluster, ClusterDoc, |c| Some(c.meta.name.as_str());
    Group, GroupId, groups, group, GroupDoc, |g| Some(g.name.as_str());
    User, UserId, users, user, UserDoc, |u| Some(u.name.as_str());
    Token, TokenId, tokens, token, TokenDoc, |_| None;
    JoinToken, JoinTokenId, join_tokens, join_token, JoinTokenDoc, |_| None;
    Network, NetworkId, networks, network, NetworkDoc, |n| Some(n.meta.name.as_str());
    Image, ImageId, images, image, ImageDoc, |i| Some(i.meta.name.as_str());
    Datastore, DatastoreId, datastores, datastore, DatastoreDoc, |d| Some(d.meta.name.as_str());
    SecurityGroup, SecurityGroupId, security_groups, security_group, SecurityGroupDoc, |g| Some(g.meta.name.as_str());
    Template, TemplateId, templates, template, TemplateDoc, |t| Some(t.meta.name.as_str());
    NetworkTemplate, NetworkTemplateId, network_templates, network_template, NetworkTemplateDoc, |t| Some(t.meta.name.as_str());
    VmGroup, VmGroupId, vm_groups, vm_group, VmGroupDoc, |g| Some(g.meta.name.as_str());
    Document, DocumentId, documents, document, DocumentDoc, |d| Some(d.meta.name.as_str());
    Vdc, VdcId, vdcs, vdc, VdcDoc, |v| Some(v.name.as_str());
    Acl, AclId, acls, acl, AclDoc, |_| None;
    Zone, ZoneId, zones, zone, ZoneDoc, |z| Some(z.name.as_str());
    EndedVm, VmId, ended_vms, ended_vm, EndedVmDoc, |_| None;
    Host, HostId, hosts, host, HostDoc, |h| Some(h.meta.name.as_str());
    Vm, VmId, vms, vm, VmDoc, |v| Some(v.meta.name.as_str());
    Operation, OperationId, operations, operation, OperationDoc, |_| None;
}
