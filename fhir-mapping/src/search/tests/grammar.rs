//! What a request is read as: chains, `_has`, hierarchies, filters, result parameters, bounds.

use super::*;

/// A condition as text; `Own` leaves as a dot.
fn shown(condition: &Condition) -> String {
    let list = |parts: &[Condition]| parts.iter().map(shown).collect::<Vec<_>>().join(" ");
    match condition {
        Condition::Own(_) => ".".to_owned(),
        Condition::Chain(chain) => {
            let branch = |b: &Branch| format!("{} {}", b.resource_type, shown(&b.condition));
            let branches: Vec<_> = chain.branches.iter().map(branch).collect();
            format!("{}>({})", chain.parameter, branches.join(" | "))
        }
        Condition::Has(has) => {
            let inner = shown(&has.condition);
            format!("<({}.{} {inner})", has.source_type, has.parameter)
        }
        Condition::Hierarchy(h) => {
            let direction = if h.is_below { "below" } else { "above" };
            format!(
                "{} {direction} {}/{} by {}",
                h.parameter, h.target_type, h.target_id, h.parent
            )
        }
        Condition::Words(_) => "words".to_owned(),
        Condition::All(parts) => format!("all({})", list(parts)),
        Condition::Any(parts) => format!("any({})", list(parts)),
        Condition::Not(part) => format!("not({})", shown(part)),
    }
}

fn read(resource_type: &str, name: &str, value: &str) -> String {
    let zone = zone("UTC");
    let asking = Asking::new(Handling::Strict, &zone).whole();
    let pairs = [(name.to_owned(), value.to_owned())];
    match Query::parse_with(resource_type, &pairs, &asking) {
        Ok(query) => query.conditions().iter().map(shown).collect(),
        Err(issues) => issues
            .iter()
            .map(|i| format!("{} {}", i.number, i.text))
            .collect(),
    }
}

#[test]
fn names() {
    for (resource_type, name, value, expected) in [
        ("Observation", "code", "a", "."),
        (
            "Observation",
            "subject:Patient.name",
            "a",
            "subject>(Patient .)",
        ),
        (
            "Observation",
            "patient.name:exact",
            "a",
            "patient>(Patient .)",
        ),
        (
            "Observation",
            "subject.name",
            "a",
            "subject>(Patient . | Location .)",
        ),
        (
            "Observation",
            "patient.general-practitioner:Practitioner.name:contains",
            "a",
            "patient>(Patient general-practitioner>(Practitioner .))",
        ),
        (
            "Observation",
            "subject.birthdate",
            "gt2000",
            "subject>(Patient .)",
        ),
        (
            "Patient",
            "_has:Observation:patient:code",
            "a",
            "<(Observation.patient .)",
        ),
        (
            "Patient",
            "_has:Observation:patient:_has:Provenance:target:recorded",
            "2020",
            "<(Observation.patient <(Provenance.target .))",
        ),
        (
            "Patient",
            "_has:Observation:subject:performer:Practitioner.family",
            "a",
            "<(Observation.subject performer>(Practitioner .))",
        ),
        (
            "Observation",
            "patient._has:Group:member:_id",
            "g",
            "patient>(Patient <(Group.member .))",
        ),
        ("Patient", "_list", "42", "<(List.item .)"),
        ("Patient", "_text", "heart attack", "words"),
        (
            "Location",
            "partof:below",
            "Location/1",
            "partof below Location/1 by partof",
        ),
        (
            "Location",
            "partof:above",
            "1",
            "partof above Location/1 by partof",
        ),
        (
            "Procedure",
            "location:below",
            "a,b",
            "any(location below Location/a by partof location below Location/b by partof)",
        ),
    ] {
        assert_eq!(read(resource_type, name, value), expected, "{name}");
    }
}

#[test]
fn filters() {
    for (text, expected) in [
        (r#"name co "pet""#, "."),
        (
            r#"given eq "peter" and birthdate ge 2014-10-10"#,
            "all(. .)",
        ),
        (
            "gender eq male or gender eq other or active eq true",
            "any(. . .)",
        ),
        (
            "gender eq male or gender eq other and active eq true",
            "all(any(. .) .)",
        ),
        (
            "gender eq male and (name sw a or name ew b)",
            "all(. all(any(. .)))",
        ),
        ("not(gender eq male)", "not(.)"),
        ("not (gender eq male) and name pr true", "all(not(.) .)"),
        (
            "general-practitioner.name co x",
            "general-practitioner>(Practitioner . | Organization .)",
        ),
        (
            "general-practitioner[active eq true].name co x",
            "general-practitioner>(Practitioner all(. .) | Organization all(. .))",
        ),
        (
            "_has:Observation:patient:code eq http://loinc.org|1",
            "<(Observation.patient .)",
        ),
        ("id eq p1", "."),
        (r#"name eq "a \"b\" \u0041 )""#, "."),
        ("general-practitioner re Practitioner/4", "."),
        ("birthdate po 2014", "."),
        ("link pr false", "."),
    ] {
        assert_eq!(read("Patient", "_filter", text), expected, "{text}");
    }
}

#[test]
fn refusals_name_what_they_refuse() {
    let deep = format!("{}name", "link.".repeat(9));
    let long = "x".repeat(600);
    let nested = format!("{}name eq a{}", "(".repeat(40), ")".repeat(40));
    for (name, value, expected) in [
        (
            "organization.nonsense",
            "a",
            "E-SEARCH-12 organization: no type that it refers to has",
        ),
        (
            "organization:Patient.name",
            "a",
            "E-SEARCH-12 organization:Patient: does not refer",
        ),
        (
            "gender.name",
            "a",
            "E-SEARCH-12 gender: only a reference can be chained from",
        ),
        (
            "nonsense.name",
            "a",
            "E-SEARCH-12 nonsense: no such parameter",
        ),
        ("organization.name:above", "a", "E-SEARCH-2 name: "),
        (
            "_has:Observation:patient",
            "a",
            "E-SEARCH-12 _has: not _has:Type",
        ),
        (
            "_has:Observation:code:code",
            "a",
            "E-SEARCH-12 _has: no such type",
        ),
        (
            "_has:Observation:encounter:code",
            "a",
            "E-SEARCH-12 _has: this parameter never",
        ),
        (
            "_list",
            "$current-problems",
            "E-SEARCH-12 _list: functional lists",
        ),
        ("_text", "--", "E-SEARCH-12 _text: no word"),
        (
            "general-practitioner:below",
            "Practitioner/1",
            "E-SEARCH-12 general-practitioner: :above",
        ),
        ("name:~eq", "a", "E-SEARCH-12 name: no such modifier"),
        (
            "_filter",
            "name eq",
            "E-SEARCH-12 _filter: cannot be read at character 7",
        ),
        (
            "_filter",
            "name xx a",
            "E-SEARCH-12 _filter: xx does not apply to the string",
        ),
        (
            "_filter",
            "nonsense eq a",
            "E-SEARCH-12 _filter: names a search parameter",
        ),
        (
            "_filter",
            "(name eq a",
            "E-SEARCH-12 _filter: cannot be read",
        ),
        (
            "_filter",
            nested.as_str(),
            "E-SEARCH-12 _filter: cannot be read",
        ),
        (
            deep.as_str(),
            "a",
            "E-SEARCH-10 a chain of more than 6 links",
        ),
        (long.as_str(), "a", "E-SEARCH-9 xxxx"),
    ] {
        let refusal = read("Patient", name, value);
        assert!(refusal.starts_with(expected), "{name}={value}: {refusal}");
    }
    let many = vec!["name eq a"; 300].join(" or ");
    assert!(read("Patient", "_filter", &many).starts_with("E-SEARCH-11"));
}

#[test]
fn result_parameters_of_the_whole() {
    let zone = zone("UTC");
    let asking = Asking::new(Handling::Strict, &zone).whole();
    let ask = |text: &str| Query::parse_with("Patient", &pairs(text), &asking);
    let query = ask("_include=Patient:organization&_include:iterate=Organization:partof\
        &_revinclude=Observation:patient&_revinclude=Provenance:target:Patient&_include=*\
        &_elements=name,Patient.gender&_summary=text&_total=none&_getpagesoffset=20&_sort=family,-birthdate")
    .unwrap();
    let plain = |i: &Include| {
        let target = i.target_type.as_deref().unwrap_or("-");
        format!("{}:{}:{target}:{}", i.source_type, i.parameter, i.iterate)
    };
    let includes: Vec<_> = query.includes().iter().map(plain).collect();
    let reverse: Vec<_> = query.rev_includes().iter().map(plain).collect();
    assert_eq!(
        includes,
        [
            "Patient:organization:-:false",
            "Organization:partof:-:true",
            "*:*:-:false"
        ]
    );
    assert_eq!(
        reverse,
        [
            "Observation:patient:-:false",
            "Provenance:target:Patient:false"
        ]
    );
    assert_eq!(query.elements(), ["name", "gender"]);
    assert_eq!(
        (query.summary(), query.total(), query.offset()),
        (Summary::Text, Total::None, Some(20))
    );
    for wrong in [
        "_include=Patient:gender",
        "_include:often=Patient:link",
        "_revinclude=Nothing:x",
    ] {
        assert_eq!(ask(wrong).unwrap_err()[0].number, "E-SEARCH-6", "{wrong}");
    }
    for wrong in [
        "_summary=some",
        "_total=x",
        "_count=x",
        "_sort=a,b,c,d,e,f,g,h,i",
    ] {
        assert_eq!(ask(wrong).unwrap_err()[0].number, "E-SEARCH-7", "{wrong}");
    }
}

#[test]
fn several_types_at_once() {
    let zone = zone("UTC");
    let asking = Asking::new(Handling::Strict, &zone).whole();
    let ask = |text: &str| Query::parse_system(&pairs(text), &asking);
    let types = |text: &str| -> Vec<String> {
        let queries = ask(text).unwrap();
        queries
            .iter()
            .map(|q| q.resource_type().to_owned())
            .collect()
    };
    assert_eq!(
        types("_type=Patient,Condition&_id=a"),
        ["Condition", "Patient"]
    );
    assert_eq!(types("_lastUpdated=gt2020").len(), 146);
    assert_eq!(
        ask("_type=Patient&_id=a").unwrap()[0].self_link(),
        "_type=Patient&_id=a"
    );
    assert_eq!(
        ask("_type=Patient,Condition&gender=male").unwrap_err()[0].number,
        "E-SEARCH-6"
    );
    assert_eq!(ask("_type=Nothing").unwrap_err()[0].number, "E-SEARCH-7");
}

#[test]
fn a_compartment_restricts() {
    let mut query = query("Observation", "status=final", &zone("UTC"));
    query.restrict_to(&["subject", "performer", "nonsense"], ("Patient", "p1"));
    let values = extract(&tree(OBSERVATION), &zone("UTC"));
    assert!(query.matches(&values));
    query.restrict_to(&["subject"], ("Patient", "p2"));
    assert!(!query.matches(&values));
    let groups = query.candidates().all_of;
    let shown: Vec<_> = groups
        .iter()
        .map(|g| String::from_utf8_lossy(&g.concat()).into_owned())
        .collect();
    assert_eq!(
        shown[1],
        "Observation/performer!Observation/performer=Patient/p1Observation/subject!Observation/subject=Patient/p1"
    );
}

/// The caller is asked only about what matters.
#[test]
fn decisions_look_no_further_than_they_must() {
    let zone = zone("UTC");
    let asking = Asking::new(Handling::Strict, &zone).whole();
    let values = extract(&tree(PATIENT), &zone);
    for (filter, answer, expected, looks) in [
        ("gender eq male and organization.name co x", true, false, 0),
        ("gender eq female or organization.name co x", false, true, 0),
        ("gender eq female and organization.name co x", true, true, 1),
        ("not(organization.name co x)", true, false, 1),
        (
            "organization.name co x or organization.name co y",
            true,
            true,
            1,
        ),
        (
            "organization.name co x or organization.name co y",
            false,
            false,
            2,
        ),
    ] {
        let pairs = [("_filter".to_owned(), filter.to_owned())];
        let query = Query::parse_with("Patient", &pairs, &asking).unwrap();
        let mut asked = 0;
        let decided = query.conditions()[0].decide(&values, &mut |_| -> Result<bool, ()> {
            asked += 1;
            Ok(answer)
        });
        assert_eq!((decided, asked), (Ok(expected), looks), "{filter}");
    }
}

struct Book;

impl Terminology for Book {
    fn members(&self, value_set: &str) -> Result<Vec<Code>, String> {
        let code = |system: &str, code: &str| (Some(system.to_owned()), code.to_owned());
        match value_set {
            "http://x.org/blood" => Ok(vec![code("http://loinc.org", "718-7"), code("s", "x")]),
            "http://x.org/any" => Ok(vec![(None, "718-7".to_owned())]),
            "http://x.org/none" => Ok(Vec::new()),
            _ => Err("this value set is not known here".to_owned()),
        }
    }
    fn below(&self, system: &str, code: &str) -> Result<Vec<Code>, String> {
        let codes = if code == "heme" {
            vec!["heme", "718-7"]
        } else {
            vec![code]
        };
        Ok(codes
            .iter()
            .map(|c| (Some(system.to_owned()), (*c).to_owned()))
            .collect())
    }
    fn above(&self, system: &str, code: &str) -> Result<Vec<Code>, String> {
        let codes = if code == "leaf" {
            vec!["leaf", "718-7"]
        } else {
            vec![code]
        };
        Ok(codes
            .iter()
            .map(|c| (Some(system.to_owned()), (*c).to_owned()))
            .collect())
    }
}

#[test]
fn value_sets_and_hierarchies() {
    let zone = zone("UTC");
    let asking = Asking::new(Handling::Strict, &zone).with_terminology(&Book);
    let values = extract(&tree(OBSERVATION), &zone);
    let terms = values.terms();
    for (text, expected) in [
        ("code:in=http://x.org/blood", true),
        ("code:in=http://x.org/any", true),
        ("code:in=http://x.org/none", false),
        ("code:in=http://x.org/none,http://x.org/blood", true),
        ("code:not-in=http://x.org/blood", false),
        ("code:not-in=http://x.org/none", true),
        ("code:below=http://loinc.org|heme", true),
        ("code:below=http://snomed.info/sct|heme", false),
        ("code:above=http://loinc.org|leaf", true),
        ("code:above=http://loinc.org|heme", false),
        ("combo-code:in=http://x.org/blood", true),
    ] {
        let query = Query::parse_with("Observation", &pairs(text), &asking).unwrap();
        assert_eq!(query.matches(&values), expected, "{text}");
        let groups = query.candidates().all_of;
        let proposed = groups
            .iter()
            .all(|group| group.iter().any(|t| terms.contains(t)));
        assert!(proposed || !expected, "{text}");
    }
    let unknown = Query::parse_with("Observation", &pairs("code:in=http://x.org/other"), &asking);
    assert_eq!(
        unknown.unwrap_err()[0].text,
        "code: this value set is not known here"
    );
    let alone = Query::parse(
        "Observation",
        &pairs("code:in=http://x.org/blood"),
        Handling::Strict,
        &zone,
    );
    assert_eq!(alone.unwrap_err()[0].number, "E-SEARCH-13");
}

/// R4's own code systems answer too.
#[test]
fn own_terminology_is_asked() {
    let zone = zone("UTC");
    let base = crate::terminology::Base;
    let terminology = crate::terminology::Terminology::new(&base);
    let asking = Asking::new(Handling::Strict, &zone).with_terminology(&terminology);
    let ask = |text: &str| Query::parse_with("Patient", &pairs(text), &asking);
    let values = extract(&tree(PATIENT), &zone);
    let set = "http://hl7.org/fhir/ValueSet/administrative-gender";
    assert!(ask(&format!("gender:in={set}")).unwrap().matches(&values));
    assert!(
        !ask(&format!("gender:not-in={set}"))
            .unwrap()
            .matches(&values)
    );
    let unknown = ask("gender:in=http://x.org/nothing").unwrap_err();
    assert!(
        unknown[0].text.starts_with("gender: "),
        "{}",
        unknown[0].text
    );
}
