//! What all nouns with an owner have in common: update, rename, chmod, chown, lock and unlock.

use crate::codes::Failure;
use crate::request::{Request, Update};
use crate::template::Reading as _;
use crate::xmlrpc::Answer;
use holm_desk::Owned;
use holm_model::{GroupId, LockLevel, UserId};

fn ident<T: Owned>(request: &Request<'_>) -> Result<(u32, T::Id), Failure> {
    let id = request.id(1, T::KIND)?;
    Ok((id, T::from_raw(id)))
}

fn done<T: Owned, R>(request: &Request<'_>, id: u32, outcome: Result<R, holm_desk::Error>) -> Result<Answer, Failure> {
    match outcome {
        Ok(_) => Ok(Answer::Int(id.into())),
        Err(error) => Err(request.failed(&error, T::KIND, id)),
    }
}

/// `(id, template, type)`
pub(crate) async fn update<T: Owned>(request: &Request<'_>) -> Result<Answer, Failure> {
    let (id, key) = ident::<T>(request)?;
    let (mut given, how) = (request.template(2)?, Update::of(request, 3)?);
    // The name has an element and a method of its own; clients send back the text that the object was made from.
    given.take("NAME");
    let change = move |attributes: &mut holm_model::Attributes| {
        how.apply(attributes, given);
        Ok(())
    };
    let outcome = request.desk().attributes_change::<T>(&request.caller, &request.intent, key, change).await;
    done::<T, _>(request, id, outcome)
}

/// `(id, name)`
pub(crate) async fn rename<T: Owned>(request: &Request<'_>) -> Result<Answer, Failure> {
    let (id, key) = ident::<T>(request)?;
    let name = request.text(2)?.to_owned();
    let outcome = request.desk().rename::<T>(&request.caller, &request.intent, key, name).await;
    done::<T, _>(request, id, outcome)
}

/// `(id, owner use, manage, admin, group use, ..., other use, ...)`: 1 sets, 0 clears, -1 keeps.
pub(crate) async fn chmod<T: Owned>(request: &Request<'_>) -> Result<Answer, Failure> {
    let (id, key) = ident::<T>(request)?;
    let change = permissions(request)?;
    let outcome = request.desk().permit::<T>(&request.caller, &request.intent, key, change).await;
    done::<T, _>(request, id, outcome)
}

/// Reads the nine parameters of a chmod, from the second one on.
pub(crate) fn permissions(request: &Request<'_>) -> Result<[Option<bool>; 9], Failure> {
    let mut change = [None; 9];
    for (at, bit) in change.iter_mut().enumerate() {
        *bit = match request.int(at + 2)? {
            -1 => None,
            0 => Some(false),
            1 => Some(true),
            other => {
                return Err(Failure::parameter(format!(
                    "Wrong permission {other}: use 1 to set, 0 to clear, -1 to keep."
                )));
            }
        };
    }
    Ok(change)
}

/// `(id, user, group)`: -1 keeps.
pub(crate) async fn chown<T: Owned>(request: &Request<'_>) -> Result<Answer, Failure> {
    let (id, key) = ident::<T>(request)?;
    let owner = request.id_or_none(2, holm_model::ObjectKind::User)?.map(UserId);
    let group = request.id_or_none(3, holm_model::ObjectKind::Group)?.map(GroupId);
    let outcome = request.desk().give::<T>(&request.caller, &request.intent, key, owner, group).await;
    done::<T, _>(request, id, outcome)
}

/// `(id, level, test)`: 1 use, 2 manage, 3 admin, 4 all.
pub(crate) async fn lock<T: Owned>(request: &Request<'_>) -> Result<Answer, Failure> {
    let (id, key) = ident::<T>(request)?;
    let level = match request.int(2)? {
        1 | 4 => LockLevel::Use,
        2 => LockLevel::Manage,
        3 => LockLevel::Admin,
        other => {
            return Err(Failure::parameter(format!(
                "Wrong lock level {other}: use 1 (use), 2 (manage), 3 (admin) or 4 (all)."
            )));
        }
    };
    let test = request.flag_or(3, false)?;
    let outcome = request.desk().lock::<T>(&request.caller, &request.intent, key, level, test).await;
    done::<T, _>(request, id, outcome)
}

/// `(id)`
pub(crate) async fn unlock<T: Owned>(request: &Request<'_>) -> Result<Answer, Failure> {
    let (id, key) = ident::<T>(request)?;
    let outcome = request.desk().unlock::<T>(&request.caller, &request.intent, key).await;
    done::<T, _>(request, id, outcome)
}
