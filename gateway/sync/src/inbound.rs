//! A pulled page, made into decisions: what is known already, what is our own change come back, and
//! what is new; and how far the target has been pulled. Pure.

use super::outbound::Ours;
use super::shadow::Shadow;
use super::target::{Page, Pulled};
use fhir_mapping::conflict::is_same_content;
use store::VersionId;

/// What one pulled resource is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The version that we agreed on, or an older one from a lagging copy.
    Known,
    /// A version of ours come back: only the agreement is renewed.
    Echo(VersionId),
    /// Somebody else's change.
    Change,
}

/// Compares a pulled resource with what we hold. `ours.sending` is our head.
pub(super) fn classify(
    pulled: &Pulled,
    shadow: Option<&Shadow>,
    head: VersionId,
    ours: &Ours,
) -> Arrival {
    if shadow.is_some_and(|shadow| is_known(shadow, &pulled.remote_version)) {
        return Arrival::Known;
    }
    let is_same = |ours| is_same_content(ours, &pulled.resource);
    if ours.sending.as_ref().is_some_and(is_same) {
        return Arrival::Echo(head);
    }
    let sent = ours.sent.iter().rev().find(|(_, sent)| is_same(sent));
    sent.map_or(Arrival::Change, |(version, _)| Arrival::Echo(*version))
}

/// The same version; or, where versions are numbers, a lower one.
fn is_known(shadow: &Shadow, remote_version: &str) -> bool {
    if shadow.deleted || remote_version.is_empty() {
        return false;
    }
    let (known, seen) = (shadow.remote_version.parse(), remote_version.parse());
    match (known, seen) {
        (Ok::<u64, _>(known), Ok::<u64, _>(seen)) => seen <= known,
        _ => shadow.remote_version == remote_version,
    }
}

/// Reading starts this much before the last change seen: a target may stamp a change before it
/// shows it.
pub(super) const OVERLAP_MS: i64 = 5_000;

/// How far a type has been pulled, in the target's own time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Progress {
    /// Everything up to here is durable with us.
    pub(super) pulled_ms: Option<i64>,
    /// Where this round began.
    start_ms: Option<i64>,
    /// Highest time on the pages of this round.
    highest_ms: Option<i64>,
    /// False once a page was out of order: then only a finished round counts.
    is_sorted: bool,
}

impl Progress {
    /// A new round, going on from a checkpoint.
    pub(super) fn resume(pulled_ms: Option<i64>) -> Progress {
        Progress {
            pulled_ms,
            start_ms: pulled_ms,
            highest_ms: pulled_ms,
            is_sorted: true,
        }
    }

    /// The instant to ask from.
    pub(super) fn since_ms(&self) -> Option<i64> {
        self.pulled_ms.map(|ms| ms.saturating_sub(OVERLAP_MS))
    }

    /// A page's changes are durable.
    pub(super) fn page_applied(&mut self, page: &Page) {
        for entry in &page.entries {
            // The overlap comes first, below what was seen before.
            let is_late = self.highest_ms.is_some_and(|ms| entry.updated_ms < ms);
            let is_overlap = self.start_ms.is_some_and(|ms| entry.updated_ms <= ms);
            self.is_sorted &= !is_late || is_overlap;
            self.highest_ms = self.highest_ms.max(Some(entry.updated_ms));
        }
        if page.next.is_none() {
            // A quiet target: the overlap need not be read for ever.
            let quiet_ms = page.server_ms.map(|ms| ms.saturating_sub(OVERLAP_MS));
            self.pulled_ms = self.highest_ms.max(quiet_ms);
        } else if self.is_sorted {
            self.pulled_ms = self.highest_ms;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fhir_mapping::model::Json;
    use store::ResourceKey;

    fn pulled(version: &str, status: &str, updated_ms: i64) -> Pulled {
        Pulled {
            key: ResourceKey {
                resource_type: "Basic".to_owned(),
                id: "b".to_owned(),
            },
            remote_version: version.to_owned(),
            updated_ms,
            resource: basic(status),
        }
    }

    fn basic(text: &str) -> Json {
        Json::object([
            ("resourceType", "Basic".into()),
            ("id", "b".into()),
            ("code", Json::object([("text", text.into())])),
        ])
    }

    #[test]
    fn our_own_changes_come_back_as_echoes() {
        let shadow = |version: &str| Shadow {
            remote_version: version.to_owned(),
            agreed: 1,
            deleted: false,
        };
        let gone = Shadow {
            deleted: true,
            ..shadow("3")
        };
        let ours = Ours {
            sending: Some(basic("head")),
            sent: vec![(VersionId(4), basic("sent"))],
        };
        let cases = [
            ("3", "theirs", Some(shadow("3")), Arrival::Known),
            ("2", "theirs", Some(shadow("10")), Arrival::Known),
            ("11", "theirs", Some(shadow("10")), Arrival::Change),
            ("b", "theirs", Some(shadow("a")), Arrival::Change),
            ("a", "theirs", Some(shadow("a")), Arrival::Known),
            ("", "theirs", Some(shadow("")), Arrival::Change),
            ("4", "head", Some(shadow("3")), Arrival::Echo(VersionId(9))),
            ("1", "head", None, Arrival::Echo(VersionId(9))),
            ("4", "sent", Some(shadow("3")), Arrival::Echo(VersionId(4))),
            ("1", "theirs", None, Arrival::Change),
            ("3", "theirs", Some(gone), Arrival::Change),
        ];
        for (version, content, shadow, expected) in cases {
            let pulled = pulled(version, content, 0);
            let arrival = classify(&pulled, shadow.as_ref(), VersionId(9), &ours);
            assert_eq!(arrival, expected, "{version} {content}");
        }
    }

    fn page(times: &[i64], has_next: bool, server_ms: Option<i64>) -> Page {
        Page {
            entries: times.iter().map(|ms| pulled("1", "x", *ms)).collect(),
            unreadable: 0,
            next: has_next.then(|| "next".to_owned()),
            server_ms,
        }
    }

    #[test]
    fn the_checkpoint_never_passes_what_is_durable() {
        let check = |from: Option<i64>, pages: &[Page], expected: Option<i64>| {
            let mut progress = Progress::resume(from);
            pages.iter().for_each(|page| progress.page_applied(page));
            assert_eq!(progress.pulled_ms, expected, "{pages:?}");
        };
        check(None, &[], None);
        check(None, &[page(&[], false, None)], None);
        check(None, &[page(&[10, 20], true, None)], Some(20));
        check(
            None,
            &[page(&[10, 20], true, None), page(&[30], false, None)],
            Some(30),
        );
        // Out of order: only a finished round counts.
        check(None, &[page(&[20, 10], true, None)], None);
        check(
            None,
            &[page(&[20, 10], true, None), page(&[15], false, None)],
            Some(20),
        );
        // The overlap is no disorder.
        check(Some(50), &[page(&[45, 50, 60], true, None)], Some(60));
        check(Some(50), &[page(&[], false, None)], Some(50));
        // A quiet target moves on with its own clock, and never back.
        check(Some(50), &[page(&[45], false, Some(90_000))], Some(85_000));
        check(Some(50), &[page(&[], false, Some(1_000))], Some(50));
        check(Some(50), &[page(&[], true, Some(90_000))], Some(50));
    }

    #[test]
    fn a_round_starts_before_the_checkpoint() {
        assert_eq!(Progress::resume(None).since_ms(), None);
        assert_eq!(Progress::resume(Some(9_000)).since_ms(), Some(4_000));
    }
}
