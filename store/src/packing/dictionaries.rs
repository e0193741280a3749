//! The dictionaries that bodies are packed with, by the number that stands before each body. Append
//! only: a number means the same bytes for ever. `store/dictionaries/generate.py` makes new ones.

use crate::catalog;
use std::sync::OnceLock;
use zstd::zstd_safe::{CDict, DDict};

/// Level 3: see `packing`.
const LEVEL: i32 = 3;

pub(super) struct Dictionary {
    bytes: &'static [u8],
    packing: OnceLock<Option<CDict<'static>>>,
    unpacking: OnceLock<Option<DDict<'static>>>,
}

/// From number 1 on.
static ALL: [Dictionary; 2] = [
    Dictionary::of(include_bytes!("../../dictionaries/1-versions")),
    Dictionary::of(include_bytes!("../../dictionaries/2-audit")),
];

impl Dictionary {
    const fn of(bytes: &'static [u8]) -> Dictionary {
        Dictionary {
            bytes,
            packing: OnceLock::new(),
            unpacking: OnceLock::new(),
        }
    }

    /// Made once for all threads.
    pub(super) fn packing(&self) -> Option<&CDict<'static>> {
        let made = self
            .packing
            .get_or_init(|| CDict::try_create(self.bytes, LEVEL));
        made.as_ref()
    }

    pub(super) fn unpacking(&self) -> Option<&DDict<'static>> {
        let made = self.unpacking.get_or_init(|| DDict::try_create(self.bytes));
        made.as_ref()
    }
}

/// What new bodies of a database are packed with.
pub(super) fn newest_of(database: &str) -> Option<(u8, &'static Dictionary)> {
    let number = match database {
        catalog::VERSIONS => 1,
        catalog::AUDIT => 2,
        _ => return None,
    };
    Some((number, of_number(number)?))
}

pub(super) fn of_number(number: u8) -> Option<&'static Dictionary> {
    ALL.get(usize::from(number.checked_sub(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    /// A dictionary that was ever given out must stay as it is: bodies on disks need it.
    #[test]
    fn dictionaries_never_change() {
        let digests: Vec<String> = ALL
            .iter()
            .map(|dictionary| {
                let digest = Sha256::digest(dictionary.bytes);
                digest
                    .iter()
                    .take(8)
                    .map(|byte| format!("{byte:02x}"))
                    .collect()
            })
            .collect();
        insta::assert_snapshot!(digests.join(" "), @"2855d7e1b4cd6b1c ebce7cd3d5900e23");
        assert!(
            ALL.iter()
                .all(|one| one.packing().is_some() && one.unpacking().is_some())
        );
    }
}
