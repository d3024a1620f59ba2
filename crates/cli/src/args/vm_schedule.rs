//! Arguments of `holm vm schedule`.

use super::{One, WaitArgs};
use clap::{Args, Subcommand};
use holm_wire::v1::Repeat;
use std::time::Duration;

/// The actions that can be done later.
const ACTIONS: [&str; 24] = [
    "start",
    "stop",
    "poweroff",
    "reboot",
    "reboot-hard",
    "pause",
    "resume",
    "suspend",
    "suspend-away",
    "undeploy",
    "undeploy-hard",
    "hold",
    "release",
    "reschedule",
    "keep-host",
    "terminate",
    "terminate-hard",
    "delete",
    "snapshot",
    "snapshot-revert",
    "snapshot-delete",
    "disk-snapshot",
    "disk-snapshot-revert",
    "disk-snapshot-delete",
];

/// `holm vm schedule`.
#[derive(Debug, Subcommand)]
pub enum ScheduleCommand {
    /// List what is to be done with a VM later.
    #[command(visible_alias = "ls", after_help = "Examples:\n  holm vm schedule list web")]
    List(One),
    /// Have something done with a VM later, once or again and again.
    #[command(after_help = "Examples:
  holm vm schedule add web stop --at '2026-12-01 22:00'
  holm vm schedule add web snapshot --at '2026-12-01 03:00' --weekly mon,thu
  holm vm schedule add web disk-snapshot --disk 0 --name nightly --at +1h --every 24h --times 30
  holm vm schedule add web terminate --after-start 30d

Times are UTC unless they say otherwise (2026-12-01T22:00:00+01:00); +2h means in two hours. The action
is done for the first time at the time given, whatever the days of its repetition are, and from then on
at that time of day on those days of the calendar of UTC.")]
    Add(ScheduleAdd),
    /// Change what is to be done later; what is not given stays.
    #[command(
        after_help = "Examples:\n  holm vm schedule change web 0 --at '2026-12-02 22:00'\n  holm vm schedule change web 0 --once"
    )]
    Change(ScheduleChange),
    /// Take something off a VM's schedule.
    #[command(visible_alias = "rm", after_help = "Examples:\n  holm vm schedule remove web 0")]
    Remove(ScheduleOne),
}

/// When and how often.
#[derive(Debug, Default, Args)]
pub struct Times {
    /// When, for the first time.
    #[arg(long, value_name = "TIME", value_parser = crate::fields::moment, conflicts_with = "after_start")]
    pub at: Option<String>,
    /// Instead: so long after the VM first ran.
    #[arg(long, value_name = "DURATION", value_parser = crate::fields::duration)]
    pub after_start: Option<Duration>,
    /// Again on these days of the week, such as mon,thu.
    #[arg(long, value_name = "DAYS", value_delimiter = ',', conflicts_with_all = ["monthly", "yearly", "every"],
        value_parser = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], hide_possible_values = true)]
    pub weekly: Vec<String>,
    /// Again on these days of the month, such as 1,15.
    #[arg(long, value_name = "DAYS", value_delimiter = ',', conflicts_with_all = ["yearly", "every"],
        value_parser = clap::value_parser!(u16).range(1..=31))]
    pub monthly: Vec<u16>,
    /// Again on these days of the year, 1 to 366.
    #[arg(long, value_name = "DAYS", value_delimiter = ',', conflicts_with = "every",
        value_parser = clap::value_parser!(u16).range(1..=366))]
    pub yearly: Vec<u16>,
    /// Again every so many hours, such as 6h or 2d.
    #[arg(long, value_name = "DURATION", value_parser = crate::fields::hours)]
    pub every: Option<u32>,
    /// End the repetition after so many more times.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "until")]
    pub times: Option<u32>,
    /// End the repetition at this time.
    #[arg(long, value_name = "TIME", value_parser = crate::fields::moment)]
    pub until: Option<String>,
    /// Warn people so long before.
    #[arg(long, value_name = "DURATION", value_parser = crate::fields::duration)]
    pub warn: Option<Duration>,
}

impl Times {
    /// How it repeats, if it does.
    ///
    /// # Errors
    /// When an end is given for what does not repeat.
    pub fn repeat(&self) -> crate::errors::Result<Option<Repeat>> {
        let repeat = Repeat {
            weekly: self.weekly.clone(),
            monthly: self.monthly.clone(),
            yearly: self.yearly.clone(),
            every_hours: self.every,
            times: self.times,
            until: self.until.clone(),
        };
        let repeats = !repeat.weekly.is_empty()
            || !repeat.monthly.is_empty()
            || !repeat.yearly.is_empty()
            || self.every.is_some();
        if !repeats && (self.times.is_some() || self.until.is_some()) {
            return Err(crate::errors::Error::usage("--times and --until end a repetition, and there is none")
                .hint("Give --weekly, --monthly, --yearly or --every as well."));
        }
        Ok(repeats.then_some(repeat))
    }
}

/// What an action is about.
#[derive(Debug, Default, Args)]
pub struct About {
    /// The disk's number, for actions on a disk.
    #[arg(long, value_name = "NUMBER")]
    pub disk: Option<u32>,
    /// The snapshot's number, for actions on one that is there.
    #[arg(long, value_name = "NUMBER")]
    pub snapshot: Option<u32>,
    /// What to call the snapshot that is made.
    #[arg(long = "name", value_name = "TEXT")]
    pub called: Option<String>,
}

/// `holm vm schedule add`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("when").required(true).args(["at", "after_start"])))]
pub struct ScheduleAdd {
    /// The VM's name or id.
    #[arg(value_name = "VM")]
    pub vm: String,
    /// What to do.
    #[arg(value_parser = ACTIONS, hide_possible_values = false)]
    pub action: String,
    /// What it is about.
    #[command(flatten)]
    pub about: About,
    /// When and how often.
    #[command(flatten)]
    pub times: Times,
    /// Whether to stay until it is done.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// `holm vm schedule change`.
#[derive(Debug, Args)]
pub struct ScheduleChange {
    /// The VM's name or id.
    #[arg(value_name = "VM")]
    pub vm: String,
    /// The action's number.
    pub number: u32,
    /// What to do instead.
    #[arg(long, value_parser = ACTIONS, hide_possible_values = true)]
    pub action: Option<String>,
    /// What it is about.
    #[command(flatten)]
    pub about: About,
    /// When and how often.
    #[command(flatten)]
    pub times: Times,
    /// It no longer repeats.
    #[arg(long, conflicts_with_all = ["weekly", "monthly", "yearly", "every", "times", "until"])]
    pub once: bool,
    /// Whether to stay until it is done.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// One scheduled action.
#[derive(Debug, Args)]
pub struct ScheduleOne {
    /// The VM's name or id.
    #[arg(value_name = "VM")]
    pub vm: String,
    /// The action's number.
    pub number: u32,
    /// Whether to stay until it is done.
    #[command(flatten)]
    pub wait: WaitArgs,
}
