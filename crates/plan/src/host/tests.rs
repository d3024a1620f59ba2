use super::*;
use crate::sample::{NOW, host as sample_host};

const LEASE: Duration = Duration::from_secs(30);

/// Every phase and fact: with the link open the host gets ready, with it closed for the lease it is lost, and no step
/// leads to the phase it came from.
#[test]
fn every_pairing_has_a_way_out() {
    for phase in [HostPhase::Joining, HostPhase::Ready, HostPhase::Lost] {
        for connected in [true, false] {
            for silent_s in [0, 29, 30, 3000] {
                let mut host = sample_host(1);
                host.phase = phase;
                host.status.connected = connected;
                let mut now = NOW.plus(Duration::from_secs(silent_s));
                let mut steps = 0;
                loop {
                    match next(&host, now, LEASE) {
                        Verdict::Do(step) => {
                            apply(&mut host, step, now);
                            steps += 1;
                            assert!(steps < 3, "{phase:?} {connected} {silent_s}");
                        }
                        Verdict::Wait { until: Some(until), .. } => {
                            assert!(until > now);
                            now = until;
                        }
                        _ => break,
                    }
                }
                let wanted = match (connected, phase) {
                    (true, _) => HostPhase::Ready,
                    (false, HostPhase::Joining) => HostPhase::Joining,
                    (false, _) => HostPhase::Lost,
                };
                assert_eq!(host.phase, wanted, "{phase:?} {connected} {silent_s}");
                assert_eq!(host.trouble.is_some(), wanted == HostPhase::Lost && phase != HostPhase::Lost);
            }
        }
    }
}

#[test]
fn a_host_without_facts_is_not_ready() {
    let mut host = sample_host(1);
    host.phase = HostPhase::Joining;
    host.status.facts = None;
    assert!(matches!(next(&host, NOW, LEASE), Verdict::Wait { .. }));
}

#[test]
fn silence_of_an_offline_host_is_no_trouble_and_it_comes_back_when_it_is_enabled() {
    let mut host = sample_host(1);
    host.spec.schedulable = Schedulable::Offline;
    host.status.connected = false;
    let late = NOW.plus(LEASE * 1000);
    assert!(matches!(next(&host, late, LEASE), Verdict::Settled { .. }));
    host.phase = HostPhase::Lost;
    assert!(matches!(next(&host, late, LEASE), Verdict::Wait { until: None, .. }));
    host.status.connected = true;
    assert_eq!(next(&host, late, LEASE), Verdict::Do(Step::Ready));
    (host.phase, host.status.connected) = (HostPhase::Ready, false);
    host.spec.schedulable = Schedulable::Enabled;
    assert_eq!(next(&host, late, LEASE), Verdict::Do(Step::Lost));
}

#[test]
fn a_host_that_nobody_has_joined_as_waits_for_ever() {
    let mut host = sample_host(1);
    (host.phase, host.status.connected) = (HostPhase::Joining, false);
    host.certificate_sha256.clear();
    let Verdict::Wait { why, until: None } = next(&host, NOW.plus(LEASE * 1000), LEASE) else { panic!("it waits") };
    assert!(why.contains("No machine has joined"), "{why}");
}
