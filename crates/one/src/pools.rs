//! Lists: who sees what, which part of it is wanted, and in which order.

use crate::codes::Failure;
use crate::request::Request;
use crate::xmlrpc::{Answer, Piece};
use holm_desk::{Caller, Row, Seen, View};
use holm_model::{GroupId, UserId};
use std::sync::Arc;

/// The filter flag of pool calls: whose objects are wanted, of those the caller may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// -4: those of the caller's primary group.
    PrimaryGroup,
    /// -3: the caller's own.
    Mine,
    /// -2: all.
    All,
    /// -1: the caller's own and those of the caller's groups.
    MineAndGroups,
    /// From 0: those of this user.
    User(UserId),
}

impl Whose {
    /// Reads the parameter.
    pub(crate) fn of(request: &Request<'_>, at: usize) -> Result<Self, Failure> {
        match request.int(at)? {
            -4 => Ok(Self::PrimaryGroup),
            -3 => Ok(Self::Mine),
            -2 => Ok(Self::All),
            -1 => Ok(Self::MineAndGroups),
            user => match u32::try_from(user) {
                Ok(user) => Ok(Self::User(UserId(user))),
                Err(_) => {
                    Err(Failure::parameter(format!("Incorrect filter_flag {user}: use -4 to -1, or a user's id.")))
                }
            },
        }
    }

    /// Whether an object of this owner and group is among them.
    pub(crate) fn takes(self, caller: &Caller, owner: UserId, group: GroupId) -> bool {
        match self {
            Self::All => true,
            Self::Mine => owner == caller.user_id(),
            Self::PrimaryGroup => group == caller.primary_group(),
            Self::MineAndGroups => owner == caller.user_id() || caller.groups().contains(&group),
            Self::User(user) => owner == user,
        }
    }
}

/// Which part of a pool is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything.
    All,
    /// Ids from the first to the last, both included.
    Ids(u32, u32),
    /// So many after skipping so many.
    Page {
        /// How many to skip.
        skip: usize,
        /// How many to take.
        take: usize,
    },
}

impl Part {
    /// Reads the two parameters from `at` on: a last id below -1 is the negative length of a page.
    pub(crate) fn of(request: &Request<'_>, at: usize) -> Result<Self, Failure> {
        let (start, end) = (request.int_or(at, -1)?, request.int_or(at + 1, -1)?);
        let from = u32::try_from(start.max(0)).unwrap_or(0);
        Ok(match end {
            end if end < -1 => Self::Page {
                skip: usize::try_from(start.max(0)).unwrap_or(0),
                take: usize::try_from(end.unsigned_abs()).unwrap_or(usize::MAX),
            },
            -1 if start < 0 => Self::All,
            -1 => Self::Ids(from, u32::MAX),
            end if end >= start => Self::Ids(from, u32::try_from(end).unwrap_or(0)),
            // The interface says nothing of a last id before the first one: there is nothing in between.
            _ => Self::Ids(1, 0),
        })
    }

    /// Whether an object with this id, the `seen`th that passed all other filters, is in it; `None`: it is beyond, and
    /// so are all that follow.
    pub(crate) fn takes(self, id: u32, seen: usize) -> Option<bool> {
        match self {
            Self::All => Some(true),
            Self::Ids(first, last) => Some((first..=last).contains(&id)),
            Self::Page { skip, .. } if seen < skip => Some(false),
            Self::Page { skip, take } => (seen - skip < take).then_some(true),
        }
    }
}

/// The order of lists, `API_LIST_ORDER`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Order {
    /// Newest first.
    #[default]
    Descending,
    /// Oldest first.
    Ascending,
}

impl Order {
    /// What the caller, or the caller's primary group, has set.
    pub(crate) fn of(request: &Request<'_>, view: &View) -> Self {
        use crate::template::Reading as _;
        let set = |attributes: &holm_model::Attributes| {
            let nested = attributes.vector("OPENNEBULA").and_then(|v| v.text("API_LIST_ORDER").map(str::to_owned));
            nested.or_else(|| attributes.text("API_LIST_ORDER").map(str::to_owned))
        };
        let user = set(&request.caller.user().attributes);
        let group = || {
            view.row::<holm_model::users::Group>(request.caller.primary_group()).and_then(|g| set(&g.value.attributes))
        };
        match user.or_else(group) {
            Some(word) if word.eq_ignore_ascii_case("ASC") => Self::Ascending,
            _ => Self::Descending,
        }
    }
}

/// The rows of a noun that the caller sees, filtered, cut and ordered.
pub(crate) fn rows<T: Seen>(
    request: &Request<'_>,
    view: &View,
    whose: Whose,
    part: Part,
    keep: impl Fn(&Row<T>) -> bool,
) -> Vec<Arc<Row<T>>> {
    let caller = &request.caller;
    let wanted = |row: &Arc<Row<T>>| {
        row.value.meta().is_none_or(|meta| whose.takes(caller, meta.owner, meta.group)) && keep(row)
    };
    let mut found = Vec::new();
    let mut seen = 0;
    let mut take = |row: &Arc<Row<T>>| -> bool {
        if !wanted(row) {
            return true;
        }
        let Some(taken) = part.takes(T::raw(row.value.id()), seen) else { return false };
        seen += 1;
        if taken {
            found.push(row.clone());
        }
        true
    };
    match Order::of(request, view) {
        Order::Descending => {
            view.each::<T>(caller).rev().all(&mut take);
        }
        Order::Ascending => {
            view.each::<T>(caller).all(&mut take);
        }
    }
    found
}

/// The answer with all bodies inside one root element.
pub(crate) fn answer(root: &str, bodies: impl IntoIterator<Item = Piece>) -> Answer {
    let mut pieces = vec![Piece::escape(&format!("<{root}>"))];
    pieces.extend(bodies);
    pieces.push(Piece::escape(&format!("</{root}>")));
    Answer::Pieces(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(part: Part, ids: &[u32]) -> Vec<u32> {
        let mut taken = Vec::new();
        for (seen, id) in ids.iter().enumerate() {
            match part.takes(*id, seen) {
                None => break,
                Some(true) => taken.push(*id),
                Some(false) => {}
            }
        }
        taken
    }

    #[test]
    fn parts_are_ranges_of_ids_or_pages() {
        let ids = [9, 7, 5, 3, 1];
        assert_eq!(cut(Part::All, &ids), ids);
        assert_eq!(cut(Part::Ids(3, 7), &ids), [7, 5, 3]);
        assert_eq!(cut(Part::Ids(1, 0), &ids), [0_u32; 0]);
        assert_eq!(cut(Part::Page { skip: 1, take: 2 }, &ids), [7, 5]);
        assert_eq!(cut(Part::Page { skip: 4, take: 200 }, &ids), [1]);
        assert_eq!(cut(Part::Page { skip: 5, take: 1 }, &ids), [0_u32; 0]);
    }
}
