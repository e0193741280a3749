//! The site's time zone: dates without an offset are read in it, so what they find depends on it.

use super::definitions::{self, Own, TypeDefinitions};
use super::own::OwnParameter;
use super::rules::Rules;
use super::{Definition, definition};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

/// Site settings that searching depends on: the zone, and the site's own search parameters. Clones
/// share the latter, which may change while all go on.
#[derive(Clone, Debug)]
pub struct Zone {
    time: TimeZone,
    fingerprint: u32,
    site: Arc<RwLock<Arc<Site>>>,
}

/// What is defined here, at one moment.
#[derive(Debug, Default)]
pub(super) struct Site {
    /// As they were adopted.
    own: Vec<OwnParameter>,
    /// Types with parameters of their own.
    joined: HashMap<&'static str, &'static TypeDefinitions>,
    rules: OnceLock<Rules>,
}

impl Site {
    /// Of several of one name the first counts.
    fn of(own: &[OwnParameter]) -> Site {
        let mut by_type: HashMap<&'static str, Vec<&'static Own>> = HashMap::new();
        for one in own {
            let of_type = by_type.entry(one.resource_type).or_default();
            if of_type.iter().all(|o| o.parameter.name != one.name()) {
                of_type.push(one.own);
            }
        }
        let joined = by_type.into_iter();
        let joined = joined.filter_map(|(name, own)| Some((name, definitions::joined(name, own)?)));
        Site {
            own: own.to_vec(),
            joined: joined.collect(),
            rules: OnceLock::new(),
        }
    }

    pub(super) fn of_type(&self, resource_type: &str) -> Option<&'static TypeDefinitions> {
        let joined = self.joined.get(resource_type).copied();
        joined.or_else(|| definitions::of_type(resource_type))
    }
}

/// Changes of offset after this are not told apart (2100-01-01).
const LAST: Timestamp = Timestamp::constant(4_102_444_800, 0);

impl Zone {
    pub fn of(time: TimeZone) -> Zone {
        Zone {
            fingerprint: fingerprint(&time),
            time,
            site: Arc::default(),
        }
    }

    /// The same zone with these own parameters, apart from this one.
    pub fn with(&self, own: &[OwnParameter]) -> Zone {
        Zone {
            site: Arc::new(RwLock::new(Arc::new(Site::of(own)))),
            ..self.clone()
        }
    }

    /// These are the site's own parameters from now on, for all clones.
    pub fn adopt(&self, own: &[OwnParameter]) {
        let site = Arc::new(Site::of(own));
        *self.site.write().unwrap_or_else(PoisonError::into_inner) = site;
    }

    /// The site's own parameters.
    pub fn own(&self) -> Vec<OwnParameter> {
        self.site().own.clone()
    }

    /// Parameters that work for this type, the site's own last.
    pub fn definitions(&self, resource_type: &str) -> Vec<Definition> {
        let found = self.of_type(resource_type);
        found.map_or_else(Vec::new, |d| d.all().map(|(_, p)| definition(p)).collect())
    }

    /// The rules by which search values and terms are made here.
    pub fn rules(&self) -> Rules {
        let site = self.site();
        let rules = site
            .rules
            .get_or_init(|| Rules::of(self.fingerprint, &site));
        rules.clone()
    }

    pub(super) fn site(&self) -> Arc<Site> {
        Arc::clone(&self.site.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn of_type(&self, resource_type: &str) -> Option<&'static TypeDefinitions> {
        let site = self.site.read().unwrap_or_else(PoisonError::into_inner);
        site.of_type(resource_type)
    }

    pub(super) fn time(&self) -> &TimeZone {
        &self.time
    }

    /// Differs when any offset does, be it by another name or by a newer table of zones.
    pub(super) fn fingerprint(&self) -> u32 {
        self.fingerprint
    }
}

fn fingerprint(time: &TimeZone) -> u32 {
    let first = time.to_offset(Timestamp::MIN).seconds();
    let changes = time.following(Timestamp::MIN);
    let changes = changes.take_while(|change| change.timestamp() < LAST);
    changes.fold(fold(0x811c_9dc5, &first.to_be_bytes()), |hash, change| {
        let hash = fold(hash, &change.timestamp().as_second().to_be_bytes());
        fold(hash, &change.offset().seconds().to_be_bytes())
    })
}

/// FNV-1a.
fn fold(hash: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(hash, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(one: &str, other: &str, is_same: bool) {
        let of = |name: &str| Zone::of(TimeZone::get(name).unwrap()).fingerprint();
        assert_eq!(of(one) == of(other), is_same, "{one} {other}");
    }

    #[test]
    fn zones_are_told_apart_by_their_offsets() {
        check("UTC", "Etc/UTC", true);
        check("UTC", "Africa/Nairobi", false);
        check("Asia/Kolkata", "Asia/Calcutta", true);
        check("Europe/Berlin", "America/New_York", false);
        check("Asia/Karachi", "Asia/Kolkata", false);
    }
}
