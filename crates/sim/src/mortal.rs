//! Futures that can be killed at any await.
//!
//! In virtual time a task that kills another only gets its turn when everybody else sleeps. To kill somebody in the
//! middle of their work too, the victim counts its own polls and stops at an appointed one; with drivers and links that
//! pause around every effect, that reaches every await.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};

const FOR_EVER: i64 = i64::MAX;

/// When something is to die.
#[derive(Clone)]
pub(crate) struct Fate(Arc<AtomicI64>);

impl Fate {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicI64::new(FOR_EVER)))
    }

    /// It dies after this many more polls.
    pub(crate) fn seal(&self, polls: u64) {
        self.0.store(i64::try_from(polls).unwrap_or(FOR_EVER), Ordering::Relaxed);
    }

    fn is_due(&self) -> bool {
        if self.0.load(Ordering::Relaxed) == FOR_EVER {
            return false;
        }
        self.0.fetch_sub(1, Ordering::Relaxed) <= 0
    }
}

/// A future that ends with its fate: then its inner future is dropped on the spot.
pub(crate) struct Mortal<F> {
    inner: Option<Pin<Box<F>>>,
    fate: Fate,
}

impl<F: Future> Mortal<F> {
    pub(crate) fn new(inner: F, fate: Fate) -> Self {
        Self { inner: Some(Box::pin(inner)), fate }
    }
}

impl<F: Future> Future for Mortal<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.fate.is_due() {
            self.inner = None;
        }
        match &mut self.inner {
            Some(inner) => inner.as_mut().poll(cx).map(Some),
            None => Poll::Ready(None),
        }
    }
}
