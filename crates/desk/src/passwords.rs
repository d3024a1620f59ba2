//! Passwords: Argon2id in PHC format, computed off the runtime and only so many at a time.
//!
//! One computation takes about 19 MiB and tens of milliseconds by design, so the number that run at once is bounded:
//! a flood of logins waits in line (and is refused when the line is long) instead of taking the machine's memory.

use crate::{Error, ErrorKind};
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use holm_model::users::Secret;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Semaphore;

/// Shortest password accepted, characters.
const SHORTEST: usize = 8;
/// Longest password accepted, bytes; more would only cost time.
const LONGEST: usize = 1024;
/// Compared against when there is no such user, so that an unknown name takes as long as a wrong password: what makes it
/// slow are the parameters, which are those of [`hash_now`].
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$BwcHBwcHBwcHBwcHBwcHBw$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// Most logins that may wait for their turn.
const LONGEST_LINE: usize = 64;

#[derive(Clone)]
pub(crate) struct Passwords {
    turns: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

impl Passwords {
    pub(crate) fn new(at_once: usize) -> Self {
        Self { turns: Arc::new(Semaphore::new(at_once.max(1))), waiting: Arc::new(AtomicUsize::new(0)) }
    }

    pub(crate) fn check_new(field: &str, password: &Secret) -> Result<(), Error> {
        let refuse = |says: &str, hint: &str| {
            Err(Error::new(ErrorKind::Invalid, format!("{field}: {says}")).hint(hint).field(field))
        };
        if password.0.chars().count() < SHORTEST {
            return refuse("the password is shorter than 8 characters", "Choose a longer one.");
        }
        if password.0.len() > LONGEST {
            return refuse("the password is longer than 1024 bytes", "Choose a shorter one.");
        }
        Ok(())
    }

    /// The least that is asked of any secret: that it is there, has no blanks and is not endless.
    pub(crate) fn check_any(field: &str, secret: &Secret) -> Result<(), Error> {
        if secret.0.is_empty() || secret.0.len() > LONGEST || secret.0.contains(|c: char| c.is_control()) {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("{field}: it is empty, longer than {LONGEST} bytes, or has control characters"),
            )
            .hint("Choose another one.")
            .field(field));
        }
        Ok(())
    }

    pub(crate) async fn hash(&self, password: Secret, salt: [u8; 16]) -> Result<Secret, Error> {
        self.in_turn(move || hash_now(&password.0, &salt)).await?.map(Secret)
    }

    /// Whether the password is the one hashed; with `None` the answer is no, after the same time.
    pub(crate) async fn verify(&self, password: Secret, hash: Option<Secret>) -> Result<bool, Error> {
        if password.0.len() > LONGEST {
            return Ok(false);
        }
        self.in_turn(move || {
            let (text, real) = match &hash {
                Some(hash) => (hash.0.as_str(), true),
                None => (NOBODY, false),
            };
            let matches = PasswordHash::new(text)
                .is_ok_and(|parsed| Argon2::default().verify_password(password.0.as_bytes(), &parsed).is_ok());
            matches && real
        })
        .await
    }

    async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        let line = Line::join(&self.waiting)?;
        let turn = self
            .turns
            .clone()
            .acquire_owned()
            .await
            .map_err(|e| Error::new(ErrorKind::Unavailable, "the front-end is shutting down").caused_by(e))?;
        drop(line);
        tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        })
        .await
        .map_err(|e| Error::internal("checking a password did not finish").caused_by(e))
    }
}

/// A place in the line, given back on drop, so that callers who went away do not count.
struct Line(Arc<AtomicUsize>);

impl Line {
    fn join(waiting: &Arc<AtomicUsize>) -> Result<Self, Error> {
        let place = Self(waiting.clone());
        if waiting.fetch_add(1, Ordering::AcqRel) >= LONGEST_LINE {
            return Err(Error::new(ErrorKind::RateLimited { retry_after_s: 1 }, "too many logins are under way")
                .hint("Try again in a second."));
        }
        Ok(place)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn hash_now(password: &str, salt: &[u8; 16]) -> Result<String, Error> {
    Argon2::default()
        .hash_password_with_salt(password.as_bytes(), salt)
        .map(|hash| hash.to_string())
        .map_err(|e| Error::internal(format!("a password could not be hashed: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_a_known_user_is_accepted() {
        let passwords = Passwords::new(2);
        let hash = passwords.hash(Secret("correct horse".into()), [1; 16]).await.expect("hashes");
        let effort = |hash: &str| hash.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(effort(&hash.0), effort(NOBODY), "an unknown name takes as long as a wrong password");
        assert_eq!(NOBODY.len(), hash.0.len());
        assert!(PasswordHash::new(NOBODY).is_ok());
        let verify = |text: &str, hash: Option<Secret>| passwords.verify(Secret(text.into()), hash);
        assert!(verify("correct horse", Some(hash.clone())).await.expect("verifies"));
        assert!(!verify("correct hors", Some(hash.clone())).await.expect("verifies"));
        assert!(!verify("nobody has this password", None).await.expect("verifies"));
        assert!(!verify("x", Some(Secret("not a hash".into()))).await.expect("verifies"));
        assert!(!verify(&"x".repeat(5000), Some(hash)).await.expect("verifies"));
    }

    #[tokio::test]
    async fn a_flood_is_refused_and_leaves_no_trace() {
        let passwords = Passwords::new(1);
        let turn = passwords.turns.clone().acquire_owned().await.expect("open");
        let attempts: Vec<_> = (0..LONGEST_LINE + 20)
            .map(|_| {
                let passwords = passwords.clone();
                tokio::spawn(async move { passwords.verify(Secret("x".into()), None).await.is_err() })
            })
            .collect();
        // All but those in line are refused while the only turn is taken.
        while attempts.iter().filter(|attempt| attempt.is_finished()).count() < 20 {
            tokio::task::yield_now().await;
        }
        assert_eq!(passwords.waiting.load(Ordering::Acquire), LONGEST_LINE);
        // Callers who go away leave the line.
        for waiting in attempts.iter().filter(|attempt| !attempt.is_finished()) {
            waiting.abort();
        }
        let mut refused = 0;
        for attempt in attempts {
            refused += usize::from(matches!(attempt.await, Ok(true)));
        }
        assert_eq!((refused, passwords.waiting.load(Ordering::Acquire)), (20, 0));
        drop(turn);
        passwords.verify(Secret("x".into()), None).await.expect("the next one gets its turn");
    }
}
