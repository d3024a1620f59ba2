//! `kill -9` in the middle of writing: what was acknowledged is there, and nothing is there by half.

use super::*;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

const CHILD: &str = "HOLM_STORE_TEST_DATABASE";

/// Not a test of its own: the process that is killed. Says on its output which transactions were acknowledged.
#[test]
#[ignore = "run by the test below as a process of its own"]
fn child_that_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let store = open(Path::new(&path), Mode::Thread).unwrap();
    // Every round goes on above the ids of the round before.
    let base = store.read().next_vm_id().0.next_multiple_of(8);
    std::thread::scope(|scope| {
        for writer in 0..8_u32 {
            let store = store.clone();
            scope.spawn(move || {
                for id in (base + writer..).step_by(8) {
                    let written = store.write(move |tx| {
                        tx.put(sample::vm(id));
                        tx.put(sample::operation(id, id, Some(&format!("key-{id}"))));
                        Ok::<_, Infallible>(())
                    });
                    written.wait().unwrap();
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "acknowledged {id}").and_then(|()| out.flush()).unwrap();
                }
            });
        }
    });
}

#[test]
fn a_killed_writer_loses_nothing_it_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("holm.db");
    let mut acknowledged = Vec::new();
    for round in 1..=5_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::child_that_writes_until_it_is_killed", "--ignored", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        // A different number each time, so that the kill falls on different steps of a commit.
        while seen < round * 3 + 1 {
            let Some(Ok(line)) = lines.next() else { break };
            let Some(id) = line.split_once("acknowledged ").and_then(|(_, id)| id.trim().parse::<u32>().ok()) else {
                continue;
            };
            acknowledged.push(id);
            seen += 1;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it had said before it died counts as well.
        for line in lines.map_while(Result::ok) {
            acknowledged.extend(line.strip_prefix("acknowledged ").and_then(|id| id.parse::<u32>().ok()));
        }
        let store = open(&path, Mode::Inline).unwrap();
        let state = store.read();
        assert!(seen > 0, "the child wrote nothing in round {round}");
        assert!(is_whole(&state), "half a transaction after round {round}");
        for id in &acknowledged {
            assert!(state.vm(VmId(*id)).is_some(), "vm {id} was acknowledged and is lost after round {round}");
        }
    }
}
