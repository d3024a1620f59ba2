//! What the command says: answers on standard output, remarks and errors on standard error.

use crate::args::{ColorWhen, Globals};
use crate::errors::{Error, Result};
use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Table, presets};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};

/// A column narrower than this is not broken into lines: single letters below each other cannot be read.
const NARROWEST: usize = 24;

/// How answers are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Columns for people.
    #[default]
    Table,
    /// The interface's own JSON.
    Json,
    /// The same as YAML.
    Yaml,
    /// The table's columns with plain values.
    Csv,
    /// Only names (ids for what has none), one a line.
    Name,
}

/// Names of objects by noun and id, so that tables can show names where answers hold ids.
#[derive(Debug, Default)]
pub struct Names(pub BTreeMap<(&'static str, u32), String>);

impl Names {
    /// The object's name, or its id where the name is not known.
    #[must_use]
    pub fn of(&self, noun: &'static str, id: u32) -> String {
        self.0.get(&(noun, id)).cloned().unwrap_or_else(|| id.to_string())
    }
}

/// One column of a table and of its CSV.
pub struct Column<T> {
    /// Its heading for people.
    pub title: &'static str,
    /// Its heading in CSV: the field's name in the interface.
    pub key: &'static str,
    /// What people read.
    pub text: fn(&T, &Names) -> String,
    /// What programs read.
    pub plain: fn(&T) -> String,
    /// Whether the words are states, which have colors.
    pub state: bool,
}

impl<T> Column<T> {
    /// A column of text that is no state.
    #[must_use]
    pub fn new(
        title: &'static str,
        key: &'static str,
        text: fn(&T, &Names) -> String,
        plain: fn(&T) -> String,
    ) -> Self {
        Self { title, key, text, plain, state: false }
    }

    /// A column of states.
    #[must_use]
    pub fn state(
        title: &'static str,
        key: &'static str,
        text: fn(&T, &Names) -> String,
        plain: fn(&T) -> String,
    ) -> Self {
        Self { title, key, text, plain, state: true }
    }
}

/// A column: `column!("TITLE", "key", |it| text)` where people and programs read the same, `column!("TITLE", "key", |it,
/// names| text, |it| plain)` where they do not, and `column!(state "TITLE", "key", |it| word)` for states.
macro_rules! column {
    (state $title:literal, $key:literal, $plain:expr) => {
        $crate::output::Column { state: true, ..column!($title, $key, $plain) }
    };
    ($title:literal, $key:literal, $plain:expr) => {
        column!(
            $title,
            $key,
            |it, _| {
                let plain: fn(&Self) -> String = $plain;
                plain(it)
            },
            $plain
        )
    };
    ($title:literal, $key:literal, $text:expr, $plain:expr) => {
        $crate::output::Column::<Self> { title: $title, key: $key, text: $text, plain: $plain, state: false }
    };
}
pub(crate) use column;

/// A piece of the description of one object.
pub enum Part {
    /// A label and what it stands for; skipped when empty.
    Line(&'static str, String),
    /// As `Line`, for a state.
    State(&'static str, String),
    /// A table below a heading; skipped when it has no rows.
    Table(&'static str, &'static [&'static str], Vec<Vec<String>>),
}

/// Where answers go.
pub struct Output {
    /// How they are written.
    pub format: Format,
    terminal: bool,
    color: bool,
}

impl Output {
    /// Standard output as the arguments want it.
    #[must_use]
    pub fn new(globals: &Globals) -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self { format: globals.output.unwrap_or_default(), terminal, color: wants_color(globals.color, terminal) }
    }

    /// Whether people read it.
    #[must_use]
    pub fn is_table(&self) -> bool {
        self.format == Format::Table
    }

    /// Whether standard output is a terminal.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Whether colors are wanted.
    #[must_use]
    pub fn has_color(&self) -> bool {
        self.color
    }

    /// Writes text as it is, apart from what could move a terminal's cursor.
    ///
    /// # Errors
    /// When nobody reads any more or the disk is full.
    pub fn text(&self, text: &str) -> Result {
        let shown = if self.terminal { visible_lines(text) } else { Cow::Borrowed(text) };
        self.bytes(shown.as_bytes())
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// When nobody reads any more or the disk is full.
    pub fn bytes(&self, bytes: &[u8]) -> Result {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|e| Error::stdout(&e))
    }

    /// Writes a value as JSON or YAML.
    ///
    /// # Errors
    /// When nobody reads any more or the disk is full.
    pub fn value(&self, value: &Value) -> Result {
        let text = if self.format == Format::Yaml {
            serde_yaml_ng::to_string(value).map_err(|e| Error::failed(format!("cannot write YAML: {e}")))?
        } else {
            serde_json::to_string_pretty(value).map_err(|e| Error::failed(format!("cannot write JSON: {e}")))? + "\n"
        };
        self.text(&text)
    }

    /// Writes rows as a table.
    ///
    /// # Errors
    /// When nobody reads any more or the disk is full.
    pub fn table<T>(&self, columns: &[Column<T>], rows: &[T], names: &Names) -> Result {
        let titles: Vec<&str> = columns.iter().map(|column| column.title).collect();
        let cells = rows.iter().map(|row| {
            columns.iter().map(|column| self.cell(&(column.text)(row, names), column.state)).collect::<Vec<_>>()
        });
        let text = self.layout(&titles, cells);
        self.bytes(text.as_bytes())
    }

    /// Writes rows as CSV with a heading.
    ///
    /// # Errors
    /// When nobody reads any more or the disk is full.
    pub fn csv<T>(&self, columns: &[Column<T>], rows: &[T], heading: bool) -> Result {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let refuse = |error: &dyn std::fmt::Display| Error::failed(format!("cannot write CSV: {error}"));
        if heading {
            writer.write_record(columns.iter().map(|column| column.key)).map_err(|e| refuse(&e))?;
        }
        for row in rows {
            writer.write_record(columns.iter().map(|column| (column.plain)(row))).map_err(|e| refuse(&e))?;
        }
        let bytes = writer.into_inner().map_err(|e| refuse(&e))?;
        self.text(&String::from_utf8_lossy(&bytes))
    }

    /// Writes the description of one object.
    ///
    /// # Errors
    /// When nobody reads any more or the disk is full.
    pub fn parts(&self, parts: &[Part]) -> Result {
        let width = parts
            .iter()
            .filter_map(|part| match part {
                Part::Line(label, _) | Part::State(label, _) => Some(label.chars().count()),
                Part::Table(..) => None,
            })
            .max()
            .unwrap_or_default();
        let mut text = String::new();
        for part in parts {
            match part {
                Part::Line(_, value) | Part::State(_, value) if value.is_empty() => {}
                Part::Line(label, value) => {
                    text += &format!("{label:width$}  {}\n", visible(value));
                }
                Part::State(label, value) => {
                    text += &format!("{label:width$}  {}\n", self.painted(value));
                }
                Part::Table(_, _, rows) if rows.is_empty() => {}
                Part::Table(heading, titles, rows) => {
                    let cells =
                        rows.iter().map(|row| row.iter().map(|cell| self.cell(cell, false)).collect::<Vec<_>>());
                    text += &format!("\n{heading}\n{}", self.layout(titles, cells));
                }
            }
        }
        self.bytes(text.as_bytes())
    }

    fn painted(&self, state: &str) -> String {
        let shown = visible(state);
        match (self.color, state_color(state)) {
            (true, Some(color)) => {
                let code = match color {
                    Color::Green => 32,
                    Color::Yellow => 33,
                    Color::Red => 31,
                    _ => 90,
                };
                format!("\u{1b}[{code}m{shown}\u{1b}[0m")
            }
            _ => shown.into_owned(),
        }
    }

    fn cell(&self, text: &str, state: bool) -> Cell {
        let cell = Cell::new(visible(text));
        match state.then(|| state_color(text)).flatten() {
            Some(color) if self.color => cell.fg(color),
            _ => cell,
        }
    }

    fn layout(&self, titles: &[&str], rows: impl Iterator<Item = Vec<Cell>>) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        let rows: Vec<Vec<Cell>> = rows.collect();
        // Only the last column, which holds sentences, is broken into lines, and only where there is room for words.
        let fixed: usize = (0..titles.len().saturating_sub(1))
            .map(|at| {
                let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.content().chars().count());
                cells.chain([titles[at].chars().count()]).max().unwrap_or_default() + 2
            })
            .sum();
        let room = table.width().map(usize::from).filter(|_| self.terminal);
        let wraps = room.is_some_and(|room| room >= fixed + NARROWEST);
        if wraps {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        } else {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
        if !self.terminal {
            table.force_no_tty();
        }
        if self.color {
            table.enforce_styling();
        }
        if !titles.is_empty() {
            table.set_header(titles.iter().map(|title| {
                let cell = Cell::new(title);
                if self.color { cell.add_attribute(Attribute::Bold) } else { cell }
            }));
        }
        table.add_rows(rows);
        let last = titles.len().saturating_sub(1);
        for (at, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if wraps && at < last {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        table.trim_fmt() + "\n"
    }
}

/// Where remarks and errors go.
#[derive(Clone)]
pub struct Remarks {
    quiet: bool,
    terminal: bool,
    color: bool,
}

impl Remarks {
    /// Standard error as the arguments want it.
    #[must_use]
    pub fn new(globals: &Globals) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { quiet: globals.quiet, terminal, color: wants_color(globals.color, terminal) }
    }

    /// Whether moving things (spinners, progress bars) may be drawn.
    #[must_use]
    pub fn is_lively(&self) -> bool {
        self.terminal && !self.quiet
    }

    /// Something worth knowing that is not the answer.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.line(&visible(text));
        }
    }

    /// Something that may be wrong.
    pub fn warning(&self, text: &str) {
        self.line(&format!("{}: {}", self.paint("33;1", "warning"), visible(text)));
    }

    /// Why the command failed, and what to do.
    pub fn error(&self, error: &Error) {
        let mut text = format!("{}: {}", self.paint("31;1", "error"), visible(&error.says));
        if let Some(field) = &error.field {
            text += &format!("\n{}: {}", self.paint("1", "field"), visible(field));
        }
        if let Some(hint) = &error.hint {
            text += &format!("\n{}: {}", self.paint("36;1", "hint"), visible(hint));
        }
        if let Some(id) = &error.request_id {
            text += &format!("\n{}: {}", self.paint("1", "request"), visible(id));
        }
        self.line(&text);
    }

    fn line(&self, text: &str) {
        // There is nobody left to tell when standard error is gone.
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

fn wants_color(when: ColorWhen, terminal: bool) -> bool {
    let forbidden = || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    match when {
        ColorWhen::Always => true,
        ColorWhen::Never => false,
        ColorWhen::Auto => terminal && !forbidden() && !dumb(),
    }
}

fn state_color(state: &str) -> Option<Color> {
    match state {
        "running" | "ready" | "done" | "yes" => Some(Color::Green),
        "pending" | "preparing" | "stopping" | "draining" | "awaiting" | "fetching" | "joining" | "deleting"
        | "removing" | "superseded" => Some(Color::Yellow),
        "failed" | "lost" | "unknown" | "no" => Some(Color::Red),
        "off" | "paused" | "saved" | "held" | "stopped" | "undeployed" | "disabled" => Some(Color::DarkGrey),
        _ => None,
    }
}

/// Text that shows what it holds instead of acting on the terminal: control characters and those that turn the
/// direction of writing become `\uXXXX`. JSON stays the same JSON.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    escape(text, acts)
}

/// As [`visible`], but lines stay lines and tabs stay tabs.
#[must_use]
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    escape(text, |c| acts(c) && c != '\n' && c != '\t')
}

fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn escape(text: &str, hide: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&hide) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' if hide(c) => shown.push_str("\\n"),
            c if hide(c) => shown += &format!("\\u{:04x}", u32::from(c)),
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// A number of bytes for people: `3.6 MiB`.
#[must_use]
pub fn show_bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // Two decimal places of the mantissa are plenty; the loss above 2^53 does not show.
    #[allow(clippy::cast_precision_loss, reason = "shown with one decimal place")]
    let mut amount = bytes as f64 / 1024.0;
    let mut unit = 0;
    while amount >= 1023.95 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    format!("{amount:.1} {}", UNITS[unit])
}

/// A size in MiB for people.
#[must_use]
pub fn show_mib(mib: u64) -> String {
    holm_model::units::show_mib(mib)
}

/// How long ago a time was: `5m`, `3h`, `12d`; the time itself when it is not understood.
#[must_use]
pub fn show_age(time: &str) -> String {
    match time.parse::<jiff::Timestamp>() {
        Ok(then) => {
            let seconds = jiff::Timestamp::now().as_second().saturating_sub(then.as_second()).max(0);
            match seconds {
                0..=119 => format!("{seconds}s"),
                120..=7199 => format!("{}m", seconds / 60),
                7200..=172_799 => format!("{}h", seconds / 3600),
                _ => format!("{}d", seconds / 86_400),
            }
        }
        Err(_) => time.to_owned(),
    }
}

/// A number without a needless `.0`.
#[must_use]
pub fn show_number(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_acts_on_the_terminal() {
        assert_eq!(visible("web"), "web");
        assert_eq!(visible("\u{1b}[2Jweb\u{9b}1m\u{7f}"), "\\u001b[2Jweb\\u009b1m\\u007f");
        assert_eq!(visible("a\nb\tc"), "a\\nb\\u0009c");
        assert_eq!(visible("gpj\u{202e}exe"), "gpj\\u202eexe");
        assert_eq!(visible_lines("a\nb\tc\r"), "a\nb\tc\\u000d");
        assert_eq!(visible("Grüße, 世界"), "Grüße, 世界");
    }

    #[test]
    fn escaping_leaves_json_the_same() {
        let value = serde_json::json!({"name": "a\u{9b}b\u{202e}c\u{1b}"});
        let shown = visible_lines(&serde_json::to_string_pretty(&value).expect("json")).into_owned();
        assert!(!shown.contains('\u{9b}'));
        assert_eq!(serde_json::from_str::<Value>(&shown).expect("still json"), value);
    }

    #[test]
    fn amounts() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_575, "1.0 MiB"),
            (3_774_873, "3.6 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(show_bytes(bytes), text);
        }
        assert_eq!(show_number(0.5), "0.5");
        assert_eq!(show_number(2.0), "2");
        assert_eq!(show_number(10.25), "10.25");
    }
}
