//! How often one token may ask, and how often one address may guess.

use super::auth::Caller;
use fhir_mapping::model::IssueCode;
use gateway_ground::failure::{Category, Failure};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::net::IpAddr;
use std::num::NonZeroU32;

/// Rates; the state of each name and address is kept in memory only.
pub struct Limits {
    by_caller: DefaultKeyedRateLimiter<String>,
    refused_by_address: DefaultKeyedRateLimiter<IpAddr>,
}

/// Unauthenticated requests one address may make, a second and at once. Tokens have 256 bits; this
/// only keeps a broken client from filling the log.
const REFUSED_PER_SECOND: u32 = 10;
const REFUSED_BURST: u32 = 100;
/// Above this many remembered names or addresses, idle ones are forgotten.
const REMEMBERED_MAX: usize = 10_000;

impl Limits {
    /// Zeros count as 1.
    pub fn new(requests_per_second: u32, burst: u32) -> Limits {
        Limits {
            by_caller: RateLimiter::keyed(quota(requests_per_second, burst)),
            refused_by_address: RateLimiter::keyed(quota(REFUSED_PER_SECOND, REFUSED_BURST)),
        }
    }

    /// 429 with the seconds to wait when the caller's rate is used up.
    pub fn admit(&self, caller: &Caller) -> Result<(), Failure> {
        if !caller.is_limited {
            return Ok(());
        }
        forget_idle(&self.by_caller);
        self.by_caller.check_key(&caller.name).map_err(|wait| {
            throttled(
                "E-LIMIT-1",
                wait.wait_time_from(DefaultClock::default().now()),
            )
        })
    }

    /// Counts a refused caller; 429 instead of 401 once an address has too many.
    pub fn refused(&self, address: IpAddr) -> Result<(), Failure> {
        forget_idle(&self.refused_by_address);
        self.refused_by_address.check_key(&address).map_err(|wait| {
            throttled(
                "E-LIMIT-2",
                wait.wait_time_from(DefaultClock::default().now()),
            )
        })
    }
}

fn quota(per_second: u32, burst: u32) -> Quota {
    let at_least_one = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
    Quota::per_second(at_least_one(per_second)).allow_burst(at_least_one(burst))
}

fn forget_idle<K: std::hash::Hash + Eq + Clone>(limiter: &DefaultKeyedRateLimiter<K>) {
    if limiter.len() > REMEMBERED_MAX {
        limiter.retain_recent();
    }
}

fn throttled(number: &'static str, wait: std::time::Duration) -> Failure {
    let text = "too many requests; wait as Retry-After says";
    let mut failure = Failure::new(Category::Throttled, number, IssueCode::Throttled, text);
    let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX);
    failure.retry_after_s = Some(seconds.saturating_add(1));
    failure
}

#[cfg(test)]
mod tests {
    use super::super::tokens::Role;
    use super::*;

    fn caller(name: &str, is_limited: bool) -> Caller {
        Caller {
            name: name.to_owned(),
            role: Role::Client,
            is_limited,
        }
    }

    #[test]
    fn each_caller_has_a_rate_of_its_own() {
        let limits = Limits::new(1, 3);
        let first = caller("first", true);
        for _ in 0..3 {
            assert!(limits.admit(&first).is_ok());
        }
        let refusal = limits.admit(&first).unwrap_err();
        assert_eq!(refusal.category.status(), 429);
        assert_eq!(refusal.retry_after_s, Some(1));
        assert!(limits.admit(&caller("second", true)).is_ok());
    }

    #[test]
    fn the_open_caller_has_no_rate() {
        let limits = Limits::new(1, 1);
        let open = caller("open", false);
        assert!((0..100).all(|_| limits.admit(&open).is_ok()));
    }
}
