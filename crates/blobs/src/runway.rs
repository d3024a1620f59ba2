//! Room that a fast image finds made before its bytes come, so that several of them can be written at a time.
//!
//! A file system lets writes past the page cache go on side by side only where the file has its blocks and its length
//! already. The end of the file then says nothing about how much has arrived; the sidecar says that it does not
//! ([`Sidecar::ahead`](crate::sidecar::Sidecar)), and all but the last two stretches count.

use crate::intake::{ALIGN, runs_of_data};
use crate::lanes::Lanes;
use bytes::Bytes;
use nix::fcntl::{FallocateFlags, fallocate};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Room is made for so many bytes at a time.
pub(crate) const STRETCH: u64 = 64 << 20;
/// Shorter runs between holes are gathered in the page cache: each write past it waits for the disk.
const SHORTEST: usize = 128 << 10;

/// How much of a file with room ahead of its bytes has arrived at least.
pub(crate) fn certain(length: u64) -> u64 {
    length.saturating_sub(2 * STRETCH)
}

/// The part of a file that has its room already.
pub(crate) struct Runway {
    /// The file through the page cache.
    file: File,
    lanes: Lanes,
    /// Where the room ends: also the file's length.
    end: u64,
    /// Zeros in the stretch that is being filled: from, to.
    holes: Vec<(u64, u64)>,
}

impl Runway {
    /// Makes room from `at` on, which must be a multiple of a buffer. `direct` is the same file past the page cache.
    ///
    /// # Errors
    /// When there is no room or the file system cannot do that.
    pub(crate) fn open(file: &File, direct: &File, at: u64) -> io::Result<Self> {
        let lanes = Lanes::start(direct)?;
        let mut runway = Self { file: file.try_clone()?, lanes, end: at, holes: vec![] };
        runway.extend_to((at / STRETCH + 1) * STRETCH)?;
        Ok(runway)
    }

    /// Where the room ends.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Makes room for another stretch.
    ///
    /// # Errors
    /// When there is none, or of anything written so far.
    pub(crate) fn extend(&mut self) -> io::Result<()> {
        self.lanes.settle(self.end.saturating_sub(STRETCH))?;
        if !self.holes.is_empty() {
            // Making holes waits for all writes anyway.
            self.lanes.settle(self.end)?;
            self.punch();
        }
        self.extend_to(self.end + STRETCH)
    }

    fn extend_to(&mut self, end: u64) -> io::Result<()> {
        fallocate(&self.file, FallocateFlags::empty(), offset(self.end)?, offset(end - self.end)?)?;
        self.end = end;
        Ok(())
    }

    /// Takes a buffer to its place within the room.
    ///
    /// # Errors
    /// Of anything written so far.
    pub(crate) fn write(&mut self, at: u64, bytes: &Bytes) -> io::Result<()> {
        let mut zeros_from = 0;
        for (from, to) in runs_of_data(bytes, at) {
            self.note_hole(at, zeros_from, from);
            zeros_from = to;
            let whole = (to - from) / ALIGN * ALIGN;
            let place = at + from as u64;
            let aligned = place.is_multiple_of(ALIGN as u64) && bytes[from..].as_ptr().addr().is_multiple_of(ALIGN);
            let mut past = from;
            if aligned && whole >= SHORTEST {
                past += whole;
                self.lanes.write(place, bytes.slice(from..past))?;
            }
            if past < to {
                self.file.write_all_at(&bytes[past..to], at + past as u64)?;
            }
        }
        self.note_hole(at, zeros_from, bytes.len());
        Ok(())
    }

    fn note_hole(&mut self, at: u64, from: usize, to: usize) {
        if from == to {
            return;
        }
        let (from, to) = (at + from as u64, at + to as u64);
        match self.holes.last_mut() {
            Some(last) if last.1 == from => last.1 = to,
            _ => self.holes.push((from, to)),
        }
    }

    /// Gives back the room of zeros. A file system that cannot do that reads zeros there all the same.
    fn punch(&mut self) {
        let how = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        for (from, to) in self.holes.drain(..) {
            if let (Ok(at), Ok(length)) = (offset(from), offset(to - from)) {
                let _ = fallocate(&self.file, how, at, length);
            }
        }
    }

    /// Waits until everything is written.
    ///
    /// # Errors
    /// Of anything written so far.
    pub(crate) fn settle(&mut self) -> io::Result<()> {
        self.lanes.settle(self.end)
    }

    /// Waits until everything is written and cuts the file off where its bytes end, at `arrived`. With an error comes
    /// how much is there.
    pub(crate) fn close(mut self, arrived: u64) -> Result<(), (u64, io::Error)> {
        // What went wrong is said below, with its place.
        let _ = self.lanes.settle(self.end);
        self.punch();
        let there = self.lanes.finish();
        let end = there.as_ref().map_or_else(|(at, _)| arrived.min(*at), |()| arrived);
        self.file.set_len(end).map_err(|error| (end, error))?;
        there.map_err(|(_, error)| (end, error))
    }
}

fn offset(at: u64) -> io::Result<i64> {
    i64::try_from(at).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))
}
