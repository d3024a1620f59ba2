//! Shell wildcards: `*`, `?`, sets in brackets, and the backslash that takes their meaning away.
//!
//! As `fnmatch` with no flags: slashes and leading dots are nothing special, an opening bracket without its partner
//! stands for itself, and a pattern that ends in a lone backslash matches nothing.

/// A pattern, ready to be matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// Exactly this text.
    Literal(Box<str>),
    /// These parts, one after the other.
    Parts(Box<[Part]>),
    /// Nothing at all.
    Never,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// This character.
    Char(char),
    /// Any one character.
    One,
    /// Any run of characters, also none.
    Run,
    /// One character in these ranges, or in none of them.
    Set { negated: bool, ranges: Box<[(char, char)]> },
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let mut parts: Vec<Part> = Vec::with_capacity(chars.len());
        let mut at = 0;
        while let Some(&c) = chars.get(at) {
            at += 1;
            match c {
                // Runs next to each other are one.
                '*' if parts.last() == Some(&Part::Run) => {}
                '*' => parts.push(Part::Run),
                '?' => parts.push(Part::One),
                '\\' => match chars.get(at) {
                    Some(&escaped) => {
                        parts.push(Part::Char(escaped));
                        at += 1;
                    }
                    None => return Self::Never,
                },
                '[' => match set(&chars, at) {
                    Bracket::Set(part, after) => {
                        parts.push(part);
                        at = after;
                    }
                    Bracket::Open => parts.push(Part::Char('[')),
                    Bracket::Invalid => return Self::Never,
                },
                other => parts.push(Part::Char(other)),
            }
        }
        let literal: Option<String> =
            parts.iter().map(|part| if let Part::Char(c) = part { Some(*c) } else { None }).collect();
        match literal {
            Some(literal) => Self::Literal(literal.into()),
            None => Self::Parts(parts.into()),
        }
    }

    /// Whether the whole text matches. When a part does not match, only the last run is tried longer: what came before
    /// it has matched as early as it could, so no other way of dividing the text can do better.
    pub(super) fn matches(&self, text: &str) -> bool {
        let parts = match self {
            Self::Literal(literal) => return **literal == *text,
            Self::Never => return false,
            Self::Parts(parts) => parts,
        };
        let mut rest = text.chars();
        let mut at = 0;
        let mut last_run = None;
        loop {
            match parts.get(at) {
                Some(Part::Run) => {
                    at += 1;
                    if at == parts.len() {
                        return true;
                    }
                    last_run = Some((at, rest.clone()));
                    continue;
                }
                Some(part) => {
                    let mut after = rest.clone();
                    if after.next().is_some_and(|c| part.takes(c)) {
                        rest = after;
                        at += 1;
                        continue;
                    }
                }
                None if rest.as_str().is_empty() => return true,
                None => {}
            }
            let Some((after_run, from)) = &mut last_run else {
                return false;
            };
            if from.next().is_none() {
                return false;
            }
            (at, rest) = (*after_run, from.clone());
        }
    }
}

impl Part {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Char(own) => *own == c,
            Self::One => true,
            Self::Set { negated, ranges } => ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *negated,
            Self::Run => false,
        }
    }
}

/// What an opening bracket turned out to be.
enum Bracket {
    /// A set, and where the pattern goes on.
    Set(Part, usize),
    /// A character like any other, for nothing closes it.
    Open,
    /// A set with a class that does not exist.
    Invalid,
}

/// The ranges of the named classes, for ASCII.
const CLASSES: [(&str, &[(char, char)]); 12] = [
    ("alnum", &[('0', '9'), ('A', 'Z'), ('a', 'z')]),
    ("alpha", &[('A', 'Z'), ('a', 'z')]),
    ("blank", &[('\t', '\t'), (' ', ' ')]),
    ("cntrl", &[('\0', '\x1f'), ('\x7f', '\x7f')]),
    ("digit", &[('0', '9')]),
    ("graph", &[('!', '~')]),
    ("lower", &[('a', 'z')]),
    ("print", &[(' ', '~')]),
    ("punct", &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')]),
    ("space", &[('\t', '\r'), (' ', ' ')]),
    ("upper", &[('A', 'Z')]),
    ("xdigit", &[('0', '9'), ('A', 'F'), ('a', 'f')]),
];

/// Reads the set whose opening bracket stands before `at`.
fn set(chars: &[char], mut at: usize) -> Bracket {
    let negated = matches!(chars.get(at), Some('!' | '^'));
    at += usize::from(negated);
    let first = at;
    let mut ranges = Vec::new();
    let mut invalid = false;
    loop {
        match chars.get(at) {
            None => return Bracket::Open,
            // A closing bracket right at the beginning is a member.
            Some(']') if at > first => break,
            Some('[') if chars.get(at + 1) == Some(&':') && class_end(chars, at + 2).is_some() => {
                let end = class_end(chars, at + 2).unwrap_or(at + 2);
                let name: String = chars[at + 2..end].iter().collect();
                match CLASSES.iter().find(|(class, _)| **class == name) {
                    Some((_, members)) => ranges.extend_from_slice(members),
                    None => invalid = true,
                }
                at = end + 2;
            }
            Some(_) => {
                let Some((from, after)) = member(chars, at) else {
                    return Bracket::Open;
                };
                at = after;
                // A minus before the closing bracket is a member, else it makes a range.
                let to = match (chars.get(at), chars.get(at + 1)) {
                    (Some('-'), Some(next)) if *next != ']' => {
                        let Some((to, after)) = member(chars, at + 1) else {
                            return Bracket::Open;
                        };
                        at = after;
                        to
                    }
                    _ => from,
                };
                ranges.push((from, to));
            }
        }
    }
    if invalid { Bracket::Invalid } else { Bracket::Set(Part::Set { negated, ranges: ranges.into() }, at + 1) }
}

/// Where the `:]` of a named class is, whose name begins at `at`.
fn class_end(chars: &[char], at: usize) -> Option<usize> {
    let name = chars.get(at..)?.iter().take_while(|c| c.is_ascii_lowercase()).count();
    (chars.get(at + name) == Some(&':') && chars.get(at + name + 1) == Some(&']')).then_some(at + name)
}

/// One member of a set and where the next begins; the backslash works here too.
fn member(chars: &[char], at: usize) -> Option<(char, usize)> {
    match chars.get(at)? {
        '\\' => chars.get(at + 1).map(|c| (*c, at + 2)),
        c => Some((*c, at + 1)),
    }
}
