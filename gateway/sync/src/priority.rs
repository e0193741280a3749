//! Which deliveries leave next, and in which order. Pure.

use std::collections::{HashMap, HashSet};
use store::Rid;

/// One delivery that could leave now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) rid: Rid,
    /// Resources it refers to that the target does not have yet.
    pub(super) needs: Vec<Rid>,
}

/// An order to send in, and those that cannot leave because something they need cannot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) send: Vec<Rid>,
    pub(super) blocked: Vec<Rid>,
}

/// Places of a group of `size` for urgent, clinical, routine and bulk deliveries, given how many of
/// each wait. Urgent ones may fill 80 %; the others share the rest 60/30/10, each with one place at
/// least, so that an endless stream of urgent changes starves nobody. Unused places go to the most
/// urgent that can use them.
pub(super) fn shares(waiting: [usize; 4], size: usize) -> [usize; 4] {
    let [urgent, clinical, routine, bulk] = waiting;
    let first = urgent.min(size * 4 / 5);
    let rest = size - first;
    let mut places = [
        first,
        clinical.min((rest * 6 / 10).max(1)),
        routine.min((rest * 3 / 10).max(1)),
        bulk.min((rest / 10).max(1)),
    ];
    let mut free = size.saturating_sub(places.iter().sum());
    for (place, waits) in places.iter_mut().zip(waiting) {
        let more = free.min(waits - *place);
        *place += more;
        free -= more;
    }
    places
}

/// What a candidate needs goes before it; otherwise the given order stays. A candidate that needs
/// something that is not among the candidates is blocked, and so is what needs it. Circles of
/// references leave in the given order: nothing better exists.
pub(super) fn order(candidates: &[Candidate]) -> Order {
    let by_rid: HashMap<Rid, &Candidate> = candidates.iter().map(|c| (c.rid, c)).collect();
    let blocked = blocked(candidates, &by_rid);
    let mut order = Order::default();
    let mut seen: HashSet<Rid> = HashSet::new();
    for candidate in candidates {
        if blocked.contains(&candidate.rid) {
            order.blocked.push(candidate.rid);
        } else {
            visit(candidate, &by_rid, &mut seen, &mut order.send);
        }
    }
    order
}

/// Spreads from candidates whose needs are missing to those that need them.
fn blocked(candidates: &[Candidate], by_rid: &HashMap<Rid, &Candidate>) -> HashSet<Rid> {
    let mut blocked: HashSet<Rid> = HashSet::new();
    loop {
        let before = blocked.len();
        for candidate in candidates {
            let is_missing = |need: &Rid| !by_rid.contains_key(need) || blocked.contains(need);
            if candidate.needs.iter().any(is_missing) {
                blocked.insert(candidate.rid);
            }
        }
        if blocked.len() == before {
            return blocked;
        }
    }
}

/// Depth first, without recursion: chains of references may be long.
fn visit(
    first: &Candidate,
    by_rid: &HashMap<Rid, &Candidate>,
    seen: &mut HashSet<Rid>,
    send: &mut Vec<Rid>,
) {
    if !seen.insert(first.rid) {
        return;
    }
    let mut path = vec![(first, first.needs.iter())];
    while let Some((candidate, needs)) = path.last_mut() {
        match needs.next() {
            Some(need) if seen.insert(*need) => {
                if let Some(next) = by_rid.get(need) {
                    path.push((next, next.needs.iter()));
                }
            }
            Some(_already_placed) => {}
            None => {
                send.push(candidate.rid);
                path.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(given: &[(u64, &[u64])], send: &[u64], blocked: &[u64]) {
        let candidates: Vec<Candidate> = given
            .iter()
            .map(|(rid, needs)| Candidate {
                rid: Rid(*rid),
                needs: needs.iter().copied().map(Rid).collect(),
            })
            .collect();
        let expected = Order {
            send: send.iter().copied().map(Rid).collect(),
            blocked: blocked.iter().copied().map(Rid).collect(),
        };
        assert_eq!(order(&candidates), expected, "{given:?}");
    }

    #[test]
    fn what_is_needed_goes_first() {
        check(&[], &[], &[]);
        check(&[(1, &[]), (2, &[])], &[1, 2], &[]);
        check(&[(2, &[1]), (1, &[])], &[1, 2], &[]);
        check(&[(3, &[2]), (2, &[1]), (1, &[])], &[1, 2, 3], &[]);
        check(
            &[(4, &[2, 3]), (3, &[1]), (2, &[1]), (1, &[])],
            &[1, 2, 3, 4],
            &[],
        );
        // Circles, self-reference included.
        check(&[(1, &[2]), (2, &[1])], &[2, 1], &[]);
        check(&[(1, &[1]), (2, &[])], &[1, 2], &[]);
        // 9 is parked or held back: what needs it waits, the others flow.
        check(&[(1, &[9]), (2, &[1]), (3, &[])], &[3], &[1, 2]);
        check(&[(2, &[1]), (1, &[9]), (3, &[])], &[3], &[2, 1]);
    }

    #[test]
    fn nobody_starves_and_no_place_is_wasted() {
        let cases = [
            ([100, 100, 100, 100], 32, [25, 4, 2, 1]),
            ([0, 100, 100, 100], 32, [0, 20, 9, 3]),
            ([100, 0, 0, 0], 32, [32, 0, 0, 0]),
            ([100, 0, 0, 5], 32, [31, 0, 0, 1]),
            ([0, 0, 0, 100], 32, [0, 0, 0, 32]),
            ([2, 3, 0, 1], 32, [2, 3, 0, 1]),
            ([0, 0, 0, 0], 32, [0, 0, 0, 0]),
        ];
        for (waiting, size, expected) in cases {
            let places = shares(waiting, size);
            let sum: usize = places.iter().sum();
            assert!(sum == size || places == waiting, "{waiting:?}");
            assert_eq!(places, expected, "{waiting:?}");
        }
    }
}
