//! The user's terminal: raw mode that is always given back, and what may be shown of a log.

use crate::errors::{Error, Result};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use std::os::fd::{AsFd, OwnedFd};

/// A terminal in raw mode; dropping it restores what was, so every way out does: returning, an error, a panic.
///
/// Signals are turned into returning by whoever holds this. Raw mode itself sends none: Ctrl-C is a byte.
pub struct RawMode {
    terminal: OwnedFd,
    before: Termios,
}

impl RawMode {
    /// Puts the terminal into raw mode.
    ///
    /// # Errors
    /// When it is none.
    pub fn enter(terminal: impl AsFd) -> Result<Self> {
        let refuse = |error: std::io::Error| Error::io("take over the terminal", &error);
        let terminal = terminal.as_fd().try_clone_to_owned().map_err(refuse)?;
        let before = tcgetattr(&terminal).map_err(|e| refuse(e.into()))?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(&terminal, SetArg::TCSADRAIN, &raw).map_err(|e| refuse(e.into()))?;
        Ok(Self { terminal, before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // When the terminal is gone there is nothing to restore.
        let _ = tcsetattr(&self.terminal, SetArg::TCSADRAIN, &self.before);
    }
}

/// Passes on of a console log what is safe on a terminal: text, line ends, tabs and, where wanted, colors. Everything
/// else that would act on the terminal (moving the cursor, titles, queries that type an answer) is left out.
pub struct LogFilter {
    colors: bool,
    pending: Vec<u8>,
    state: FilterState,
    sequence: String,
    after_return: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FilterState {
    Text,
    Escape,
    /// Between ESC [ and its final character.
    Control,
    /// A string up to BEL or ST: titles, links, clipboard.
    Text7,
    /// An ESC inside such a string, perhaps its end.
    Text7Escape,
    /// One more character belongs to the sequence: choosing a character set.
    OneMore,
}

/// A control sequence longer than this is none.
const SEQUENCE_LIMIT: usize = 64;

impl LogFilter {
    /// A filter at the begin of a log.
    #[must_use]
    pub fn new(colors: bool) -> Self {
        Self { colors, pending: vec![], state: FilterState::Text, sequence: String::new(), after_return: false }
    }

    /// What of these bytes may be shown; bytes that are no UTF-8 become replacement characters.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let mut shown = String::new();
        let pending = std::mem::take(&mut self.pending);
        for chunk in pending.utf8_chunks() {
            for c in chunk.valid().chars() {
                self.take(c, &mut shown);
            }
            let broken = chunk.invalid();
            // A character cut by the end of the bytes may be completed by the next ones.
            let cut = pending.ends_with(broken) && std::str::from_utf8(broken).is_err_and(|e| e.error_len().is_none());
            if !broken.is_empty() {
                if cut && std::ptr::eq(broken.as_ptr_range().end, pending.as_ptr_range().end) {
                    self.pending = broken.to_vec();
                } else {
                    self.take(char::REPLACEMENT_CHARACTER, &mut shown);
                }
            }
        }
        shown
    }

    fn take(&mut self, c: char, shown: &mut String) {
        match self.state {
            FilterState::Text => self.text(c, shown),
            FilterState::Escape => {
                self.state = match c {
                    '[' => FilterState::Control,
                    ']' | 'P' | 'X' | '^' | '_' => FilterState::Text7,
                    '(' | ')' | '*' | '+' | '-' | '.' | '/' | '#' | '%' | ' ' => FilterState::OneMore,
                    '\u{1b}' => FilterState::Escape,
                    _ => FilterState::Text,
                };
                self.sequence.clear();
            }
            FilterState::OneMore => self.state = FilterState::Text,
            FilterState::Control => match c {
                '\u{40}'..='\u{7e}' => {
                    if c == 'm' && self.colors && self.sequence.chars().all(|c| c.is_ascii_digit() || c == ';') {
                        *shown += &format!("\u{1b}[{}m", self.sequence);
                    }
                    self.state = FilterState::Text;
                }
                '\u{1b}' => self.state = FilterState::Escape,
                '\u{20}'..='\u{3f}' if self.sequence.len() < SEQUENCE_LIMIT => self.sequence.push(c),
                _ => {
                    self.state = FilterState::Text;
                    self.text(c, shown);
                }
            },
            FilterState::Text7 => match c {
                '\u{7}' | '\u{9c}' => self.state = FilterState::Text,
                '\u{1b}' => self.state = FilterState::Text7Escape,
                // A string that never ends would hide the rest of the log.
                '\n' => {
                    self.state = FilterState::Text;
                    self.text(c, shown);
                }
                _ => {}
            },
            FilterState::Text7Escape => {
                self.state = if c == '\\' { FilterState::Text } else { FilterState::Escape };
                if c != '\\' {
                    self.take(c, shown);
                }
            }
        }
    }

    fn text(&mut self, c: char, shown: &mut String) {
        // A lone carriage return would write over the line: it begins a new one.
        let returned = std::mem::replace(&mut self.after_return, c == '\r');
        if returned && !matches!(c, '\n' | '\r') {
            shown.push('\n');
        }
        match c {
            '\u{1b}' => self.state = FilterState::Escape,
            '\u{9b}' => {
                self.state = FilterState::Control;
                self.sequence.clear();
            }
            '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => self.state = FilterState::Text7,
            '\n' | '\t' => shown.push(c),
            c if c.is_control() => {}
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => {}
            c => shown.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str, colors: bool) -> String {
        LogFilter::new(colors).push(text.as_bytes())
    }

    #[test]
    fn what_acts_on_the_terminal_is_left_out() {
        for (log, shown) in [
            ("Linux 6.1\r\nlogin: ", "Linux 6.1\nlogin: "),
            ("\u{1b}[2J\u{1b}[Hboot", "boot"),
            ("\u{1b}]0;title\u{7}a\u{1b}]52;c;cm0=\u{1b}\\b", "ab"),
            ("\u{1b}]52;c;never ends\nrest", "\nrest"),
            ("\u{1b}[6n\u{1b}[cx\u{9b}31mred", "xred"),
            ("\u{1b}(B\u{1b}=ok\u{1b}cdone", "okdone"),
            ("real\rfake", "real\nfake"),
            ("a\u{8}b\u{0}c\u{7f}\u{202e}d", "abcd"),
            ("\u{1b}\u{1b}[1mx", "x"),
            ("\u{1b}P1$r\u{1b}[31mstill\u{1b}\\end", "stillend"),
        ] {
            assert_eq!(filter(log, false), shown, "{log:?}");
        }
        assert_eq!(filter("\u{1b}[1;31mred\u{1b}[0m\u{1b}[?25l\u{1b}[>1m.", true), "\u{1b}[1;31mred\u{1b}[0m.");
    }

    #[test]
    fn the_filter_does_not_care_how_bytes_are_cut() {
        let log = "Grüße\r\n\u{1b}[31m世界\u{1b}]0;x\u{1b}\\!\r\u{1b}[2Jend".as_bytes();
        let whole = LogFilter::new(true).push(log);
        for size in 1..log.len() {
            let mut filter = LogFilter::new(true);
            let cut: String = log.chunks(size).map(|bytes| filter.push(bytes)).collect();
            assert_eq!(cut, whole, "cut every {size} bytes");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_marked() {
        assert_eq!(LogFilter::new(false).push(b"a\xffb"), "a\u{fffd}b");
    }
}
