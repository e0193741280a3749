//! The state that a transaction will leave, for conditions that look at other resources.

use super::super::search::{Made, Pending};
use super::asked::{Transaction, Write};
use super::conditions::At;
use super::resolution::Resolution;
use fhir_mapping::search::Zone;
use std::collections::HashMap;
use std::rc::Rc;
use store::{ResourceKey, StoreError, VersionId, View};

pub(super) struct Outlook {
    pub(super) pending: Pending,
    /// Which write makes or replaces a resource.
    pub(super) makers: HashMap<ResourceKey, usize>,
}

impl Outlook {
    /// As the answers have it so far.
    pub(super) fn of(
        view: &View<'_>,
        (transaction, zone): (&Transaction, &Zone),
        resolution: &Resolution,
    ) -> Result<Outlook, At> {
        let nobody = transaction.writes.len();
        let fault = |error: StoreError| (nobody, error.into());
        let contents = resolution.contents(transaction, zone)?;
        let mut outlook = Outlook {
            pending: Pending::new(view).map_err(fault)?,
            makers: HashMap::new(),
        };
        for (index, (write, content)) in transaction.writes.iter().zip(contents).enumerate() {
            let found = resolution
                .existing
                .get(&index)
                .map_or(&[][..], Vec::as_slice);
            if matches!((write, found), (Write::Create { .. }, [_, ..])) {
                continue;
            }
            let Some(content) = content else {
                for key in found.iter().cloned().chain(write.key()) {
                    outlook.pending.add(view, key, None).map_err(fault)?;
                }
                continue;
            };
            let made = Made {
                values: Rc::new(content.values().clone()),
                body: content.body(VersionId(0), 0),
            };
            let base = resolution.bases.get(&index).map(|base| base.key.clone());
            let key = found.first().cloned().or(base).or_else(|| write.key());
            if let Some(key) = key {
                outlook.makers.insert(key.clone(), index);
                outlook.pending.add(view, key, Some(made)).map_err(fault)?;
            }
        }
        Ok(outlook)
    }
}
