//! Ranks: how good an object is.

use super::tokens::{Rewritten, Token, Tokens};
use super::{ExpressionError, Lookup, MAX_DEPTH};
use std::fmt;

/// How good an object is, ready to be asked; more is better.
///
/// Numbers, variables (a bare word, or a path in double quotes), `+`, `-`, `*`, `/`, a minus before an operand, and
/// parentheses, with the usual precedence. It is worked out in floating point and cut to a whole number at the end. A
/// variable that the object does not have, or whose first value is no number, counts as 0; so does dividing by 0, and
/// so does the empty expression. What is beyond 64 bits becomes the greatest or least such number.
///
/// Displayed, it is the same expression with even spaces, which reads as an equal rank.
#[derive(Clone, Debug, PartialEq)]
pub struct Rank {
    text: String,
    ops: Vec<Op>,
}

/// One step, on a stack of numbers.
#[derive(Clone, Debug, PartialEq)]
enum Op {
    /// Puts a number on the stack.
    Number(f64),
    /// Puts a variable's value on the stack.
    Variable(Box<str>),
    /// Turns the top round.
    Negate,
    /// Takes two numbers, leaves one.
    Binary(Binary),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// Most numbers on the stack: per parenthesis a sum and a product may wait, and in the innermost a third number comes.
const HEIGHT: usize = 2 * MAX_DEPTH + 3;

const OPERAND: &str = "a number, a variable, `-` or `(`";

impl Rank {
    /// Reads a rank.
    ///
    /// # Errors
    /// When the text is none: where, what was found there and what was expected. Also when it is longer than
    /// [`MAX_BYTES`](super::MAX_BYTES) or nested deeper than [`MAX_DEPTH`].
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let parser = Parser {
            tokens: Tokens::new(text, false)?,
            text: Rewritten::default(),
            ops: Vec::new(),
            waiting: Vec::new(),
            depth: 0,
        };
        parser.parse()
    }

    /// How good the object is.
    #[must_use]
    pub fn of(&self, object: &dyn Lookup) -> i64 {
        let mut stack = [0.0_f64; HEIGHT];
        // How many numbers are on the stack. The parser sees to it that no step finds too few or too little room.
        let mut height = 0_usize;
        for op in &self.ops {
            match op {
                Op::Number(number) => {
                    stack[height] = *number;
                    height += 1;
                }
                Op::Variable(name) => {
                    stack[height] = value(object, name);
                    height += 1;
                }
                Op::Negate => stack[height - 1] = -stack[height - 1],
                Op::Binary(binary) => {
                    height -= 1;
                    stack[height - 1] = binary.of(stack[height - 1], stack[height]);
                }
            }
        }
        // A cast keeps to the bounds of the type and makes 0 of what is no number, such as infinity less infinity.
        stack[0] as i64
    }

    /// The variables it asks for, in order, each as often as it is asked for.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.ops.iter().filter_map(|op| if let Op::Variable(name) = op { Some(&**name) } else { None })
    }
}

impl fmt::Display for Rank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn value(object: &dyn Lookup, name: &str) -> f64 {
    let mut first = None;
    object.values(name, &mut |datum| {
        first.get_or_insert_with(|| datum.number().unwrap_or(0.0));
    });
    first.unwrap_or(0.0)
}

impl Binary {
    fn read(sign: char) -> Option<Self> {
        match sign {
            '+' => Some(Self::Add),
            '-' => Some(Self::Subtract),
            '*' => Some(Self::Multiply),
            '/' => Some(Self::Divide),
            _ => None,
        }
    }

    fn of(self, left: f64, right: f64) -> f64 {
        match self {
            Self::Add => left + right,
            Self::Subtract => left - right,
            Self::Multiply => left * right,
            Self::Divide if right == 0.0 => 0.0,
            Self::Divide => left / right,
        }
    }

    fn is_product(self) -> bool {
        matches!(self, Self::Multiply | Self::Divide)
    }
}

/// An operator whose right side has not been read to its end.
#[derive(Clone, Copy)]
enum Waiting {
    /// A parenthesis, and which character it is.
    Open(usize),
    Negate,
    Binary(Binary),
}

/// Reads from left to right without recursion; operators wait until what follows binds less tightly.
struct Parser<'a> {
    tokens: Tokens<'a>,
    text: Rewritten,
    ops: Vec<Op>,
    waiting: Vec<Waiting>,
    depth: usize,
}

impl Parser<'_> {
    fn parse(mut self) -> Result<Rank, ExpressionError> {
        if self.tokens.current() != Token::End {
            loop {
                self.operand()?;
                if !self.operator()? {
                    break;
                }
            }
        }
        Ok(Rank { text: self.text.finish(), ops: self.ops })
    }

    fn operand(&mut self) -> Result<(), ExpressionError> {
        loop {
            match self.tokens.current() {
                Token::Sign('-') => {
                    self.waiting.push(Waiting::Negate);
                    self.text.add_glued("-");
                }
                Token::Sign('(') => {
                    if self.depth == MAX_DEPTH {
                        return Err(self.tokens.too_deep());
                    }
                    self.depth += 1;
                    self.waiting.push(Waiting::Open(self.tokens.at()));
                    self.text.add_glued("(");
                }
                Token::Number(digits) => {
                    self.ops.push(Op::Number(self.tokens.number(digits)?));
                    self.text.add(digits);
                    self.tokens.advance();
                    return Ok(());
                }
                Token::Word(name) | Token::Quoted(name) => {
                    self.ops.push(Op::Variable(name.into()));
                    self.text.add_variable(name);
                    self.tokens.advance();
                    return Ok(());
                }
                _ => return Err(self.tokens.unexpected(OPERAND)),
            }
            self.tokens.advance();
        }
    }

    /// Reads closing parentheses and the operator after them; `false` at the end.
    fn operator(&mut self) -> Result<bool, ExpressionError> {
        loop {
            match self.tokens.current() {
                Token::Sign(')') if self.depth > 0 => {
                    self.settle(|_| true);
                    self.waiting.pop();
                    self.depth -= 1;
                    self.text.add(")");
                    self.tokens.advance();
                }
                Token::Sign(sign) if let Some(binary) = Binary::read(sign) => {
                    self.settle(|before| before.is_product() || !binary.is_product());
                    self.waiting.push(Waiting::Binary(binary));
                    self.text.add(sign.encode_utf8(&mut [0; 4]));
                    self.tokens.advance();
                    return Ok(true);
                }
                Token::End if self.depth == 0 => {
                    self.settle(|_| true);
                    return Ok(false);
                }
                _ => {
                    let open = self.waiting.iter().rev().find_map(|waiting| match waiting {
                        Waiting::Open(at) => Some(*at),
                        _ => None,
                    });
                    return Err(self.tokens.unexpected(&match open {
                        Some(at) => format!("`+`, `-`, `*`, `/` or the `)` that closes character {at}"),
                        None => "`+`, `-`, `*`, `/` or the end".to_owned(),
                    }));
                }
            }
        }
    }

    /// Writes out the waiting operators back to the last open parenthesis, as long as they come `first`; a minus before
    /// an operand always does.
    fn settle(&mut self, first: impl Fn(Binary) -> bool) {
        while let Some(waiting) = self.waiting.last() {
            let op = match *waiting {
                Waiting::Negate => Op::Negate,
                Waiting::Binary(binary) if first(binary) => Op::Binary(binary),
                Waiting::Open(_) | Waiting::Binary(_) => return,
            };
            self.ops.push(op);
            self.waiting.pop();
        }
    }
}
