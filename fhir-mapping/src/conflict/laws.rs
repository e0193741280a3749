//! Laws of the merge, over generated resources: it commutes, is idempotent, invents nothing and drops
//! no critical value silently.

use super::*;
use crate::model::{Limits, Object, format, parse};
use proptest::prelude::*;

fn json(text: &str) -> Json {
    parse(text.replace('\'', "\"").as_bytes(), Limits::default()).unwrap()
}

/// One small resource: each element present or not, with one of a few values.
fn resource(kind: &'static str, elements: &'static [(&str, &[&str])]) -> BoxedStrategy<Json> {
    let choices: Vec<_> = elements
        .iter()
        .map(|(_, values)| 0..=values.len())
        .collect();
    let build = move |chosen: Vec<usize>| {
        let mut object = Object::new();
        object.set("resourceType", kind.into());
        for ((name, values), choice) in elements.iter().zip(chosen) {
            if let Some(value) = values.get(choice) {
                object.set(name, json(value));
            }
        }
        Json::Object(object)
    };
    choices.prop_map(build).boxed()
}

fn three() -> impl Strategy<Value = (Json, Json, Json)> {
    let kinds = [
        resource(
            "Patient",
            &[
                (
                    "telecom",
                    &[
                        "[{'system':'phone','value':'1'}]",
                        "[{'system':'phone','value':'2','use':'home'}]",
                        "[{'system':'phone','value':'1'},{'system':'email','value':'e'}]",
                        "[{'system':'phone','value':'1','rank':2},{'system':'phone','value':'3'}]",
                    ],
                ),
                (
                    "identifier",
                    &[
                        "[{'system':'a','value':'1'}]",
                        "[{'system':'a','value':'2'}]",
                        "[{'system':'b','value':'1'},{'system':'a','value':'1'}]",
                    ],
                ),
                ("gender", &["'male'", "'female'"]),
                ("maritalStatus", &["{'text':'a'}", "{'text':'b'}"]),
                (
                    "name",
                    &[
                        "[{'use':'official','given':['A','B']}]",
                        "[{'use':'official','given':['B','A']},{'use':'nickname','text':'n'}]",
                    ],
                ),
            ],
        ),
        resource(
            "MedicationRequest",
            &[
                (
                    "status",
                    &["'active'", "'stopped'", "'on-hold'", "'entered-in-error'"],
                ),
                (
                    "medicationReference",
                    &[
                        "{'reference':'Medication/1'}",
                        "{'reference':'Medication/2'}",
                    ],
                ),
                (
                    "dosageInstruction",
                    &[
                        "[{'text':'1'}]",
                        "[{'text':'2'}]",
                        "[{'text':'2'},{'text':'1'}]",
                    ],
                ),
                (
                    "note",
                    &[
                        "[{'text':'1'}]",
                        "[{'text':'2'}]",
                        "[{'text':'1'},{'text':'1'}]",
                    ],
                ),
                ("priority", &["'urgent'", "'stat'"]),
            ],
        ),
        resource(
            "Observation",
            &[
                (
                    "status",
                    &[
                        "'preliminary'",
                        "'final'",
                        "'corrected'",
                        "'amended'",
                        "'cancelled'",
                    ],
                ),
                (
                    "valueQuantity",
                    &["{'value':1.0}", "{'value':1}", "{'value':2}"],
                ),
                ("valueString", &["'x'"]),
                (
                    "extension",
                    &[
                        "[{'url':'u','valueCode':'a'}]",
                        "[{'url':'u','valueCode':'b'},{'url':'v','valueCode':'a'}]",
                    ],
                ),
            ],
        ),
        resource(
            "AllergyIntolerance",
            &[
                (
                    "clinicalStatus",
                    &[
                        "{'coding':[{'code':'active'}]}",
                        "{'coding':[{'code':'inactive'}]}",
                    ],
                ),
                ("criticality", &["'low'", "'high'"]),
                (
                    "reaction",
                    &[
                        "[{'onset':'1'}]",
                        "[{'onset':'1','severity':'mild'},{'onset':'2'}]",
                    ],
                ),
                ("language", &["'sw'", "'en'"]),
            ],
        ),
    ];
    let three = kinds.map(|kind| (kind.clone(), kind.clone(), kind).boxed());
    proptest::strategy::Union::new(three)
}

fn times(order: u8) -> Times {
    Times {
        local_hlc: u64::from(order % 3),
        incoming_hlc: 1,
    }
}

fn swapped(times: Times) -> Times {
    Times {
        local_hlc: times.incoming_hlc,
        incoming_hlc: times.local_hlc,
    }
}

/// What the outcome leaves as head, and the paths that it asks about.
fn settled(outcome: Outcome, local: &Json, incoming: &Json) -> (Json, Vec<String>) {
    match outcome {
        Outcome::KeepLocal => (local.clone(), vec![]),
        Outcome::TakeIncoming => (incoming.clone(), vec![]),
        Outcome::Merged { resource, .. } => (resource, vec![]),
        Outcome::Ask {
            provisional,
            conflicts,
            ..
        } => (provisional, conflicts.into_iter().map(|c| c.path).collect()),
    }
}

fn leaves(value: &Json, out: &mut Vec<String>) {
    match value {
        Json::Array(items) => items.iter().for_each(|item| leaves(item, out)),
        Json::Object(pairs) => pairs.iter().for_each(|(_, item)| leaves(item, out)),
        scalar => out.push(format(scalar)),
    }
}

proptest! {
    #[test]
    fn both_sites_come_to_the_same((base, a, b) in three(), based: bool, order: u8) {
        let base = based.then_some(&base);
        let here = resolve(base, &a, &b, times(order));
        let there = resolve(base, &b, &a, swapped(times(order)));
        if let (Outcome::Merged { resource: here, .. }, Outcome::Merged { resource: there, .. }) = (&here, &there) {
            prop_assert_eq!(format(here), format(there));
        }
        let ((here, asked_here), (there, asked_there)) = (settled(here, &a, &b), settled(there, &b, &a));
        prop_assert_eq!(&asked_here, &asked_there);
        if asked_here.is_empty() {
            prop_assert!(is_same_content(&here, &there), "{} / {}", format(&here), format(&there));
        }
    }

    #[test]
    fn a_second_arrival_changes_nothing((base, a, b) in three(), order: u8) {
        let (merged, asked) = settled(resolve(Some(&base), &a, &b, times(order)), &a, &b);
        if asked.is_empty() {
            let later = Times { local_hlc: 9, incoming_hlc: 1 };
            let (again, asked) = settled(resolve(Some(&b), &merged, &b, later), &merged, &b);
            prop_assert!(asked.is_empty());
            prop_assert!(is_same_content(&again, &merged));
        }
    }

    #[test]
    fn an_unchanged_side_gives_way((base, _a, b) in three(), order: u8) {
        let expected = if is_same_content(&base, &b) { Outcome::KeepLocal } else { Outcome::TakeIncoming };
        prop_assert_eq!(resolve(Some(&base), &base, &b, times(order)), expected);
        prop_assert_eq!(resolve(Some(&base), &b, &base, times(order)), Outcome::KeepLocal);
        prop_assert_eq!(resolve(Some(&base), &b, &b, times(order)), Outcome::KeepLocal);
    }

    #[test]
    fn no_value_is_invented((base, a, b) in three(), based: bool, order: u8) {
        let base = based.then_some(&base);
        let (merged, _) = settled(resolve(base, &a, &b, times(order)), &a, &b);
        let (mut known, mut found) = (Vec::new(), Vec::new());
        base.into_iter().chain([&a, &b]).for_each(|input| leaves(input, &mut known));
        leaves(&merged, &mut found);
        for leaf in found {
            prop_assert!(known.contains(&leaf), "{leaf}");
        }
    }

    #[test]
    fn no_critical_value_is_lost_unasked((base, a, b) in three(), order: u8) {
        let (merged, asked) = settled(resolve(Some(&base), &a, &b, times(order)), &a, &b);
        for name in ["gender", "priority", "criticality", "clinicalStatus", "medicationReference", "dosageInstruction"] {
            let [base, a, b, merged] = [&base, &a, &b, &merged].map(|r| r.get(name));
            let kept = asked.iter().any(|path| path.ends_with(name) || name.starts_with("medication"))
                || merged == a && (b == base || b == a)
                || merged == b && (a == base || a == b);
            prop_assert!(kept, "{name} {asked:?}");
        }
    }

    #[test]
    fn picking_every_path_decides((base, a, b) in three(), order: u8, local: bool) {
        if let Outcome::Ask { conflicts, .. } = resolve(Some(&base), &a, &b, times(order)) {
            let pick = if local { Pick::Local } else { Pick::Incoming };
            let picks: Vec<_> = conflicts.iter().map(|c| (c.path.clone(), pick)).collect();
            prop_assert!(decide(&Decision::Picks(picks.clone()), Some(&base), &a, &b, times(order)).is_ok());
            let fewer = picks.get(1..).unwrap_or_default().to_vec();
            prop_assert!(decide(&Decision::Picks(fewer), Some(&base), &a, &b, times(order)).is_err());
        }
    }
}
