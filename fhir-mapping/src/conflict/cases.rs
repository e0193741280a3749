//! The hard cases of synchronisation as data: three resources in, one verdict out.

use super::*;
use crate::model::{Limits, format, parse};

/// JSON with single quotes, so that cases stay readable.
pub(super) fn json(text: &str) -> Json {
    parse(text.replace('\'', "\"").as_bytes(), Limits::default()).unwrap()
}

fn text(value: &Json) -> String {
    format(value).replace('"', "'")
}

fn view(outcome: &Outcome) -> String {
    match outcome {
        Outcome::KeepLocal => "keep local".to_owned(),
        Outcome::TakeIncoming => "take incoming".to_owned(),
        Outcome::Merged { resource, .. } => format!("merged {}", text(resource)),
        Outcome::Ask {
            provisional,
            conflicts,
            ..
        } => {
            let paths: Vec<&str> = conflicts.iter().map(|c| c.path.as_str()).collect();
            format!("ask {} meanwhile {}", paths.join(" "), text(provisional))
        }
    }
}

const LOCAL_IS_LATER: Times = Times {
    local_hlc: 2,
    incoming_hlc: 1,
};
const INCOMING_IS_LATER: Times = Times {
    local_hlc: 1,
    incoming_hlc: 2,
};

/// `fields` of base, local and incoming (an empty base is none); the verdict with the type left out.
fn check(name: &str, fields: [&str; 4], expected: &str) {
    let [kind, base, local, incoming] = fields;
    let resource = |fields: &str| json(&format!("{{'resourceType':'{kind}',{fields}}}"));
    let base = (!base.is_empty()).then(|| resource(base));
    let found = resolve(
        base.as_ref(),
        &resource(local),
        &resource(incoming),
        INCOMING_IS_LATER,
    );
    let found = view(&found).replace(&format!("'resourceType':'{kind}',"), "");
    assert_eq!(found, expected, "{name}");
}

#[test]
fn t14_the_later_phone_wins() {
    let phone = |number: &str| {
        let number = format!("[{{'system':'phone','value':'{number}'}}]");
        json(&format!("{{'resourceType':'Patient','telecom':{number}}}"))
    };
    let (base, local, incoming) = (phone("1"), phone("2"), phone("3"));
    let cases = [
        (LOCAL_IS_LATER, Outcome::KeepLocal),
        (INCOMING_IS_LATER, Outcome::TakeIncoming),
    ];
    for (times, expected) in cases {
        assert_eq!(resolve(Some(&base), &local, &incoming, times), expected);
    }
}

#[test]
fn people_and_their_identity() {
    check(
        "T15 a phone and an address both survive",
        [
            "Patient",
            "'telecom':[{'value':'1'}],'address':[{'city':'A'}]",
            "'telecom':[{'value':'2'}],'address':[{'city':'A'}]",
            "'telecom':[{'value':'1'}],'address':[{'city':'B'}]",
        ],
        "merged {'telecom':[{'value':'2'}],'address':[{'city':'B'}]}",
    );
    check(
        "one birth date corrected in two ways",
        [
            "Patient",
            "'birthDate':'1990-01-01'",
            "'birthDate':'1990-01-10'",
            "'birthDate':'1991-01-01'",
        ],
        "ask Patient.birthDate meanwhile {'birthDate':'1990-01-10'}",
    );
    check(
        "death told in two ways is one element",
        [
            "Patient",
            "'active':true",
            "'active':true,'deceasedBoolean':true",
            "'active':true,'deceasedDateTime':'2026-01-01'",
        ],
        "ask Patient.deceased meanwhile {'active':true,'deceasedBoolean':true}",
    );
}

#[test]
fn prescriptions() {
    let order = |status: &str, drug: &str, dose: &str| {
        format!(
            "'status':'{status}','medicationCodeableConcept':{{'coding':[{{'code':'{drug}'}}]}},\
             'dosageInstruction':[{{'text':'{dose}'}}]"
        )
    };
    let base = order("active", "X", "500");
    let shown = |status: &str, dose: &str| format!("{{{}}}", order(status, "X", dose));
    let cases = [
        (
            "T19 one dose changed in two ways",
            (order("active", "X", "250"), order("active", "X", "1000")),
            format!(
                "ask MedicationRequest.dosageInstruction meanwhile {}",
                shown("active", "250")
            ),
        ),
        (
            "T22 stopped at one site, dose changed at the other",
            (order("stopped", "X", "500"), order("active", "X", "250")),
            format!(
                "ask MedicationRequest.status MedicationRequest.dosageInstruction meanwhile {}",
                shown("stopped", "500")
            ),
        ),
        (
            "T22 the other way round",
            (order("active", "X", "250"), order("stopped", "X", "500")),
            format!(
                "ask MedicationRequest.status MedicationRequest.dosageInstruction meanwhile {}",
                shown("stopped", "500")
            ),
        ),
        (
            "another drug at one site, another dose at the other: never that dose of that drug",
            (order("active", "Y", "500"), order("active", "X", "250")),
            format!(
                "ask MedicationRequest.medication MedicationRequest.dosageInstruction meanwhile {{{}}}",
                order("active", "Y", "500")
            ),
        ),
        (
            "both stop it",
            (order("stopped", "X", "500"), order("stopped", "X", "500")),
            "keep local".to_owned(),
        ),
        (
            "both stop it, one with another dose",
            (order("stopped", "X", "500"), order("stopped", "X", "250")),
            "take incoming".to_owned(),
        ),
    ];
    for (name, (local, incoming), expected) in cases {
        check(
            name,
            ["MedicationRequest", &base, &local, &incoming],
            &expected,
        );
    }
    check(
        "T33 declared an error at one site, edited at the other",
        [
            "MedicationRequest",
            &base,
            &order("entered-in-error", "X", "500"),
            &format!("{base},'priority':'urgent'"),
        ],
        &format!(
            "ask MedicationRequest.status meanwhile {{{},'priority':'urgent'}}",
            order("entered-in-error", "X", "500")
        ),
    );
}

#[test]
fn medication_lists() {
    let entry = |drug: &str, rest: &str| {
        format!("{{'item':{{'reference':'MedicationStatement/{drug}'}}{rest}}}")
    };
    let list = |entries: &[String]| format!("'mode':'working','entry':[{}]", entries.join(","));
    let base = list(&[entry("a", "")]);
    check(
        "T20 two drugs added",
        [
            "List",
            &base,
            &list(&[entry("a", ""), entry("x", "")]),
            &list(&[entry("a", ""), entry("y", "")]),
        ],
        &format!(
            "merged {{{}}}",
            list(&[entry("a", ""), entry("y", ""), entry("x", "")])
        ),
    );
    let same = list(&[entry("a", ""), entry("x", "")]);
    check(
        "T21 one drug added twice alike",
        ["List", &base, &same, &same],
        "keep local",
    );
    check(
        "T21 one drug added twice, differing",
        [
            "List",
            &base,
            &same,
            &list(&[entry("a", ""), entry("x", ",'date':'2026'")]),
        ],
        &format!("ask List.entry meanwhile {{{same}}}"),
    );
    check(
        "T78 one drug twice in a list that both changed",
        [
            "List",
            &base,
            &list(&[entry("x", ""), entry("x", ",'deleted':true")]),
            &list(&[entry("y", "")]),
        ],
        &format!(
            "ask List.entry meanwhile {{{}}}",
            list(&[entry("x", ""), entry("x", ",'deleted':true")])
        ),
    );
}

#[test]
fn allergies_stay_visible() {
    let allergy = |clinical: &str, verification: &str, criticality: &str| {
        format!(
            "'clinicalStatus':{{'coding':[{{'code':'{clinical}'}}]}},\
             'verificationStatus':{{'coding':[{{'code':'{verification}'}}]}},\
             'criticality':'{criticality}'"
        )
    };
    let both = "AllergyIntolerance.clinicalStatus AllergyIntolerance.verificationStatus";
    let active = allergy("active", "confirmed", "high");
    let refuted = allergy("inactive", "refuted", "high");
    for (local, incoming) in [(&active, &refuted), (&refuted, &active)] {
        check(
            "T25 active at one site, refuted at the other",
            ["AllergyIntolerance", "", local, incoming],
            &format!("ask {both} meanwhile {{{active}}}"),
        );
    }
    check(
        "T27 criticality low and high",
        [
            "AllergyIntolerance",
            &allergy("active", "confirmed", "unable-to-assess"),
            &allergy("active", "confirmed", "low"),
            &allergy("active", "confirmed", "high"),
        ],
        &format!(
            "ask AllergyIntolerance.criticality meanwhile {{{}}}",
            allergy("active", "confirmed", "high")
        ),
    );
}

#[test]
fn diagnoses() {
    let state = |code: &str| format!("'verificationStatus':{{'coding':[{{'code':'{code}'}}]}}");
    let cases = [("refuted", "confirmed"), ("confirmed", "refuted")];
    for (local, incoming) in cases {
        check(
            "T28 refuted and confirmed",
            [
                "Condition",
                &state("provisional"),
                &state(local),
                &state(incoming),
            ],
            &format!(
                "ask Condition.verificationStatus meanwhile {{{}}}",
                state("confirmed")
            ),
        );
    }
    check(
        "T29 a note and a stage",
        [
            "Condition",
            "'stage':[{'summary':{'text':'I'}}]",
            "'stage':[{'summary':{'text':'I'}}],'note':[{'text':'seen'}]",
            "'stage':[{'summary':{'text':'II'}}]",
        ],
        "merged {'stage':[{'summary':{'text':'II'}}],'note':[{'text':'seen'}]}",
    );
}

#[test]
fn results() {
    let result = |status: &str, value: &str| {
        format!("'status':'{status}','valueQuantity':{{'value':{value},'unit':'mmol/L'}}")
    };
    let preliminary = result("preliminary", "5");
    let cases = [
        (
            "T30 corrected after final",
            "final",
            "6",
            "corrected",
            "7",
            "take incoming",
        ),
        (
            "T30 final after corrected",
            "corrected",
            "7",
            "final",
            "6",
            "keep local",
        ),
        (
            "T32 preliminary after final",
            "final",
            "6",
            "preliminary",
            "4",
            "keep local",
        ),
    ];
    for (name, local, local_value, incoming, incoming_value, expected) in cases {
        let (local, incoming) = (result(local, local_value), result(incoming, incoming_value));
        check(
            name,
            ["Observation", &preliminary, &local, &incoming],
            expected,
        );
        check(name, ["Observation", "", &local, &incoming], expected);
    }
    check(
        "T31 corrected in two ways",
        [
            "Observation",
            &result("final", "6"),
            &result("corrected", "7"),
            &result("corrected", "8"),
        ],
        &format!(
            "ask Observation.value meanwhile {{{}}}",
            result("corrected", "7")
        ),
    );
    check(
        "cancelled at one site, final at the other",
        [
            "Observation",
            &preliminary,
            &result("cancelled", "5"),
            &result("final", "5"),
        ],
        &format!(
            "ask Observation.status meanwhile {{{}}}",
            result("cancelled", "5")
        ),
    );
}

#[test]
fn values_keep_their_spelling() {
    check(
        "T76 a trailing zero is no difference",
        [
            "Observation",
            "'valueDecimal':1.1",
            "'valueDecimal':1.10",
            "'valueDecimal':1.1",
        ],
        "keep local",
    );
    check(
        "T76 it survives a merge of something else",
        [
            "Observation",
            "'valueDecimal':1.1",
            "'valueDecimal':1.1,'note':[{'text':'a'}]",
            "'valueDecimal':1.10,'note':[{'text':'b'}]",
        ],
        "merged {'valueDecimal':1.10,'note':[{'text':'b'},{'text':'a'}]}",
    );
    check(
        "T76 beyond what a double can tell",
        [
            "Basic",
            "'extension':[{'url':'u','valueDecimal':9007199254740992}]",
            "'extension':[{'url':'u','valueDecimal':9007199254740993}]",
            "'extension':[{'url':'u','valueDecimal':9007199254740992}],'language':'sw'",
        ],
        "merged {'extension':[{'url':'u','valueDecimal':9007199254740993}],'language':'sw'}",
    );
    check(
        "T77 a set in another order",
        [
            "Patient",
            "'telecom':[{'value':'1'},{'value':'2'}]",
            "'telecom':[{'value':'2'},{'value':'1'}]",
            "'telecom':[{'value':'1'},{'value':'2'}]",
        ],
        "keep local",
    );
    check(
        "T77 given names in another order",
        [
            "Patient",
            "'name':[{'given':['A','B']}]",
            "'name':[{'given':['A','B']}]",
            "'name':[{'given':['B','A']}]",
        ],
        "take incoming",
    );
    check(
        "bookkeeping is no difference",
        [
            "Patient",
            "",
            "'meta':{'versionId':'1','lastUpdated':'2026'},'text':{'status':'generated','div':'x'},'active':true",
            "'active':true,'meta':{'versionId':'7','source':'#h'}",
        ],
        "keep local",
    );
    check(
        "an element that nobody knows, changed on both sides",
        ["Patient", "'x':1", "'x':2", "'x':3"],
        "ask Patient.x meanwhile {'x':2}",
    );
}

#[test]
fn decisions() {
    let base = json(
        "{'resourceType':'MedicationRequest','status':'active','priority':'routine','note':[]}",
    );
    let local = json(
        "{'resourceType':'MedicationRequest','status':'stopped','priority':'urgent','note':[{'text':'l'}]}",
    );
    let incoming = json(
        "{'resourceType':'MedicationRequest','status':'on-hold','priority':'asap','note':[{'text':'i'}]}",
    );
    let picks = |picks: &[(&str, Pick)]| {
        let picks = picks.iter().map(|(path, pick)| ((*path).to_owned(), *pick));
        Decision::Picks(picks.collect())
    };
    let (status, priority) = ("MedicationRequest.status", "MedicationRequest.priority");
    let cases = [
        (Decision::Local, Ok(text(&local))),
        (Decision::Incoming, Ok(text(&incoming))),
        (Decision::Edited(base.clone()), Ok(text(&base))),
        (
            picks(&[(status, Pick::Local)]),
            Err(vec![priority.to_owned()]),
        ),
        (
            picks(&[]),
            Err(vec![status.to_owned(), priority.to_owned()]),
        ),
        (
            picks(&[(status, Pick::Local), (priority, Pick::Incoming)]),
            Ok(
                "{'resourceType':'MedicationRequest','status':'stopped','priority':'asap',\
                'note':[{'text':'i'},{'text':'l'}]}"
                    .to_owned(),
            ),
        ),
    ];
    for (decision, expected) in cases {
        let found = decide(&decision, Some(&base), &local, &incoming, INCOMING_IS_LATER);
        assert_eq!(found.map(|r| text(&r)), expected, "{decision:?}");
    }
}

#[test]
fn a_write_made_on_the_provisional_version_is_carried_to_the_local_one() {
    let shown =
        json("{'resourceType':'AllergyIntolerance','criticality':'high','code':{'text':'a'}}");
    let local =
        json("{'resourceType':'AllergyIntolerance','criticality':'low','code':{'text':'a'}}");
    let later =
        json("{'resourceType':'AllergyIntolerance','criticality':'high','code':{'text':'b'}}");
    assert_eq!(
        text(&carry(&shown, &local, &later)),
        "{'resourceType':'AllergyIntolerance','criticality':'low','code':{'text':'b'}}"
    );
}
