//! Expressions worked out the slow and obvious way, to compare with: recursion over a list of words, patterns by trying
//! every division of the text. Shares nothing with what it checks but the limits.

use holm_plan::expressions::{Datum, Lookup, MAX_BYTES, MAX_DEPTH};

/// One value of a variable.
#[derive(Clone, Debug)]
pub enum Value {
    Text(String),
    Number(i64),
}

/// Variables with their values.
#[derive(Clone, Debug, Default)]
pub struct Things(pub Vec<(String, Vec<Value>)>);

impl Lookup for Things {
    fn values(&self, name: &str, each: &mut dyn FnMut(Datum<'_>)) {
        for value in self.of(name) {
            each(match value {
                Value::Text(text) => Datum::Text(text),
                Value::Number(number) => Datum::Number(*number),
            });
        }
    }
}

impl Things {
    fn of(&self, name: &str) -> &[Value] {
        self.0.iter().find(|(own, _)| own == name).map_or(&[], |(_, values)| values)
    }
}

impl Value {
    fn number(&self) -> Option<f64> {
        match self {
            Self::Text(text) => text.trim().parse::<f64>().ok().filter(|n| !n.is_nan() && !n.is_infinite()),
            Self::Number(number) => Some(*number as f64),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Lexeme {
    Name(String),
    Quoted(String),
    Number(f64),
    Sign(char),
}

/// The words of a text; `None` when it has a quote too many, a number beyond bounds, or is too long or deep.
fn lexemes(text: &str, signed: bool) -> Option<Vec<Lexeme>> {
    let chars: Vec<char> = text.chars().collect();
    let digit = |at: usize| chars.get(at).is_some_and(char::is_ascii_digit);
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let start = at;
        let c = chars[at];
        at += 1;
        if c.is_whitespace() {
            continue;
        }
        if c.is_ascii_alphabetic() {
            while at < chars.len() && (chars[at].is_ascii_alphanumeric() || chars[at] == '_') {
                at += 1;
            }
            found.push(Lexeme::Name(chars[start..at].iter().collect()));
        } else if c == '"' {
            let length = chars[at..].iter().position(|c| *c == '"')?;
            found.push(Lexeme::Quoted(chars[at..at + length].iter().collect()));
            at += length + 1;
        } else if c.is_ascii_digit() || (signed && c == '-' && digit(at)) {
            while digit(at) {
                at += 1;
            }
            if chars.get(at) == Some(&'.') && digit(at + 1) {
                at += 1;
                while digit(at) {
                    at += 1;
                }
            }
            let number: f64 = chars[start..at].iter().collect::<String>().parse().ok()?;
            if number.is_infinite() {
                return None;
            }
            found.push(Lexeme::Number(number));
        } else {
            found.push(Lexeme::Sign(c));
        }
    }
    let mut depth = 0_usize;
    for lexeme in &found {
        match lexeme {
            Lexeme::Sign('(') => depth += 1,
            Lexeme::Sign(')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return None;
        }
    }
    (text.len() <= MAX_BYTES).then_some(found)
}

/// A list of words and how far it has been read.
struct Reader<'a> {
    lexemes: Vec<Lexeme>,
    at: usize,
    things: &'a Things,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<Lexeme> {
        self.at += 1;
        self.lexemes.get(self.at - 1).cloned()
    }

    fn eat(&mut self, sign: char) -> bool {
        let there = self.lexemes.get(self.at) == Some(&Lexeme::Sign(sign));
        self.at += usize::from(there);
        there
    }

    fn finished(&self) -> bool {
        self.at >= self.lexemes.len()
    }

    fn truths(&mut self) -> Option<bool> {
        let mut left = self.truth()?;
        loop {
            if self.eat('&') {
                let right = self.truth()?;
                left = left && right;
            } else if self.eat('|') {
                let right = self.truth()?;
                left = left || right;
            } else {
                return Some(left);
            }
        }
    }

    fn truth(&mut self) -> Option<bool> {
        if self.eat('!') {
            return Some(!self.truth()?);
        }
        if self.eat('(') {
            let inner = self.truths()?;
            return self.eat(')').then_some(inner);
        }
        let (Lexeme::Name(name) | Lexeme::Quoted(name)) = self.next()? else { return None };
        let relation = match self.next()? {
            Lexeme::Sign('!') if self.eat('=') => "!=",
            Lexeme::Sign('@') if self.eat('>') => "@>",
            Lexeme::Sign('=') => "=",
            Lexeme::Sign('<') => "<",
            Lexeme::Sign('>') => ">",
            _ => return None,
        };
        let against = self.next()?;
        let equal = |value: &Value| match &against {
            Lexeme::Number(wanted) => value.number() == Some(*wanted),
            Lexeme::Name(pattern) | Lexeme::Quoted(pattern) => wildcard(pattern, &value.text()),
            Lexeme::Sign(_) => false,
        };
        let is_number = matches!(against, Lexeme::Number(_));
        if matches!(against, Lexeme::Sign(_)) || (!is_number && (relation == "<" || relation == ">")) {
            return None;
        }
        let values = self.things.of(&name);
        if relation == "@>" || (name == "CURRENT_VMS" && relation == "=") {
            return Some(values.iter().any(equal));
        }
        if name == "CURRENT_VMS" && relation == "!=" {
            return Some(!values.iter().any(equal));
        }
        let Some(first) = values.first() else { return Some(false) };
        if is_number && first.number().is_none() {
            return Some(false);
        }
        let wanted = if let Lexeme::Number(wanted) = &against { *wanted } else { 0.0 };
        Some(match relation {
            "=" => equal(first),
            "!=" => !equal(first),
            "<" => first.number()? < wanted,
            _ => first.number()? > wanted,
        })
    }

    fn sum(&mut self) -> Option<f64> {
        let mut left = self.product()?;
        loop {
            if self.eat('+') {
                left += self.product()?;
            } else if self.eat('-') {
                left -= self.product()?;
            } else {
                return Some(left);
            }
        }
    }

    fn product(&mut self) -> Option<f64> {
        let mut left = self.factor()?;
        loop {
            if self.eat('*') {
                left *= self.factor()?;
            } else if self.eat('/') {
                let right = self.factor()?;
                left = if right == 0.0 { 0.0 } else { left / right };
            } else {
                return Some(left);
            }
        }
    }

    fn factor(&mut self) -> Option<f64> {
        if self.eat('-') {
            return Some(-self.factor()?);
        }
        if self.eat('(') {
            let inner = self.sum()?;
            return self.eat(')').then_some(inner);
        }
        match self.next()? {
            Lexeme::Number(number) => Some(number),
            Lexeme::Name(name) | Lexeme::Quoted(name) => {
                Some(self.things.of(&name).first().and_then(Value::number).unwrap_or(0.0))
            }
            Lexeme::Sign(_) => None,
        }
    }
}

/// Whether the requirement is met; `None` when the text is no requirement.
pub fn requirement(text: &str, things: &Things) -> Option<bool> {
    let mut reader = Reader { lexemes: lexemes(text, true)?, at: 0, things };
    if reader.finished() {
        return Some(true);
    }
    let truth = reader.truths()?;
    reader.finished().then_some(truth)
}

/// The rank; `None` when the text is no rank.
pub fn rank(text: &str, things: &Things) -> Option<i64> {
    let mut reader = Reader { lexemes: lexemes(text, false)?, at: 0, things };
    if reader.finished() {
        return Some(0);
    }
    let sum = reader.sum()?;
    reader.finished().then_some(sum as i64)
}

/// Whether the whole text matches the pattern. Takes time exponential in the number of stars.
pub fn wildcard(pattern: &str, text: &str) -> bool {
    let chars = |text: &str| text.chars().collect::<Vec<_>>();
    wild(&chars(pattern), &chars(text))
}

fn wild(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['*', rest @ ..] => (0..=text.len()).any(|taken| wild(rest, &text[taken..])),
        ['?', rest @ ..] => !text.is_empty() && wild(rest, &text[1..]),
        ['\\'] => false,
        ['\\', c, rest @ ..] => text.first() == Some(c) && wild(rest, &text[1..]),
        ['[', rest @ ..] => {
            let (negated, inside) = match rest {
                ['!' | '^', inside @ ..] => (true, inside),
                inside => (false, inside),
            };
            match bracket(inside) {
                Some((None, _)) => false,
                Some((Some(members), after)) => text
                    .first()
                    .is_some_and(|c| members.iter().any(|member| member.has(*c)) != negated && wild(after, &text[1..])),
                None => text.first() == Some(&'[') && wild(rest, &text[1..]),
            }
        }
        [c, rest @ ..] => text.first() == Some(c) && wild(rest, &text[1..]),
    }
}

enum Member {
    Range(char, char),
    Class(fn(&char) -> bool),
}

impl Member {
    fn has(&self, c: char) -> bool {
        match self {
            Self::Range(from, to) => *from <= c && c <= *to,
            Self::Class(is) => is(&c),
        }
    }
}

/// The members of a set, `None` among them when it names a class that does not exist, and what follows the set;
/// nothing when it is not closed.
fn bracket(mut rest: &[char]) -> Option<(Option<Vec<Member>>, &[char])> {
    let mut members = Vec::new();
    let mut exists = true;
    let mut first = true;
    loop {
        if let ([']', after @ ..], false) = (rest, first) {
            return Some((exists.then_some(members), after));
        }
        first = false;
        if let ['[', ':', inside @ ..] = rest
            && let Some(end) = inside.iter().position(|c| !c.is_ascii_lowercase())
            && inside[end..].starts_with(&[':', ']'])
        {
            match inside[..end].iter().collect::<String>().as_str() {
                "alnum" => members.push(Member::Class(char::is_ascii_alphanumeric)),
                "alpha" => members.push(Member::Class(char::is_ascii_alphabetic)),
                "blank" => members.push(Member::Class(|c| matches!(c, ' ' | '\t'))),
                "cntrl" => members.push(Member::Class(char::is_ascii_control)),
                "digit" => members.push(Member::Class(char::is_ascii_digit)),
                "graph" => members.push(Member::Class(char::is_ascii_graphic)),
                "lower" => members.push(Member::Class(char::is_ascii_lowercase)),
                "print" => members.push(Member::Class(|c| c.is_ascii_graphic() || *c == ' ')),
                "punct" => members.push(Member::Class(char::is_ascii_punctuation)),
                "space" => members.push(Member::Class(|c| c.is_ascii_whitespace() || *c == '\x0b')),
                "upper" => members.push(Member::Class(char::is_ascii_uppercase)),
                "xdigit" => members.push(Member::Class(char::is_ascii_hexdigit)),
                _ => exists = false,
            }
            rest = &inside[end + 2..];
            continue;
        }
        let (from, after) = one(rest)?;
        rest = after;
        let mut to = from;
        if let ['-', next, ..] = rest
            && *next != ']'
        {
            (to, rest) = one(&rest[1..])?;
        }
        members.push(Member::Range(from, to));
    }
}

fn one(rest: &[char]) -> Option<(char, &[char])> {
    match rest {
        [] | ['\\'] => None,
        ['\\', c, after @ ..] | [c, after @ ..] => Some((*c, after)),
    }
}
