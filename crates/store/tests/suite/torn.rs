//! Power cuts: whatever is left of the write-ahead log, the state is that of some batch, never part of one.

use super::*;
use std::collections::BTreeMap;

#[test]
fn a_log_cut_anywhere_gives_the_state_of_a_whole_batch() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("holm.db");
    let store = open(&path, Mode::Inline).unwrap();
    let mut pictures = BTreeMap::from([(0, picture(&store.read()))]);
    for id in 0..12 {
        if id % 5 == 4 {
            let doomed = id - 2;
            store
                .write(move |tx| {
                    tx.delete::<Vm>(VmId(doomed));
                    tx.delete::<holm_model::operations::Operation>(holm_model::OperationId(doomed));
                    Ok::<_, Infallible>(())
                })
                .now()
                .unwrap();
        } else {
            put_pair(&store, id).unwrap();
        }
        let state = store.read();
        pictures.insert(state.revision(), picture(&state));
    }
    // Copied while the store is open: closing it would empty the log.
    let (database, log) = (std::fs::read(&path).unwrap(), std::fs::read(directory.path().join("holm.db-wal")).unwrap());
    let last = store.read().revision();
    drop(store);

    // A header of 32 bytes, then frames of 24 + 4096: cuts at the edges of frames, beside them and within them.
    let frames = (log.len() - 32) / 4120;
    assert!(frames > 30, "{frames} frames are not enough to cut");
    let mut cuts = vec![0, 1, 31, 32];
    for frame in 0..=frames {
        let edge = 32 + frame * 4120;
        cuts.extend([edge - 1, edge, edge + 1, edge + 23, edge + 24, edge + 2000]);
    }
    let mut found = BTreeMap::new();
    for cut in cuts.into_iter().map(|cut| cut.min(log.len())) {
        let copy = tempfile::tempdir().unwrap();
        let path = copy.path().join("holm.db");
        std::fs::write(&path, &database).unwrap();
        std::fs::write(copy.path().join("holm.db-wal"), &log[..cut]).unwrap();
        let store = open(&path, Mode::Inline).unwrap_or_else(|e| panic!("cut at {cut}: {e}"));
        let state = store.read();
        assert!(is_whole(&state), "cut at {cut}: half a batch");
        let revision = state.revision();
        // The cloud's identity itself may be what was cut off; then this is a new, empty database of the same cloud.
        assert_eq!(Some(&picture(&state)), pictures.get(&revision), "cut at {cut} gives no state that ever was");
        found.insert(cut, revision);
        put_pair(&store, 1000).unwrap_or_else(|e| panic!("cut at {cut}: the store cannot go on: {e}"));
    }
    assert_eq!(found.values().next_back(), Some(&last), "the whole log gives everything");
    assert!(found.values().zip(found.values().skip(1)).all(|(a, b)| a <= b), "more log never means less state");
    let distinct: std::collections::BTreeSet<_> = found.values().collect();
    assert!(distinct.len() > 8, "the cuts fell between {} batches only", distinct.len());
}

#[test]
fn a_flipped_bit_in_the_log_gives_the_state_of_a_whole_batch() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("holm.db");
    let store = open(&path, Mode::Inline).unwrap();
    let mut pictures = BTreeMap::from([(0, picture(&store.read()))]);
    for id in 0..6 {
        put_pair(&store, id).unwrap();
        pictures.insert(store.read().revision(), picture(&store.read()));
    }
    let (database, log) = (std::fs::read(&path).unwrap(), std::fs::read(directory.path().join("holm.db-wal")).unwrap());
    drop(store);
    for at in (32..log.len()).step_by(1999) {
        let copy = tempfile::tempdir().unwrap();
        let path = copy.path().join("holm.db");
        let mut log = log.clone();
        log[at] ^= 0x10;
        std::fs::write(&path, &database).unwrap();
        std::fs::write(copy.path().join("holm.db-wal"), &log).unwrap();
        let store = open(&path, Mode::Inline).unwrap_or_else(|e| panic!("bit at {at}: {e}"));
        let state = store.read();
        assert_eq!(Some(&picture(&state)), pictures.get(&state.revision()), "bit at {at}");
    }
}
