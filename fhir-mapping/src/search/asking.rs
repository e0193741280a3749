//! What reading a request depends on besides its text: the site's zone, the time, how strict it is,
//! what the caller can carry out, and where codes are looked up.

use super::{Handling, Zone};

/// The circumstances of a request.
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    pub(super) handling: Handling,
    pub(super) zone: &'a Zone,
    /// When the question is asked, milliseconds since 1970.
    pub(super) now_ms: Option<i64>,
    pub(super) terminology: Option<&'a dyn Terminology>,
    /// Conditions on other resources are carried out.
    pub(super) reaches: bool,
    /// Every result parameter is.
    pub(super) is_whole: bool,
}

/// A code and its system, as a value set lists them. No system: of any.
pub type Code = (Option<String>, String);

/// Looks up value sets and code hierarchies for `:in`, `:not-in`, `:above` and `:below` on tokens.
/// The answers are texts for the client when there is none.
pub trait Terminology {
    /// Members of a value set, by its canonical URL (a version may follow after `|`) or by
    /// `ValueSet/id`.
    fn members(&self, value_set: &str) -> Result<Vec<Code>, String>;
    /// The code itself and all that it subsumes.
    fn below(&self, system: &str, code: &str) -> Result<Vec<Code>, String>;
    /// The code itself and all that subsume it.
    fn above(&self, system: &str, code: &str) -> Result<Vec<Code>, String>;
}

impl<'a> Asking<'a> {
    /// Only what one resource's own values decide, in one pass.
    pub fn new(handling: Handling, zone: &'a Zone) -> Asking<'a> {
        Asking {
            handling,
            zone,
            now_ms: None,
            terminology: None,
            reaches: false,
            is_whole: false,
        }
    }

    /// Asked at this time (milliseconds since 1970), which the prefix `ap` of dates depends on: give
    /// later pages of a search the time of the first.
    pub fn at(self, now_ms: i64) -> Asking<'a> {
        Asking {
            now_ms: Some(now_ms),
            ..self
        }
    }

    pub fn zone(&self) -> &'a Zone {
        self.zone
    }

    /// The caller carries out conditions on other resources too: chains, `_has`, hierarchies, words.
    /// Conditional writes ask so.
    pub fn reaching(self) -> Asking<'a> {
        Asking {
            reaches: true,
            ..self
        }
    }

    /// The caller carries out every condition and result parameter that a `Query` can hold:
    /// chains, `_has`, hierarchies, words, `:iterate`, `_revinclude`, `_summary`, `_elements`.
    pub fn whole(self) -> Asking<'a> {
        Asking {
            reaches: true,
            is_whole: true,
            ..self
        }
    }

    pub fn with_terminology(self, terminology: &'a dyn Terminology) -> Asking<'a> {
        Asking {
            terminology: Some(terminology),
            ..self
        }
    }
}
