//! Whole messages: what real instruments send, and what becomes of it.

mod garbled;
mod whole;

use super::*;
use crate::model::format_pretty;

pub(super) fn connection() -> Connection {
    Connection {
        name: "bench".to_owned(),
        patient_system: "urn:clinic".to_owned(),
        charset: "UNICODE UTF-8".to_owned(),
        authorities: Vec::new(),
        zone: jiff::tz::TimeZone::UTC,
    }
}

pub(super) fn segment(line: &str) -> Segment {
    let (mut segments, _) = segments::split(line, &Syntax::default());
    segments.remove(0)
}

pub(super) fn obx_of(line: &str) -> Segment {
    segment(line)
}

pub(super) fn with_context<T>(
    issues: &mut Vec<Issue>,
    run: impl FnOnce(&mut Context<'_>) -> T,
) -> T {
    let (message, _) = parse(b"MSH|^~\\&|LAB", &connection()).unwrap();
    let connection = connection();
    let mut context = Context::new(&message, &connection);
    let out = run(&mut context);
    issues.extend(context.issues);
    out
}

fn draft(lines: &[&str]) -> Draft {
    let (message, _) = parse(lines.join("\r").as_bytes(), &connection()).unwrap();
    map_oru(&message, &connection()).unwrap()
}

/// A draft as a reviewer reads it: one line a resource, findings last.
fn shown(draft: &Draft) -> String {
    let mut lines = Vec::new();
    for group in &draft.groups {
        let ids = &group.patient_identifiers;
        let control = if group.is_control { " control" } else { "" };
        lines.push(format!("patient {ids:?}{control}"));
        lines.extend(group.resources.iter().map(line));
    }
    let issue = |i: &Issue| format!("{} {} {}", i.severity.as_str(), i.number, i.expression);
    lines.extend(draft.issues.iter().map(issue));
    lines.join("\n")
}

fn line(resource: &Json) -> String {
    let text = |path: &[&str]| {
        let found = path.iter().try_fold(resource, |at, key| match at {
            Json::Array(items) => items.first()?.get(key),
            other => other.get(key),
        });
        found
            .map(|f| crate::model::format(f).replace('"', ""))
            .unwrap_or_default()
    };
    let code = text(&["code", "coding", "code"]);
    let status = text(&["status"]);
    let quantity = ["value", "unit", "code"]
        .map(|key| text(&["valueQuantity", key]))
        .join(" ");
    let other = text(&["valueCodeableConcept", "text"]) + &text(&["valueString"]);
    let flag = text(&["interpretation", "coding", "code"]);
    let kind = resource.resource_type().unwrap_or_default();
    let parts = [kind, &code, &status, quantity.trim(), &other, &flag];
    let parts: Vec<&str> = parts.into_iter().filter(|p| !p.is_empty()).collect();
    parts.join(" ")
}

const CBC: &[&str] = &[
    r"MSH|^~\&|CBC-LINE|LAB|EMR|CLINIC|20261124101500+0300||ORU^R01^ORU_R01|77|P|2.5.1||||||UNICODE UTF-8",
    "PID|1||4711^^^^MR||Diallo^Awa||19900804|F",
    "ORC|RE|ORD-9^EMR|F-100^LAB",
    r"OBR|1|ORD-9^EMR|F-100^LAB|57021-8^CBC W Auto Diff^LN|||20261124100000|||||||||Ba^Kofi||||||20261124101400+0300||HM|F",
    "NTE|1||Sample \\T\\ smear seen",
    "OBX|1|NM|WBC^Leukocytes^L^6690-2^WBC^LN||12.40|10^3/uL|4.00-10.00|H|||F|||20261124100500",
    "OBX|2|NM|718-7^HGB^LN||9.1|g/dL|12.0-16.0|L~N|||F",
    "NTE|1||checked by hand",
    "OBX|3|ST|morph^Morphology^L||few target cells||||||F",
    "SPM|1|^S-55&LAB||BLDV^Venous blood^HL70487|||||||P||||||20261124094500|20261124095500",
];

#[test]
fn a_blood_count_becomes_report_results_specimen_and_order() {
    insta::assert_snapshot!(shown(&draft(CBC)), @r#"
    patient [("urn:clinic", "4711")]
    Specimen
    ServiceRequest 57021-8 completed
    Observation WBC final 12.40 10^3/uL 10*3/uL H
    Observation 718-7 final 9.1 g/dL g/dL L
    Observation morph final few target cells
    DiagnosticReport 57021-8 final
    "#);
}

/// Shaped as the example C.3.3 of the BC-5380 manual is, with its oddities.
const MINDRAY: &[&str] = &[
    r"MSH|^~\&|BC-5380|Mindray|||20080617143943||ORU^R01|1|P|2.3.1||||||UNICODE",
    "PID|1||7393670^^^^MR||Liu^Jia||19900804000000|Female",
    "PV1|1|Outpatient|Surgery^^51|||||||||||||||||NewCharge",
    "OBR|1||20071207011|00001^Automated Count^99MRC||20060506000000|20080508150616|||tester||||20080508160616||||||||||HM||||||||operator",
    "OBX|1|IS|08001^Take Mode^99MRC||A||||||F",
    "OBX|2|ST|01002^Ref Group^99MRC||General||||||F",
    "OBX|3|NM|30525-0^Age^LN||1|hr|||||F",
    "OBX|4|NM|6690-2^WBC^LN||9.81|10*9/L|4.00-10.00|N|||F",
    "OBX|5|NM|4544-3^HCT^LN||0.405||0.370-0.480|N|||F",
    "OBX|6|NM|787-2^MCV^LN||***.**|fL|80.0-100.0|N|||F",
    "OBX|7|NM|10014^*LIC%^99MRC||||0.000-0.250|N|||F",
    "OBX|8|IS|12014^Anemia^99MRC||T||||||F",
    "OBX|9|ED|15200^WBC Histogram. BMP^99MRC||^Image^BMP^Base64^Qk0=||||||F",
    "OBX|10|NM|^^^17796^EOS^99MRC||1||||||",
    "OBR|2||20071207011|00003^Manual Count^99MRC||20060506000000|20080508150616",
    "OBX|11|NM|747-6^Myeloblasts^LN||0.0|%|||||F",
];

#[test]
fn odd_instruments_are_understood() {
    insta::assert_snapshot!(shown(&draft(MINDRAY)), @r#"
    patient [("urn:clinic", "7393670")]
    Observation 6690-2 final 9.81 10*9/L 10*9/L N
    Observation 4544-3 final 0.405 N
    Observation 787-2 final ***.** N
    Observation 10014 final N
    Observation 12014 final T
    Observation 17796 preliminary 1
    DiagnosticReport 00001 partial
    Observation 747-6 final 0.0 % %
    DiagnosticReport 00003 final
    information E-V2-13 OBX[1]
    information E-V2-13 OBX[2]
    information E-V2-13 OBX[3]
    warning E-V2-11 OBX[6]-5
    information E-V2-13 OBX[9]
    warning E-V2-16 OBX[10]-11
    "#);
}

#[test]
fn control_samples_are_no_patients() {
    for (from, to) in [("|1|P|2.3.1", "|1|Q|2.3.1"), ("|1|P|2.3.1", "|1|T|2.3.1")] {
        let msh = MINDRAY[0].replace(from, to);
        let lines: Vec<&str> = std::iter::once(msh.as_str())
            .chain(MINDRAY[1..].iter().copied())
            .collect();
        assert!(draft(&lines).groups[0].is_control);
    }
    let mut lines = CBC.to_vec();
    let control = CBC[10 - 1].replace("|P|", "|Q|");
    lines[9] = &control;
    assert!(draft(&lines).groups[0].is_control);
    assert!(!draft(CBC).groups[0].is_control);
}

/// One result with this OBR-25 and OBX-11.
fn one(report: &str, result: &str, value: &str) -> Draft {
    let obr = format!("OBR|1||F-1|24331-1^Lipids^LN{}{report}", "|".repeat(21));
    let obx = format!("OBX|1|NM|2093-3^Chol^LN||{value}|mmol/L|||||{result}");
    draft(&[
        r"MSH|^~\&|A|B|||20260101||ORU^R01|5|P|2.5",
        "PID|1||9",
        &obr,
        &obx,
    ])
}

#[test]
fn a_result_keeps_its_identity_through_all_statuses() {
    let ids = |d: &Draft| -> Vec<String> {
        let resources = d.groups[0].resources.iter();
        resources
            .map(|r| r.id().unwrap_or_default().to_owned())
            .collect()
    };
    let first = one("P", "P", "5.1");
    let table = [
        ("P", "P", "preliminary", "preliminary"),
        ("F", "F", "final", "final"),
        ("C", "C", "corrected", "corrected"),
        ("", "D", "entered-in-error", "entered-in-error"),
        ("", "W", "entered-in-error", "entered-in-error"),
        ("X", "X", "cancelled", "cancelled"),
        ("", "F", "final", "final"),
        ("R", "", "preliminary", "partial"),
        ("F", "", "final", "final"),
    ];
    for (report, result, result_status, report_status) in table {
        let draft = one(report, result, "5.2");
        assert_eq!(ids(&draft), ids(&first), "{report} {result}");
        let status = |at: usize| {
            draft.groups[0].resources[at]
                .get("status")
                .and_then(Json::as_str)
        };
        assert_eq!(
            (status(0), status(1)),
            (Some(result_status), Some(report_status))
        );
    }
}

#[test]
fn a_result_that_cannot_be_obtained_says_so() {
    let draft = one("F", "X", "");
    insta::assert_snapshot!(format_pretty(&draft.groups[0].resources[0]), @r#"
    {
      "resourceType": "Observation",
      "id": "a1476003-828d-5666-a182-2f49f6f855f8",
      "meta": {
        "source": "urn:wayside:device:bench#5"
      },
      "status": "cancelled",
      "_status": {
        "extension": [
          {
            "url": "http://hl7.org/fhir/StructureDefinition/alternate-codes",
            "valueCodeableConcept": {
              "coding": [
                {
                  "system": "http://terminology.hl7.org/CodeSystem/v2-0085",
                  "code": "X"
                }
              ]
            }
          }
        ]
      },
      "category": [
        {
          "coding": [
            {
              "system": "http://terminology.hl7.org/CodeSystem/observation-category",
              "code": "laboratory"
            }
          ]
        }
      ],
      "code": {
        "coding": [
          {
            "system": "http://loinc.org",
            "code": "2093-3",
            "display": "Chol"
          }
        ],
        "text": "Chol"
      },
      "dataAbsentReason": {
        "coding": [
          {
            "system": "http://terminology.hl7.org/CodeSystem/data-absent-reason",
            "code": "unknown"
          }
        ],
        "text": "results cannot be obtained"
      },
      "device": {
        "display": "A"
      }
    }
    "#);
}

#[test]
fn refusals_name_their_reason() {
    let check = |lines: &[&str], expected: &str| {
        let parsed = parse(lines.join("\r").as_bytes(), &connection());
        let refused = parsed.and_then(|(message, _)| map_oru(&message, &connection()));
        assert_eq!(refused.unwrap_err().number, expected, "{lines:?}");
    };
    let msh = r"MSH|^~\&|A|B|||20260101||ORU^R01|5|P|2.5";
    check(&["junk"], "E-V2-1");
    check(&["MSH|"], "E-V2-1");
    check(&[msh, "OBR|1||2|a", msh], "E-V2-5");
    check(&[&msh.replace("ORU^R01", "ADT^A04"), "PID|1"], "E-V2-7");
    check(&[msh, "PID|1||2", "OBX|1|NM|a||1"], "E-V2-8");
    check(&[msh, "PID|1||2"], "E-V2-23");
    let unknown = format!("OBR|1||2|a{}Z", "|".repeat(21));
    check(&[msh, "PID|1||2", &unknown], "E-V2-9");
}

#[test]
fn several_patients_and_specimen_first_messages() {
    let two = draft(&[
        r"MSH|^~\&|A|B|||20260101||ORU^R01|5|P|2.5",
        "PID|1||1",
        "OBR|1||F1|a^A^L",
        "OBX|1|NM|x^X^L||1||||||F",
        "PID|2||2",
        "OBR|1||F2|a^A^L",
        "OBX|1|NM|x^X^L||2||||||F",
        "OBX|2|NM|x^X^L||3||||||F",
    ]);
    assert_eq!(two.groups.len(), 2);
    let ids: std::collections::HashSet<_> = two
        .groups
        .iter()
        .flat_map(|g| &g.resources)
        .map(|r| r.id())
        .collect();
    assert_eq!(
        ids.len(),
        5,
        "a rerun and another patient's result are other resources"
    );
    let oul = draft(&[
        r"MSH|^~\&|A|B|||20260101||OUL^R22^OUL_R22|5|P|2.5.1",
        "PID|1||1",
        "SPM|1|S-1&LAB^S-2&LAB||SER^Serum^HL70487|||||||P",
        "OBR|1|P1||a^A^L",
        "ORC|RE|||||CM",
        "OBX|1|NM|x^X^L||1||||||F",
        "OBR|2|P2||b^B^L",
        "OBX|1|NM|y^Y^L||1||||||F",
    ]);
    let kinds: Vec<_> = oul.groups[0]
        .resources
        .iter()
        .filter_map(Json::resource_type)
        .collect();
    let expected = [
        "Specimen",
        "ServiceRequest",
        "Observation",
        "DiagnosticReport",
    ];
    assert_eq!(kinds[..4], expected);
    assert_eq!(kinds[4..], expected[1..], "one specimen, two orders");
}

#[test]
fn every_resource_is_sound() {
    let scan = |status: &str, value: &str| one("", status, value);
    let mut drafts = vec![draft(CBC), draft(MINDRAY), scan("X", ""), scan("V", "1~2")];
    drafts.extend(["D", "W", "U", "I", "S", "?"].map(|status| scan(status, "<5")));
    for resource in drafts
        .iter()
        .flat_map(|d| &d.groups)
        .flat_map(|g| &g.resources)
    {
        let mut resource = resource.clone();
        let subject = Json::object([("reference", "Patient/1".into())]);
        let object = resource.as_object_mut().unwrap();
        object.set("subject", subject);
        let issues = crate::validate::structure(&resource);
        assert!(issues.is_empty(), "{issues:?} {}", format_pretty(&resource));
    }
}

#[test]
fn official_samples_parse() {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../shared/data/v2-to-fhir/samples/messages"
    );
    let Ok(files) = std::fs::read_dir(folder) else {
        eprintln!("skipped: no shared sample messages");
        return;
    };
    let mut read = 0;
    for file in files
        .map(|f| f.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "txt"))
    {
        let (message, issues) = parse(&std::fs::read(&file).unwrap(), &connection()).unwrap();
        assert!(
            !message.control_id().is_empty() && issues.is_empty(),
            "{}",
            file.display()
        );
        read += 1;
    }
    assert!(read > 0);
}
