//! Many clouds, from many seeds.

use holm_sim::{Outcome, Sabotage, Script, run};

fn one(seed: u64, script: Script) -> Outcome {
    let directory = tempfile::tempdir().expect("a temporary directory");
    run(seed, script, directory.path()).expect("the simulation can be set up")
}

/// Runs seeds and fails with everything that is needed to look into the first bad one.
fn all_well(seeds: impl Iterator<Item = u64>, script: Script) {
    let mut accepted = 0;
    for seed in seeds {
        let outcome = one(seed, script);
        assert!(
            outcome.wrong.is_empty(),
            "seed {seed} went wrong; run: cargo run -p holm-sim -- --seeds 1 --from {seed} --trace\n{}",
            outcome.wrong.join("\n")
        );
        accepted += outcome.accepted;
    }
    assert!(accepted > 0, "nothing was asked of any cloud");
}

// Four tests, so that they share the processors; thousands more: cargo run --release -p holm-sim -- --seeds 5000
#[test]
fn clouds_survive_first_quarter() {
    all_well(0..50, Script { steps: 80, ..Script::default() });
}

#[test]
fn clouds_survive_second_quarter() {
    all_well(1000..1050, Script { steps: 80, ..Script::default() });
}

#[test]
fn clouds_survive_third_quarter() {
    all_well(2000..2050, Script { steps: 80, ..Script::default() });
}

#[test]
fn clouds_survive_fourth_quarter() {
    all_well(3000..3050, Script { steps: 80, ..Script::default() });
}

#[test]
fn a_cloud_of_one_host_survives() {
    all_well(4000..4020, Script { hosts: 1, steps: 80, ..Script::default() });
}

#[test]
fn a_seed_is_the_same_run_every_time() {
    for seed in [3, 4, 5] {
        let (first, second) = (one(seed, Script::default()), one(seed, Script::default()));
        for (at, (a, b)) in first.trace.iter().zip(&second.trace).enumerate() {
            assert_eq!(a, b, "seed {seed}, line {at}");
        }
        assert_eq!(first.digest, second.digest);
        assert!(first.trace.len() > 100, "something happened");
    }
}

/// Without a guard some seed goes wrong. Each seed costs time, so they are tried in turn until one does.
fn is_noticed(sabotage: Sabotage, seeds: u64) {
    let script = Script { sabotage, ..Script::default() };
    assert!(
        (0..seeds).any(|seed| !one(seed, script).wrong.is_empty()),
        "{sabotage:?}: a guard is undone and none of {seeds} clouds shows it"
    );
}

#[test]
fn an_agent_that_follows_old_plans_is_noticed() {
    is_noticed(Sabotage::OldPlans, 20);
}

#[test]
fn reports_of_a_link_that_is_gone_are_noticed() {
    is_noticed(Sabotage::LateReports, 20);
}

#[test]
fn placing_while_leaving_is_noticed() {
    is_noticed(Sabotage::PlacesWhileLeaving, 60);
}

#[test]
fn forgetting_without_asking_the_host_is_noticed() {
    is_noticed(Sabotage::ForgetsWithoutAsking, 10);
}

#[test]
fn a_journal_that_answers_before_it_writes_is_noticed() {
    is_noticed(Sabotage::ForgetfulJournal, 10);
}

#[test]
fn a_ledger_that_answers_before_it_writes_is_noticed() {
    is_noticed(Sabotage::ForgetfulLedger, 60);
}

#[test]
fn overbooking_is_noticed() {
    is_noticed(Sabotage::Overbooking, 10);
}

#[test]
fn carrying_a_request_out_twice_is_noticed() {
    is_noticed(Sabotage::ForgetsRequests, 40);
}
