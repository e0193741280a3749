//! How many live resources types have, as counted last: counting reads the whole posting list of a
//! type, which grows with the site, and holds until something is written.

use gateway_ground::failure::Failure;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use store::Moment;

/// One count for each type that was asked for; there are no more than R4 has types.
#[derive(Default)]
pub(crate) struct Counted(Mutex<HashMap<String, (Moment, u64)>>);

impl Counted {
    /// The count at that moment, from memory or by `count`.
    pub(super) fn of(
        &self,
        resource_type: &str,
        moment: Moment,
        count: impl FnOnce() -> Result<u64, Failure>,
    ) -> Result<u64, Failure> {
        let known = self.known(resource_type);
        if let Some((at, counted)) = known
            && at == moment
        {
            return Ok(counted);
        }
        let counted = count()?;
        // A search that took long does not push out what a later one learnt.
        if known.is_none_or(|(at, _)| at < moment) {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.insert(resource_type.to_owned(), (moment, counted));
        }
        Ok(counted)
    }

    fn known(&self, resource_type: &str) -> Option<(Moment, u64)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(resource_type).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fresh;
    use store::{RowWrite, Store, StoreError, Table, WriteSet};

    fn write(store: &Store) {
        let row = RowWrite {
            table: Table::Site,
            key: b"counted".to_vec(),
            value: Some(b"1".to_vec()),
        };
        let set = WriteSet {
            rows: vec![row],
            ..WriteSet::default()
        };
        store.commit(|_| Ok::<_, StoreError>((set, ()))).unwrap();
    }

    #[test]
    fn a_count_holds_until_something_is_written() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = fresh::store(&folder.path().join("data"));
        let moment = || store.snapshot().unwrap().moment();
        let counted = Counted::default();
        let count = |at, found| counted.of("Patient", at, || Ok(found)).unwrap();
        let first = moment();
        assert_eq!(count(first, 1), 1);
        assert_eq!(count(first, 2), 1, "it is known");
        write(&store);
        let later = moment();
        assert_eq!(count(later, 3), 3, "something was written");
        assert_eq!(count(first, 4), 4, "an older view counts for itself");
        assert_eq!(
            count(later, 5),
            3,
            "which changes nothing for the newer one"
        );
    }
}
