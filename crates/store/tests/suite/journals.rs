//! The conformance and fault suite: every journal passes it.

use super::*;
use holm_model::hosts::Host;
use holm_model::{ChangeVerb, HostId, ObjectRef, Timestamp, UserId};
use holm_store::{AuditLine, Batch, Journal, JournalError, MemoryJournal, Missed, Noun};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A kind of journal under test: the same "disk", opened again and again.
trait Ground {
    fn journal(&self) -> Box<dyn Journal>;
    fn store(&self, mode: Mode) -> Store {
        Store::open(self.journal(), mode, CLOUD).expect("the journal opens")
    }
}

struct Memory(MemoryJournal);

impl Ground for Memory {
    fn journal(&self) -> Box<dyn Journal> {
        Box::new(self.0.clone())
    }
}

struct Sqlite(tempfile::TempDir);

impl Ground for Sqlite {
    fn journal(&self) -> Box<dyn Journal> {
        Box::new(super::journal(&self.0.path().join("holm.db")).expect("the database opens"))
    }
}

fn on_each(test: impl Fn(&dyn Ground, Mode)) {
    for mode in [Mode::Inline, Mode::Thread] {
        test(&Memory(MemoryJournal::new()), mode);
        test(&Sqlite(tempfile::tempdir().unwrap()), mode);
    }
}

fn line(action: &str) -> AuditLine {
    AuditLine {
        at: sample::NOW,
        user: Some(UserId(0)),
        action: action.into(),
        object: None,
        outcome: "done".into(),
        request_id: "r".into(),
        peer: "127.0.0.1:1".into(),
    }
}

/// Writes and waits, in either mode.
fn write<T: Send + 'static, E: Send + 'static>(
    store: &Store,
    closure: impl FnOnce(&mut holm_store::Tx) -> Result<T, E> + Send + 'static,
) -> Result<T, WriteError<E>> {
    store.write(closure).wait()
}

#[test]
fn what_was_acknowledged_is_there_after_opening_again() {
    on_each(|ground, mode| {
        let store = ground.store(mode);
        write(&store, |tx| {
            tx.put(sample::cluster(0));
            tx.put(sample::group(0));
            tx.put(sample::user(0));
            tx.put(sample::token(0, 0));
            tx.put(sample::join_token(0));
            tx.put(sample::network(0));
            tx.put(sample::image(0));
            tx.put(sample::host(1));
            tx.put(sample::running_vm(3, 1));
            tx.put(sample::operation(5, 3, Some("k")));
            Ok::<_, Infallible>(())
        })
        .unwrap();
        write(&store, |tx| Ok::<_, Infallible>(tx.delete::<Host>(HostId(1)))).unwrap();
        let (before, revision) = (picture(&store.read()), store.read().revision());
        assert_eq!(revision, 2);
        drop(store);
        let store = ground.store(mode);
        assert_eq!(picture(&store.read()), before);
        assert_eq!(store.read().revision(), revision);
        assert_eq!(store.read().booked(HostId(1)).memory_mib, 1000);
    });
}

#[test]
fn ids_are_never_used_twice() {
    on_each(|ground, mode| {
        let store = ground.store(mode);
        let first: VmId = write(&store, |tx| {
            let id = tx.next_id::<Vm>();
            tx.put(Vm { id, ..sample::vm(0) });
            Ok::<_, Infallible>(id)
        })
        .unwrap();
        write(&store, move |tx| Ok::<_, Infallible>(tx.delete::<Vm>(first))).unwrap();
        let refused: Result<VmId, _> = write(&store, |tx| Err::<VmId, VmId>(tx.next_id::<Vm>()));
        assert_eq!(refused, Err(WriteError::Refused(VmId(1))), "an id nobody got is not used up");
        drop(store);
        let store = ground.store(mode);
        assert_eq!(write(&store, |tx| Ok::<_, Infallible>(tx.next_id::<Vm>())).unwrap(), VmId(1));
        write(&store, |tx| Ok::<_, Infallible>(tx.put(sample::vm(40)))).unwrap();
        assert_eq!(store.read().next_vm_id(), VmId(41));
    });
}

#[test]
fn used_up_ids_fail_the_transaction_and_nothing_else() {
    on_each(|ground, mode| {
        let store = ground.store(mode);
        write(&store, |tx| Ok::<_, Infallible>(tx.put(sample::vm(u32::MAX)))).unwrap();
        let failed = write(&store, |tx| {
            tx.next_id::<Vm>();
            tx.put(sample::vm(1));
            Ok::<_, Infallible>(())
        });
        assert!(matches!(failed, Err(WriteError::Store(StoreError::IdsExhausted { .. }))), "{failed:?}");
        assert_eq!(store.read().count::<Vm>(), 1);
    });
}

#[test]
fn refused_and_panicking_closures_change_nothing_and_stop_nobody() {
    on_each(|ground, mode| {
        let store = ground.store(mode);
        let refused = write(&store, |tx| {
            tx.put(sample::vm(1));
            tx.audit(line("vm.create"));
            Err::<(), _>("no")
        });
        assert_eq!(refused, Err(WriteError::Refused("no")));
        let panicked = write(&store, |tx| {
            tx.put(sample::vm(2));
            if tx.count::<Vm>() == 1 { panic!("a bug for a test") } else { Ok::<(), Infallible>(()) }
        });
        let Err(WriteError::Store(StoreError::Panicked { message })) = panicked else { panic!("{panicked:?}") };
        assert_eq!(message, "a bug for a test");
        assert_eq!((store.read().revision(), store.read().count::<Vm>()), (0, 0));
        write(&store, |tx| Ok::<_, Infallible>(tx.put(sample::vm(3)))).unwrap();
        assert_eq!((store.read().revision(), store.read().count::<Vm>()), (1, 1));
        assert!(store.audit_lines(None, 10).unwrap().is_empty());
    });
}

#[test]
fn a_transaction_reads_its_own_writes_and_equal_values_are_no_change() {
    on_each(|ground, mode| {
        let store = ground.store(mode);
        write(&store, |tx| {
            tx.put(sample::running_vm(1, 9));
            assert_eq!(tx.booked(HostId(9)).vms, 1);
            assert_eq!(tx.named::<Vm>("vm-1"), [VmId(1)]);
            assert_eq!(tx.revision(), 0, "a transaction works on the revision before it");
            Ok::<_, Infallible>(())
        })
        .unwrap();
        let mut feed = store.feed();
        write(&store, |tx| Ok::<_, Infallible>(tx.put(sample::running_vm(1, 9)))).unwrap();
        assert_eq!(store.read().revision(), 1);
        assert_eq!(feed.try_next(), Ok(None));
    });
}

#[test]
fn the_feed_tells_every_batch_once_in_order_and_history_can_be_asked_for() {
    on_each(|ground, mode| {
        let store = ground.store(mode);
        put(&store, 1);
        let (snapshot, mut feed) = store.follow();
        assert_eq!((snapshot.revision(), feed.after()), (1, 1));
        put(&store, 2);
        write(&store, |tx| Ok::<_, Infallible>(tx.delete::<Vm>(VmId(1)))).unwrap();
        let item = feed.try_next().unwrap().unwrap();
        assert_eq!((item.revision, item.changes[0].object), (2, ObjectRef { kind: Vm::KIND, id: 2 }));
        let item = feed.try_next().unwrap().unwrap();
        assert_eq!((item.revision, item.changes[0].verb), (3, ChangeVerb::Deleted));
        assert_eq!(feed.try_next(), Ok(None));
        let revisions: Vec<u64> = store.changes_after(1).unwrap().into_iter().map(|(r, _)| r).collect();
        assert_eq!(revisions, [2, 3]);
        assert_eq!(store.changes_after(4), None, "a revision that has not been");
        drop(store);
        assert_eq!(feed.try_next(), Err(Missed::Closed));
        let store = ground.store(mode);
        assert_eq!(store.changes_after(2), None, "history is not kept over a restart");
        assert_eq!(store.changes_after(3), Some(vec![]));
    });
}

fn put(store: &Store, id: u32) {
    write(store, move |tx| Ok::<_, Infallible>(tx.put(sample::vm(id)))).unwrap();
}

#[test]
fn audit_lines_are_cold_numbered_and_cut_back() {
    on_each(|ground, mode| {
        let store = ground.store(mode);
        for action in ["a", "b", "c"] {
            write(&store, move |tx| Ok::<_, Infallible>(tx.audit(line(action)))).unwrap();
        }
        let actions = |lines: Vec<(u64, AuditLine)>| lines.into_iter().map(|(_, l)| l.action).collect::<String>();
        assert_eq!(actions(store.audit_lines(None, 2).unwrap()), "cb");
        assert_eq!(actions(store.audit_lines(Some(3), 10).unwrap()), "ba");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(store.compact(1)).unwrap();
        assert_eq!(actions(store.audit_lines(None, 10).unwrap()), "c");
        drop(store);
        let store = ground.store(mode);
        assert_eq!(store.audit_lines(None, 10).unwrap()[0].0, 3);
        put(&store, 1);
    });
}

#[test]
fn documents_that_are_too_large_are_refused_and_name_the_object() {
    on_each(|ground, mode| {
        let store = ground.store(mode);
        let mut vm = sample::vm(8);
        vm.spec.context.user_data = Some("x".repeat(300_000));
        let refused = write(&store, move |tx| Ok::<_, Infallible>(tx.put(vm)));
        let Err(WriteError::Store(error @ StoreError::TooLarge { .. })) = refused else { panic!("{refused:?}") };
        assert!(error.to_string().starts_with("vm 8 would take 30"), "{error}");
        assert_eq!(store.read().count::<Vm>(), 0);
        put(&store, 1);
    });
}

#[test]
fn a_batch_that_does_not_follow_on_is_refused() {
    on_each(|ground, _| {
        let mut journal = ground.journal();
        journal.load(CLOUD, &mut |_| Ok(())).unwrap();
        let batch = |revision| Batch { revision, ..Batch::default() };
        journal.commit(&[batch(1), batch(2)]).unwrap();
        for wrong in [&[batch(2)][..], &[batch(1)], &[batch(4)], &[batch(3), batch(5)], &[batch(3), batch(3)]] {
            let error = journal.commit(wrong).expect_err("must be refused");
            assert!(matches!(error, JournalError::Order { at: 2, .. }), "{error}");
            assert_eq!(journal.revision().unwrap(), 2);
        }
        journal.commit(&[batch(3)]).unwrap();
        assert_eq!(journal.revision().unwrap(), 3);
    });
}

#[test]
fn transactions_within_transactions_are_refused() {
    on_each(|ground, mode| {
        let store = ground.store(mode);
        let inner = store.clone();
        let answer = write(&store, move |_| {
            Ok::<_, Infallible>(inner.write(|tx| Ok::<_, Infallible>(tx.put(sample::vm(1)))).now())
        });
        assert_eq!(answer, Ok(Err(WriteError::Store(StoreError::Reentrant))));
    });
}

#[test]
fn many_writers_share_commits_and_each_is_told_the_truth() {
    for ground in [&Memory(MemoryJournal::new()) as &dyn Ground, &Sqlite(tempfile::tempdir().unwrap())] {
        let store = ground.store(Mode::Thread);
        let refused = Arc::new(AtomicU32::new(0));
        std::thread::scope(|scope| {
            for writer in 0..16 {
                let (store, refused) = (store.clone(), refused.clone());
                scope.spawn(move || {
                    for at in 0..50 {
                        let id = writer * 50 + at;
                        let answer = write(&store, move |tx| {
                            tx.put(sample::vm(id));
                            tx.update::<Host>(HostId(0), |host| host.status.applied_revision += 1);
                            if id == 0 {
                                tx.put(sample::host(0))
                            }
                            if id % 7 == 3 { Err(()) } else { Ok(()) }
                        });
                        match answer {
                            Ok(()) => assert!(store.read().vm(VmId(id)).is_some(), "acknowledged is visible"),
                            Err(_) => {
                                assert_eq!(id % 7, 3);
                                assert!(store.read().vm(VmId(id)).is_none());
                                refused.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                });
            }
        });
        let expected = 800 - refused.load(Ordering::Relaxed) as usize;
        assert_eq!(store.read().count::<Vm>(), expected);
        assert_eq!(store.read().revision(), expected as u64);
        drop(store);
        assert_eq!(ground.store(Mode::Inline).read().count::<Vm>(), expected);
    }
}

#[test]
fn a_failing_commit_leaves_the_last_durable_state_and_passes() {
    for mode in [Mode::Inline, Mode::Thread] {
        let journal = MemoryJournal::new();
        let store = Memory(journal.clone()).store(mode);
        put(&store, 1);
        let mut feed = store.feed();
        journal.fail_next(2);
        for _ in 0..2 {
            let failed = write(&store, |tx| Ok::<_, Infallible>(tx.put(sample::vm(2))));
            assert!(matches!(failed, Err(WriteError::Store(StoreError::NotDurable(_)))), "{failed:?}");
            assert_eq!((store.read().revision(), store.read().count::<Vm>()), (1, 1));
        }
        assert_eq!(feed.try_next(), Ok(None), "nothing is announced that is not durable");
        put(&store, 3);
        assert_eq!((store.read().revision(), store.read().count::<Vm>()), (2, 2));
        assert_eq!(feed.try_next().unwrap().unwrap().revision, 2);
    }
}

#[test]
fn a_commit_whose_answer_was_lost_is_settled_before_the_next() {
    let journal = MemoryJournal::new();
    let store = Memory(journal.clone()).store(Mode::Inline);
    let mut feed = store.feed();
    journal.lose_next_answer();
    let lost = write(&store, |tx| Ok::<_, Infallible>(tx.put(sample::vm(1))));
    assert!(matches!(lost, Err(WriteError::Store(StoreError::Uncertain(_)))), "{lost:?}");
    assert_eq!(store.read().revision(), 0, "nothing is shown that is not known to be durable");
    let seen = write(&store, |tx| Ok::<_, Infallible>(tx.count::<Vm>())).unwrap();
    assert_eq!(seen, 1, "the closure ran on the state that was durable after all");
    assert_eq!(feed.try_next().unwrap().unwrap().revision, 1);
    put(&store, 2);
    drop(store);
    assert_eq!(Memory(journal).store(Mode::Inline).read().count::<Vm>(), 2);
}

#[test]
fn a_torn_commit_leaves_whole_batches_and_a_new_store_goes_on() {
    let journal = MemoryJournal::new();
    let store = Memory(journal.clone()).store(Mode::Inline);
    put(&store, 1);
    journal.tear_next(0);
    assert!(write(&store, |tx| Ok::<_, Infallible>(tx.put(sample::vm(2)))).is_err());
    assert!(write(&store, |tx| Ok::<_, Infallible>(tx.put(sample::vm(3)))).is_err(), "the machine is off");
    assert_eq!(store.read().count::<Vm>(), 1, "readers are still served");
    let next = Memory(journal.clone()).store(Mode::Inline);
    assert_eq!(next.read().revision(), 1);
    put(&next, 4);
    let deposed = write(&store, |tx| Ok::<_, Infallible>(tx.put(sample::vm(5))));
    assert!(deposed.is_err(), "the old store has been taken over");
    assert_eq!(Memory(journal).store(Mode::Inline).read().count::<Vm>(), 2);
}

#[test]
fn a_database_has_one_user_and_keeps_others_out() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("holm.db");
    let store = open(&path, Mode::Thread).unwrap();
    let error = open(&path, Mode::Inline).err().expect("is in use").to_string();
    assert!(error.contains("in use by another process") && error.contains("holm.db"), "{error}");
    put(&store, 1);
    drop(store);
    assert_eq!(open(&path, Mode::Inline).unwrap().read().count::<Vm>(), 1);
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "token digests are nobody else's business");
}

#[test]
fn foreign_damaged_and_newer_files_are_refused_in_words() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("holm.db");
    std::fs::write(&path, "this is not a database, but long enough to look at it twice ".repeat(20)).unwrap();
    let error = open(&path, Mode::Inline).err().expect("is no database").to_string();
    assert!(error.contains("is not a Holm database"), "{error}");

    std::fs::remove_file(&path).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE theirs (a)").unwrap();
    drop(other);
    let error = open(&path, Mode::Inline).err().expect("is another program's").to_string();
    assert!(error.contains("is not a Holm database"), "{error}");

    std::fs::remove_file(&path).unwrap();
    drop(open(&path, Mode::Inline).unwrap());
    let newer = rusqlite::Connection::open(&path).unwrap();
    newer.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(newer);
    let error = open(&path, Mode::Inline).err().expect("is newer").to_string();
    assert!(error.contains("has version 99") && error.contains("use a newer holmd"), "{error}");
}

#[test]
fn revisions_and_times_that_make_no_sense_do_not_panic() {
    let store = Memory(MemoryJournal::new()).store(Mode::Inline);
    write(&store, |tx| {
        tx.put(Vm { phase_since: Timestamp(i64::MIN), generation: u64::MAX, ..sample::vm(1) });
        Ok::<_, Infallible>(())
    })
    .unwrap();
    assert!(store.changes_after(u64::MAX).is_none());
    assert!(store.audit_lines(Some(u64::MAX), usize::MAX).unwrap().is_empty());
}
