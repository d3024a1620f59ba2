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
