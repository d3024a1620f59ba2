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
    all_well(0..40, Script { steps: 80, ..Script::default() });
}

#[test]
fn clouds_survive_second_quarter() {
    all_well(1000..1040, Script { steps: 80, ..Script::default() });
}

#[test]
fn clouds_survive_third_quarter() {
    all_well(2000..2040, Script { steps: 80, ..Script::default() });
}

#[test]
fn clouds_survive_fourth_quarter() {
    all_well(3000..3040, Script { steps: 80, ..Script::default() });
}

// Long enough for VMs that are moved more than once, with hosts that sleep through parts of it.
#[test]
fn long_lives_survive_first_half() {
    all_well([34, 92, 155, 181, 224, 516].into_iter().chain(5000..5015), Script::default());
}

#[test]
fn long_lives_survive_second_half() {
    all_well([605, 1768, 1823].into_iter().chain(6000..6015), Script::default());
}

#[test]
fn a_cloud_of_one_host_survives() {
    all_well(4000..4010, Script { hosts: 1, steps: 80, ..Script::default() });
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
fn is_noticed(sabotage: Sabotage, seeds: std::ops::Range<u64>) {
    is_noticed_in(Script { sabotage, ..Script::default() }, seeds);
}

fn is_noticed_in(script: Script, seeds: std::ops::Range<u64>) {
    assert!(
        seeds.clone().any(|seed| !one(seed, script).wrong.is_empty()),
        "{:?}: a guard is undone and no cloud of {seeds:?} shows it",
        script.sabotage
    );
}

#[test]
fn a_vm_that_arrives_without_its_hosts_word_is_noticed() {
    // One cloud in twenty moves a VM whose guest wrote something.
    is_noticed(Sabotage::ArrivesUnasked, 40..140);
}

#[test]
fn what_a_vm_left_behind_and_nobody_remembers_is_noticed() {
    is_noticed(Sabotage::ForgetsRemains, 0..20);
}

#[test]
fn an_agent_that_follows_old_plans_is_noticed() {
    is_noticed(Sabotage::OldPlans, 0..20);
}

#[test]
fn reports_of_a_link_that_is_gone_are_noticed() {
    is_noticed(Sabotage::LateReports, 0..20);
}

#[test]
fn placing_while_leaving_is_noticed() {
    is_noticed(Sabotage::PlacesWhileLeaving, 0..60);
}

#[test]
fn forgetting_without_asking_the_host_is_noticed() {
    is_noticed(Sabotage::ForgetsWithoutAsking, 0..10);
}

#[test]
fn a_journal_that_answers_before_it_writes_is_noticed() {
    is_noticed(Sabotage::ForgetfulJournal, 0..10);
}

#[test]
fn a_ledger_that_answers_before_it_writes_is_noticed() {
    is_noticed(Sabotage::ForgetfulLedger, 0..60);
}

#[test]
fn overbooking_is_noticed() {
    is_noticed(Sabotage::Overbooking, 0..10);
}

#[test]
fn carrying_a_request_out_twice_is_noticed() {
    is_noticed(Sabotage::ForgetsRequests, 0..40);
}

/// It takes a VM that leaves a host, comes back to it and leaves it again or is deleted, and a late word in between: rare
/// in short runs of many hosts, so these are long ones of two.
#[test]
fn a_late_word_about_an_earlier_stay_that_counts_is_noticed() {
    is_noticed_in(Script { hosts: 2, steps: 400, sabotage: Sabotage::AnyAbsence }, 0..20);
}

#[test]
fn a_late_word_about_an_earlier_stay_does_no_harm() {
    all_well(136..142, Script { sabotage: Sabotage::RepeatedAbsence, ..Script::default() });
}
