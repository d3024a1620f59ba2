//! No room: callers are told, memory is what is durable, readers are served, and with room again writing goes on.

use super::*;
use holm_store::Journal;
use std::process::Command;

const CHILD: &str = "HOLM_STORE_TEST_FULL_DIRECTORY";

#[test]
fn a_full_database_refuses_changes_until_something_is_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("holm.db");
    let mut journal = SqliteJournal::open(&path).unwrap();
    journal.limit_pages(60).unwrap();
    assert_eq!(journal.load(CLOUD, &mut |_| Ok(())).unwrap().revision, 0);
    let store = Store::open(Box::new(journal), Mode::Thread, CLOUD).unwrap();
    let write = |id: u32| store.write(move |tx| Ok::<_, Infallible>(tx.put(sample::vm(id)))).wait();
    let mut stored = 0;
    let error = loop {
        match write(stored) {
            Ok(()) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 1000, "the bound has no effect");
    };
    assert!(error.to_string().contains("no room is left for the database"), "{error}");
    assert_eq!(store.read().count::<Vm>(), stored as usize);
    let doomed = stored / 2;
    let emptied = store.write(move |tx| {
        for id in 0..doomed {
            tx.delete::<Vm>(VmId(id));
        }
        Ok::<_, Infallible>(())
    });
    emptied.wait().unwrap();
    write(1000).unwrap();
    let before = picture(&store.read());
    drop(store);
    assert_eq!(picture(&open(&path, Mode::Inline).unwrap().read()), before);
}

/// Not a test of its own: a process whose files may not grow beyond a size, so that writing really fails.
#[test]
#[ignore = "run by the test below as a process of its own"]
fn child_whose_writes_fail() {
    use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
    let Some(directory) = std::env::var_os(CHILD) else { return };
    let path = Path::new(&directory).join("holm.db");
    let store = open(&path, Mode::Thread).unwrap();
    let write = |id: u32| store.write(move |tx| Ok::<_, Infallible>(tx.put(sample::vm(id)))).wait();
    write(0).unwrap();
    let log = std::fs::metadata(path.with_extension("db-wal")).unwrap().len();
    setrlimit(Resource::RLIMIT_FSIZE, log + 30_000, RLIM_INFINITY).unwrap();
    let mut stored = 1;
    let error = loop {
        match write(stored) {
            Ok(()) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 1000, "the limit has no effect");
    };
    assert!(matches!(error, WriteError::Store(StoreError::NotDurable(_))), "{error:?}");
    for id in 0..20 {
        assert!(write(2000 + id).is_err());
        assert_eq!(store.read().count::<Vm>(), stored as usize, "memory shows what is not durable");
    }
    setrlimit(Resource::RLIMIT_FSIZE, RLIM_INFINITY, RLIM_INFINITY).unwrap();
    write(3000).unwrap();
    let before = picture(&store.read());
    drop(store);
    assert_eq!(picture(&open(&path, Mode::Inline).unwrap().read()), before);
    println!("went on with {stored} vms");
}

#[test]
fn writes_that_fail_in_the_kernel_are_told_and_survived() {
    let directory = tempfile::tempdir().unwrap();
    // The shell makes the process ignore the signal that would else kill it at its limit.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "disk_full::child_whose_writes_fail", "--ignored", "--nocapture"])
        .env(CHILD, directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("went on with"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
