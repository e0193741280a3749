//! The gate of the store: counts readers, keeps them out while the map moves, and hands each of
//! them the layers that are published at its moment.

use crate::overlay::Layers;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Growing waits for open snapshots this long: 100 times 100 ms.
const GROWTH_WAITS: u32 = 100;
const GROWTH_WAIT: Duration = Duration::from_millis(100);

/// Counts readers, and keeps them out while the map moves.
#[derive(Default)]
pub(super) struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    readers: usize,
    closed: bool,
    /// There is no map to read any more.
    is_unmapped: bool,
    layers: Arc<Layers>,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a reader in; what lies above the data file for it. `None` when nothing can be read.
    pub(super) fn enter(&self) -> Option<Arc<Layers>> {
        let mut state = self.state();
        while state.closed {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_unmapped {
            return None;
        }
        state.readers += 1;
        Some(Arc::clone(&state.layers))
    }

    /// Nobody is let in any more.
    pub(super) fn unmapped(&self) {
        self.state().is_unmapped = true;
    }

    pub(super) fn layers(&self) -> Arc<Layers> {
        Arc::clone(&self.state().layers)
    }

    /// What readers from now on see above the data file.
    pub(super) fn publish(&self, change: impl FnOnce(&Layers) -> Layers) {
        let mut state = self.state();
        let layers = Arc::new(change(&state.layers));
        let old = std::mem::replace(&mut state.layers, layers);
        drop(state);
        // The last reference to large runs may go here, which takes its time.
        drop(old);
    }

    pub(super) fn leave(&self) {
        let mut state = self.state();
        state.readers = state.readers.saturating_sub(1);
        if state.readers == 0 {
            self.changed.notify_all();
        }
    }

    /// Keeps new readers out and waits for those inside; `None` when they stay too long.
    pub(super) fn close(&self) -> Option<ClosedGate<'_>> {
        let mut state = self.state();
        state.closed = true;
        let closed = ClosedGate(self);
        for _ in 0..GROWTH_WAITS {
            if state.readers == 0 {
                return Some(closed);
            }
            let waited = self.changed.wait_timeout(state, GROWTH_WAIT);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        None
    }
}

pub(super) struct ClosedGate<'a>(&'a Gate);

impl Drop for ClosedGate<'_> {
    fn drop(&mut self) {
        self.0.state().closed = false;
        self.0.changed.notify_all();
    }
}
