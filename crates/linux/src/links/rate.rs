//! How fast a port passes things on.
//!
//! What goes to a guest waits in a queue of its port until its turn comes. What comes from a guest cannot be made to wait
//! on the host: what is too much is dropped, by a rule among those of the port, and its sender slows down.

use crate::run::{self, RunError};
use holm_model::vms::Bandwidth;

/// The shortest burst, bytes. Packets of one flow come joined, up to 64 KiB, and one must fit in.
const SHORTEST: u64 = 128 << 10;
/// The longest burst, bytes, and how many seconds of the average it may be: what the kernel counts right.
const LONGEST: (u64, u64) = (256 << 20, 200);
/// How long a packet may wait for its turn, milliseconds.
const LONGEST_WAIT: u32 = 200;

/// The burst of a bandwidth, bytes: as wished, or what comes in 100 ms, for clocks of hosts tick no finer than 10.
fn burst(of: &Bandwidth) -> u64 {
    let wished = if of.burst == 0 { of.rate / 10 } else { of.burst.max(of.rate / 100) };
    wished.min(LONGEST.0).min(of.rate * LONGEST.1).max(SHORTEST)
}

/// The rules that drop what is too much of what comes from a guest.
pub fn drops(outbound: &Bandwidth) -> impl Iterator<Item = String> {
    let rule = |rate: u64, burst: u64| format!("limit rate over {rate} bytes/second burst {burst} bytes counter drop");
    let peak = (outbound.peak != 0).then(|| rule(outbound.peak, SHORTEST));
    peak.into_iter().chain([rule(outbound.rate, burst(outbound))])
}

/// The arguments of `tc` that have a port wait with what goes to its guest.
fn queue(port: &str, mtu: u32, inbound: &Bandwidth) -> Vec<String> {
    let mut words: Vec<String> =
        ["qdisc", "replace", "dev", port, "root", "handle", "1:", "tbf", "rate"].map(str::to_owned).into();
    words.push(format!("{}bps", inbound.rate));
    words.extend(["burst".to_owned(), burst(inbound).to_string()]);
    words.extend(["latency".to_owned(), format!("{LONGEST_WAIT}ms")]);
    // A peak that is no more than the average is none, and the kernel refuses it.
    if inbound.peak > inbound.rate {
        let least = (u64::from(mtu) * 2).max(inbound.peak / 100);
        words.extend(["peakrate".to_owned(), format!("{}bps", inbound.peak), "mtu".to_owned(), least.to_string()]);
    }
    words
}

/// Has a port pass on so much. Blocks.
pub fn limit(port: &str, mtu: u32, inbound: &Bandwidth) -> Result<(), RunError> {
    run::run(run::command("tc").args(queue(port, mtu, inbound))).map(drop)
}

/// Has a port pass on as much as comes. Blocks.
pub fn unlimit(port: &str) -> Result<(), RunError> {
    let there = run::run(run::command("tc").args(["qdisc", "show", "dev", port, "root"]))?;
    if there.contains(" tbf 1: ") {
        run::run(run::command("tc").args(["qdisc", "del", "dev", port, "root"]))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_are_long_enough_for_joined_packets_and_for_the_clock() {
        let of = |rate, peak, burst| Bandwidth { rate, peak, burst };
        assert_eq!(burst(&of(100_000, 0, 0)), SHORTEST);
        assert_eq!(burst(&of(100_000_000, 0, 0)), 10_000_000);
        assert_eq!(burst(&of(100_000_000, 0, 5_000_000)), 5_000_000);
        assert_eq!(burst(&of(100_000_000, 0, 1)), 1_000_000);
        assert_eq!(burst(&of(8_000_000_000, 0, 8_000_000_000)), 256 << 20);
        assert_eq!(burst(&of(2_000, 0, 8_000_000_000)), 400_000);
        let rules: Vec<String> = drops(&of(100_000, 200_000, 500_000)).collect();
        assert_eq!(
            rules,
            [
                "limit rate over 200000 bytes/second burst 131072 bytes counter drop",
                "limit rate over 100000 bytes/second burst 500000 bytes counter drop"
            ]
        );
        assert_eq!(
            queue("ht1-0", 1400, &of(100_000, 200_000, 500_000)).join(" "),
            "qdisc replace dev ht1-0 root handle 1: tbf rate 100000bps burst 500000 latency 200ms peakrate 200000bps \
             mtu 2800"
        );
        assert!(!queue("ht1-0", 1400, &of(100_000, 100_000, 0)).contains(&"peakrate".to_owned()));
    }
}
