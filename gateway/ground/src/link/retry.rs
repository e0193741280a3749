//! How long to wait before the next try: full jitter under a growing cap. The time is given, and
//! the random number where it decides.

/// First wait's ceiling; it doubles with each try.
const FIRST_WAIT_MS: u64 = 500;

/// Anywhere between nothing and `min(cap, 0.5 s * 2^tries)`: many sites that lost the same link
/// must not come back in step.
pub fn wait_ms(tries: u32, cap_ms: u64, random: u64) -> u64 {
    let doubled = FIRST_WAIT_MS.saturating_mul(1_u64.checked_shl(tries.min(32)).unwrap_or(1));
    let ceiling = doubled.min(cap_ms);
    random.checked_rem(ceiling.saturating_add(1)).unwrap_or(0)
}

/// Randomness for waits; without any, sites come back in step, which is bearable.
pub fn random() -> u64 {
    getrandom::u64().unwrap_or(0)
}

/// `Retry-After` (RFC 9110 10.2.3): seconds, or an HTTP date. In milliseconds from now; `None`
/// when unreadable.
pub fn parse_retry_after(text: &str, now_ms: i64) -> Option<u64> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(seconds.saturating_mul(1000));
    }
    let at_ms = parse_http_date(text)?;
    u64::try_from(at_ms.saturating_sub(now_ms)).ok().or(Some(0))
}

/// `Tue, 24 Nov 2026 19:07:47 GMT` as milliseconds since 1970.
pub fn parse_http_date(text: &str) -> Option<i64> {
    let zoned = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(zoned.timestamp().as_millisecond())
}

/// A wait that ends at `until_ms`, unless that lies so far ahead that the clock must have gone back
/// (a power cut, a wrong battery): then it is over.
pub fn is_over(until_ms: i64, now_ms: i64, longest_ms: u64) -> bool {
    let longest = i64::try_from(longest_ms).unwrap_or(i64::MAX);
    until_ms <= now_ms || until_ms > now_ms.saturating_add(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_under_the_growing_ceiling() {
        // (tries, cap, random) -> wait
        let cases = [
            (0, 900_000, 500, 500),
            (0, 900_000, 501, 0),
            (1, 900_000, 1_000, 1_000),
            (10, 900_000, 511_999, 511_999),
            (11, 900_000, 900_000, 900_000),
            (63, 900_000, 900_001, 0),
            (u32::MAX, 5_000, 5_000, 5_000),
            (3, 0, 77, 0),
        ];
        for (tries, cap, random, expected) in cases {
            assert_eq!(
                wait_ms(tries, cap, random),
                expected,
                "{tries} {cap} {random}"
            );
        }
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now = parse_http_date("Tue, 24 Nov 2026 19:07:47 GMT").unwrap();
        assert_eq!(now, 1_795_547_267_000);
        let cases = [
            ("120", Some(120_000)),
            (" 0 ", Some(0)),
            ("Tue, 24 Nov 2026 19:08:17 GMT", Some(30_000)),
            ("Tue, 24 Nov 2026 19:00:00 GMT", Some(0)),
            ("soon", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_retry_after(text, now), expected, "{text}");
        }
    }

    #[test]
    fn a_clock_that_went_back_does_not_freeze_a_wait() {
        assert!(is_over(1_000, 1_000, 10));
        assert!(!is_over(1_005, 1_000, 10));
        assert!(is_over(3_600_000, 1_000, 10));
    }
}
