//! Requirements: whether an object will do.

use super::tokens::{Rewritten, Token, Tokens, shortened};
use super::wildcard::Pattern;
use super::{Datum, ExpressionError, Lookup, MAX_DEPTH};
use std::fmt::{self, Write as _};
use std::ops::Range;

/// What an object has to be, ready to be asked.
///
/// | written | holds when |
/// |---|---|
/// | `VAR = 5`, `!= 5`, `< 5`, `> 5` | the first value is a number and compares so |
/// | `VAR = "x86*"`, `VAR = kvm` | the first value matches the shell wildcards `*`, `?`, `[a-z]`, `\` |
/// | `VAR != "x86*"` | there is a value and the first one does not match |
/// | `VAR @> 5`, `VAR @> "a*"` | one of the values is equal or matches |
/// | `CURRENT_VMS = 5`, `!= 5` | one of the values, or none of them, is equal |
/// | `a & b`, <code>a &#124; b</code>, `!a`, `(a)` | and, or, not; parentheses group |
/// | nothing | always |
///
/// A variable is a bare word, or a path in double quotes such as `"HOST/VMS/ID"`. A variable that the object does not
/// have makes every comparison false, `!=` too; so does a number asked of a text that is none. `&` and `|` bind
/// equally and group from the left: `a | b & c` is `(a | b) & c`. `!` takes only what directly follows it.
///
/// Displayed, it is the same expression with even spaces, which reads as an equal requirement.
#[derive(Clone, Debug, PartialEq)]
pub struct Requirement {
    text: String,
    ops: Vec<Op>,
    comparisons: Vec<Comparison>,
    /// Whether it says no more than that all of its comparisons, each possibly negated, are to hold.
    conjunction: bool,
}

/// One step of asking. There is one truth value at any time, which the steps read and write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    /// The truth is that of this comparison.
    Compare(usize),
    /// The truth is turned round.
    Not,
    /// Goes on at this step when the truth is false: the right side of an "and" cannot change it.
    SkipIfFalse(usize),
    /// Goes on at this step when the truth is true: the right side of an "or" cannot change it.
    SkipIfTrue(usize),
}

#[derive(Clone, Debug, PartialEq)]
struct Comparison {
    variable: Box<str>,
    relation: Relation,
    against: Operand,
    /// Where it stands in the requirement's text.
    place: Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Equal,
    NotEqual,
    Less,
    Greater,
    /// One of the values is equal.
    Holds,
    /// None of the values is equal, which is also so when there are none.
    Lacks,
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Number(f64),
    Text(Pattern),
}

const COMPARISON: &str = "a comparison such as `FREE_CPU > 50`, `!` or `(`";
const RELATION: &str = "`=`, `!=`, `<`, `>` or `@>`";
const VALUE: &str = "a number, a word or a text in double quotes";

impl Requirement {
    /// Reads a requirement.
    ///
    /// # Errors
    /// When the text is none: where, what was found there and what was expected. Also when it is longer than
    /// [`MAX_BYTES`](super::MAX_BYTES) or nested deeper than [`MAX_DEPTH`].
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        Parser::new(text)?.parse()
    }

    /// Whether the object meets it.
    #[must_use]
    pub fn met(&self, of: &dyn Lookup) -> bool {
        let mut truth = true;
        let mut at = 0;
        while let Some(op) = self.ops.get(at) {
            at += 1;
            match *op {
                Op::Compare(which) => truth = self.comparisons.get(which).is_some_and(|c| c.holds(of)),
                Op::Not => truth = !truth,
                Op::SkipIfFalse(to) if !truth => at = to,
                Op::SkipIfTrue(to) if truth => at = to,
                Op::SkipIfFalse(_) | Op::SkipIfTrue(_) => {}
            }
        }
        truth
    }

    /// Why the object does not meet it, in words that continue the object's name; `None` when it does. When all
    /// comparisons would have to hold, the first that does not is named, with the value the object has.
    #[must_use]
    pub fn objection(&self, of: &dyn Lookup) -> Option<String> {
        if self.met(of) {
            return None;
        }
        let mut says = format!("does not meet the requirement `{}`", shortened(&self.text, 200));
        if let Some((comparison, negated)) = self.first_failing(of) {
            if self.comparisons.len() > 1 {
                let not = if negated { "!" } else { "" };
                let own = self.text.get(comparison.place.clone()).unwrap_or("");
                let _ = write!(says, ", for `{not}{}` is false", shortened(own, 100));
            }
            let _ = write!(says, ": {}", comparison.seen(of));
        }
        Some(says)
    }

    /// The variables it asks for, in order, each as often as it is asked for.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.comparisons.iter().map(|comparison| &*comparison.variable)
    }

    /// The first comparison of a conjunction that is not as wanted, and whether it is wanted to be false.
    fn first_failing(&self, of: &dyn Lookup) -> Option<(&Comparison, bool)> {
        if !self.conjunction {
            return None;
        }
        let mut steps = self.ops.iter().peekable();
        while let Some(op) = steps.next() {
            if let Op::Compare(which) = op {
                let comparison = self.comparisons.get(*which)?;
                let mut negated = false;
                while steps.next_if_eq(&&Op::Not).is_some() {
                    negated = !negated;
                }
                if comparison.holds(of) == negated {
                    return Some((comparison, negated));
                }
            }
        }
        None
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Comparison {
    fn holds(&self, of: &dyn Lookup) -> bool {
        match self.relation {
            Relation::Holds => self.any(of),
            Relation::Lacks => !self.any(of),
            _ => {
                let mut first = None;
                of.values(&self.variable, &mut |datum| {
                    first.get_or_insert_with(|| self.compare(datum));
                });
                first.unwrap_or(false)
            }
        }
    }

    fn any(&self, of: &dyn Lookup) -> bool {
        match &self.against {
            Operand::Number(number) => of.holds(&self.variable, *number),
            Operand::Text(pattern) => {
                let mut found = false;
                of.values(&self.variable, &mut |datum| found = found || matches(pattern, datum));
                found
            }
        }
    }

    fn compare(&self, datum: Datum<'_>) -> bool {
        match &self.against {
            Operand::Text(pattern) => matches(pattern, datum) == (self.relation == Relation::Equal),
            Operand::Number(wanted) => datum.number().is_some_and(|number| match self.relation {
                Relation::Less => number < *wanted,
                Relation::Greater => number > *wanted,
                Relation::NotEqual => number != *wanted,
                _ => number == *wanted,
            }),
        }
    }

    /// What the object has of the variable, in words.
    fn seen(&self, of: &dyn Lookup) -> String {
        let mut seen = String::new();
        let mut count = 0_usize;
        of.values(&self.variable, &mut |datum| {
            count += 1;
            match count {
                1 => seen = format!("{} is {}", self.variable, shortened(&datum.to_string(), 60)),
                2..=5 => {
                    let _ = write!(seen, ", {}", shortened(&datum.to_string(), 60));
                }
                6 => seen.push_str(" and more"),
                _ => {}
            }
        });
        if count == 0 {
            return format!("it has no {}", self.variable);
        }
        seen
    }
}

fn matches(pattern: &Pattern, datum: Datum<'_>) -> bool {
    match datum {
        Datum::Text(text) => pattern.matches(text),
        Datum::Number(number) => {
            // The longest number of this type has 20 characters, so it always has room.
            let mut digits = Digits { bytes: [0; 20], length: 0 };
            write!(digits, "{number}").is_ok() && pattern.matches(digits.text())
        }
    }
}

/// A number's decimal digits without the heap.
struct Digits {
    bytes: [u8; 20],
    length: usize,
}

impl Digits {
    fn text(&self) -> &str {
        self.bytes.get(..self.length).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or("")
    }
}

impl fmt::Write for Digits {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let end = self.length + more.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(more.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// What was begun and waits for a closing parenthesis.
struct Frame {
    /// Which character the parenthesis is, counted from 1.
    at: usize,
    negated: bool,
    pending: Option<usize>,
}

/// Reads from left to right without recursion: the grammar has one level, so all that has to be remembered is the
/// operator before the current operand, and that once per open parenthesis.
struct Parser<'a> {
    tokens: Tokens<'a>,
    text: Rewritten,
    ops: Vec<Op>,
    comparisons: Vec<Comparison>,
    frames: Vec<Frame>,
    /// Whether what comes next is to be turned round.
    negated: bool,
    /// The jump over the operand that comes next.
    pending: Option<usize>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Result<Self, ExpressionError> {
        Ok(Self {
            tokens: Tokens::new(text, true)?,
            text: Rewritten::default(),
            ops: Vec::new(),
            comparisons: Vec::new(),
            frames: Vec::new(),
            negated: false,
            pending: None,
        })
    }

    fn parse(mut self) -> Result<Requirement, ExpressionError> {
        if self.tokens.current() != Token::End {
            loop {
                self.operand()?;
                if !self.operator()? {
                    break;
                }
            }
        }
        let conjunction = self.ops.iter().all(|op| match op {
            Op::Compare(_) | Op::Not => true,
            Op::SkipIfTrue(_) => false,
            // Jumping to a "not" means that a whole group is turned round.
            Op::SkipIfFalse(to) => self.ops.get(*to) != Some(&Op::Not),
        });
        Ok(Requirement { text: self.text.finish(), ops: self.ops, comparisons: self.comparisons, conjunction })
    }

    /// Reads up to and with the next comparison.
    fn operand(&mut self) -> Result<(), ExpressionError> {
        loop {
            match self.tokens.current() {
                Token::Sign('!') => {
                    self.negated = !self.negated;
                    self.text.add_glued("!");
                }
                Token::Sign('(') => {
                    if self.frames.len() == MAX_DEPTH {
                        return Err(self.tokens.too_deep());
                    }
                    self.frames.push(Frame {
                        at: self.tokens.at(),
                        negated: std::mem::take(&mut self.negated),
                        pending: self.pending.take(),
                    });
                    self.text.add_glued("(");
                }
                Token::Word(variable) | Token::Quoted(variable) => {
                    let comparison = self.comparison(variable)?;
                    self.ops.push(Op::Compare(self.comparisons.len()));
                    self.comparisons.push(comparison);
                    self.close_operand();
                    return Ok(());
                }
                _ => return Err(self.tokens.unexpected(COMPARISON)),
            }
            self.tokens.advance();
        }
    }

    /// Reads closing parentheses and the operator after them; `false` at the end.
    fn operator(&mut self) -> Result<bool, ExpressionError> {
        loop {
            match self.tokens.current() {
                Token::Sign(')') if !self.frames.is_empty() => {
                    if let Some(frame) = self.frames.pop() {
                        (self.negated, self.pending) = (frame.negated, frame.pending);
                    }
                    self.text.add(")");
                    self.close_operand();
                    self.tokens.advance();
                }
                Token::Sign(sign @ ('&' | '|')) => {
                    self.pending = Some(self.ops.len());
                    // Where to is written when the right side has been read.
                    self.ops.push(if sign == '&' { Op::SkipIfFalse(0) } else { Op::SkipIfTrue(0) });
                    self.text.add(if sign == '&' { "&" } else { "|" });
                    self.tokens.advance();
                    return Ok(true);
                }
                Token::End if self.frames.is_empty() => return Ok(false),
                _ => {
                    let mut expected = match self.frames.last() {
                        Some(frame) => format!("`&`, `|` or the `)` that closes character {}", frame.at),
                        None => "`&`, `|` or the end".to_owned(),
                    };
                    if self.tokens.adjoins() {
                        expected.push_str(" (text of more than letters, digits and _ goes in double quotes)");
                    }
                    return Err(self.tokens.unexpected(&expected));
                }
            }
        }
    }

    /// An operand has been read: turns it round where asked, and lets the jump over it land behind it.
    fn close_operand(&mut self) {
        if std::mem::take(&mut self.negated) {
            self.ops.push(Op::Not);
        }
        let here = self.ops.len();
        if let Some(op) = self.pending.take().and_then(|at| self.ops.get_mut(at)) {
            match op {
                Op::SkipIfFalse(to) | Op::SkipIfTrue(to) => *to = here,
                Op::Compare(_) | Op::Not => {}
            }
        }
    }

    fn comparison(&mut self, variable: &str) -> Result<Comparison, ExpressionError> {
        let start = self.text.add_variable(variable);
        self.tokens.advance();
        let (written, mut relation) = self.relation()?;
        self.text.add(written);
        let against = match self.tokens.current() {
            Token::Number(digits) => {
                let number = self.tokens.number(digits)?;
                self.text.add(digits);
                Operand::Number(number)
            }
            _ if matches!(relation, Relation::Less | Relation::Greater) => {
                return Err(self.tokens.unexpected("a number"));
            }
            Token::Word(text) | Token::Quoted(text) => {
                self.text.add_quoted(text);
                Operand::Text(Pattern::new(text))
            }
            _ => return Err(self.tokens.unexpected(VALUE)),
        };
        self.tokens.advance();
        if variable == "CURRENT_VMS" {
            relation = match relation {
                Relation::Equal => Relation::Holds,
                Relation::NotEqual => Relation::Lacks,
                other => other,
            };
        }
        Ok(Comparison { variable: variable.into(), relation, against, place: start..self.text.len() })
    }

    /// Reads a relation of one or two signs.
    fn relation(&mut self) -> Result<(&'static str, Relation), ExpressionError> {
        let (written, relation, second) = match self.tokens.current() {
            Token::Sign('=') => ("=", Relation::Equal, None),
            Token::Sign('<') => ("<", Relation::Less, None),
            Token::Sign('>') => (">", Relation::Greater, None),
            Token::Sign('!') => ("!=", Relation::NotEqual, Some('=')),
            Token::Sign('@') => ("@>", Relation::Holds, Some('>')),
            _ => return Err(self.tokens.unexpected(RELATION)),
        };
        self.tokens.advance();
        if let Some(second) = second {
            if self.tokens.current() != Token::Sign(second) {
                return Err(self.tokens.unexpected(&format!("the `{second}` of `{written}`")));
            }
            self.tokens.advance();
        }
        Ok((written, relation))
    }
}
