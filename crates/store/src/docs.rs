//! How objects are written down.
//!
//! One document type per noun, with the fields of the aggregate spelled out on purpose: a field that is added to the
//! model does not compile until somebody has said here how it is written and what older documents mean by its absence.
//!
//! A document carries the version it was written with, beside its text. When a change cannot be expressed by a default
//! for a missing field, raise the noun's version and append a step to its list: step `n` turns a document of version
//! `n + 1` into one of version `n + 2`. Steps are never changed once released. The fixture databases under `fixtures/`
//! hold one cloud per document version and must load forever.

use crate::error::JournalError;
use holm_model::acl::{Acl, AclKinds, AclScope, AclSubject, Rights};
use holm_model::clusters::{Cluster, ClusterSpec};
use holm_model::datastores::{Datastore, DatastoreKind};
use holm_model::hosts::{Host, HostPhase, HostSpec, HostStatus};
use holm_model::images::{Image, ImageContent, ImagePhase, ImageSnapshot, ImageSpec};
use holm_model::networks::{AddressRange, Network, NetworkSpec, Place, Reservation};
use holm_model::operations::{Operation, OperationVerb};
use holm_model::quotas::Quotas;
use holm_model::schedule::ScheduledAction;
use holm_model::security_groups::{Rule, SecurityGroup};
use holm_model::templates::{Document, NetworkTemplate, Template};
use holm_model::users::{Group, JoinToken, Proof, Secret, Token, User};
use holm_model::vdcs::{Vdc, VdcMember};
use holm_model::vm_groups::{Role, VmGroup};
use holm_model::vms::{
    Attempt, Bound, EndedVm, LastAction, Luggage, NicLease, PlacementRecord, Remains, Vm, VmPhase, VmSpec, VmStatus,
};
use holm_model::zones::Zone;
use holm_model::{
    AclId, Attributes, ClusterId, DatastoreId, DocumentId, GroupId, HostId, ImageId, JoinTokenId, Meta, Name,
    NetworkId, NetworkTemplateId, ObjectRef, OperationId, SecurityGroupId, TemplateId, Timestamp, TokenId, Trouble,
    UserId, VdcId, VmGroupId, VmId, ZoneId,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;

mod networks;

/// Turns a document of one version into one of the next; the error says what does not fit.
pub type Step = fn(Value) -> Result<Value, String>;

/// Brings a document's text from `version` to the newest by applying the steps it has not seen.
///
/// # Errors
/// When the version is not known, the text is no JSON, or a step fails.
pub fn upgrade(noun: &str, id: u32, version: u32, text: &str, steps: &[Step]) -> Result<Value, JournalError> {
    let known = u32::try_from(steps.len()).unwrap_or(u32::MAX).saturating_add(1);
    if version > known {
        return Err(JournalError::Newer { what: format!("the document of {noun} {id}"), found: version, known });
    }
    let damaged = |why: String| JournalError::Damaged { what: format!("the document of {noun} {id}: {why}") };
    let at = usize::try_from(version)
        .ok()
        .and_then(|v| v.checked_sub(1))
        .ok_or_else(|| damaged(format!("it claims version {version}")))?;
    let value = serde_json::from_str(text).map_err(|e| damaged(e.to_string()))?;
    steps[at..].iter().try_fold(value, |value, step| step(value)).map_err(damaged)
}

mod secret {
    use holm_model::users::Secret;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&secret.0)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret)
    }
}

fn no_secret() -> Secret {
    Secret(String::new())
}

/// A VM inside another document, in the form of its own.
mod nested_vm {
    use super::VmDoc;
    use holm_model::vms::Vm;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::value::RawValue;

    pub fn serialize<S: Serializer>(vm: &Vm, serializer: S) -> Result<S::Ok, S::Error> {
        let text = VmDoc::write(vm).map_err(serde::ser::Error::custom)?;
        let raw = RawValue::from_string(text).map_err(serde::ser::Error::custom)?;
        (VmDoc::VERSION, raw).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vm, D::Error> {
        let (version, raw) = <(u32, Box<RawValue>)>::deserialize(deserializer)?;
        VmDoc::read(0, version, raw.get()).map_err(serde::de::Error::custom)
    }
}

macro_rules! document {
    ($(#[$doc:meta])* $name:ident of $noun:ident, steps $steps:expr, { $($(#[$attr:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize)]
        #[allow(missing_docs, reason = "fields mean what the fields of the same name in the model mean")]
        pub struct $name {
            $($(#[$attr])* pub $field: $type,)*
        }

        const _: () = {
            /// The same document borrowed, so that writing copies nothing.
            #[derive(Serialize)]
            struct Borrowed<'a> {
                $($(#[$attr])* $field: &'a $type,)*
            }

            impl $name {
                const STEPS: &'static [Step] = $steps;
                /// The version documents are written with.
                #[allow(clippy::cast_possible_truncation, reason = "a list of migrations never has 2^32 entries")]
                pub const VERSION: u32 = Self::STEPS.len() as u32 + 1;

                /// Writes an object as JSON.
                ///
                /// # Errors
                /// When a part of it has no JSON form; no type of the model has such parts today.
                pub fn write(value: &$noun) -> Result<String, serde_json::Error> {
                    let $noun { $($field),* } = value;
                    serde_json::to_string(&Borrowed { $($field),* })
                }

                /// Reads an object from JSON of any version up to this one.
                ///
                /// # Errors
                /// When the version is not known or the text does not fit it.
                pub fn read(id: u32, version: u32, text: &str) -> Result<$noun, JournalError> {
                    let noun = stringify!($noun);
                    let damaged = |e: serde_json::Error| JournalError::Damaged {
                        what: format!("the document of {noun} {id}: {e}"),
                    };
                    let document: Self = if version == Self::VERSION {
                        serde_json::from_str(text).map_err(damaged)?
                    } else {
                        serde_json::from_value(upgrade(noun, id, version, text, Self::STEPS)?).map_err(damaged)?
                    };
                    let Self { $($field),* } = document;
                    Ok($noun { $($field),* })
                }
            }
        };
    };
}

document! {
    /// A VM as it is written down.
    VmDoc of Vm, steps &[], {
        id: VmId,
        meta: Meta,
        spec: VmSpec,
        generation: u64,
        phase: VmPhase,
        leases: Vec<NicLease>,
        status: VmStatus,
        trouble: Option<Trouble>,
        why: String,
        phase_since: Timestamp,
        phase_revision: u64,
        history: Vec<PlacementRecord>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        template: Option<TemplateId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        action: Option<LastAction>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        schedule: Vec<ScheduledAction>,
        #[serde(default)]
        next_scheduled: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt: Option<Box<Attempt>>,
        #[serde(default, skip_serializing_if = "Bound::is_empty")]
        bound: Bound,
        #[serde(default, skip_serializing_if = "Luggage::is_empty")]
        luggage: Luggage,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        remains: Vec<Remains>,
    }
}

document! {
    /// A VM that is over, as it is written down.
    EndedVmDoc of EndedVm, steps &[], {
        id: VmId,
        #[serde(with = "nested_vm")]
        vm: Vm,
        ended_at: Timestamp,
    }
}

document! {
    /// A datastore as it is written down.
    DatastoreDoc of Datastore, steps &[], {
        id: DatastoreId,
        meta: Meta,
        kind: DatastoreKind,
        enabled: bool,
        clusters: Vec<ClusterId>,
        limit_mib: Option<u64>,
    }
}

document! {
    /// A security group as it is written down.
    SecurityGroupDoc of SecurityGroup, steps &[networks::rules_in_force], {
        id: SecurityGroupId,
        meta: Meta,
        rules: Vec<Rule>,
        committed: Vec<Rule>,
        version: u64,
    }
}

document! {
    /// A VM template as it is written down.
    TemplateDoc of Template, steps &[], {
        id: TemplateId,
        meta: Meta,
    }
}

document! {
    /// A network template as it is written down.
    NetworkTemplateDoc of NetworkTemplate, steps &[], {
        id: NetworkTemplateId,
        meta: Meta,
    }
}

document! {
    /// A VM group as it is written down.
    VmGroupDoc of VmGroup, steps &[], {
        id: VmGroupId,
        meta: Meta,
        roles: Vec<Role>,
        next_role: u32,
        affined: Vec<Vec<String>>,
        anti_affined: Vec<Vec<String>>,
    }
}

document! {
    /// A document as it is written down.
    DocumentDoc of Document, steps &[], {
        id: DocumentId,
        meta: Meta,
        kind: i32,
    }
}

document! {
    /// A VDC as it is written down.
    VdcDoc of Vdc, steps &[], {
        id: VdcId,
        name: Name,
        attributes: Attributes,
        groups: BTreeSet<GroupId>,
        clusters: BTreeSet<VdcMember>,
        hosts: BTreeSet<VdcMember>,
        datastores: BTreeSet<VdcMember>,
        networks: BTreeSet<VdcMember>,
    }
}

document! {
    /// An access rule as it is written down.
    AclDoc of Acl, steps &[], {
        id: AclId,
        subject: AclSubject,
        kinds: AclKinds,
        scope: AclScope,
        rights: Rights,
        zone: Option<ZoneId>,
        vdc: Option<VdcId>,
    }
}

document! {
    /// A zone as it is written down.
    ZoneDoc of Zone, steps &[], {
        id: ZoneId,
        name: Name,
        attributes: Attributes,
        enabled: bool,
        default_user_quotas: Quotas,
        default_group_quotas: Quotas,
    }
}

document! {
    /// A host as it is written down.
    HostDoc of Host, steps &[], {
        id: HostId,
        meta: Meta,
        cluster: ClusterId,
        spec: HostSpec,
        phase: HostPhase,
        status: HostStatus,
        certificate_sha256: String,
        trouble: Option<Trouble>,
    }
}

document! {
    /// A cluster as it is written down.
    ClusterDoc of Cluster, steps &[], {
        id: ClusterId,
        meta: Meta,
        spec: ClusterSpec,
    }
}

document! {
    /// An image as it is written down.
    ImageDoc of Image, steps &[], {
        id: ImageId,
        meta: Meta,
        spec: ImageSpec,
        phase: ImagePhase,
        received: u64,
        content: Option<ImageContent>,
        changed_at: Timestamp,
        trouble: Option<Trouble>,
        #[serde(default)]
        snapshots: Vec<ImageSnapshot>,
        #[serde(default)]
        next_snapshot: u32,
        #[serde(default)]
        current_snapshot: Option<u32>,
    }
}

document! {
    /// A network as it is written down.
    NetworkDoc of Network, steps &[networks::pools_to_ranges], {
        id: NetworkId,
        meta: Meta,
        spec: NetworkSpec,
        removing: bool,
        ranges: Vec<AddressRange>,
        next_range: u32,
        #[serde(default)]
        holds: BTreeSet<Place>,
        #[serde(default)]
        reservations: Vec<Reservation>,
        #[serde(default)]
        parent: Option<NetworkId>,
        #[serde(default)]
        template: Option<NetworkTemplateId>,
        #[serde(default)]
        security_groups: Vec<SecurityGroupId>,
        #[serde(default)]
        clusters: Vec<ClusterId>,
        #[serde(default)]
        automatic_segment: bool,
    }
}

document! {
    /// A user as it is written down.
    UserDoc of User, steps &[], {
        id: UserId,
        name: Name,
        groups: Vec<GroupId>,
        #[serde(with = "secret")]
        password_hash: Secret,
        enabled: bool,
        created_at: Timestamp,
        #[serde(default)]
        proof: Proof,
        #[serde(default = "no_secret", with = "secret")]
        service_key: Secret,
        #[serde(default = "no_secret", with = "secret")]
        second_factor: Secret,
        #[serde(default)]
        attributes: Attributes,
        #[serde(default)]
        quotas: Quotas,
    }
}

document! {
    /// A group as it is written down.
    GroupDoc of Group, steps &[], {
        id: GroupId,
        name: Name,
        created_at: Timestamp,
        #[serde(default)]
        admins: Vec<UserId>,
        #[serde(default)]
        attributes: Attributes,
        #[serde(default)]
        quotas: Quotas,
        #[serde(default)]
        vlan_rules: Attributes,
    }
}

document! {
    /// A token as it is written down.
    TokenDoc of Token, steps &[], {
        id: TokenId,
        user: UserId,
        #[serde(default)]
        group: Option<GroupId>,
        label: String,
        sha256: String,
        created_at: Timestamp,
        expires_at: Timestamp,
    }
}

document! {
    /// A join token as it is written down.
    JoinTokenDoc of JoinToken, steps &[], {
        id: JoinTokenId,
        sha256: String,
        cluster: ClusterId,
        host_name: Option<Name>,
        created_at: Timestamp,
        expires_at: Timestamp,
        used_by: Option<HostId>,
    }
}

document! {
    /// An operation as it is written down.
    OperationDoc of Operation, steps &[], {
        id: OperationId,
        verb: OperationVerb,
        object: ObjectRef,
        generation: u64,
        user: UserId,
        idempotency_key: Option<String>,
        request_sha256: String,
        created_at: Timestamp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rename(mut value: Value) -> Result<Value, String> {
        let fields = value.as_object_mut().ok_or("is no object")?;
        let size = fields.remove("size").ok_or("has no size")?;
        fields.insert("size_mib".into(), size);
        Ok(value)
    }

    fn add(mut value: Value) -> Result<Value, String> {
        value["added"] = json!(true);
        Ok(value)
    }

    #[test]
    fn every_step_a_document_has_not_seen_is_applied_in_order() {
        let steps: &[Step] = &[rename, add];
        let old = upgrade("disk", 1, 1, r#"{"size":7}"#, steps).expect("version 1 is known");
        assert_eq!(old, json!({"size_mib": 7, "added": true}));
        let newer = upgrade("disk", 1, 2, r#"{"size_mib":7}"#, steps).expect("version 2 is known");
        assert_eq!(newer, json!({"size_mib": 7, "added": true}));
        let newest = upgrade("disk", 1, 3, r#"{"size_mib":7}"#, steps).expect("version 3 is known");
        assert_eq!(newest, json!({"size_mib": 7}));
    }

    #[test]
    fn unknown_versions_and_unfit_documents_are_refused_with_the_object_named() {
        let steps: &[Step] = &[rename];
        for (version, text, says) in [
            (3, "{}", "disk 9 has version 3, and this program knows versions up to 2"),
            (0, "{}", "it claims version 0"),
            (1, "{}", "disk 9: has no size"),
            (1, "{", "disk 9: EOF"),
        ] {
            let error = upgrade("disk", 9, version, text, steps).expect_err("must be refused").to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
