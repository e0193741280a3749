//! What a transaction is about to write, as far as searching sees it: conditions on other resources
//! are asked of the state that it will leave.

use fhir_mapping::search::SearchValues;
use std::collections::HashMap;
use std::rc::Rc;
use store::{ResourceKey, Rid, StoreError, View};

/// Resources as a transaction leaves them. What is new has a number above all that are given.
pub(crate) struct Pending {
    by_rid: HashMap<Rid, Option<Made>>,
    rids: HashMap<ResourceKey, Rid>,
    /// Ascending.
    by_type: HashMap<String, Vec<Rid>>,
    next: Rid,
}

/// One resource's content.
pub(crate) struct Made {
    pub(crate) values: Rc<SearchValues>,
    /// JSON text.
    pub(crate) body: Vec<u8>,
}

impl Pending {
    pub(crate) fn new(view: &View<'_>) -> Result<Pending, StoreError> {
        let last = view.last_rid()?;
        Ok(Pending {
            by_rid: HashMap::new(),
            rids: HashMap::new(),
            by_type: HashMap::new(),
            next: Rid(last.0.saturating_add(1)),
        })
    }

    /// `None`: it will be deleted.
    pub(crate) fn add(
        &mut self,
        view: &View<'_>,
        key: ResourceKey,
        made: Option<Made>,
    ) -> Result<(), StoreError> {
        let rid = match view.head(&key)? {
            Some(head) => head.rid,
            None => {
                let rid = self.next;
                self.next = Rid(rid.0.saturating_add(1));
                rid
            }
        };
        let rids = self.by_type.entry(key.resource_type.clone()).or_default();
        if let Err(at) = rids.binary_search(&rid) {
            rids.insert(at, rid);
        }
        self.by_rid.insert(rid, made);
        self.rids.insert(key, rid);
        Ok(())
    }

    pub(super) fn changed_of(&self, resource_type: &str) -> &[Rid] {
        self.by_type.get(resource_type).map_or(&[], Vec::as_slice)
    }

    pub(super) fn rid_of(&self, key: &ResourceKey) -> Option<Rid> {
        self.rids.get(key).copied()
    }

    pub(super) fn has(&self, rid: Rid) -> bool {
        self.by_rid.contains_key(&rid)
    }

    /// The outer `None`: the transaction does not touch it.
    pub(super) fn values(&self, rid: Rid) -> Option<Option<Rc<SearchValues>>> {
        let made = self.by_rid.get(&rid)?;
        Some(made.as_ref().map(|made| Rc::clone(&made.values)))
    }

    pub(super) fn body(&self, rid: Rid) -> Option<Vec<u8>> {
        self.by_rid
            .get(&rid)?
            .as_ref()
            .map(|made| made.body.clone())
    }
}
