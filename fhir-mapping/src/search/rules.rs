//! The rules by which search values and terms are made, told apart by number: a store notes by which
//! of them its postings were made, and which it may therefore not trust.

use super::definitions::{self, Kind};
use super::zone::{Site, Zone};
use std::collections::BTreeMap;

/// One number for each parameter of each type. It changes with the parameter's definition, with how
/// values are extracted and posted and, where dates are read, with the site's zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Ascending, without repeats.
    numbers: Vec<u32>,
}

/// Parameters of whose terms a store's postings may lack some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doubt {
    by_type: BTreeMap<&'static str, Vec<&'static str>>,
}

/// What may follow a parameter's name in a term.
const TAGS: &[u8] = b"=^/#DMYmy?!";

impl Rules {
    /// The present rules of a site: see `Zone::rules`.
    pub(super) fn of(fingerprint: u32, site: &Site) -> Rules {
        let all = parameters(fingerprint, site);
        Rules::new(all.map(|(_, _, number)| number).collect())
    }

    fn new(mut numbers: Vec<u32>) -> Rules {
        numbers.sort_unstable();
        numbers.dedup();
        Rules { numbers }
    }

    /// One number for all of them.
    pub fn number(&self) -> u32 {
        let mix =
            |hash: u32, number: &u32| (hash.rotate_left(5) ^ number).wrapping_mul(0x9e37_79b1);
        self.numbers.iter().fold(0x811c_9dc5, mix)
    }

    /// Those that are among the others too.
    #[must_use]
    pub fn shared(&self, others: &Rules) -> Rules {
        let is_shared = |number: &&u32| others.numbers.binary_search(number).is_ok();
        Rules {
            numbers: self.numbers.iter().filter(is_shared).copied().collect(),
        }
    }

    /// Four bytes each.
    pub fn encode(&self) -> Vec<u8> {
        self.numbers.iter().flat_map(|n| n.to_be_bytes()).collect()
    }

    /// Any bytes are some rules; of damaged ones, few are still known.
    pub fn decode(bytes: &[u8]) -> Rules {
        let (numbers, _rest) = bytes.as_chunks::<4>();
        Rules::new(
            numbers
                .iter()
                .map(|four| u32::from_be_bytes(*four))
                .collect(),
        )
    }
}

impl Doubt {
    /// What is in doubt when postings were made by these rules.
    pub fn of(zone: &Zone, made_by: &Rules) -> Doubt {
        let mut by_type: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let site = zone.site();
        for (resource_type, name, number) in parameters(zone.fingerprint(), &site) {
            if made_by.numbers.binary_search(&number).is_err() {
                by_type.entry(resource_type).or_default().push(name);
            }
        }
        Doubt { by_type }
    }

    pub fn is_empty(&self) -> bool {
        self.by_type.is_empty()
    }

    /// May postings of this parameter's terms be missing?
    pub fn holds(&self, resource_type: &str, parameter: &str) -> bool {
        let names = self.by_type.get(resource_type);
        names.is_some_and(|names| names.contains(&parameter))
    }

    /// May postings of this term be missing? Terms of types, which all rules post, are never.
    pub fn holds_term(&self, term: &[u8]) -> bool {
        let Some((resource_type, rest)) = split(term) else {
            return false;
        };
        let Some(names) = self.by_type.get(resource_type) else {
            return false;
        };
        // A tag may be a letter: where a term might be of several parameters, one in doubt decides.
        names.iter().any(|name| {
            let tag = rest.strip_prefix(name.as_bytes()).and_then(<[u8]>::first);
            tag.is_some_and(|tag| TAGS.contains(tag))
        })
    }
}

/// `Type`, and what follows the slash; `None` for the term of a type.
fn split(term: &[u8]) -> Option<(&str, &[u8])> {
    let slash = term.iter().position(|byte| *byte == b'/')?;
    let (resource_type, rest) = term.split_at_checked(slash)?;
    Some((std::str::from_utf8(resource_type).ok()?, rest.get(1..)?))
}

fn parameters(
    fingerprint: u32,
    site: &Site,
) -> impl Iterator<Item = (&'static str, &'static str, u32)> {
    definitions::resource_types().flat_map(move |resource_type| {
        let of_type = site.of_type(resource_type).into_iter();
        of_type.flat_map(|d| d.all()).map(move |(_, parameter)| {
            let number = match parameter.kind {
                Kind::Date => parameter.digest.rotate_left(7) ^ fingerprint,
                _ => parameter.digest,
            };
            (resource_type, parameter.name, number)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    fn zone(name: &str) -> Zone {
        Zone::of(TimeZone::get(name).unwrap())
    }

    #[test]
    fn another_zone_puts_dates_in_doubt_and_nothing_else() {
        let doubt = Doubt::of(&zone("Asia/Karachi"), &zone("UTC").rules());
        let check = |term: &str, expected| {
            assert_eq!(doubt.holds_term(term.as_bytes()), expected, "{term}");
        };
        check("Patient", false);
        check("Patient/birthdateD2020-01-01", true);
        check("Patient/birthdate?", true);
        check("Patient/gender=female", false);
        check("Patient/_lastUpdatedY2020", true);
        check("Observation/datem2020-01", true);
        check("Observation/code=8480-6", false);
        check("Nonsense/date?", false);
        assert!(doubt.holds("Patient", "birthdate") && !doubt.holds("Patient", "gender"));
    }

    #[test]
    fn rules_are_noted_and_compared() {
        let (here, there) = (zone("UTC").rules(), zone("Asia/Karachi").rules());
        assert_eq!(Rules::decode(&here.encode()), here);
        assert_ne!(here.number(), there.number());
        assert!(Doubt::of(&zone("UTC"), &here).is_empty());
        let shared = here.shared(&there);
        assert!(shared.numbers.len() > 1000 && shared.numbers.len() < here.numbers.len());
        assert_eq!(shared, there.shared(&here));
        let none = Doubt::of(&zone("UTC"), &Rules::default());
        assert!(none.holds("Patient", "gender") && none.holds_term(b"Patient/gender=male"));
        assert!(!none.holds_term(b"Patient"));
    }
}
