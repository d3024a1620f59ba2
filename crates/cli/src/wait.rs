//! Waiting: following an operation or an object through the event stream, with asking now and then beside it.
//!
//! The stream says when to look and why it waits; what holds is always read from the object itself, so a stream that
//! cannot be had, breaks or forgets costs time and nothing else.

use crate::client::{Client, shaped};
use crate::errors::{Error, Exit, Result};
use crate::output::{Remarks, visible};
use crate::sse::{Follower, Next};
use holm_wire::v1::Operation;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use std::future::Future;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

/// How often to look while the stream is open, unless progress is to be seen.
pub const LOOK_WITH_STREAM: Duration = Duration::from_secs(10);
/// How often to look without it.
const LOOK_WITHOUT_STREAM: Duration = Duration::from_secs(1);

/// What is waited for, and until when.
pub struct Wait<'a> {
    /// Whom to ask.
    pub client: &'a Client,
    /// Where to say why it waits.
    pub remarks: &'a Remarks,
    /// When to give up.
    pub deadline: Instant,
    /// Noun of the object, as in events.
    pub kind: String,
    /// Its id.
    pub id: u32,
    /// How people call it, such as `vm web`.
    pub label: String,
    /// Events after this revision matter; `None` for those from now on.
    pub after: Option<u64>,
    /// How often to look while the stream is open.
    pub look_every: Duration,
    /// What to say when it is given up or interrupted.
    pub goes_on: String,
}

/// What a look at the object found.
pub enum Look {
    /// It is as wanted; the value is what was found.
    Done(Value),
    /// Not yet, and why.
    NotYet(String),
}

impl Wait<'_> {
    /// Looks again and again until it is done. `look` reads the truth; events only say when to look.
    ///
    /// # Errors
    /// What `look` gives, the time that ran out, or the interruption.
    pub async fn until<F, L>(&self, mut look: L) -> Result<Value>
    where
        L: FnMut() -> F,
        F: Future<Output = Result<Look>>,
    {
        let teller = Teller::new(self.remarks, &self.label);
        let mut follower = Follower::new(self.client, self.after);
        let mut streams = true;
        let mut interrupted = Interrupted::new()?;
        let mut why = String::new();
        loop {
            let found = tokio::select! {
                found = look() => found?,
                () = interrupted.wait() => return Err(self.interrupted()),
                () = tokio::time::sleep_until(self.deadline) => return Err(self.timed_out(&why)),
            };
            match found {
                Look::Done(value) => return Ok(value),
                Look::NotYet(now) => why = now,
            }
            teller.tell(&why);
            let mut pause = Box::pin(tokio::time::sleep(LOOK_WITHOUT_STREAM));
            let mut stretched = false;
            loop {
                if follower.is_open() && !stretched {
                    pause.as_mut().reset(Instant::now() + self.look_every);
                    stretched = true;
                }
                tokio::select! {
                    () = interrupted.wait() => return Err(self.interrupted()),
                    () = tokio::time::sleep_until(self.deadline) => return Err(self.timed_out(&why)),
                    () = &mut pause => break,
                    next = follower.next(), if streams => match next {
                        Ok(Next::Event(event)) => {
                            if event.kind == self.kind && event.id == self.id {
                                if let Some(now) = event.why.filter(|now| !now.is_empty() && *now != why) {
                                    teller.tell(&now);
                                    why = now;
                                }
                                break;
                            }
                        }
                        Ok(Next::Missed) => break,
                        // Whoever may not follow events may still ask.
                        Err(_) => streams = false,
                    },
                }
            }
        }
    }

    fn timed_out(&self, why: &str) -> Error {
        let says = if why.is_empty() {
            format!("{} is not done in time", self.label)
        } else {
            format!("{} is not done in time: {why}", self.label)
        };
        Error::new(Exit::TimedOut, says).hint(self.goes_on.clone())
    }

    fn interrupted(&self) -> Error {
        Error::new(Exit::Interrupted, format!("no longer waiting for {}", self.label)).hint(self.goes_on.clone())
    }
}

/// Follows an operation to its end.
///
/// # Errors
/// When it failed, ran out of time or was interrupted.
pub async fn operation(wait: &Wait<'_>, operation: &Operation) -> Result<Value> {
    let path = format!("/operations/{}", operation.id);
    let found = wait
        .until(|| async {
            let value = wait.client.get(&path).await?;
            let operation: Operation = shaped(&value)?;
            Ok(if operation.state == "running" { Look::NotYet(operation.why) } else { Look::Done(value) })
        })
        .await?;
    let ended: Operation = shaped(&found)?;
    match ended.state.as_str() {
        "failed" => Err(Error::failed(format!("{}: {} failed: {}", wait.label, ended.verb, ended.why))
            .hint(format!("See `holm {} show {}`.", ended.kind, ended.object))),
        "superseded" => {
            wait.remarks.note(&format!("{}: something else was asked of it in the meantime", wait.label));
            Ok(found)
        }
        _ => Ok(found),
    }
}

/// SIGINT, SIGTERM and SIGHUP while waiting.
pub struct Interrupted {
    signals: [tokio::signal::unix::Signal; 3],
}

impl Interrupted {
    /// From now on the signals are told here instead of ending the process.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> Result<Self> {
        let listen = |kind| signal(kind).map_err(|e| Error::io("listen for signals", &e));
        Ok(Self {
            signals: [
                listen(SignalKind::interrupt())?,
                listen(SignalKind::terminate())?,
                listen(SignalKind::hangup())?,
            ],
        })
    }

    /// Waits for one of the signals.
    pub async fn wait(&mut self) {
        let [first, second, third] = &mut self.signals;
        tokio::select! {
            _ = first.recv() => {}
            _ = second.recv() => {}
            _ = third.recv() => {}
        }
    }
}

/// Says why something waits: as a spinner on a terminal, else as a line whenever the reason changes.
struct Teller<'a> {
    remarks: &'a Remarks,
    label: &'a str,
    bar: Option<ProgressBar>,
    last: std::cell::RefCell<String>,
}

impl<'a> Teller<'a> {
    fn new(remarks: &'a Remarks, label: &'a str) -> Self {
        let bar = remarks.is_lively().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { remarks, label, bar, last: std::cell::RefCell::default() }
    }

    fn tell(&self, why: &str) {
        if why.is_empty() || *self.last.borrow() == why {
            return;
        }
        why.clone_into(&mut self.last.borrow_mut());
        match &self.bar {
            Some(bar) => bar.set_message(format!("{}: {}", visible(self.label), visible(why))),
            None => self.remarks.note(&format!("{}: {why}", self.label)),
        }
    }
}

impl Drop for Teller<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
