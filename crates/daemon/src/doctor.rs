//! The role `doctor`: what is wrong with this machine, in one line each, and how to mend it.

use crate::agent::linux_settings;
use holm_config::Config;
use holm_linux::doctor::{Check, Grade};

/// Everything that is looked at; `taken` is how bad it is when the front-end cannot have its ports.
async fn checks(config: &Config, taken: Grade) -> Vec<Check> {
    let mut checks = holm_linux::doctor::checks(&linux_settings(config)).await;
    checks.extend(crate::ports::checks(config, taken));
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

/// Prints what keeps this machine from being front-end and host at once, and gives the number of failures.
pub async fn print_problems(config: &Config) -> usize {
    let checks = checks(config, Grade::Fail).await;
    for check in checks.iter().filter(|c| c.grade != Grade::Ok) {
        print(check);
    }
    checks.iter().filter(|c| c.grade == Grade::Fail).count()
}

/// Prints the checks and whether the machine is fit to be a host.
pub async fn run(config: &Config, all: bool) -> bool {
    // Where no front-end has ever run, a host needs no port of its own.
    let is_front = config.front.data_dir.join("holm.db").exists();
    let checks = checks(config, if is_front { Grade::Fail } else { Grade::Warn }).await;
    for check in checks.iter().filter(|c| all || c.grade != Grade::Ok) {
        print(check);
    }
    let failures = checks.iter().filter(|c| c.grade == Grade::Fail).count();
    let warnings = checks.iter().filter(|c| c.grade == Grade::Warn).count();
    eprintln!("{} checks: {failures} failed, {warnings} warnings", checks.len());
    failures == 0
}
