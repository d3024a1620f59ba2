//! Operations, events and the audit log.

use holm_desk::{AuditLine, Row, View, host_state, image_state};
use holm_model::hosts::Host;
use holm_model::images::Image;
use holm_model::networks::Network;
use holm_model::operations::{Operation, OperationState, OperationVerb};
use holm_model::vms::Vm;
use holm_model::{Change, ChangeVerb, HostId, ImageId, NetworkId, ObjectKind, OperationId, VmId};
use holm_wire::v1;

fn verb(verb: OperationVerb) -> &'static str {
    match verb {
        OperationVerb::Create => "create",
        OperationVerb::Start => "start",
        OperationVerb::Stop => "stop",
        OperationVerb::Poweroff => "poweroff",
        OperationVerb::Reboot => "reboot",
        OperationVerb::Pause => "pause",
        OperationVerb::Resume => "resume",
        OperationVerb::Resize => "resize",
        OperationVerb::Change => "change",
        OperationVerb::Delete => "delete",
        OperationVerb::Import => "import",
    }
}

/// The word for an operation's state and the reason.
fn state(state: OperationState) -> (&'static str, String) {
    match state {
        OperationState::Running { why } => ("running", why),
        OperationState::Done => ("done", "It is as asked.".into()),
        OperationState::Failed { why } => ("failed", why),
        OperationState::Superseded => ("superseded", "A later request replaced it.".into()),
    }
}

/// An operation as it stands in this view.
#[must_use]
pub fn operation(row: &Row<Operation>, view: &View) -> v1::Operation {
    let operation = &row.value;
    let (state, why) = state(view.operation_state(operation));
    v1::Operation {
        id: operation.id.0,
        verb: verb(operation.verb).into(),
        kind: operation.object.kind.noun().into(),
        object: operation.object.id,
        state: state.into(),
        why,
        created_at: operation.created_at.to_string(),
    }
}

/// One change as an event. State and name are those of the view, which may be newer than the change.
#[must_use]
pub fn event(revision: u64, change: Change, view: &View) -> v1::Event {
    let id = change.object.id;
    let mut event = v1::Event {
        revision,
        kind: change.object.kind.noun().into(),
        id,
        verb: match change.verb {
            ChangeVerb::Put => "put",
            ChangeVerb::Deleted => "deleted",
        }
        .into(),
        state: None,
        name: None,
        why: None,
    };
    if change.verb == ChangeVerb::Deleted {
        return event;
    }
    match change.object.kind {
        ObjectKind::Vm => {
            if let Some(row) = view.row::<Vm>(VmId(id)) {
                event.state = Some(view.vm_state(&row.value).to_string());
                event.name = Some(row.value.meta.name.as_str().into());
                event.why = Some(row.value.why.clone());
            }
        }
        ObjectKind::Host => {
            if let Some(row) = view.row::<Host>(HostId(id)) {
                event.state = Some(host_state(&row.value).into());
                event.name = Some(row.value.meta.name.as_str().into());
                event.why = row.value.trouble.as_ref().map(|trouble| trouble.why.clone());
            }
        }
        ObjectKind::Image => {
            if let Some(row) = view.row::<Image>(ImageId(id)) {
                event.state = Some(image_state(&row.value).into());
                event.name = Some(row.value.meta.name.as_str().into());
                event.why = row.value.trouble.as_ref().map(|trouble| trouble.why.clone());
            }
        }
        ObjectKind::Network => {
            if let Some(row) = view.row::<Network>(NetworkId(id)) {
                event.state = Some(if row.value.removing { "removing" } else { "ready" }.into());
                event.name = Some(row.value.meta.name.as_str().into());
            }
        }
        ObjectKind::Operation => {
            if let Some(row) = view.row::<Operation>(OperationId(id)) {
                let (state, why) = state(view.operation_state(&row.value));
                event.state = Some(state.into());
                event.why = Some(why);
            }
        }
        ObjectKind::Cluster
        | ObjectKind::User
        | ObjectKind::Group
        | ObjectKind::Token
        | ObjectKind::JoinToken
        | ObjectKind::Datastore
        | ObjectKind::SecurityGroup
        | ObjectKind::Template
        | ObjectKind::NetworkTemplate
        | ObjectKind::VmGroup
        | ObjectKind::Document
        | ObjectKind::Vdc
        | ObjectKind::Acl
        | ObjectKind::Zone
        | ObjectKind::EndedVm => {}
    }
    event
}

/// A line of the audit log.
#[must_use]
pub fn audit_line(id: u64, line: AuditLine) -> v1::AuditLine {
    v1::AuditLine {
        id,
        at: line.at.to_string(),
        user: line.user.map(|user| user.0),
        action: line.action,
        kind: line.object.map(|object| object.kind.noun().to_owned()),
        object: line.object.map(|object| object.id),
        outcome: line.outcome,
        request_id: line.request_id,
        peer: line.peer,
    }
}
