//! Several writes at a time into one file: a disk that is told one thing at a time is idle in between.

use bytes::Bytes;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

/// Writes that are under way at the same time. More make no disk faster that was tried.
const LANES: usize = 4;

/// Bytes and their place.
struct Order {
    at: u64,
    bytes: Bytes,
}

/// What became of an order.
struct Done {
    at: u64,
    came: io::Result<()>,
}

/// Threads that write into one file, each one order after the other.
pub(crate) struct Lanes {
    orders: Vec<SyncSender<Order>>,
    done: Receiver<Done>,
    threads: Vec<JoinHandle<()>>,
    next: usize,
    /// Where the orders begin that nothing has been heard of.
    under_way: BTreeSet<u64>,
    /// The first failure in the order of the file.
    failed: Option<(u64, io::Error)>,
}

impl Lanes {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the system gives no thread or no second handle to the file.
    pub(crate) fn start(file: &File) -> io::Result<Self> {
        let (tell, done) = channel();
        let mut lanes =
            Self { orders: vec![], done, threads: vec![], next: 0, under_way: BTreeSet::new(), failed: None };
        for _ in 0..LANES {
            // One waits while one is written, so that no lane is idle between two.
            let (give, orders) = sync_channel(1);
            let (file, tell) = (file.try_clone()?, tell.clone());
            lanes.threads.push(std::thread::Builder::new().name("holm-write".into()).spawn(move || {
                work(&file, &orders, &tell);
            })?);
            lanes.orders.push(give);
        }
        Ok(lanes)
    }

    /// Has bytes written at their place, sooner or later; waits only while all lanes are busy. Places must rise.
    ///
    /// # Errors
    /// Of anything written so far.
    pub(crate) fn write(&mut self, at: u64, bytes: Bytes) -> io::Result<()> {
        while let Ok(done) = self.done.try_recv() {
            self.hear(done);
        }
        self.check()?;
        self.under_way.insert(at);
        let lane = self.next % self.orders.len();
        self.next = self.next.wrapping_add(1);
        self.orders[lane].send(Order { at, bytes }).map_err(|_| io::Error::other("a writing thread has ended"))
    }

    /// Waits until everything that begins before `until` is written.
    ///
    /// # Errors
    /// Of anything written so far.
    pub(crate) fn settle(&mut self, until: u64) -> io::Result<()> {
        while self.under_way.first().is_some_and(|at| *at < until) {
            match self.done.recv() {
                Ok(done) => self.hear(done),
                Err(_) => return Err(io::Error::other("the writing threads have ended")),
            }
        }
        self.check()
    }

    /// Ends the threads when all is written. With an error comes the place before which everything is there.
    pub(crate) fn finish(mut self) -> Result<(), (u64, io::Error)> {
        self.orders.clear();
        let ended = self.threads.drain(..).all(|thread| thread.join().is_ok());
        while let Ok(done) = self.done.try_recv() {
            self.hear(done);
        }
        match (self.failed, self.under_way.first()) {
            (Some((failed, error)), lost) => Err((lost.map_or(failed, |lost| failed.min(*lost)), error)),
            (None, Some(lost)) => Err((*lost, io::Error::other("a writing thread has failed"))),
            (None, None) if !ended => Err((0, io::Error::other("a writing thread has failed"))),
            (None, None) => Ok(()),
        }
    }

    fn hear(&mut self, done: Done) {
        self.under_way.remove(&done.at);
        if let Err(error) = done.came
            && self.failed.as_ref().is_none_or(|(at, _)| done.at < *at)
        {
            self.failed = Some((done.at, error));
        }
    }

    fn check(&self) -> io::Result<()> {
        match &self.failed {
            Some((_, error)) => Err(io::Error::new(error.kind(), error.to_string())),
            None => Ok(()),
        }
    }
}

fn work(file: &File, orders: &Receiver<Order>, tell: &Sender<Done>) {
    for Order { at, bytes } in orders {
        let came = file.write_all_at(&bytes, at);
        // The buffer goes back before anybody can wait for it.
        drop(bytes);
        if tell.send(Done { at, came }).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_finds_its_place_and_a_failure_says_from_where_on() {
        let file = tempfile::tempfile().expect("a file");
        let mut lanes = Lanes::start(&file).expect("threads");
        let piece = |n: u8| Bytes::from(vec![n; 4096]);
        for n in 0..50_u8 {
            lanes.write(u64::from(n) * 4096, piece(n)).expect("written");
        }
        lanes.settle(20 * 4096).expect("written");
        assert!(lanes.under_way.first().is_none_or(|at| *at >= 20 * 4096));
        lanes.finish().expect("written");
        let mut all = vec![0; 50 * 4096];
        file.read_exact_at(&mut all, 0).expect("there");
        assert!(all.chunks(4096).zip(0..).all(|(chunk, n)| chunk == piece(n)));

        // Nothing can be written through a handle for reading.
        let named = tempfile::NamedTempFile::new().expect("a file");
        let closed = File::open(named.path()).expect("opened");
        let mut lanes = Lanes::start(&closed).expect("threads");
        let refused = (3..99_u64).find_map(|n| lanes.write(n * 4096, piece(0)).err());
        assert!(refused.is_some(), "a failure is told to whoever writes on");
        let (at, _) = lanes.finish().expect_err("refused");
        assert_eq!(at, 3 * 4096);
    }
}
