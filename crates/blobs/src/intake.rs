//! Takes bytes in: reading, hashing and writing go on at the same time, with a bounded number of buffers between them.
//!
//! Large images pass by the page cache: what is acknowledged must be on the disk, and a copy in memory that is written
//! back later costs more processor time than everything else together and pushes out what others need. Small ones, and
//! the beginning of large ones, stay in the cache, where hosts and inspection will soon look for them.

use crate::BlobError;
use crate::hashes::Hashes;
use crate::runway::{Runway, STRETCH};
use crate::sidecar::{Sidecar, this_boot};
use bytes::Bytes;
use nix::sys::statvfs::statvfs;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Bytes read, hashed and written at a time.
pub(crate) const BUFFER: usize = 1 << 20;
/// Buffers that may wait between two stages.
pub(crate) const WAITING: usize = 4;
/// Runs of zeros become holes in units of this many bytes.
const BLOCK: usize = 4096;
/// Alignment of memory, file offsets and lengths that every common disk takes past the cache.
pub(crate) const ALIGN: usize = 4096;
/// From here on a file is written past the page cache.
const DIRECT_FROM: u64 = 32 << 20;
/// Shorter runs between holes are gathered in the cache: each write past it waits for the disk.
const DIRECT_RUN: usize = 128 << 10;
/// After so many bytes what has arrived is synced, so that a power cut costs no more.
const SYNC_EVERY: u64 = 256 << 20;
/// After so many bytes in the page cache the disk is told to begin writing, on another thread, so that little is left for the end.
const PUSH_EVERY: u64 = 32 << 20;
/// After so many bytes the free space and the pace are looked at.
const LOOK_EVERY: u64 = 16 << 20;
/// Room is made ahead only for an image of which [`LOOK_EVERY`] bytes come within this time: when the process is killed, bytes
/// that came into such room come again, which must not take long.
const FAST: Duration = Duration::from_secs(1);

static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// An unfinished file, open for going on at its end.
pub(crate) struct Part {
    path: PathBuf,
    file: File,
    /// The same file past the page cache, where its file system can do that.
    direct: Option<File>,
    /// Whether a write past the page cache has worked.
    direct_works: bool,
    /// Room ahead of the bytes of a fast image.
    runway: Option<Runway>,
    /// Bytes that went into the page cache since it was opened.
    cached: u64,
    pub(crate) hashes: Hashes,
    pub(crate) arrived: u64,
    synced: u64,
}

/// Size of the file system of `dir`, bytes.
pub(crate) fn disk_bytes(dir: &Path) -> Result<u64, BlobError> {
    let stat = statvfs(dir).map_err(|e| BlobError::disk("look at the size of", dir, e.into()))?;
    #[allow(clippy::useless_conversion, reason = "the types differ between platforms")]
    Ok(u64::from(stat.blocks()).saturating_mul(u64::from(stat.fragment_size())))
}

/// Free bytes on the file system of `dir`.
pub(crate) fn free_bytes(dir: &Path) -> Result<u64, BlobError> {
    let stat = statvfs(dir).map_err(|e| BlobError::disk("look at the free space of", dir, e.into()))?;
    #[allow(clippy::useless_conversion, reason = "the types differ between platforms")]
    Ok(u64::from(stat.blocks_available()).saturating_mul(u64::from(stat.fragment_size())))
}

impl Part {
    /// Opens the unfinished file, cuts off what cannot be trusted, and computes the hash states anew unless `known`
    /// has them for exactly this point.
    pub(crate) fn open(path: &Path, fresh: Hashes, known: Option<(Hashes, u64)>) -> Result<Self, BlobError> {
        let failed = |doing| move |e| BlobError::disk(doing, path, e);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed("open"))?;
        let length = file.metadata().map_err(failed("look at"))?.len();
        let boot = this_boot();
        let sidecar = Sidecar::read(path);
        let arrived = sidecar.trusted(length, &boot);
        if arrived < length {
            file.set_len(arrived).map_err(failed("shorten"))?;
        }
        let synced = sidecar.synced.min(arrived);
        if sidecar.boot != boot || sidecar.ahead {
            // From now on the end of the file means something again.
            Sidecar { boot, synced, ahead: false }.write(path)?;
        }
        // Not every file system can; then everything goes through the cache.
        let direct = OpenOptions::new().write(true).custom_flags(nix::libc::O_DIRECT).open(path).ok();
        let path = path.to_path_buf();
        let mut part = Self {
            path,
            file,
            direct,
            direct_works: false,
            runway: None,
            cached: 0,
            hashes: fresh,
            arrived: 0,
            synced,
        };
        match known {
            Some((hashes, at)) if at == arrived => part.hashes = hashes,
            _ => part.hash_again(arrived)?,
        }
        part.arrived = arrived;
        Ok(part)
    }

    fn hash_again(&mut self, until: u64) -> Result<(), BlobError> {
        let mut buffer = vec![0; BUFFER];
        let mut reader = (&self.file).take(until);
        loop {
            let got = reader.read(&mut buffer).map_err(|e| BlobError::disk("read", &self.path, e))?;
            if got == 0 {
                return Ok(());
            }
            self.hashes.update(&buffer[..got]);
        }
    }

    /// Writes one buffer at `at`, leaving holes where whole blocks are zero.
    fn write(&mut self, at: u64, bytes: &[u8]) -> std::io::Result<()> {
        let mut end = 0;
        for (from, to) in runs_of_data(bytes, at) {
            self.write_run(&bytes[from..to], at + from as u64)?;
            end = to;
        }
        if end == bytes.len() {
            return Ok(());
        }
        // The end of the file tells how much has arrived, so a hole at the end must count.
        self.file.set_len(at + bytes.len() as u64)
    }

    /// Writes bytes that are not zeros, past the page cache as far as that is possible and worth it.
    fn write_run(&mut self, bytes: &[u8], at: u64) -> std::io::Result<()> {
        let whole = bytes.len() / ALIGN * ALIGN;
        let aligned = at.is_multiple_of(ALIGN as u64) && bytes.as_ptr().addr().is_multiple_of(ALIGN);
        let mut past = 0;
        if let Some(direct) = self.direct.as_ref().filter(|_| aligned && at >= DIRECT_FROM && whole >= DIRECT_RUN) {
            match direct.write_all_at(&bytes[..whole], at) {
                Ok(()) => (past, self.direct_works) = (whole, true),
                // A disk that wants another alignment says so at once and is not asked again.
                Err(e) if e.kind() == std::io::ErrorKind::InvalidInput => self.direct = None,
                Err(e) => return Err(e),
            }
        }
        self.cached += (bytes.len() - past) as u64;
        self.file.write_all_at(&bytes[past..], at + past as u64)
    }

    /// Makes what has arrived survive a crash of the machine.
    pub(crate) fn sync(&mut self) -> Result<(), BlobError> {
        if self.synced == self.arrived {
            return Ok(());
        }
        if let Some(runway) = &mut self.runway {
            runway.settle().map_err(|e| BlobError::disk("write", &self.path, e))?;
        }
        self.file.sync_all().map_err(|e| BlobError::disk("sync", &self.path, e))?;
        self.synced = self.arrived;
        self.write_sidecar(self.runway.is_some())
    }

    fn write_sidecar(&self, ahead: bool) -> Result<(), BlobError> {
        Sidecar { boot: this_boot(), synced: self.synced, ahead }.write(&self.path)
    }

    /// Makes room for bytes that come fast, as far as there is room and the file system can do that; gives up doing so
    /// when they do not.
    fn look_ahead(&mut self, fast: bool, free: u64) -> Result<(), BlobError> {
        let roomy = fast && free > 2 * STRETCH;
        if let Some(runway) = &mut self.runway {
            if self.arrived < runway.end() || roomy && runway.extend().is_ok() {
                return Ok(());
            }
            return self.land();
        }
        let Some(direct) = &self.direct else { return Ok(()) };
        if roomy && self.direct_works && self.arrived.is_multiple_of(BUFFER as u64) {
            self.write_sidecar(true)?;
            match Runway::open(&self.file, direct, self.arrived) {
                Ok(runway) => self.runway = Some(runway),
                Err(error) => {
                    tracing::debug!(path = %self.path.display(), %error, "no room is made ahead");
                    self.direct_works = false;
                    self.file.set_len(self.arrived).map_err(|e| BlobError::disk("shorten", &self.path, e))?;
                    self.write_sidecar(false)?;
                }
            }
        }
        Ok(())
    }

    /// Gives back the room that no bytes came for.
    fn land(&mut self) -> Result<(), BlobError> {
        let Some(runway) = self.runway.take() else { return Ok(()) };
        if let Err((there, error)) = runway.close(self.arrived) {
            self.arrived = there;
            return Err(BlobError::disk("write", &self.path, error));
        }
        self.write_sidecar(false)
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes all buffers until the sender goes away. Whatever goes wrong, the file ends with the last whole buffer
    /// that was written, and the hash states belong to exactly that. Runs on a thread of its own.
    pub(crate) fn take_in(
        &mut self,
        buffers: &mut mpsc::Receiver<Bytes>,
        reserve: u64,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), BlobError> {
        let dir = self.path.parent().unwrap_or(Path::new(".")).to_path_buf();
        let (to_hash, hashing) = sync_channel::<Bytes>(WAITING);
        let mut hashes = self.hashes.clone();
        let before = self.hashes.clone();
        let (start, mut looked) = (self.arrived, None::<u64>);
        let hasher = std::thread::Builder::new().name("holm-hash".into()).spawn(move || {
            for bytes in hashing {
                hashes.update(&bytes);
            }
            hashes
        });
        let hasher = hasher.map_err(|e| BlobError::disk("start a thread to hash", &self.path, e))?;
        let (to_push, pushing) = sync_channel::<()>(1);
        let pushed = self.file.try_clone().and_then(|file| {
            std::thread::Builder::new().name("holm-push".into()).spawn(move || {
                for () in pushing {
                    // Only a head start: the sync that counts comes later and reports what goes wrong.
                    let _ = file.sync_data();
                }
            })
        });
        let pusher = pushed.map_err(|e| BlobError::disk("start a thread to sync", &self.path, e))?;
        let mut pushed_at = self.cached;
        let mut pace = (Instant::now(), false);
        let mut result = Ok(());
        while let Some(bytes) = buffers.blocking_recv() {
            let ends = self.runway.as_ref().is_some_and(|runway| self.arrived >= runway.end());
            if ends || looked.is_none_or(|at| self.arrived - at >= LOOK_EVERY) {
                let fast = looked.is_some() && pace.0.elapsed() < FAST;
                pace = (Instant::now(), fast);
                looked = Some(self.arrived);
                let enough = free_bytes(&dir).and_then(|free| match free.checked_sub(reserve) {
                    Some(free) => self.look_ahead(fast, free),
                    None => Err(BlobError::NoSpace { path: dir.clone() }),
                });
                if let Err(error) = enough {
                    result = Err(error);
                    break;
                }
            }
            let written = match &mut self.runway {
                Some(runway) => runway.write(self.arrived, &bytes),
                None => self.write(self.arrived, &bytes).inspect_err(|_| {
                    // What was written of this buffer must not look as if it had arrived.
                    if let Err(error) = self.file.set_len(self.arrived) {
                        tracing::warn!(path = %self.path.display(), %error, "an unfinished file could not be shortened");
                    }
                }),
            };
            if let Err(error) = written {
                result = Err(BlobError::disk("write", &self.path, error));
                break;
            }
            self.arrived += bytes.len() as u64;
            // The hasher only goes away early by a panic, which the join below reports.
            let _ = to_hash.send(bytes);
            progress(self.arrived);
            if self.cached - pushed_at >= PUSH_EVERY && to_push.try_send(()).is_ok() {
                pushed_at = self.cached;
            }
            if self.arrived - self.synced >= SYNC_EVERY
                && let Err(error) = self.sync()
            {
                result = Err(error);
                break;
            }
        }
        let result = self.land().and(result);
        buffers.close();
        drop(to_hash);
        drop(to_push);
        // The thread cannot panic, and what it did is done again by the sync that counts.
        let _ = pusher.join();
        match hasher.join() {
            Ok(hashes) => self.hashes = hashes,
            Err(_) => {
                self.hashes = before;
                self.arrived = start;
                // Opening the file again computes the states from its bytes.
                return Err(BlobError::Disk {
                    doing: "hash",
                    path: self.path.clone(),
                    source: std::io::Error::other("the hashing thread failed"),
                });
            }
        }
        result
    }
}

/// Where in a buffer that begins at `at` of its file there is anything but zeros: from, to. Zeros count in whole blocks of the
/// file, so that a hole is a hole for the file system as well.
pub(crate) fn runs_of_data(bytes: &[u8], at: u64) -> Vec<(usize, usize)> {
    let lead = (BLOCK - usize::try_from(at % BLOCK as u64).unwrap_or(0)) % BLOCK;
    let (head, rest) = bytes.split_at(lead.min(bytes.len()));
    let mut runs: Vec<(usize, usize)> = vec![];
    let mut from = 0;
    for block in std::iter::once(head).chain(rest.chunks(BLOCK)) {
        let to = from + block.len();
        if block != &ZEROS[..block.len()] {
            match runs.last_mut() {
                Some(last) if last.1 == from => last.1 = to,
                _ => runs.push((from, to)),
            }
        }
        from = to;
    }
    runs
}
