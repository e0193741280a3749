//! The one door to the store for FHIR resources: read, write, search, apply, review.

mod apply;
mod everything;
#[cfg(any(test, feature = "fresh"))]
pub mod fresh;
mod identify;
mod indexing;
mod jobs;
mod log;
mod merge;
mod opened;
mod plan;
mod purge;
mod read;
mod replay;
mod resolved;
mod review;
mod rows;
mod scrub;
mod search;
mod stamp;
mod terminology;
mod urgency;
mod validation;
mod visit;
mod write;

pub use apply::{Applied, Incoming};
pub use everything::{EverythingPage, EverythingRequest, ManyPage, ManyPlace, Part, Place};
pub use identify::{Identified, search_value};
pub use indexing::reindex::IndexState;
pub use indexing::terms_of;
pub use jobs::{
    ExportOrder, FILE_PIECE_BYTES, File as JobFile, FileKind as JobFileKind, FilePieces,
    Files as JobFiles, ImportBatch, ImportCheck, ImportInput, ImportLine, ImportMark, ImportOrder,
    ImportPlace, ImportSources, Job, JobOrder, KEPT_MS as JOB_KEPT_MS, Lane as JobLane, Scope,
    State as JobState, UPLOAD_URL, Upload,
};
pub use log::{LogPage, LogPlace, LogRequest, Period};
pub use merge::{MergeOrder, Merged};
pub use purge::{PurgeCertificate, PurgeOrder, PurgeReport};
pub use read::{HistoryPage, VersionInfo, own_id};
pub use replay::{Replayed, Until};
pub use review::{Ended, ReviewDecision, ReviewKind, ReviewSide, ReviewView};
pub use rows::standing::{Notice, Standing};
pub use scrub::{
    Broken, ChainsLooked, ChainsPlace, Found as ScrubFound, Round as ScrubRound, Scrub, ScrubState,
    Step as ScrubStep,
};
pub use search::{Cursor, SearchPage, SearchRequest};
pub use write::{Actor, Check, NOTHING, Transaction, Which, Write, Written, WrittenKind};

use fhir_mapping::search::{Asking, Handling, Zone};
use gateway_ground::clock::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64};
use store::Store;

/// Cheap to clone; all clones share one store.
#[derive(Clone)]
pub struct Repository {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    clock: Clock,
    zone: Zone,
    /// Time given to the newest commit: `meta.lastUpdated` never goes backwards while we run.
    last_stamp_ms: AtomicI64,
    terminology: terminology::Cache,
    jobs: jobs::Bells,
    opened: opened::Opened,
    profiles: validation::ProfileCache,
    lanes: write::Lanes,
    /// Set when a commit has made it so; false where it must be looked up.
    is_index_whole: AtomicBool,
    /// Woken when the index is to be made anew, or the rules may have changed.
    reindex_asked: tokio::sync::Notify,
    /// Woken when somebody asked for a round of the scrub.
    scrub_asked: tokio::sync::Notify,
    /// A SearchParameter was written since somebody looked.
    are_parameters_changed: AtomicBool,
    /// Held by whoever notes how far the index is.
    indexing: tokio::sync::Mutex<()>,
    /// Of paged searches.
    moments: search::Kept,
    counted: search::Counted,
}

impl Repository {
    pub fn new(store: Store, clock: Clock, zone: Zone) -> Repository {
        indexing::own::begin(&store, &zone);
        let is_index_whole = AtomicBool::new(indexing::standing::begin(&store, &zone));
        Repository {
            inner: Arc::new(Inner {
                store,
                clock,
                zone,
                last_stamp_ms: AtomicI64::new(i64::MIN),
                terminology: terminology::Cache::default(),
                jobs: jobs::Bells::default(),
                opened: opened::Opened::default(),
                profiles: validation::ProfileCache::default(),
                lanes: write::Lanes::default(),
                is_index_whole,
                reindex_asked: tokio::sync::Notify::new(),
                scrub_asked: tokio::sync::Notify::new(),
                are_parameters_changed: AtomicBool::new(false),
                indexing: tokio::sync::Mutex::new(()),
                moments: search::Kept::default(),
                counted: search::Counted::default(),
            }),
        }
    }

    /// For rows (tokens, intake, deliveries), which are no FHIR resources.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    pub fn zone(&self) -> &Zone {
        &self.inner.zone
    }

    /// How a question asked here and now is read; see `Asking` for what else it may ask.
    pub fn asking(&self, handling: Handling) -> Asking<'_> {
        Asking::new(handling, self.zone()).at(self.clock().now_ms())
    }
}
