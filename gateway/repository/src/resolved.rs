//! Stored resources that rules look at through `resolve()`: each read once, and kept while one
//! judgement lasts. Bounded: references beyond that tell their target's type only.

use super::opened::Opened;
use fhir_mapping::model::{Json, Limits, Reference, parse};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use store::{ResourceKey, VersionId, View};

pub(super) struct Resolved<'v> {
    view: &'v View<'v>,
    opened: &'v Opened,
    read: Vec<OnceCell<Json>>,
    /// Where in `read` a reference's target is; `None` for one that is not here.
    places: RefCell<HashMap<String, Option<usize>>>,
    bytes_left: Cell<usize>,
}

/// References of one resource that are looked up, and bytes of what they name.
const TARGETS_MAX: usize = 256;
const BYTES_MAX: usize = 16 << 20;

impl<'v> Resolved<'v> {
    pub(super) fn new(view: &'v View<'v>, opened: &'v Opened) -> Resolved<'v> {
        Resolved {
            view,
            opened,
            read: (0..TARGETS_MAX).map(|_| OnceCell::new()).collect(),
            places: RefCell::default(),
            bytes_left: Cell::new(BYTES_MAX),
        }
    }

    /// The resource that a relative reference names.
    pub(super) fn get(&self, reference: &str) -> Option<&Json> {
        let known = self.places.borrow().get(reference).copied();
        if let Some(place) = known {
            return self.read.get(place?)?.get();
        }
        let at = self.places.borrow().len();
        let slot = self.read.get(at)?;
        let tree = self.fetch(reference);
        let place = tree.as_ref().map(|_| at);
        self.places.borrow_mut().insert(reference.to_owned(), place);
        Some(slot.get_or_init(|| tree.unwrap_or(Json::Null))).filter(|_| place.is_some())
    }

    fn fetch(&self, reference: &str) -> Option<Json> {
        let Reference::Literal {
            base: None,
            resource_type,
            id,
            version,
        } = Reference::parse(reference)
        else {
            return None;
        };
        let key = ResourceKey {
            resource_type: resource_type.to_owned(),
            id: id.to_owned(),
        };
        let head = self.view.head(&key).ok()??;
        let version = match version {
            Some(text) => VersionId(text.parse().ok()?),
            None => head.version,
        };
        let stored = self.opened.version(self.view, head.rid, version).ok()??;
        if stored.deleted {
            return None;
        }
        let left = self.bytes_left.get().checked_sub(stored.body.len())?;
        self.bytes_left.set(left);
        parse(&stored.body, Limits::default()).ok()
    }
}
