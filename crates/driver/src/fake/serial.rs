//! Serial lines and screens of fake guests: what is typed comes back, and everything said is remembered.

use super::FakeHost;
use holm_model::VmId;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much of what was said is kept, bytes.
const KEPT: usize = 1 << 20;

/// One line: what the guest said, with positions that count from its first byte ever.
#[derive(Default)]
pub(super) struct Console {
    said: Vec<u8>,
    dropped: usize,
    pub(super) heard: Vec<u8>,
}

impl Console {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.said.extend_from_slice(bytes);
        if self.said.len() > 2 * KEPT {
            let excess = self.said.len() - KEPT;
            self.said.drain(..excess);
            self.dropped += excess;
        }
    }

    pub(super) fn end(&self) -> usize {
        self.dropped + self.said.len()
    }

    pub(super) fn tail(&self, limit: usize) -> Vec<u8> {
        self.said[self.said.len() - limit.min(self.said.len())..].to_vec()
    }

    fn from(&self, position: usize) -> &[u8] {
        &self.said[position.saturating_sub(self.dropped).min(self.said.len())..]
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Serial,
    Screen,
}

/// One viewer of a line. Ends when the process it was connected to does.
pub(super) struct FakeStream {
    host: FakeHost,
    vm: VmId,
    which: Which,
    pid: u32,
    position: usize,
}

impl FakeStream {
    pub(super) fn new(host: FakeHost, vm: VmId, which: Which, pid: u32, position: usize) -> Self {
        Self { host, vm, which, pid, position }
    }
}

impl AsyncRead for FakeStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let mut state = this.host.inner.lock();
        let lines = if this.which == Which::Serial { &state.consoles } else { &state.screens };
        if let Some(console) = lines.get(&this.vm) {
            let fresh = console.from(this.position);
            let count = fresh.len().min(buf.remaining());
            if count > 0 {
                buf.put_slice(&fresh[..count]);
                this.position = this.position.max(console.dropped) + count;
                return Poll::Ready(Ok(()));
            }
        }
        if state.truth.process(this.vm).is_none_or(|p| p.pid != this.pid) {
            return Poll::Ready(Ok(()));
        }
        state.wakers.entry(this.vm).or_default().push(cx.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for FakeStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let mut state = this.host.inner.lock();
        if state.truth.process(this.vm).is_none_or(|p| p.pid != this.pid) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let lines = if this.which == Which::Serial { &mut state.consoles } else { &mut state.screens };
        let console = lines.entry(this.vm).or_default();
        console.heard.extend_from_slice(bytes);
        console.push(bytes);
        state.wake_streams(this.vm);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
