//! Databases of every released document version load and mean what they meant.

use super::*;
use holm_model::users::User;
use holm_model::{HostId, UserId};

/// The cloud every fixture holds.
pub fn fill(store: &Store) -> Result<(), WriteError<Infallible>> {
    store
        .write(|tx| {
            tx.put(sample::cluster(0));
            tx.put(sample::group(0));
            tx.put(sample::user(0));
            tx.put(sample::token(2, 0));
            tx.put(sample::join_token(1));
            tx.put(sample::network(0));
            tx.put(sample::image(0));
            tx.put(sample::host(1));
            tx.put(sample::vm(3));
            tx.put(sample::running_vm(7, 1));
            tx.put(sample::operation(4, 7, Some("a-key")));
            Ok(())
        })
        .now()?;
    // Ids move on and revisions differ, as in a cloud that has lived.
    store.write(|tx| Ok(tx.delete::<Vm>(VmId(3)))).now()?;
    store.write(|tx| Ok(tx.put(sample::vm(5)))).now()
}

#[test]
fn version_1_loads_and_means_the_same() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/version-1.db");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("holm.db");
    if std::env::var_os("HOLM_WRITE_FIXTURE").is_some() {
        let store = open(&path, Mode::Inline).unwrap();
        fill(&store).unwrap();
        drop(store);
        std::fs::copy(&path, &fixture).unwrap();
    }
    std::fs::copy(&fixture, &path).unwrap();
    let store = open(&path, Mode::Inline).unwrap();
    let state = store.read();

    let fresh = tempfile::tempdir().unwrap();
    let expected = open(&fresh.path().join("holm.db"), Mode::Inline).unwrap();
    fill(&expected).unwrap();
    assert_eq!(picture(&state), picture(&expected.read()));
    assert_eq!(state.revision(), 3);
    assert_eq!(state.next_vm_id(), VmId(8));
    assert_eq!(state.get::<User>(UserId(0)).unwrap().value, sample::user(0), "secrets are kept as they are");
    assert_eq!(state.host(HostId(1)), Some(&sample::host(1)));

    // It is not only read: the first change is written in today's form and read again.
    store.write(|tx| Ok::<_, Infallible>(tx.update::<Vm>(VmId(7), |vm| vm.generation = 2))).now().unwrap();
    drop(store);
    assert_eq!(open(&path, Mode::Inline).unwrap().read().vm(VmId(7)).unwrap().generation, 2);
}

#[test]
fn damaged_documents_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("holm.db");
    for (damage, says) in [
        ("UPDATE vm SET document = '{\"id\": 7}' WHERE id = 7", "Vm 7: missing field"),
        ("UPDATE vm SET document = '[' WHERE id = 7", "Vm 7: EOF"),
        ("UPDATE vm SET version = 9 WHERE id = 7", "Vm 7 has version 9"),
        ("UPDATE vm SET id = 6 WHERE id = 7", "the row of vm 6 holds 7"),
        ("UPDATE vm SET revision = 99 WHERE id = 7", "vm 7 has revision 99, the database only 3"),
        ("UPDATE meta SET cloud = 'nowhere'", "the cloud's identity is \"nowhere\""),
        ("INSERT INTO sequences VALUES ('dragon', 1)", "unknown noun \"dragon\""),
    ] {
        let store = open(&path, Mode::Inline).unwrap();
        fill(&store).unwrap();
        drop(store);
        rusqlite::Connection::open(&path).unwrap().execute_batch(damage).unwrap();
        let error = open(&path, Mode::Inline).err().expect(damage).to_string();
        assert!(error.contains(says), "{damage}: {error}");
        std::fs::remove_file(&path).unwrap();
    }
}
