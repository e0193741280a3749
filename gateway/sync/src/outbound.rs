//! Verdicts on what a target answered: settled, again later, parked, reconcile first, or hold the
//! whole target back. Pure: replies, times and random numbers in, decisions out.

use super::TargetSettings;
use super::shadow::Shadow;
use super::target::{Answer, Pulled, Reading};
use fhir_mapping::conflict::is_same_content;
use fhir_mapping::model::Json;
use gateway_ground::link::retry;
use store::VersionId;

/// What becomes of one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Settled {
        remote_version: String,
    },
    /// Refused for its content, not for the last time: again after a while, others flow.
    Again {
        wait_ms: u64,
        refusal: String,
    },
    /// The target failed on it: again after a while, others flow.
    Failed {
        wait_ms: u64,
    },
    /// Refused for good.
    Parked {
        refusal: String,
    },
    /// Read what the target holds, then decide.
    Reconcile,
    /// Says nothing about the delivery: the target as a whole waits.
    Link(Link),
}

/// How a target is to be treated as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// No FHIR answer: probed until one comes.
    Down,
    /// Asked us to wait.
    Busy { wait_ms: u64 },
    /// Our credentials are refused; nothing is held against the deliveries.
    Paused { status: u16 },
}

/// Most rounds of reconciling one delivery before it is parked for a person to look at.
const ROUNDS_MAX: u32 = 5;

/// How a paused target is tried again: someone may have renewed the credentials over there.
pub(super) const PAUSE_MS: u64 = 60_000;

/// What a delivery has been through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Past {
    pub(super) attempts: u32,
    pub(super) faults: u32,
    pub(super) rounds: u32,
    /// Tries in a row that the whole target answered with "later".
    pub(super) busy_tries: u32,
}

/// The verdict on one answer.
pub(super) fn judge(answer: Answer, past: Past, settings: &TargetSettings, random: u64) -> Verdict {
    let wait = |tries| retry::wait_ms(tries, settings.retry_cap_ms, random);
    match answer {
        Answer::Stored { remote_version } => Verdict::Settled { remote_version },
        Answer::Gone => Verdict::Settled {
            remote_version: String::new(),
        },
        Answer::Stale { refusal } if past.rounds >= ROUNDS_MAX => Verdict::Parked { refusal },
        Answer::Stale { .. } => Verdict::Reconcile,
        Answer::Refused { refusal, .. } => refuse(refusal, past, settings, random),
        Answer::Failing { .. } => Verdict::Failed {
            wait_ms: wait(past.faults),
        },
        Answer::Busy { retry_after_ms } => Verdict::Link(Link::Busy {
            wait_ms: retry_after_ms
                .map(|ms| ms.saturating_add(wait(0)))
                .unwrap_or_else(|| wait(past.busy_tries))
                .min(settings.retry_cap_ms),
        }),
        Answer::Unauthorised { status } => Verdict::Link(Link::Paused { status }),
        Answer::Unreachable { .. } => Verdict::Link(Link::Down),
    }
}

/// One more refusal: again after a while, or parked when it was the last that is allowed.
pub(super) fn refuse(
    refusal: String,
    past: Past,
    settings: &TargetSettings,
    random: u64,
) -> Verdict {
    if past.attempts + 1 >= settings.attempts_max {
        return Verdict::Parked { refusal };
    }
    Verdict::Again {
        wait_ms: retry::wait_ms(past.attempts, settings.retry_cap_ms, random),
        refusal,
    }
}

/// What the target turned out to hold after it refused a write as stale.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Finding {
    /// Just what we wanted to write: the acknowledgement was lost.
    Settled { remote_version: String },
    /// An earlier version that we had sent: agree on that one, then send the head.
    Agreed {
        remote_version: String,
        version: VersionId,
    },
    /// Somebody else's change: apply it here first.
    Incoming(Box<Pulled>),
    /// It was deleted over there: apply that first.
    Deleted,
    /// It never had it, or lost it: forget the agreement and send anew.
    Unknown,
    /// What we agreed on is still there, so the refusal has another reason.
    Unchanged,
    /// The reading itself failed.
    Unanswered(Answer),
}

/// Versions of ours that the target might hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ours {
    /// What was sent now; `None` deletes.
    pub(super) sending: Option<Json>,
    /// Earlier versions that may have arrived.
    pub(super) sent: Vec<(VersionId, Json)>,
}

/// Compares what the target holds with what we sent it.
pub(super) fn compare(reading: Reading, ours: &Ours, shadow: Option<&Shadow>) -> Finding {
    let pulled = match reading {
        Reading::Holds(pulled) => pulled,
        Reading::Deleted if ours.sending.is_none() => {
            return Finding::Settled {
                remote_version: String::new(),
            };
        }
        Reading::Deleted if shadow.is_some_and(|s| !s.deleted) => return Finding::Deleted,
        Reading::Deleted | Reading::Unknown => return Finding::Unknown,
        Reading::Other(answer) => return Finding::Unanswered(answer),
    };
    let remote_version = pulled.remote_version.clone();
    if let Some(sending) = &ours.sending
        && is_same_content(sending, &pulled.resource)
    {
        return Finding::Settled { remote_version };
    }
    if shadow.is_some_and(|s| !s.deleted && s.remote_version == remote_version) {
        return Finding::Unchanged;
    }
    let is_sent = |(_, sent): &&(VersionId, Json)| is_same_content(sent, &pulled.resource);
    if let Some((version, _)) = ours.sent.iter().rev().find(is_sent) {
        return Finding::Agreed {
            remote_version,
            version: *version,
        };
    }
    Finding::Incoming(pulled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::ResourceKey;

    const FRESH: Past = Past {
        attempts: 0,
        faults: 0,
        rounds: 0,
        busy_tries: 0,
    };

    fn settings() -> TargetSettings {
        TargetSettings::new(1, "national", "http://127.0.0.1:9/fhir")
    }

    fn refused(status: u16) -> Answer {
        Answer::Refused {
            status,
            refusal: "why".to_owned(),
        }
    }

    fn stale() -> Answer {
        Answer::Stale {
            refusal: "why".to_owned(),
        }
    }

    #[test]
    fn every_answer_has_its_verdict() {
        let parked = Verdict::Parked {
            refusal: "why".to_owned(),
        };
        let again = Verdict::Again {
            wait_ms: 300,
            refusal: "why".to_owned(),
        };
        let failed = Verdict::Failed { wait_ms: 300 };
        let busy = |wait_ms| Verdict::Link(Link::Busy { wait_ms });
        let tired = Past {
            attempts: 4,
            ..FRESH
        };
        let circling = Past { rounds: 5, ..FRESH };
        let waiting = Past {
            busy_tries: 3,
            ..FRESH
        };
        let settled = |v: &str| Verdict::Settled {
            remote_version: v.to_owned(),
        };
        let stored = Answer::Stored {
            remote_version: "7".to_owned(),
        };
        let busy_for = |retry_after_ms| Answer::Busy { retry_after_ms };
        let cases = [
            (stored, FRESH, settled("7")),
            (Answer::Gone, FRESH, settled("")),
            (stale(), FRESH, Verdict::Reconcile),
            (stale(), tired, Verdict::Reconcile),
            (stale(), circling, parked.clone()),
            (refused(422), FRESH, again),
            (refused(400), tired, parked),
            (Answer::Failing { status: 500 }, FRESH, failed.clone()),
            (Answer::Failing { status: 500 }, tired, failed),
            (busy_for(Some(120_000)), FRESH, busy(120_300)),
            (busy_for(Some(u64::MAX)), FRESH, busy(900_000)),
            (busy_for(None), waiting, busy(300)),
            (
                Answer::Unauthorised { status: 401 },
                tired,
                Verdict::Link(Link::Paused { status: 401 }),
            ),
            (
                Answer::Unreachable { why: String::new() },
                tired,
                Verdict::Link(Link::Down),
            ),
        ];
        for (answer, past, expected) in cases {
            let verdict = judge(answer.clone(), past, &settings(), 300);
            assert_eq!(verdict, expected, "{answer:?} {past:?}");
        }
    }

    fn patient(family: &str) -> Json {
        Json::object([
            ("resourceType", "Patient".into()),
            ("id", "p".into()),
            (
                "name",
                Json::array([Json::object([("family", family.into())])]),
            ),
        ])
    }

    fn holds(family: &str, version: &str) -> Reading {
        Reading::Holds(Box::new(Pulled {
            key: ResourceKey {
                resource_type: "Patient".to_owned(),
                id: "p".to_owned(),
            },
            remote_version: version.to_owned(),
            updated_ms: 0,
            resource: patient(family),
        }))
    }

    /// In words, for a table.
    fn word(finding: &Finding) -> String {
        match finding {
            Finding::Settled { remote_version } => format!("settled {remote_version}"),
            Finding::Agreed {
                remote_version,
                version,
            } => format!("agreed {remote_version} on {}", version.0),
            Finding::Incoming(pulled) => format!("incoming {}", pulled.remote_version),
            Finding::Deleted => "deleted".to_owned(),
            Finding::Unknown => "unknown".to_owned(),
            Finding::Unchanged => "unchanged".to_owned(),
            Finding::Unanswered(_) => "unanswered".to_owned(),
        }
    }

    #[test]
    fn a_stale_write_is_compared_with_all_that_may_have_arrived() {
        let shadow = |version: &str, deleted| Shadow {
            remote_version: version.to_owned(),
            agreed: 1,
            deleted,
        };
        let known = shadow("1", false);
        let writing = Ours {
            sending: Some(patient("new")),
            sent: vec![(VersionId(4), patient("earlier"))],
        };
        let deleting = Ours::default();
        let cases = [
            // The acknowledgement was lost, on create and on update.
            (holds("new", "1"), &writing, None, "settled 1"),
            (holds("new", "2"), &writing, Some(&known), "settled 2"),
            // Killed after sending version 4, edited since.
            (holds("earlier", "1"), &writing, None, "agreed 1 on 4"),
            (
                holds("earlier", "2"),
                &writing,
                Some(&known),
                "agreed 2 on 4",
            ),
            (holds("theirs", "2"), &writing, Some(&known), "incoming 2"),
            (holds("theirs", "1"), &writing, None, "incoming 1"),
            (holds("base", "1"), &writing, Some(&known), "unchanged"),
            (holds("theirs", "2"), &deleting, Some(&known), "incoming 2"),
            (Reading::Deleted, &writing, Some(&known), "deleted"),
            (Reading::Deleted, &writing, None, "unknown"),
            (Reading::Deleted, &deleting, Some(&known), "settled "),
            (Reading::Unknown, &writing, Some(&known), "unknown"),
            (
                Reading::Other(Answer::Failing { status: 500 }),
                &writing,
                None,
                "unanswered",
            ),
        ];
        for (reading, ours, shadow, expected) in cases {
            let finding = compare(reading.clone(), ours, shadow);
            assert_eq!(word(&finding), expected, "{reading:?}");
        }
    }
}
