//! The later write, decided alike at every site.

use super::{Pick, Times, diff};
use crate::model::Json;

/// The side that wins wherever the latest wins: the greater hybrid time, at equal times the side
/// whose content sorts last.
pub(super) fn later(local: &Json, incoming: &Json, times: Times) -> Pick {
    let by_time = times.incoming_hlc.cmp(&times.local_hlc);
    let by_content = || diff::canonical(incoming).cmp(&diff::canonical(local));
    if by_time.then_with(by_content).is_gt() {
        Pick::Incoming
    } else {
        Pick::Local
    }
}

/// Which spelling of two equal values stays: the one that somebody changed, at last the longer one
/// (`1.10` says more than `1.1`).
pub(super) fn spelling<'a, T: PartialEq>(
    base: Option<&T>,
    local: &'a T,
    incoming: &'a T,
    length: impl Fn(&T) -> (usize, String),
) -> &'a T {
    if base == Some(local) || length(incoming) > length(local) && base != Some(incoming) {
        incoming
    } else {
        local
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_decides_then_content() {
        let cases = [
            (1, 2, "a", "b", Pick::Incoming),
            (2, 1, "a", "b", Pick::Local),
            (1, 1, "a", "b", Pick::Incoming),
            (1, 1, "b", "a", Pick::Local),
            (1, 1, "a", "a", Pick::Local),
        ];
        for (local_hlc, incoming_hlc, local, incoming, expected) in cases {
            let times = Times {
                local_hlc,
                incoming_hlc,
            };
            assert_eq!(later(&local.into(), &incoming.into(), times), expected);
        }
    }
}
