//! Which methods there are, and what Holm does about each: the coverage sheet.

mod names;

use crate::methods::{self, Method};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// How much clients need a method: `P1` is used by two or more families of clients, `P2` by one, `P3` rarely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "explained above")]
pub enum Priority {
    P1,
    P2,
    P3,
}

/// A method name of the interface.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) name: &'static str,
    pub(crate) priority: Priority,
    pub(crate) refused: Option<&'static str>,
}

/// What Holm does about a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// It is answered.
    Done,
    /// It is not answered yet.
    Planned,
    /// It will not be answered; the sentence says why.
    Refused(&'static str),
}

static RUNNERS: LazyLock<BTreeMap<&'static str, &'static Method>> =
    LazyLock::new(|| methods::all().map(|method| (method.name, method)).collect());

/// The method of this name, when it is answered.
pub(crate) fn runner(name: &str) -> Option<&'static Method> {
    RUNNERS.get(name).copied()
}

/// The known method of this name, answered or not.
pub(crate) fn known(name: &str) -> Option<&'static Known> {
    let at = names::NAMES.binary_search_by(|known| known.name.cmp(name)).ok()?;
    names::NAMES.get(at)
}

/// Every method of the interface in alphabetical order.
pub fn sheet() -> impl Iterator<Item = (&'static str, Priority, Coverage)> {
    names::NAMES.iter().map(|known| {
        let coverage = match known.refused {
            Some(why) => Coverage::Refused(why),
            None if RUNNERS.contains_key(known.name) => Coverage::Done,
            None => Coverage::Planned,
        };
        (known.name, known.priority, coverage)
    })
}

/// The sheet as the table of the documentation.
#[must_use]
pub fn markdown() -> String {
    use std::fmt::Write as _;
    let mut counts: BTreeMap<Priority, [usize; 3]> = BTreeMap::new();
    let mut table = String::new();
    for (name, priority, coverage) in sheet() {
        let (column, word) = match coverage {
            Coverage::Done => (0, "done".to_owned()),
            Coverage::Planned => (1, "planned".to_owned()),
            Coverage::Refused(why) => (2, format!("refused: {why}")),
        };
        counts.entry(priority).or_default()[column] += 1;
        // Writing into a string cannot fail.
        let _ = writeln!(table, "| `{name}` | {priority:?} | {word} |");
    }
    let mut text = String::from(
        "# OpenNebula's XML-RPC interface: what is answered\n\nGenerated from the registry in `crates/one`; \
         `P1` methods are used by two or more families of clients, `P2` by one, `P3` rarely.\n\n\
         | priority | done | planned | refused |\n|---|---|---|---|\n",
    );
    for (priority, [done, planned, refused]) in counts {
        let _ = writeln!(text, "| {priority:?} | {done} | {planned} | {refused} |");
    }
    text.push_str("\n| method | priority | coverage |\n|---|---|---|\n");
    text.push_str(&table);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interface_is_whole_and_every_runner_belongs_to_it() {
        assert_eq!(names::NAMES.len(), 307);
        assert!(names::NAMES.is_sorted_by(|a, b| a.name < b.name));
        for method in methods::all() {
            let known = known(method.name);
            assert!(known.is_some_and(|k| k.refused.is_none()), "{} is not in the interface", method.name);
        }
        assert_eq!(methods::all().count(), RUNNERS.len(), "a method has two runners");
    }

    #[test]
    fn the_sheet_in_the_documentation_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/opennebula-methods.md");
        let text = markdown();
        if std::env::var_os("HOLM_UPDATE").is_some() {
            std::fs::write(path, &text).expect("the sheet can be written");
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(kept == text, "write it anew: HOLM_UPDATE=1 cargo test -p holm-one sheet");
    }
}
