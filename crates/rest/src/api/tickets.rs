//! Tickets: stand-ins for a token that may be written into a URL, because they work once and for half a minute.

use crate::problem::{Answer, Kind, Refusal};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a ticket works.
pub const LIFETIME: Duration = Duration::from_secs(30);
/// Most tickets outstanding.
const MOST: usize = 10_000;

/// The tickets outstanding.
#[derive(Default)]
pub struct Tickets(Mutex<HashMap<String, (Arc<str>, Instant)>>);

impl Tickets {
    /// Makes a ticket that stands for a token.
    ///
    /// # Errors
    /// When too many are outstanding.
    pub fn issue(&self, token: Arc<str>) -> Answer<String> {
        let now = Instant::now();
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tickets.len() >= MOST {
            tickets.retain(|_, (_, until)| *until > now);
        }
        if tickets.len() >= MOST {
            return Err(Refusal::new(Kind::TooMany, "too many tickets are outstanding").hint("Try again in 30 s."));
        }
        let ticket = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 24]>());
        tickets.insert(ticket.clone(), (token, now + LIFETIME));
        Ok(ticket)
    }

    /// The token a ticket stands for; the ticket is used up.
    pub fn redeem(&self, ticket: &str) -> Option<Arc<str>> {
        let (token, until) = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(ticket)?;
        (until > Instant::now()).then_some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_works_once() {
        let tickets = Tickets::default();
        let ticket = tickets.issue("secret".into()).expect("is issued");
        assert_eq!(tickets.redeem(&ticket).as_deref(), Some("secret"));
        assert_eq!(tickets.redeem(&ticket), None);
        assert_eq!(tickets.redeem(""), None);
    }
}
