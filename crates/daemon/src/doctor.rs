//! The role `doctor`: what is wrong with this machine, in one line each, and how to mend it.

use crate::agent::linux_settings;
use crate::config::Config;
use holm_linux::doctor::{Check, Grade};

async fn checks(config: &Config) -> Vec<Check> {
    let mut checks = holm_linux::doctor::checks(&linux_settings(config)).await;
    checks.extend(crate::agent::audit(config).await);
    checks
}

fn print(check: &Check) {
    let mark = match check.grade {
        Grade::Ok => "  ok ",
        Grade::Warn => " warn",
        Grade::Fail => " FAIL",
    };
    let mend = check.mend.as_ref().map(|m| format!("; mend: {m}")).unwrap_or_default();
    eprintln!("{mark}  {}: {}{mend}", check.name, check.says);
}

/// Prints what is not well and gives the number of failures.
pub async fn print_problems(config: &Config) -> usize {
    let checks = checks(config).await;
    for check in checks.iter().filter(|c| c.grade != Grade::Ok) {
        print(check);
    }
    checks.iter().filter(|c| c.grade == Grade::Fail).count()
}

/// Prints the checks and whether the machine is fit to be a host.
pub async fn run(config: &Config, all: bool) -> bool {
    let checks = checks(config).await;
    for check in checks.iter().filter(|c| all || c.grade != Grade::Ok) {
        print(check);
    }
    let failures = checks.iter().filter(|c| c.grade == Grade::Fail).count();
    let warnings = checks.iter().filter(|c| c.grade == Grade::Warn).count();
    eprintln!("{} checks: {failures} failed, {warnings} warnings", checks.len());
    failures == 0
}
