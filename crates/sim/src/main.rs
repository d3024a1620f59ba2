//! Runs many seeds and prints those that go wrong.

use clap::Parser;
use holm_sim::{Outcome, Sabotage, Script, run};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Runs simulated clouds, one per seed, and prints the seeds that go wrong.
#[derive(Parser)]
#[command(name = "holm-sim", after_help = "Example: cargo run --release -p holm-sim -- --seeds 5000 --from 0")]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Steps with faults per run.
    #[arg(long, default_value_t = Script::default().steps)]
    steps: u32,
    /// Hosts per run.
    #[arg(long, default_value_t = Script::default().hosts)]
    hosts: u32,
    /// Undo a guard and see whether it is noticed.
    #[arg(long, value_enum, default_value_t = Sabotage::None)]
    sabotage: Sabotage,
    /// Print the whole trace of every seed that goes wrong, not only its end.
    #[arg(long)]
    trace: bool,
    /// Print the trace of every seed.
    #[arg(long)]
    all: bool,
    /// Seeds at a time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Ok(filter) = tracing_subscriber::EnvFilter::try_from_default_env() {
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
    let script = Script { hosts: arguments.hosts.max(1), steps: arguments.steps, sabotage: arguments.sabotage };
    let directory = tempfile::tempdir()?;
    let began = Instant::now();
    let (next, failed, accepted) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= arguments.seeds {
                        return;
                    }
                    match run(arguments.from + at, script, directory.path()) {
                        Ok(outcome) => {
                            accepted.fetch_add(outcome.accepted, Ordering::Relaxed);
                            let bad = !outcome.wrong.is_empty();
                            failed.fetch_add(u64::from(bad), Ordering::Relaxed);
                            if bad || arguments.all {
                                show(&outcome, arguments.trace || arguments.all);
                            }
                        }
                        Err(error) => {
                            failed.fetch_add(1, Ordering::Relaxed);
                            println!("seed {}: the simulation itself failed: {error:#}", arguments.from + at);
                        }
                    }
                }
            });
        }
    });
    let (failed, accepted) = (failed.into_inner(), accepted.into_inner());
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{} seeds from {} in {seconds:.1} s, {accepted} requests carried out, {failed} seeds went wrong",
        arguments.seeds, arguments.from
    );
    if failed > 0 {
        anyhow::bail!("{failed} of {} seeds went wrong", arguments.seeds)
    }
    Ok(())
}

fn show(outcome: &Outcome, whole: bool) {
    let skipped = if whole { 0 } else { outcome.trace.len().saturating_sub(30) };
    let mut text = format!("seed {} (digest {:016x}):\n", outcome.seed, outcome.digest);
    for line in outcome.trace.iter().skip(skipped) {
        text.push_str(&format!("    {line}\n"));
    }
    for wrong in &outcome.wrong {
        text.push_str(&format!("  WRONG: {wrong}\n"));
    }
    text.push_str(&format!("  settled {} s after the last fault\n", outcome.settled_after_s));
    print!("{text}");
}
