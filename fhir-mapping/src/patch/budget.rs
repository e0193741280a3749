//! How much work one patch may make: a few bytes can ask for endless copies and shifts.

use crate::model::Json;

/// What is left, in values touched or copied; sixteen bytes of text count as a value.
pub(super) struct Budget(usize);

/// About as many values as the largest resource a request may hold; in memory some 250 MB.
const WORK_MAX: usize = 4_000_000;

impl Default for Budget {
    fn default() -> Budget {
        Budget(WORK_MAX)
    }
}

impl Budget {
    /// `None` when it is used up.
    pub(super) fn spend(&mut self, work: usize) -> Option<()> {
        self.0 = self.0.checked_sub(work)?;
        Some(())
    }

    /// The whole of a value.
    pub(super) fn spend_tree(&mut self, value: &Json) -> Option<()> {
        match value {
            Json::Array(items) => {
                self.spend(items.len() + 1)?;
                items.iter().try_for_each(|item| self.spend_tree(item))
            }
            Json::Object(object) => object.iter().try_for_each(|(name, item)| {
                self.spend(name.len() / 16 + 1)?;
                self.spend_tree(item)
            }),
            Json::String(text) => self.spend(text.len() / 16 + 1),
            Json::Number(text) => self.spend(text.len() / 16 + 1),
            Json::Null | Json::Bool(_) => self.spend(1),
        }
    }
}
