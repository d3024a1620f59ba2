//! Benchmarks: builds the programs as packages have them and runs the measuring programs, each of which prints JSON lines
//! `{"name":..., "value":..., "unit":..., "goal":...}`.

use crate::run::{self, cargo, command};
use anyhow::{Context as _, Result};
use std::fmt::Write as _;
use std::process::{Command, Stdio};

/// A measuring program.
struct Program {
    /// What it is chosen by.
    name: &'static str,
    package: &'static str,
    /// `example` or `bin`.
    kind: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
    /// Whether it runs guests, which needs packages and an image.
    guests: bool,
}

const PROGRAMS: &[Program] = &[
    Program {
        name: "bench_store",
        package: "holm-store",
        kind: "example",
        program: "bench_store",
        arguments: &[],
        guests: false,
    },
    Program {
        name: "bench_placement",
        package: "holm-engine",
        kind: "example",
        program: "bench_placement",
        arguments: &[],
        guests: false,
    },
    Program {
        name: "bench_blobs",
        package: "holm-blobs",
        kind: "example",
        program: "bench_blobs",
        arguments: &[],
        guests: false,
    },
    Program {
        name: "holm-bench",
        package: "holm-e2e",
        kind: "bin",
        program: "holm-bench",
        arguments: &[],
        guests: true,
    },
    // OpenNebula's interface.
    Program {
        name: "one",
        package: "holm-e2e",
        kind: "bin",
        program: "holm-bench",
        arguments: &["one"],
        guests: false,
    },
];

/// Runs the benchmarks whose name contains `filter`.
pub fn run(filter: Option<&str>, write: bool) -> Result<()> {
    let chosen: Vec<&Program> = PROGRAMS.iter().filter(|p| filter.is_none_or(|f| p.name.contains(f))).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = PROGRAMS.iter().map(|p| p.name).collect();
        anyhow::bail!("there is no such benchmark: there are {}", names.join(", "));
    }
    command(
        &cargo(),
        &["build", "--profile", "dist", "--locked", "--package", "holm-daemon", "--package", "holm-cli"],
    )?;
    let bin = run::target_dir().join("dist");
    let guest = run::target_dir().join("guest");
    if chosen.iter().any(|p| p.guests) {
        let holmd = bin.join("holmd").display().to_string();
        command(&holmd, &["setup", "--tests"])?;
        command(&holmd, &["image", "--out", &guest.display().to_string()])?;
    }
    let mut rows = vec![];
    for Program { package, kind, program: name, arguments: more, .. } in chosen {
        let flag = format!("--{kind}");
        let mut arguments = vec!["run", "--release", "--quiet", "--locked", "--package", package, &flag, name, "--"];
        arguments.extend(*more);
        eprintln!("> cargo {}", arguments.join(" "));
        let done = Command::new(cargo())
            .args(arguments)
            .env("HOLM_BIN_DIR", &bin)
            .env("HOLM_GUEST_DIR", &guest)
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("cannot run {name}"))?;
        anyhow::ensure!(done.status.success(), "{name} ended with {}", done.status);
        for line in String::from_utf8_lossy(&done.stdout).lines() {
            if let Ok(row) = serde_json::from_str::<serde_json::Value>(line) {
                for row in named(row, name) {
                    println!("{}", show(&row));
                    rows.push(row);
                }
            }
        }
    }
    if write {
        let page = page(&rows)?;
        std::fs::write("docs/benchmarks.md", page)?;
        eprintln!("wrote docs/benchmarks.md");
    }
    Ok(())
}

/// Rows as they are shown: a line without a name of its own becomes one row per number in it.
fn named(row: serde_json::Value, program: &str) -> Vec<serde_json::Value> {
    if row["name"].is_string() {
        return vec![row];
    }
    let what = row["bench"].as_str().unwrap_or(program).to_owned();
    let fields = row.as_object().cloned().unwrap_or_default();
    let stuck = if row["stuck_host"] == true { " with one stuck host" } else { "" };
    fields
        .into_iter()
        .filter(|(_, value)| value.is_number())
        .map(|(key, value)| serde_json::json!({"name": format!("{what}{stuck}: {key}"), "value": value}))
        .collect()
}

fn text(row: &serde_json::Value, field: &str) -> String {
    match &row[field] {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => String::new(),
        serde_json::Value::Number(number) => match number.as_f64() {
            Some(value) if value.fract() != 0.0 && value.abs() < 100.0 => format!("{value:.2}"),
            Some(value) => format!("{value:.0}"),
            None => number.to_string(),
        },
        other => other.to_string(),
    }
}

fn show(row: &serde_json::Value) -> String {
    format!(
        "{:<64} {:>12} {:<10} goal: {}",
        text(row, "name"),
        text(row, "value"),
        text(row, "unit"),
        text(row, "goal")
    )
}

fn page(rows: &[serde_json::Value]) -> Result<String> {
    let mut page = String::from(
        "# Benchmarks\n\nWritten by `cargo xtask bench --write`. Timings on shared machines are noisy: ratios and counts say more \
         than single times.\n\n",
    );
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu
        .lines()
        .find_map(|l| l.strip_prefix("model name"))
        .map_or("unknown", |m| m.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = run::output("uname", &["-sr"])?;
    writeln!(page, "Machine: {cores} cores of {cpu}, {}, no KVM (guests run under TCG).\n", kernel.trim())?;
    page.push_str("| what | measured | unit | goal |\n|---|---:|---|---|\n");
    for row in rows {
        writeln!(
            page,
            "| {} | {} | {} | {} |",
            text(row, "name"),
            text(row, "value"),
            text(row, "unit"),
            text(row, "goal")
        )?;
    }
    Ok(page)
}
