//! Serves every request, whatever the door it came through.
//!
//! A door (REST, the agent link, others) decodes what it got, calls one function here and encodes the answer. Here it
//! is decided who asks, whether they may, whether the request is valid, and what is written: always one transaction
//! per request, with its audit line and its idempotency key in it. Reads are taken from one consistent [`View`] and
//! need neither a wait nor a write.
//!
//! This crate deliberately knows nothing of HTTP, JSON, certificates or sockets, and it decides nothing about placement
//! or the order of steps: it writes desire (specs) and facts (reports), and the plan's functions say what follows.
//!
//! # Invariants
//!
//! * Whoever may not see an object is told that there is none; whoever may see it and not change it is told so.
//! * Secrets (passwords, tokens) leave this crate once, when they are made; only hashes are kept.
//! * Statuses are written only from reports of the present session of the host that the VM's phase names.
//! * A file of an image is deleted only when no image's row names its digest, and no row gets a digest while that is
//!   being looked at.
//!
//! Start reading at [`Desk`], then [`vms`](Desk::vm_create) and [`host_report`](Desk::host_report).

mod accounting;
mod acl;
mod acl_words;
mod belongings;
mod bootstrap;
mod caller;
mod change;
mod clusters;
mod datastores;
mod enrolment;
mod entropy;
mod error;
mod exports;
mod groups;
mod host_sessions;
mod hosts;
mod housekeeping;
mod image_bytes;
mod images;
mod key_login;
mod list;
mod listed;
mod logins;
mod monitoring;
mod network_templates;
mod networks;
mod owned;
mod parts;
mod passwords;
mod quota_sheet;
mod quotas;
mod resolve;
pub mod restricted;
mod second_factor;
mod security_groups;
mod sessions;
mod templates;
mod throttle;
mod users;
mod vdcs;
mod verdicts;
mod view;
mod vlan_rules;
mod vm_actions;
mod vm_devices;
mod vm_groups;
mod vm_schedule;
mod vm_snapshots;
pub mod vm_template;
mod vm_templates;
mod vms;
mod zones;

pub use accounting::{MonthCost, Whose, month_begins};
pub use acl::AclDraft;
pub use acl_words::AclParts;
pub use bootstrap::Bootstrapped;
pub use caller::{Caller, Intent};
pub use change::Accepted;
pub use clusters::{ClusterChange, ClusterDraft};
pub use datastores::{DatastoreChange, DatastoreDraft, DatastoreRoom};
pub use enrolment::{IssuedJoinToken, JoinClaim, JoinTokenDraft, Joined};
pub use entropy::{Entropy, SystemEntropy};
pub use error::{Error, ErrorKind};
pub use exports::ExportedCopy;
pub use groups::GroupDraft;
pub use holm_model::users::Secret;
pub use holm_model::vm_groups::{RoleDraft, VmGroupDraft};
pub use holm_plan::explain::Explanation;
pub use holm_plan::hostplan::is_news;
pub use holm_plan::image::Standing as ImageStanding;
pub use holm_plan::rights::Why;
pub use holm_plan::vm_actions::{Standing, word as vm_word};
pub use holm_store::{AuditLine, Feed, FeedItem, Missed, Noun, Row};
pub use holm_store::{Prices, StayRecord};
pub use host_sessions::HostSession;
pub use hosts::{HostChange, HostDraft};
pub use images::{EmptyDisk, ImageChange, ImageDraft, ImageFile, upload_name};
pub use key_login::SIGNATURE_NAMESPACE;
pub use list::{ListQuery, Listed, Page};
pub use logins::{LOGIN_TOKEN, LoginTokenDraft, MOST_LOGIN_TOKENS, NEVER};
pub use monitoring::{SAMPLE_BLOCK, SamplesKept};
pub use networks::{Holder, LeaseSeen, NetworkChange, NetworkRecovery, NetworkUse, RangeChange, ReservationDraft};
pub use owned::MetaChange;
pub use quota_sheet::{QuotaDraft, QuotaLine, QuotaSheet, QuotasOf};
pub use quotas::{Amounts, QuotaKey, Usage};
pub use second_factor::SecondFactorOffer;
pub use security_groups::{GroupVms, SecurityGroupChange, SecurityGroupDraft};
pub use sessions::{IssuedToken, SESSION, TokenDraft};
pub use templates::{Bag, BagDraft};
pub use users::{AccountDraft, UserChange, UserDraft};
pub use vdcs::VdcResource;
pub use verdicts::{Because, Question, Verdict};
pub use view::{Counts, Owned, Seen, Unique, View, host_state, image_state};
pub use vm_actions::{Destination, Recovery};
pub use vm_groups::VmGroupContent;
pub use vm_schedule::admit_scheduled;
pub use vm_templates::TemplateUse;
pub use vms::{PowerAction, VmChange};
pub use zones::ZoneChange;

use holm_blobs::ImageStore;
use holm_model::{Change, Clock};
use holm_store::Store;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What may be set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a token from a login works.
    pub session_lifetime: Duration,
    /// Longest lifetime of a token made on purpose.
    pub longest_token: Duration,
    /// How long a host may be silent before it counts as lost.
    pub host_lease: Duration,
    /// Largest image accepted, bytes.
    pub largest_image: u64,
    /// Password checks that run at the same time.
    pub logins_at_once: usize,
    /// Directories of the front-end's disk whose files may become images; none: no file may.
    pub image_dirs: Vec<PathBuf>,
    /// How much of what hosts measure is kept.
    pub samples_kept: SamplesKept,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            session_lifetime: Duration::from_secs(12 * 3600),
            longest_token: Duration::from_secs(366 * 24 * 3600),
            host_lease: Duration::from_secs(30),
            largest_image: 4 << 40,
            logins_at_once: 2,
            image_dirs: Vec::new(),
            samples_kept: SamplesKept::default(),
        }
    }
}

/// What a desk is made of.
pub struct DeskParts {
    /// The rows.
    pub store: Store,
    /// The images' files.
    pub images: ImageStore,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where secrets come from.
    pub entropy: Arc<dyn Entropy>,
    /// What may be set.
    pub settings: Settings,
}

/// The desk. Cloning it gives another handle to the same one.
#[derive(Clone)]
pub struct Desk(Arc<Inner>);

struct Inner {
    store: Store,
    images: ImageStore,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    settings: Settings,
    passwords: passwords::Passwords,
    throttle: throttle::Throttle,
    rights: Arc<caller::RightsCache>,
    remembered: logins::Remembered,
    challenges: key_login::Challenges,
    used_codes: second_factor::UsedCodes,
    sessions: Arc<host_sessions::Sessions>,
    samples: Arc<monitoring::Monitoring>,
    /// Held while rows get a digest and while files are deleted, so that neither overlooks the other.
    digests: tokio::sync::Mutex<()>,
}

impl Desk {
    /// Opens the desk. [`Desk::bootstrap`] must be called once after it.
    ///
    /// # Errors
    /// When password hashing does not work on this machine.
    pub fn new(parts: DeskParts) -> Result<Self, Error> {
        let DeskParts { store, images, clock, entropy, settings } = parts;
        let mut key = [0; 32];
        entropy.fill(&mut key);
        Ok(Self(Arc::new(Inner {
            passwords: passwords::Passwords::new(settings.logins_at_once),
            throttle: throttle::Throttle::default(),
            rights: Arc::default(),
            remembered: logins::Remembered::new(key),
            challenges: key_login::Challenges::new(key),
            used_codes: second_factor::UsedCodes::default(),
            sessions: Arc::default(),
            samples: Arc::new(monitoring::Monitoring::new(settings.samples_kept)),
            digests: tokio::sync::Mutex::new(()),
            store,
            images,
            clock,
            entropy,
            settings,
        })))
    }

    /// The present picture; cheap.
    #[must_use]
    pub fn view(&self) -> View {
        View(self.0.store.read())
    }

    /// What may be set, as it is set.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The time as the desk sees it.
    #[must_use]
    pub fn now(&self) -> holm_model::Timestamp {
        self.0.clock.now()
    }

    /// Follows all changes from now on. [`View::may_see`] says which of them concern a caller.
    #[must_use]
    pub fn feed(&self) -> Feed {
        self.0.store.feed()
    }

    /// The changes since a revision; `None` when they are no longer kept: then list, and follow from there.
    #[must_use]
    pub fn changes_after(&self, revision: u64) -> Option<Vec<(u64, Change)>> {
        self.0.store.changes_after(revision)
    }

    /// The audit log, newest first: lines before the given position, for administrators.
    ///
    /// # Errors
    /// `Forbidden` for everybody else; `Unavailable` when the journal cannot be read.
    pub async fn audit_lines(
        &self,
        caller: &Caller,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, AuditLine)>, Error> {
        change::require_admin(caller, "read the audit log")?;
        let store = self.0.store.clone();
        let limit = limit.clamp(1, 1000);
        tokio::task::spawn_blocking(move || store.audit_lines(before, limit))
            .await
            .map_err(|e| Error::internal("reading the audit log did not finish").caused_by(e))?
            .map_err(Error::from)
    }
}
