//! Two threads at work: closures run ahead of the disk, and nobody hears of anything that is not durable.

use super::*;
use holm_store::{AroundCommits, Batch, Journal, MemoryJournal};
use std::sync::mpsc::{Receiver, Sender, channel};

/// A store over a journal whose commits wait until the test lets them go, one by one, and panic when it never will.
struct Bench {
    store: Store,
    journal: MemoryJournal,
    /// How many batches a commit that has begun is of.
    begun: Receiver<usize>,
    go: Sender<()>,
}

fn bench() -> Bench {
    let journal = MemoryJournal::new();
    let ((begins, begun), (go, gate)) = (channel(), channel());
    let gated = AroundCommits::new(journal.clone(), move |journal: &mut MemoryJournal, batches: &[Batch]| {
        begins.send(batches.len()).expect("the test listens");
        gate.recv().expect("the test lets it go");
        journal.commit(batches)
    });
    Bench { store: Store::open(Box::new(gated), Mode::Thread, CLOUD).unwrap(), journal, begun, go }
}

/// Puts a VM; the answer is how many VMs the closure saw before.
fn put(store: &Store, id: u32) -> holm_store::Write<usize, Infallible> {
    store.write(move |tx| {
        let before = tx.count::<Vm>();
        tx.put(sample::vm(id));
        Ok(before)
    })
}

/// Waits until closures that were sent have run: one after them has told so.
fn ran(store: &Store) {
    let (sender, receiver) = channel();
    drop(store.write(move |_| Ok::<_, Infallible>(sender.send(()).is_ok())));
    receiver.recv().unwrap();
}

#[test]
fn closures_run_while_the_disk_is_busy_and_are_not_seen_before_it_is_done() {
    let Bench { store, begun, go, .. } = bench();
    let first = put(&store, 0);
    assert_eq!(begun.recv().unwrap(), 1);
    let (second, third) = (put(&store, 1), put(&store, 2));
    let read = store.write(|tx| Ok::<_, Infallible>(tx.count::<Vm>()));
    ran(&store);
    assert_eq!(store.read().count::<Vm>(), 0, "nothing is durable yet");
    go.send(()).unwrap();
    assert_eq!(first.wait().unwrap(), 0);
    assert_eq!(begun.recv().unwrap(), 2, "what came meanwhile goes together");
    assert_eq!(store.read().count::<Vm>(), 1);
    go.send(()).unwrap();
    assert_eq!((second.wait().unwrap(), third.wait().unwrap(), read.wait().unwrap()), (1, 2, 3));
    assert_eq!(store.read().count::<Vm>(), 3);
}

#[test]
fn what_ran_on_top_of_a_failed_commit_fails_with_it_and_the_next_goes_on_from_what_is_durable() {
    for lost_answer in [false, true] {
        let Bench { store, journal, begun, go } = bench();
        go.send(()).unwrap();
        assert_eq!(put(&store, 0).wait().unwrap(), 0);
        assert_eq!(begun.recv().unwrap(), 1);
        if lost_answer {
            journal.lose_next_answer()
        } else {
            journal.fail_next(1)
        }
        let failed = put(&store, 1);
        assert_eq!(begun.recv().unwrap(), 1);
        let (on_top, read) = (put(&store, 2), store.write(|tx| Ok::<_, Infallible>(tx.count::<Vm>())));
        ran(&store);
        go.send(()).unwrap();
        // Whether a commit whose answer was lost did happen is found out before anybody is told.
        assert_eq!(failed.wait().ok(), lost_answer.then_some(1));
        assert!(matches!(on_top.wait(), Err(WriteError::Store(StoreError::NotDurable(_)))));
        assert!(matches!(read.wait(), Err(WriteError::Store(StoreError::NotDurable(_)))), "it read what never was");
        // Whether the commit whose answer was lost did happen is found out before anything goes on.
        let there = if lost_answer { 2 } else { 1 };
        assert_eq!(store.read().count::<Vm>(), there);
        let next = put(&store, 3);
        assert_eq!(begun.recv().unwrap(), 1);
        go.send(()).unwrap();
        assert_eq!(next.wait().unwrap(), there);
        assert_eq!(store.read().count::<Vm>(), there + 1);
        assert!(store.read().get::<Vm>(VmId(2)).is_none());
    }
}

#[test]
fn a_store_that_ends_finishes_what_was_asked() {
    let Bench { store, journal, begun, go } = bench();
    let (first, second) = (put(&store, 0), put(&store, 1));
    go.send(()).unwrap();
    go.send(()).unwrap();
    drop(store);
    assert_eq!((first.wait().unwrap(), second.wait().unwrap()), (0, 1));
    assert_eq!(begun.iter().sum::<usize>(), 2, "every batch once");
    assert_eq!(journal.durable_revision(), 2);
}

#[test]
fn a_journal_that_panics_leaves_nobody_waiting() {
    let Bench { store, journal, begun, go } = bench();
    let first = put(&store, 0);
    assert_eq!(begun.recv().unwrap(), 1);
    let on_top = put(&store, 1);
    ran(&store);
    drop(go);
    for write in [first, on_top, put(&store, 2)] {
        assert!(matches!(write.wait(), Err(WriteError::Store(StoreError::Closed))));
    }
    assert_eq!((store.read().count::<Vm>(), journal.durable_revision()), (0, 0));
    drop(store);
}
