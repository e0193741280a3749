//! How a drafted resource stands to what is stored under its id: new, newer, older, or changed by a
//! person meanwhile (out-of-order rules of the status tables).

use super::attribute::note;
use fhir_mapping::conflict::{Outcome, Times, resolve};
use fhir_mapping::model::{Issue, IssueCode, Json, Limits, parse};
use store::{Head, OriginKind, ResourceKey, StoreError, StoredVersion, VersionId, View};

/// What to do with a drafted resource.
#[derive(Debug)]
pub(super) enum Standing {
    /// Write it, if the head is still this one.
    Write(Json, Option<VersionId>),
    /// Nothing to write; the finding says why, if that is worth saying.
    Leave(Option<Issue>),
    /// A person must look.
    Ask(Issue),
}

/// Compares a drafted resource, its subject filled in, with the head under its id.
pub(super) fn of(view: &View<'_>, drafted: Json, now_hlc: u64) -> Result<Standing, StoreError> {
    let key = ResourceKey {
        resource_type: drafted.resource_type().unwrap_or_default().to_owned(),
        id: drafted.id().unwrap_or_default().to_owned(),
    };
    let Some(head) = view.head(&key)? else {
        return Ok(Standing::Write(drafted, None));
    };
    let stored = view.version(head.rid, head.version)?;
    let Some(stored) = stored.filter(|stored| !stored.deleted) else {
        let text = format!("a stored {} of this message was deleted", key.resource_type);
        return Ok(ask("E-DEV-10", text));
    };
    let Ok(local) = parse(&stored.body, Limits::default()) else {
        let text = format!("a stored {} cannot be read", key.resource_type);
        return Ok(ask("E-DEV-11", text));
    };
    if reference_of(&local) != reference_of(&drafted) {
        let text = format!(
            "the {} under this number belongs to another patient",
            key.resource_type
        );
        return Ok(ask("E-DEV-12", text));
    }
    if is_older(&local, &drafted) {
        return Ok(older(&local, &drafted, head.version));
    }
    let merged = carried_over(&local, drafted);
    match stored.origin.kind {
        OriginKind::Device => Ok(Standing::Write(merged, Some(head.version))),
        _ => beside_a_person(view, (&head, &stored), (&local, merged), now_hlc),
    }
}

fn ask(number: &'static str, text: String) -> Standing {
    Standing::Ask(Issue::error(number, IssueCode::Conflict, "", text))
}

fn reference_of(resource: &Json) -> Option<&str> {
    resource.get("subject")?.get("reference")?.as_str()
}

/// Someone else wrote the head: merge three ways from the last version that the device wrote.
fn beside_a_person(
    view: &View<'_>,
    (head, stored): (&Head, &StoredVersion),
    (local, drafted): (&Json, Json),
    now_hlc: u64,
) -> Result<Standing, StoreError> {
    let kind = local.resource_type().unwrap_or_default();
    if matches!(kind, "ServiceRequest" | "Specimen") {
        return Ok(Standing::Leave(None));
    }
    let base = last_of_device(view, head)?;
    let times = Times {
        local_hlc: stored.hlc,
        incoming_hlc: now_hlc,
    };
    Ok(match resolve(base.as_ref(), local, &drafted, times) {
        Outcome::KeepLocal => Standing::Leave(None),
        Outcome::TakeIncoming => Standing::Write(drafted, Some(head.version)),
        Outcome::Merged { resource, .. } => Standing::Write(resource, Some(head.version)),
        Outcome::Ask { .. } => {
            let text = format!("a person changed the {kind} that this message corrects");
            ask("E-DEV-13", text)
        }
    })
}

/// Versions looked through for the device's last one.
const HISTORY_MAX: usize = 100;

fn last_of_device(view: &View<'_>, head: &Head) -> Result<Option<Json>, StoreError> {
    for (version, _) in view.history(head.rid, None, HISTORY_MAX)? {
        let stored = view.version(head.rid, version)?;
        let by_device = stored.filter(|s| s.origin.kind == OriginKind::Device && !s.deleted);
        if let Some(stored) = by_device {
            return Ok(parse(&stored.body, Limits::default()).ok());
        }
    }
    Ok(None)
}

/// How far along a status is; a withdrawn result stays withdrawn until it is released anew.
fn rank(resource: &Json) -> u8 {
    match resource.get("status").and_then(Json::as_str) {
        Some("registered") => 0,
        Some("partial" | "preliminary") => 1,
        Some("amended" | "corrected" | "appended") => 3,
        Some("entered-in-error") => 4,
        _ => 2,
    }
}

/// An older state never replaces a newer one: by rank of the status, unless the sender's own times
/// say otherwise.
fn is_older(local: &Json, drafted: &Json) -> bool {
    let is_result = matches!(
        drafted.resource_type(),
        Some("Observation" | "DiagnosticReport")
    );
    let later = time_order(local, drafted);
    is_result
        && match rank(drafted).cmp(&rank(local)) {
            std::cmp::Ordering::Greater => false,
            std::cmp::Ordering::Equal => later == Some(std::cmp::Ordering::Less),
            std::cmp::Ordering::Less => {
                let is_release = rank(drafted) >= 2;
                !(is_release && later == Some(std::cmp::Ordering::Greater))
            }
        }
}

/// Drafted against local by `issued` (OBR-22), else by the time of the observation (OBX-14).
fn time_order(local: &Json, drafted: &Json) -> Option<std::cmp::Ordering> {
    let time = |resource: &Json, key| -> Option<jiff::Timestamp> {
        resource.get(key)?.as_str()?.parse().ok()
    };
    let by = |key| Some(time(drafted, key)?.cmp(&time(local, key)?));
    by("issued").or_else(|| by("effectiveDateTime"))
}

/// What is older is left out, except that a report still gets results it does not list yet.
fn older(local: &Json, drafted: &Json, version: VersionId) -> Standing {
    let mut report = local.clone();
    if united_results(local, drafted) != local.items("result")
        && let Some(object) = report.as_object_mut()
    {
        object.set("result", Json::Array(united_results(local, drafted)));
        return Standing::Write(report, Some(version));
    }
    let kind = drafted.resource_type().unwrap_or_default();
    let text = format!("the stored {kind} is newer; this older state was left in the raw message");
    Standing::Leave(Some(note("E-DEV-14", text)))
}

/// Fills in what the message leaves out on purpose: a report's other results, and the value of a
/// result whose status alone changes (`U`, `D`, `W` without a value).
fn carried_over(local: &Json, mut drafted: Json) -> Json {
    match drafted.resource_type() {
        Some("DiagnosticReport") => {
            let results = united_results(local, &drafted);
            let withdraws =
                drafted.get("status").and_then(Json::as_str) == Some("entered-in-error");
            let is_part = results.len() > drafted.items("result").len();
            let forms = local.get("presentedForm").cloned();
            if let Some(object) = drafted.as_object_mut() {
                if !results.is_empty() {
                    object.set("result", Json::Array(results));
                }
                if withdraws && is_part {
                    object.set("status", "corrected".into());
                }
                if let (None, Some(forms)) = (object.get("presentedForm"), forms) {
                    object.set("presentedForm", forms);
                }
            }
            drafted
        }
        Some("Observation") if changes_status_only(&drafted) => {
            let mut whole = local.clone();
            if let Some(object) = whole.as_object_mut() {
                for key in ["meta", "status", "_status"] {
                    match drafted.get(key) {
                        Some(value) => object.set(key, value.clone()),
                        None => drop(object.remove(key)),
                    }
                }
            }
            whole
        }
        _ => drafted,
    }
}

fn united_results(local: &Json, drafted: &Json) -> Vec<Json> {
    let mut results = local.items("result").to_vec();
    for result in drafted.items("result") {
        if !results.contains(result) {
            results.push(result.clone());
        }
    }
    results
}

fn changes_status_only(observation: &Json) -> bool {
    let Some(object) = observation.as_object() else {
        return false;
    };
    let has_value = object
        .keys()
        .any(|key| key.starts_with("value") || key == "component");
    let extensions = observation.get("_status").map(|s| s.items("extension"));
    let codes = extensions.into_iter().flatten();
    let codes = codes.filter_map(|extension| extension.get("valueCodeableConcept"));
    let mut codes = codes.flat_map(|concept| concept.items("coding"));
    let is_status = |coding: &Json| {
        let code = coding.get("code").and_then(Json::as_str);
        matches!(code, Some("U" | "D" | "W"))
    };
    !has_value && codes.any(is_status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observation(status: &str, issued: &str) -> Json {
        let issued = match issued {
            "" => String::new(),
            time => format!(r#","issued":"2026-11-24T{time}:00Z""#),
        };
        let text = format!(r#"{{"resourceType":"Observation","status":"{status}"{issued}}}"#);
        parse(text.as_bytes(), Limits::default()).unwrap()
    }

    #[test]
    fn older_states_never_replace_newer_ones() {
        let table = [
            ("preliminary", "", "final", "", false),
            ("final", "", "corrected", "", false),
            ("corrected", "", "final", "", true),
            ("final", "", "preliminary", "", true),
            ("entered-in-error", "", "final", "", true),
            ("final", "", "entered-in-error", "", false),
            ("final", "", "final", "", false),
            ("final", "10:00", "final", "09:00", true),
            ("final", "09:00", "final", "10:00", false),
            ("corrected", "10:00", "final", "09:00", true),
            ("corrected", "09:00", "final", "10:00", false),
            ("entered-in-error", "09:00", "corrected", "10:00", false),
            ("final", "09:00", "preliminary", "10:00", true),
        ];
        for (local, local_time, drafted, time, expected) in table {
            let (local, drafted) = (observation(local, local_time), observation(drafted, time));
            assert_eq!(
                is_older(&local, &drafted),
                expected,
                "{local:?} {drafted:?}"
            );
        }
    }
}
