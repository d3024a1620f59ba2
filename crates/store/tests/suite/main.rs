//! What the store promises, held against both journals.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::unit_arg, reason = "transactions of one statement answer with nothing")]

#[path = "../sample/mod.rs"]
mod sample;

mod disk_full;
mod fixtures;
mod histories;
mod journals;
mod killed;
mod threads;
mod torn;

use holm_model::vms::Vm;
use holm_model::{VmId, World};
use holm_store::{JournalError, Mode, SqliteJournal, State, Store, StoreError, WriteError};
use std::convert::Infallible;
use std::path::Path;
use std::time::{Duration, Instant};
use uuid::Uuid;

const CLOUD: Uuid = Uuid::from_u128(7);

/// Opens a database that nobody uses any more. For a moment it may look used: a process that another test has begun
/// holds all locks of this one until its program runs.
fn journal(path: &Path) -> Result<SqliteJournal, JournalError> {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match SqliteJournal::open(path) {
            Err(JournalError::InUse { .. }) if Instant::now() < until => std::thread::yield_now(),
            opened => return opened,
        }
    }
}

fn open(path: &Path, mode: Mode) -> Result<Store, StoreError> {
    let journal = journal(path).map_err(|e| StoreError::Load(e.into()))?;
    Store::open(Box::new(journal), mode, CLOUD)
}

/// Puts a VM and the operation that made it, which belong together.
fn put_pair(store: &Store, id: u32) -> Result<(), WriteError<Infallible>> {
    store
        .write(move |tx| {
            tx.put(sample::vm(id));
            tx.put(sample::operation(id, id, Some(&format!("key-{id}"))));
            Ok(())
        })
        .now()
}

/// Everything that can be seen of a state, as text.
fn picture(state: &State) -> String {
    use holm_model::{clusters, hosts, images, networks, operations, users};
    let mut text = format!("{} next {}\n", state.cloud(), state.next_vm_id());
    macro_rules! add {
        ($($noun:ty),*) => {
            $(for row in state.list::<$noun>() {
                text.push_str(&format!("{} {:?}\n", row.revision, row.value));
            })*
        };
    }
    add!(
        Vm,
        hosts::Host,
        clusters::Cluster,
        images::Image,
        networks::Network,
        users::User,
        users::Group,
        users::Token,
        users::JoinToken,
        operations::Operation
    );
    text
}

/// Whether every VM has its operation and the other way round: transactions are whole.
fn is_whole(state: &State) -> bool {
    state.count::<Vm>() == state.count::<holm_model::operations::Operation>()
        && state.vms().all(|vm| {
            let VmId(id) = vm.id;
            state.operation_by_key(holm_model::UserId(0), &format!("key-{id}")).is_some_and(|o| o.value.object.id == id)
        })
}
