//! The site's time zone: dates without an offset are read in it, so what they find depends on it.

use super::rules::Rules;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::sync::{Arc, OnceLock};

/// Site settings that searching depends on.
#[derive(Clone, Debug)]
pub struct Zone {
    time: TimeZone,
    fingerprint: u32,
    rules: Arc<OnceLock<Rules>>,
}

/// Changes of offset after this are not told apart (2100-01-01).
const LAST: Timestamp = Timestamp::constant(4_102_444_800, 0);

impl Zone {
    pub fn of(time: TimeZone) -> Zone {
        Zone {
            fingerprint: fingerprint(&time),
            time,
            rules: Arc::default(),
        }
    }

    /// The rules by which search values and terms are made here.
    pub fn rules(&self) -> &Rules {
        self.rules.get_or_init(|| Rules::of(self))
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
