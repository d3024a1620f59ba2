//! The words of expressions, and their text written anew.

use super::{ExpressionError, MAX_BYTES, MAX_DEPTH};

/// One word of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A letter, then letters, digits and underscores.
    Word(&'a str),
    /// What stands between double quotes.
    Quoted(&'a str),
    /// Digits, possibly with a point and more digits.
    Number(&'a str),
    /// Any other character.
    Sign(char),
    /// A double quote without its partner.
    Unclosed,
    /// The end of the text.
    End,
}

/// Reads an expression's text word by word; the current one is always at hand.
pub(super) struct Tokens<'a> {
    text: &'a str,
    /// Whether a minus directly before a digit belongs to the number.
    signed: bool,
    /// Where the word before the current one ended, bytes.
    before: usize,
    /// Where the current word begins and ends, bytes.
    start: usize,
    end: usize,
    current: Token<'a>,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a str, signed: bool) -> Result<Self, ExpressionError> {
        if text.len() > MAX_BYTES {
            return Err(ExpressionError {
                at: 1,
                says: format!("the text has {} bytes, at most {MAX_BYTES} are allowed", text.len()),
            });
        }
        let mut tokens = Self { text, signed, before: 0, start: 0, end: 0, current: Token::End };
        tokens.advance();
        Ok(tokens)
    }

    pub(super) fn current(&self) -> Token<'a> {
        self.current
    }

    /// Which character of the text the current word begins at, counted from 1.
    pub(super) fn at(&self) -> usize {
        self.text.get(..self.start).map_or(0, |before| before.chars().count()) + 1
    }

    /// Whether nothing stands between the current word and the one before it.
    pub(super) fn adjoins(&self) -> bool {
        self.start == self.before && self.start > 0 && self.current != Token::End
    }

    pub(super) fn advance(&mut self) {
        self.before = self.end;
        let rest = self.text.get(self.end..).unwrap_or("");
        let word = rest.trim_start();
        self.start = self.text.len() - word.len();
        let (token, length) = read(word, self.signed);
        self.current = token;
        self.end = self.start + length;
    }

    /// The error of a word that should have been something else.
    pub(super) fn unexpected(&self, expected: &str) -> ExpressionError {
        let found = match self.current {
            Token::Word(word) | Token::Number(word) => format!("`{}`", shortened(word, 40)),
            Token::Quoted(text) => format!("the text \"{}\"", shortened(text, 40)),
            Token::Sign(sign) => format!("`{}`", sign.escape_debug()),
            Token::Unclosed => "a double quote that is never closed".into(),
            Token::End => "the end".into(),
        };
        ExpressionError { at: self.at(), says: format!("found {found}, expected {expected}") }
    }

    /// The error of one parenthesis too many.
    pub(super) fn too_deep(&self) -> ExpressionError {
        ExpressionError { at: self.at(), says: format!("more than {MAX_DEPTH} parentheses are open here") }
    }

    /// The value of the number that is the current word.
    pub(super) fn number(&self, digits: &str) -> Result<f64, ExpressionError> {
        digits.parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(|| ExpressionError {
            at: self.at(),
            says: format!("the number {} is too large", shortened(digits, 40)),
        })
    }
}

/// The first word of a text that does not begin with a blank, and its length in bytes.
fn read(text: &str, signed: bool) -> (Token<'_>, usize) {
    let Some(first) = text.chars().next() else {
        return (Token::End, 0);
    };
    if first.is_ascii_alphabetic() {
        let length = run(text, |c| c.is_ascii_alphanumeric() || c == '_');
        return (Token::Word(&text[..length]), length);
    }
    if first == '"' {
        return match text[1..].split_once('"') {
            Some((quoted, _)) => (Token::Quoted(quoted), quoted.len() + 2),
            None => (Token::Unclosed, text.len()),
        };
    }
    let unsigned = if signed { text.strip_prefix('-').unwrap_or(text) } else { text };
    let digits = run(unsigned, |c| c.is_ascii_digit());
    if digits == 0 {
        return (Token::Sign(first), first.len_utf8());
    }
    let fraction = unsigned[digits..].strip_prefix('.').map_or(0, |rest| run(rest, |c| c.is_ascii_digit()));
    let point = usize::from(fraction > 0);
    let length = text.len() - unsigned.len() + digits + point + fraction;
    (Token::Number(&text[..length]), length)
}

/// The length of the run of such characters that the text begins with, bytes.
fn run(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// At most so many characters of a text, with dots where it was cut.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// An expression's text written anew: the same words with even spaces.
#[derive(Default)]
pub(super) struct Rewritten {
    text: String,
    /// Whether the next word follows without a space.
    glued: bool,
}

impl Rewritten {
    pub(super) fn add(&mut self, word: &str) {
        if !self.text.is_empty() && !self.glued && word != ")" {
            self.text.push(' ');
        }
        self.text.push_str(word);
        self.glued = false;
    }

    /// Adds a word that the next one sticks to.
    pub(super) fn add_glued(&mut self, word: &str) {
        self.add(word);
        self.glued = true;
    }

    pub(super) fn add_quoted(&mut self, text: &str) {
        self.add("\"");
        self.text.push_str(text);
        self.text.push('"');
    }

    /// Adds a variable, quoted only when its name needs it; answers where it begins, bytes.
    pub(super) fn add_variable(&mut self, name: &str) -> usize {
        let space = usize::from(!self.text.is_empty() && !self.glued);
        let start = self.text.len() + space;
        match read(name, false) {
            (Token::Word(word), _) if word == name => self.add(name),
            _ => self.add_quoted(name),
        }
        start
    }

    /// How long the text is up to here, bytes.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    pub(super) fn finish(self) -> String {
        self.text
    }
}
