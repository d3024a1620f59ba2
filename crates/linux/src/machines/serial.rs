//! One connection to a guest's serial line, shared by any number of viewers.
//!
//! QEMU serves one connection at a time, so the hub holds one while anybody looks on and lets go of it afterwards:
//! another agent (the old and the new one overlap during an upgrade) then gets its turn, and an idle guest costs
//! nothing. Everything the guest writes is in the log whether anybody looks on or not.
//!
//! A viewer gets every byte from its joining on, in order. One that does not read is dropped when it lags by
//! [`LAG_LIMIT`]: the guest must not wait for it and the agent must not remember for it without end.

use bytes::Bytes;
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How many bytes a viewer may be behind, bytes.
pub(super) const LAG_LIMIT: usize = 1 << 20;

/// What a viewer may have typed without the guest having read it, in pieces of up to 4 KiB.
const TYPED_LIMIT: usize = 64;

/// How long QEMU may take to read what was typed last.
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(1);

struct Viewer {
    output: mpsc::UnboundedSender<Bytes>,
    behind: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Room {
    viewers: HashMap<u64, Viewer>,
    next: u64,
    /// Where typed bytes go; `None` while there is no connection.
    typed: Option<mpsc::Sender<Bytes>>,
    /// Counts connections, so that one that ends does not clear away its successor.
    era: u64,
}

/// The serial line of one guest's process.
pub(super) struct Hub {
    socket: PathBuf,
    room: Arc<Mutex<Room>>,
    tasks: Mutex<JoinSet<()>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    pub fn new(socket: PathBuf) -> Self {
        Self { socket, room: Arc::default(), tasks: Mutex::new(JoinSet::new()) }
    }

    /// Joins the line.
    ///
    /// # Errors
    /// When QEMU does not listen.
    pub async fn join(&self) -> io::Result<DuplexStream> {
        let mut fresh = None;
        if locked(&self.room).typed.is_none() {
            fresh = Some(UnixStream::connect(&self.socket).await?);
        }
        let (theirs, ours) = tokio::io::duplex(64 << 10);
        let (output_in, output_out) = mpsc::unbounded_channel();
        let behind = Arc::new(AtomicUsize::new(0));
        let mut tasks = locked(&self.tasks);
        while tasks.try_join_next().is_some() {}
        let (id, typed) = {
            let mut room = locked(&self.room);
            let typed = match (&room.typed, fresh) {
                (Some(typed), _) => typed.clone(),
                (None, Some(stream)) => {
                    let (typed_in, typed_out) = mpsc::channel(TYPED_LIMIT);
                    room.era += 1;
                    room.typed = Some(typed_in.clone());
                    tasks.spawn(serve(stream, typed_out, self.room.clone(), room.era));
                    typed_in
                }
                // The connection ended between the two looks: so did the guest.
                (None, None) => return Err(io::ErrorKind::ConnectionAborted.into()),
            };
            let id = room.next;
            room.next += 1;
            room.viewers.insert(id, Viewer { output: output_in, behind: behind.clone() });
            (id, typed)
        };
        let room = self.room.clone();
        tasks.spawn(async move {
            attend(ours, output_out, behind, typed).await;
            leave(&room, id);
        });
        Ok(theirs)
    }
}

/// Takes the viewer out; the last one closes the connection by dropping the way to it.
fn leave(room: &Mutex<Room>, id: u64) {
    let mut room = locked(room);
    room.viewers.remove(&id);
    if room.viewers.is_empty() {
        room.typed = None;
        room.era += 1;
    }
}

/// Carries bytes between one viewer and the room until either goes away.
async fn attend(
    ours: DuplexStream,
    mut output: mpsc::UnboundedReceiver<Bytes>,
    behind: Arc<AtomicUsize>,
    typed: mpsc::Sender<Bytes>,
) {
    let (mut read, mut write) = tokio::io::split(ours);
    let show = async {
        while let Some(bytes) = output.recv().await {
            if write.write_all(&bytes).await.is_err() {
                break;
            }
            behind.fetch_sub(bytes.len(), Ordering::Relaxed);
        }
    };
    let listen = async {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = read.read(&mut buffer).await {
            if typed.send(Bytes::copy_from_slice(&buffer[..count])).await.is_err() {
                break;
            }
        }
    };
    // Whichever direction ends, the viewer has left: a dropped stream cannot be told from a half-closed one.
    tokio::select! {
        () = show => {}
        () = listen => {}
    }
}

/// Holds the connection: what the guest writes goes to all, what is typed goes to the guest in the order it came.
async fn serve(stream: UnixStream, mut typed: mpsc::Receiver<Bytes>, room: Arc<Mutex<Room>>, era: u64) {
    let (mut read, mut write) = stream.into_split();
    let hear = async {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(count @ 1..) = read.read(&mut buffer).await {
            let bytes = Bytes::copy_from_slice(&buffer[..count]);
            locked(&room).viewers.retain(|_, viewer| {
                let behind = viewer.behind.fetch_add(count, Ordering::Relaxed) + count;
                behind <= LAG_LIMIT && viewer.output.send(bytes.clone()).is_ok()
            });
        }
    };
    let speak = async {
        while let Some(bytes) = typed.recv().await {
            if write.write_all(&bytes).await.is_err() {
                break;
            }
        }
    };
    tokio::pin!(hear);
    let left = tokio::select! {
        () = &mut hear => false,
        () = speak => true,
    };
    if left {
        // Closing both directions at once would make QEMU throw away what was typed last: it reads that only while
        // it may still answer.
        let _ = write.shutdown().await;
        let _ = tokio::time::timeout(LAST_WORDS_LIMIT, hear).await;
    }
    let mut room = locked(&room);
    if room.era == era {
        room.typed = None;
        // Dropping their senders ends the streams of those who still look on.
        room.viewers.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    async fn line() -> (tempfile::TempDir, UnixListener, Hub) {
        let dir = tempfile::tempdir().expect("a directory");
        let socket = dir.path().join("s");
        let listener = UnixListener::bind(&socket).expect("bound");
        (dir, listener, Hub::new(socket))
    }

    async fn soon<T>(what: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(5), what).await.expect("in time")
    }

    #[tokio::test]
    async fn all_see_the_same_and_all_can_type() {
        let (_dir, listener, hub) = line().await;
        let mut one = hub.join().await.expect("joins");
        let mut two = hub.join().await.expect("joins");
        let (mut guest, _) = soon(listener.accept()).await.expect("one connection");
        soon(guest.write_all(b"login: ")).await.expect("written");
        for viewer in [&mut one, &mut two] {
            let mut got = [0; 7];
            soon(viewer.read_exact(&mut got)).await.expect("read");
            assert_eq!(&got, b"login: ");
        }
        let mut got = [0; 4];
        soon(one.write_all(b"root")).await.expect("typed");
        soon(guest.read_exact(&mut got)).await.expect("read");
        assert_eq!(&got, b"root");
        drop(one);
        soon(two.write_all(b"more")).await.expect("typed");
        soon(guest.read_exact(&mut got)).await.expect("read");
        assert_eq!(&got, b"more");
    }

    #[tokio::test]
    async fn the_last_viewer_lets_go_and_the_next_one_connects_again() {
        let (_dir, listener, hub) = line().await;
        for _ in 0..2 {
            let viewer = hub.join().await.expect("joins");
            let (mut guest, _) = soon(listener.accept()).await.expect("a connection");
            drop(viewer);
            assert_eq!(soon(guest.read(&mut [0; 1])).await.expect("closed"), 0);
        }
    }

    #[tokio::test]
    async fn a_viewer_that_does_not_read_is_dropped_and_the_others_miss_nothing() {
        let (_dir, listener, hub) = line().await;
        let mut lazy = hub.join().await.expect("joins");
        let mut eager = hub.join().await.expect("joins");
        let (mut guest, _) = soon(listener.accept()).await.expect("a connection");
        let total = LAG_LIMIT * 3;
        let writer = tokio::spawn(async move {
            for at in 0..total / 1024 {
                let byte = u8::try_from(at % 251).expect("small");
                guest.write_all(&[byte; 1024]).await.expect("the hub always reads");
            }
            guest
        });
        for at in 0..total / 1024 {
            let mut got = [0; 1024];
            soon(eager.read_exact(&mut got)).await.expect("every byte");
            assert_eq!(got, [u8::try_from(at % 251).expect("small"); 1024]);
        }
        let _guest = soon(writer).await.expect("written");
        let mut rest = Vec::new();
        soon(lazy.read_to_end(&mut rest)).await.expect("what was kept for it, then the end");
        assert!(rest.len() < total, "{}", rest.len());
    }

    #[tokio::test]
    async fn the_guests_end_ends_the_streams() {
        let (_dir, listener, hub) = line().await;
        let mut viewer = hub.join().await.expect("joins");
        let (guest, _) = soon(listener.accept()).await.expect("a connection");
        drop((guest, listener));
        assert_eq!(soon(viewer.read(&mut [0; 1])).await.expect("the end"), 0);
        assert!(hub.join().await.is_err());
    }
}
