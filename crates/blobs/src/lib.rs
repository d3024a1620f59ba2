//! Images as verified files in a directory, each named by its content.
//!
//! The front-end keeps the images of the cloud in one [`ImageStore`], every host keeps its cache in another. Bytes
//! arrive as a stream, in as many pieces as it takes and across restarts; they are hashed while they are written, runs
//! of zeros become holes, and memory use does not depend on the size. Only when all of it is there, hashed, looked at
//! and safely on disk does the file get its name: the BLAKE3 digest of its bytes. A file of that name is therefore
//! always complete.
//!
//! This crate deliberately does not know who may use an image, where its bytes come from or what runs from it. It reads
//! headers with its own strict parsers and never runs another program on bytes it was given.
//!
//! # Invariants
//!
//! * `DIR/<digest>` is complete, synced, read-only, and never changes. Everything unfinished is under `DIR/incoming`.
//! * What kind of file it is, is decided by its content alone, never by a name somebody gave it.
//! * A qcow2 file that names any other file (backing file, external data) is refused.
//! * The offset at which an upload resumes never lies beyond what survived: after a crash of the machine it is the last
//!   one synced, after a crash of the process the end of the file, or somewhat before it where an image came fast.
//!
//! Start reading at [`ImageStore`], then [`inspect`](mod@inspect).

mod error;
mod fetch;
mod hashes;
pub mod inspect;
mod intake;
mod lanes;
pub mod qcow2;
mod runway;
mod sidecar;
mod store;

pub use error::{BlobError, Refusal};
pub use fetch::FetchError;
pub use store::{Arrival, ImageStore, Upload};
