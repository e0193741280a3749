//! How fast the room went lately, and so how long it will last. Pure.

use super::Room;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// What was free from time to time, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Growth {
    samples: VecDeque<Sample>,
}

/// Milliseconds since 1970-01-01T00:00:00Z, and bytes that were free.
type Sample = (i64, u64);

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Between two samples, and how long one counts.
const EVERY_MS: i64 = HOUR_MS;
const KEPT_MS: i64 = 14 * DAY_MS;
/// An estimate needs at least so long a time.
const SPAN_MS_MIN: i64 = 6 * HOUR_MS;

impl Growth {
    /// True when a sample was due and is taken. A clock that was set back starts anew.
    pub fn note(&mut self, time_ms: i64, free: u64) -> bool {
        let is_earlier = |last: &Sample| time_ms < last.0;
        if self.samples.back().is_some_and(is_earlier) {
            self.samples.clear();
        }
        let is_due = |last: &Sample| time_ms.saturating_sub(last.0) >= EVERY_MS;
        if !self.samples.back().is_none_or(is_due) {
            return false;
        }
        self.samples.push_back((time_ms, free));
        let from = time_ms.saturating_sub(KEPT_MS);
        self.samples.retain(|(at, _)| *at >= from);
        true
    }

    /// Days until clients' writes are refused, if it goes on as it did; `None` when nothing grew, or
    /// too little is known.
    pub fn days_left(&self, time_ms: i64, room: Room) -> Option<u64> {
        let (since, was_free) = self.samples.front().copied()?;
        let span = u128::try_from(time_ms.saturating_sub(since)).ok()?;
        if time_ms.saturating_sub(since) < SPAN_MS_MIN {
            return None;
        }
        let gone = u128::from(was_free.checked_sub(room.free).filter(|gone| *gone > 0)?);
        let day = u128::try_from(DAY_MS).ok()?;
        let days = u128::from(room.until_out()) * span / gone / day;
        u64::try_from(days).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    fn room(free: u64) -> Room {
        Room {
            free: free * MB,
            whole: 100_000 * MB,
        }
    }

    #[track_caller]
    fn check(frees: &[(i64, u64)], now: (i64, u64), expected: Option<u64>) {
        let mut growth = Growth::default();
        for (hour, free) in frees {
            growth.note(hour * HOUR_MS, free * MB);
        }
        let (hour, free) = now;
        assert_eq!(growth.days_left(hour * HOUR_MS, room(free)), expected);
    }

    #[test]
    fn days_are_told_from_what_went() {
        // 100 MB a day, 10,000 until 1 %.
        check(&[(0, 11_100)], (24, 11_000), Some(100));
        check(&[(0, 11_200), (24, 11_100)], (48, 11_000), Some(100));
        check(&[(0, 2_000)], (24, 1_000), Some(0));
        check(&[(0, 2_000)], (24, 500), Some(0));
        check(&[(0, 11_000)], (24, 11_000), None);
        check(&[(0, 11_000)], (24, 12_000), None);
        check(&[(0, 11_000)], (5, 10_900), None);
        check(&[], (5, 10_900), None);
    }

    #[test]
    fn what_was_long_ago_counts_no_more() {
        let old_flood = [(0, 50_000), (1, 20_100), (15 * 24, 20_000)];
        check(&old_flood, (16 * 24, 19_900), Some(189));
    }

    #[test]
    fn samples_are_an_hour_apart_and_a_clock_set_back_starts_anew() {
        let mut growth = Growth::default();
        assert!(growth.note(0, 9));
        assert!(!growth.note(HOUR_MS - 1, 9));
        assert!(growth.note(HOUR_MS, 8));
        assert!(growth.note(10, 7));
        assert_eq!(growth.samples, [(10, 7)]);
        for hour in 1..1000 {
            growth.note(hour * HOUR_MS, 7);
        }
        assert!(growth.samples.len() <= 14 * 24 + 1);
    }
}
