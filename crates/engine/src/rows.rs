//! Hosts, images and networks: few, and each with small steps.

use crate::engine::{Engine, Failure};
use holm_model::hosts::Host;
use holm_model::images::Image;
use holm_model::networks::Network;
use holm_model::{HostId, ImageId, NetworkId, ObjectKind, ObjectRef, Timestamp};
use holm_plan::Verdict;
use holm_store::{State, Tx};
use std::convert::Infallible;

/// How many of these are decided together.
const BATCH: usize = 1024;

/// What to do with a row in a transaction, decided again there.
type Act = fn(&mut Tx, u32, Timestamp, std::time::Duration) -> bool;

impl Engine {
    pub(crate) async fn hosts_pass(&mut self, now: Timestamp) -> bool {
        let lease = self.settings.host_lease;
        self.small_pass(ObjectKind::Host, now, host_act, move |state, id| {
            let Some(row) = state.get::<Host>(HostId(id)) else { return (false, None) };
            let verdict = holm_plan::host::next(&row.value, now, lease);
            (matches!(verdict, Verdict::Do(_)), verdict.until())
        })
        .await
    }

    pub(crate) async fn images_pass(&mut self, now: Timestamp) -> bool {
        self.small_pass(ObjectKind::Image, now, image_act, |state, id| {
            let Some(row) = state.get::<Image>(ImageId(id)) else { return (false, None) };
            let verdict = holm_plan::image::next(&row.value, state.vms_of_image(row.value.id).next());
            (matches!(verdict, Verdict::Do(_)), verdict.until())
        })
        .await
    }

    pub(crate) async fn networks_pass(&mut self, now: Timestamp) -> bool {
        self.small_pass(ObjectKind::Network, now, network_act, |state, id| {
            (state.get::<Network>(NetworkId(id)).is_some_and(|row| unused(state, &row.value)), None)
        })
        .await
    }

    /// Looks at the rows of one noun: `look` says whether there is a step to take and when to look again, `act` decides
    /// again in the transaction and takes it. Whether there was anything to look at.
    async fn small_pass(
        &mut self,
        kind: ObjectKind,
        now: Timestamp,
        act: Act,
        look: impl Fn(&State, u32) -> (bool, Option<Timestamp>),
    ) -> bool {
        let mut worked = false;
        while !self.store_rests(now) {
            let objects = self.agenda.take(kind, BATCH, now, &self.settings);
            if objects.is_empty() {
                break;
            }
            worked = true;
            self.figures.add_looks(objects.len());
            let state = self.store.read();
            let mut due = Vec::new();
            for object in objects {
                let (step, until) = look(&state, object.id);
                self.agenda.at(object, until);
                if step {
                    due.push(object);
                } else {
                    self.agenda.succeeded(object);
                }
            }
            if !due.is_empty() && self.act(&due, now, act).await == Err(Failure::OfObject) && due.len() > 1 {
                for object in due {
                    let _ = self.act(&[object], now, act).await;
                }
            }
        }
        worked
    }

    async fn act(&mut self, objects: &[ObjectRef], now: Timestamp, act: Act) -> Result<(), Failure> {
        let lease = self.settings.host_lease;
        let ids: Vec<u32> = objects.iter().map(|object| object.id).collect();
        let write = self
            .store
            .write(move |tx| Ok::<usize, Infallible>(ids.into_iter().filter(|id| act(tx, *id, now, lease)).count()));
        match write.await {
            Ok(steps) => {
                self.committed();
                self.figures.add_steps(steps);
                self.figures.add_lost_races(objects.len() - steps);
                for object in objects {
                    self.agenda.succeeded(*object);
                }
                Ok(())
            }
            Err(error) => Err(self.commit_failed(&error, objects, now)),
        }
    }
}

fn host_act(tx: &mut Tx, id: u32, now: Timestamp, lease: std::time::Duration) -> bool {
    let Some(mut host) = tx.get::<Host>(HostId(id)).map(|row| row.value.clone()) else { return false };
    let Verdict::Do(step) = holm_plan::host::next(&host, now, lease) else { return false };
    holm_plan::host::apply(&mut host, step, now);
    tx.put(host);
    true
}

fn image_act(tx: &mut Tx, id: u32, now: Timestamp, _: std::time::Duration) -> bool {
    let Some(mut image) = tx.get::<Image>(ImageId(id)).map(|row| row.value.clone()) else { return false };
    let user = tx.vms_of_image(image.id).next();
    let Verdict::Do(step) = holm_plan::image::next(&image, user) else { return false };
    match step {
        holm_plan::image::Step::Forget => tx.delete::<Image>(image.id),
        step @ holm_plan::image::Step::Fetch => {
            holm_plan::image::apply(&mut image, step, now);
            tx.put(image);
            true
        }
    }
}

fn network_act(tx: &mut Tx, id: u32, _: Timestamp, _: std::time::Duration) -> bool {
    let due = tx.get::<Network>(NetworkId(id)).is_some_and(|row| unused(tx, &row.value));
    due && tx.delete::<Network>(NetworkId(id))
}

/// Whether the network's row can go: it is to be removed, and no VM has a card or an address of it any more.
fn unused(state: &State, network: &Network) -> bool {
    network.removing && state.vms_on_network(network.id).next().is_none()
}
