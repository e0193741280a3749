//! How a request is read: refusals, result parameters, order.

use super::*;

#[test]
fn refused_and_left_out() {
    let refusal = |handling, text: &str| match Query::parse(
        "Patient",
        &pairs(text),
        handling,
        &zone("UTC"),
    ) {
        Ok(query) => format!("ok {}", query.self_link()),
        Err(issues) => issues
            .iter()
            .map(|i| i.number)
            .collect::<Vec<_>>()
            .join(" "),
    };
    for (text, strict, lenient) in [
        ("nonsense=1&gender=male", "E-SEARCH-6", "ok gender=male"),
        ("phonetic:exact=x", "E-SEARCH-2", "E-SEARCH-2"),
        ("gender:exact=x", "E-SEARCH-2", "E-SEARCH-2"),
        ("family:above=x", "E-SEARCH-2", "E-SEARCH-2"),
        ("organization:Nothing=x", "E-SEARCH-2", "E-SEARCH-2"),
        (
            "organization:Organization=Patient/1",
            "E-SEARCH-3",
            "E-SEARCH-3",
        ),
        ("birthdate=yesterday", "E-SEARCH-3", "E-SEARCH-3"),
        ("gender:missing=perhaps", "E-SEARCH-3", "E-SEARCH-3"),
        ("organization.name=x", "E-SEARCH-5", "E-SEARCH-5"),
        (
            "general-practitioner:Practitioner.name=x",
            "E-SEARCH-5",
            "E-SEARCH-5",
        ),
        (
            "_has:Observation:patient:code=x",
            "E-SEARCH-5",
            "E-SEARCH-5",
        ),
        ("_elements=id", "E-SEARCH-6", "ok "),
        ("_summary=text", "E-SEARCH-6", "ok "),
        ("_sort=nonsense", "E-SEARCH-6", "ok "),
        ("_count=-1", "E-SEARCH-7", "E-SEARCH-7"),
        ("_include=*", "E-SEARCH-6", "ok "),
        ("_include=Patient:gender", "E-SEARCH-6", "ok "),
        ("_include:iterate=Patient:organization", "E-SEARCH-6", "ok "),
        ("_revinclude=Observation:patient", "E-SEARCH-6", "ok "),
        (
            "=&name=&_format=json&_pretty=true",
            "ok _format=json&_pretty=true",
            "ok _format=json&_pretty=true",
        ),
        (
            "name=a b|c&_sort=-birthdate,name&_count=5",
            "ok name=a%20b%7Cc&_sort=-birthdate,name&_count=5",
            "ok name=a%20b%7Cc&_sort=-birthdate,name&_count=5",
        ),
    ] {
        assert_eq!(refusal(Handling::Strict, text), strict, "{text}");
        assert_eq!(refusal(Handling::Lenient, text), lenient, "{text}");
    }
}

#[test]
fn result_parameters() {
    let ask = |text| query("Patient", text, &zone("UTC"));
    let full =
        ask("_count=7&_include=Patient:organization&_include=Patient:link:Patient&_total=accurate");
    assert_eq!(
        (full.count(), full.wants_total(), full.is_count_only()),
        (Some(7), true, false)
    );
    assert!(full.is_unrestricted());
    assert_eq!(full.includes().len(), 2);
    assert_eq!(full.candidates().all_of, [[b"Patient".to_vec()]]);
    assert_eq!(full.sort_key(&extract(&tree(PATIENT), &zone("UTC"))), None);
    let count = ask("_summary=count&gender=male");
    assert!(count.is_count_only() && count.wants_total() && !count.is_unrestricted());
}

#[test]
fn sorting() {
    let patients = [
        (
            "a",
            r#""birthDate":"1980-01-02","name":[{"family":"Zulu"},{"family":"Ábel"}]"#,
        ),
        (
            "b",
            r#""birthDate":"1980","name":[{"family":"abel junior"}]"#,
        ),
        ("c", r#""name":[{"family":"mwangi"}]"#),
        ("d", r#""birthDate":"1950-07-01""#),
    ];
    let order = |sort: &str| {
        let query = query("Patient", &format!("_sort={sort}"), &zone("UTC"));
        let mut keyed: Vec<_> = patients
            .iter()
            .map(|(id, members)| {
                let text = format!(r#"{{"resourceType":"Patient","id":"{id}",{members}}}"#);
                (query.sort_key(&extract(&tree(&text), &zone("UTC"))), *id)
            })
            .collect();
        keyed.sort();
        keyed.into_iter().map(|(_, id)| id).collect::<String>()
    };
    for (sort, expected) in [
        ("birthdate", "dbac"),
        ("-birthdate", "abdc"),
        ("family", "abcd"),
        ("-family", "acbd"),
        ("-_id", "dcba"),
        ("gender,-_id", "dcba"),
    ] {
        assert_eq!(order(sort), expected, "{sort}");
    }
}

#[test]
fn sorting_numbers() {
    let key = |value: &str| {
        let text = format!(
            r#"{{"resourceType":"Observation","id":"x","valueQuantity":{{"value":{value}}}}}"#
        );
        query("Observation", "_sort=value-quantity", &zone("UTC"))
            .sort_key(&extract(&tree(&text), &zone("UTC")))
    };
    let ascending = [
        "-1e9", "-20.5", "-20", "-3", "-0.001", "0", "0.0010", "0.9", "3", "20", "20.5", "1e9",
    ];
    for pair in ascending.windows(2) {
        assert!(key(pair[0]) < key(pair[1]), "{pair:?}");
    }
    assert_eq!(key("7.20"), key("7.2"));
}
