//! The one door to the store for FHIR resources: read, write, search, apply, review.

mod apply;
mod identify;
mod indexing;
mod read;
mod review;
mod search;
mod write;

pub use apply::{Applied, Incoming};
pub use identify::Identified;
pub use read::{HistoryPage, VersionInfo};
pub use review::{ReviewDecision, ReviewView};
pub use search::{Cursor, SearchPage, SearchRequest};
pub use write::{Actor, Transaction, Write, Written, WrittenKind};

use crate::clock::Clock;
use fhir_mapping::search::Zone;
use std::sync::Arc;
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
}

impl Repository {
    pub fn new(store: Store, clock: Clock, zone: Zone) -> Repository {
        Repository {
            inner: Arc::new(Inner { store, clock, zone }),
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
}
