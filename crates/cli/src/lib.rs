//! The user's hand: the command `holm`.
//!
//! It speaks the public REST interface (`wire::v1`) over HTTP, server-sent events and WebSockets, and nothing else: it
//! knows no crate of the server, decides nothing about VMs, and keeps nothing but its settings.
//!
//! # What always holds
//! - Standard output carries the answer and nothing else; remarks, progress and errors go to standard error.
//! - Every command ends with one of the codes of [`errors::Exit`].
//! - A change is sent with an idempotency key; when the connection is lost the same key is sent again, a bounded
//!   number of times. Nothing is asked for twice.
//! - Text that came from the server reaches a terminal only after [`output::visible`]: a hostile name cannot move the
//!   cursor. The console is raw by nature; `vm log` filters unless told not to.
//! - Secrets are never taken from the command line, never printed unless they were just made, and never sent to another
//!   server than the one they came from, nor in clear text over a network.
//! - A closed pipe ends the command quietly.
//!
//! Start reading at [`args`] (what can be said), then [`nouns`] (what it does), [`client`] (how it asks) and [`wait`].

pub mod args;
pub mod client;
pub mod config;
pub mod console;
pub mod errors;
pub mod fields;
pub mod nouns;
pub mod output;
pub mod prompt;
pub mod reference;
pub mod sse;
pub mod ssh;
pub mod terminal;
pub mod trust;
pub mod upload;
pub mod vnc;
pub mod wait;
pub mod websocket;

use errors::Exit;
use std::process::ExitCode;

/// Runs the command with the process' arguments and says how it ended.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match args::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            // Printing fails when nobody reads any more, which is no reason to complain to them.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() };
        }
    };
    let stderr = output::Remarks::new(&cli.globals);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            stderr.error(&errors::Error::failed(format!("cannot start: {error}")));
            return Exit::Failed.into();
        }
    };
    let ended = runtime.block_on(nouns::run(cli));
    // A thread may still sit in a read of standard input; nothing waits for it.
    runtime.shutdown_background();
    match ended {
        Ok(()) => Exit::Ok.into(),
        Err(error) if error.is_closed_pipe() => Exit::Ok.into(),
        Err(error) => {
            stderr.error(&error);
            error.exit.into()
        }
    }
}
