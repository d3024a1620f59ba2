//! Whether a host can be counted on.
//!
//! ```text
//!  Joining ──first report──> Ready ──link closed for longer than the lease──> Lost
//!                              ▲                                               │
//!                              └──────────────── link open again ──────────────┘
//! ```
//!
//! A host that somebody took offline stays `Ready` however long it is silent: it is expected to be.
//!
//! `Lost` says nothing about the VMs there: they may well be running, so none is placed elsewhere. Deleting the host
//! is a user's decision and happens in the desk.

use crate::Verdict;
use holm_model::hosts::{Host, HostPhase, Schedulable};
use holm_model::{Timestamp, Trouble, TroubleClass};
use std::time::Duration;

/// A step of a host's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It reports: `Ready`.
    Ready,
    /// It has been silent for too long: `Lost`.
    Lost,
}

/// What comes next. `lease` is how long a host may be silent before it counts as lost. An open link keeps it ready:
/// whoever watches the link closes it when nothing is heard over it.
#[must_use]
pub fn next(host: &Host, now: Timestamp, lease: Duration) -> Verdict<Step> {
    let status = &host.status;
    match host.phase {
        HostPhase::Joining | HostPhase::Lost if status.connected && status.facts.is_some() => Verdict::Do(Step::Ready),
        HostPhase::Joining if !host.is_claimed() => Verdict::wait("No machine has joined as this host yet."),
        HostPhase::Joining => Verdict::wait("It has been enrolled; its first report has not arrived."),
        HostPhase::Lost if host.spec.schedulable == Schedulable::Offline => {
            Verdict::wait("It is offline and nobody looks at it.")
        }
        HostPhase::Lost if status.connected => Verdict::wait("Its link is open again; its report has not arrived."),
        HostPhase::Lost => Verdict::Stuck(Trouble {
            class: TroubleClass::Unknown,
            since: status.last_seen,
            attempts: 0,
            why: format!(
                "It has not been heard of since {}; its VMs may be running. Check its power, its network and its agent.",
                status.last_seen
            ),
        }),
        HostPhase::Ready if status.connected => Verdict::Settled { why: "Its agent is connected.".into() },
        HostPhase::Ready if host.spec.schedulable == Schedulable::Offline => {
            Verdict::Settled { why: "It is offline and nobody looks at it.".into() }
        }
        HostPhase::Ready => {
            let until = status.last_seen.plus(lease);
            if now >= until {
                Verdict::Do(Step::Lost)
            } else {
                Verdict::Wait { why: format!("Its link is closed; it counts as lost at {until}."), until: Some(until) }
            }
        }
    }
}

/// Carries a step out on the row.
pub fn apply(host: &mut Host, step: Step, now: Timestamp) {
    match step {
        Step::Ready => {
            host.phase = HostPhase::Ready;
            host.trouble = None;
        }
        Step::Lost => {
            host.phase = HostPhase::Lost;
            host.trouble = Some(Trouble {
                class: TroubleClass::Unknown,
                since: now,
                attempts: 0,
                why: format!("It has not been heard of since {}.", host.status.last_seen),
            });
        }
    }
}

#[cfg(test)]
mod tests;
