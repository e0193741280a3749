//! One delivery: a resource whose head a target does not have yet. It points at the resource, never
//! at a body: twenty edits are one delivery, and what leaves is the head at that moment.

use serde::{Deserialize, Serialize};
use store::{Rid, RowWrite, Seq, Table, Urgency};

/// Where a delivery stands in its target's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DeliveryKey {
    pub(super) target: u16,
    pub(super) urgency: Urgency,
    /// The first change that was not delivered yet.
    pub(super) seq: Seq,
}

/// Most versions remembered as possibly sent; older ones are settled long before.
const SENT_MAX: usize = 8;

/// The row's content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Delivery {
    pub(super) rid: u64,
    /// The target refused it for good; only a new version of the resource tries again.
    #[serde(default)]
    pub(super) parked: bool,
    /// Refusals so far.
    #[serde(default)]
    pub(super) attempts: u32,
    /// Faults of the target (5xx) so far; they never park a delivery.
    #[serde(default)]
    pub(super) faults: u32,
    /// Rounds of reconciling so far.
    #[serde(default)]
    pub(super) rounds: u32,
    /// Waits for something it refers to; it may leave together with that at any time.
    #[serde(default)]
    pub(super) blocked: bool,
    /// Milliseconds since 1970; 0 is at once.
    #[serde(default)]
    pub(super) next_try_ms: i64,
    /// Versions whose bytes may have reached the target, newest last: written before they leave.
    #[serde(default)]
    pub(super) sent: Vec<u64>,
    /// What the target said when it refused: its OperationOutcome, shortened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) refusal: Option<String>,
}

impl DeliveryKey {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut bytes = prefix(self.target, self.urgency);
        bytes.extend(self.seq.0.to_be_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<DeliveryKey> {
        let (target, rest) = bytes.split_first_chunk::<2>()?;
        let (urgency, seq) = rest.split_first()?;
        let urgency = URGENCIES.get(usize::from(*urgency))?;
        Some(DeliveryKey {
            target: u16::from_be_bytes(*target),
            urgency: *urgency,
            seq: Seq(u64::from_be_bytes(seq.try_into().ok()?)),
        })
    }
}

impl Delivery {
    pub(super) fn new(rid: Rid) -> Delivery {
        Delivery {
            rid: rid.0,
            ..Delivery::default()
        }
    }

    pub(super) fn rid(&self) -> Rid {
        Rid(self.rid)
    }

    /// A new version of the resource: everything held against the former one is forgotten.
    pub(super) fn renew(&mut self) {
        self.parked = false;
        self.attempts = 0;
        self.faults = 0;
        self.rounds = 0;
        self.blocked = false;
        self.next_try_ms = 0;
        self.refusal = None;
    }

    /// Notes that this version's bytes are about to leave.
    pub(super) fn note_sent(&mut self, version: u64) {
        self.sent.retain(|v| *v != version);
        self.sent.push(version);
        let excess = self.sent.len().saturating_sub(SENT_MAX);
        self.sent.drain(..excess);
    }
}

/// All urgencies in send order; the place is the byte on disk.
pub(super) const URGENCIES: [Urgency; 4] = [
    Urgency::Urgent,
    Urgency::Clinical,
    Urgency::Routine,
    Urgency::Bulk,
];

/// Start of the keys of one target and urgency.
pub(super) fn prefix(target: u16, urgency: Urgency) -> Vec<u8> {
    let place = URGENCIES.iter().position(|u| *u == urgency).unwrap_or(3);
    let mut bytes = target.to_be_bytes().to_vec();
    bytes.push(u8::try_from(place).unwrap_or(3));
    bytes
}

/// Key of the row that finds a resource's one live delivery.
pub(super) fn by_resource(target: u16, rid: Rid) -> Vec<u8> {
    let mut bytes = target.to_be_bytes().to_vec();
    bytes.extend(rid.0.to_be_bytes());
    bytes
}

/// Rows that put a delivery in place.
pub(super) fn put(at: DeliveryKey, delivery: &Delivery) -> [RowWrite; 2] {
    let by_resource = by_resource(at.target, delivery.rid());
    [
        RowWrite {
            table: Table::Deliveries,
            key: at.encode(),
            value: Some(serde_json::to_vec(delivery).unwrap_or_default()),
        },
        RowWrite {
            table: Table::DeliveryByResource,
            key: by_resource,
            value: Some(at.encode()),
        },
    ]
}

/// Rows that take a delivery away.
pub(super) fn take_away(at: DeliveryKey, rid: Rid) -> [RowWrite; 2] {
    [
        RowWrite {
            table: Table::Deliveries,
            key: at.encode(),
            value: None,
        },
        RowWrite {
            table: Table::DeliveryByResource,
            key: by_resource(at.target, rid),
            value: None,
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_and_sort_by_urgency_then_age() {
        let at = |urgency, seq| DeliveryKey {
            target: 3,
            urgency,
            seq: Seq(seq),
        };
        let keys = [
            at(Urgency::Urgent, 9),
            at(Urgency::Clinical, 1),
            at(Urgency::Clinical, 256),
            at(Urgency::Bulk, 2),
        ];
        for pair in keys.windows(2) {
            assert!(pair[0].encode() < pair[1].encode());
        }
        for key in keys {
            assert_eq!(DeliveryKey::decode(&key.encode()), Some(key));
        }
        assert_eq!(DeliveryKey::decode(b"short"), None);
        assert_eq!(
            DeliveryKey::decode(&[0, 3, 9, 0, 0, 0, 0, 0, 0, 0, 1]),
            None
        );
    }

    #[test]
    fn a_new_version_forgets_the_refusals_but_not_what_was_sent() {
        let mut delivery = Delivery {
            parked: true,
            attempts: 5,
            faults: 1,
            rounds: 2,
            blocked: true,
            next_try_ms: 99,
            refusal: Some("no".to_owned()),
            ..Delivery::new(Rid(4))
        };
        delivery.note_sent(1);
        delivery.note_sent(2);
        delivery.note_sent(1);
        delivery.renew();
        let expected = Delivery {
            sent: vec![2, 1],
            ..Delivery::new(Rid(4))
        };
        assert_eq!(delivery, expected);
        (10..30).for_each(|v| delivery.note_sent(v));
        assert_eq!(delivery.sent, (22..30).collect::<Vec<_>>());
    }
}
