//! Laws of search: candidates never miss a match; encoding gives back what it took.

use super::*;
use crate::model::Object;
use proptest::prelude::*;

fn coding() -> impl Strategy<Value = Json> {
    (prop::option::of("[st]"), "[abc]{1,2}").prop_map(|(system, code)| {
        let mut coding = Object::new();
        if let Some(system) = system {
            coding.set("system", system.into());
        }
        coding.set("code", code.into());
        Json::Object(coding)
    })
}

fn date() -> impl Strategy<Value = String> {
    (1880_u16..2120, 1_u8..13, 1_u8..29, 0_u8..24, 0_u8..6).prop_map(|(y, m, d, h, precision)| {
        match precision {
            0 => format!("{y:04}"),
            1 => format!("{y:04}-{m:02}"),
            2 => format!("{y:04}-{m:02}-{d:02}"),
            3 => format!("{y:04}-{m:02}-{d:02}T{h:02}:30:00Z"),
            _ => format!("202{}-{m:02}-{d:02}T{h:02}:30:00+03:00", y % 3),
        }
    })
}

fn period() -> impl Strategy<Value = Json> {
    (prop::option::of(date()), prop::option::of(date())).prop_map(|(start, end)| {
        let ends = [("start", start), ("end", end)];
        Json::object(ends.into_iter().filter_map(|(k, v)| Some((k, v?.into()))))
    })
}

fn name() -> impl Strategy<Value = String> {
    "[aeéÉ Bb'ß]{0,9}"
}

fn reference() -> impl Strategy<Value = String> {
    ("(Patient|Group|Device)", "[12]", 0_u8..4).prop_map(|(kind, id, form)| match form {
        0 => format!("http://x.org/{kind}/{id}"),
        1 => format!("{kind}/{id}/_history/1"),
        _ => format!("{kind}/{id}"),
    })
}

fn amount() -> impl Strategy<Value = Json> {
    (
        "-?[0-9]{1,2}(\\.[0-9]{1,2})?(e-?[0-9])?",
        "(k|m|)g",
        0_u8..4,
    )
        .prop_map(|(value, unit, form)| {
            let quantity = |value: &str| {
                Json::object([
                    ("value", Json::Number(value.into())),
                    ("system", "http://unitsofmeasure.org".into()),
                    ("code", unit.as_str().into()),
                ])
            };
            let mut amount = quantity(&value);
            if form == 0
                && let Some(object) = amount.as_object_mut()
            {
                object.set("comparator", "<".into());
            }
            amount
        })
}

fn components() -> impl Strategy<Value = Vec<Json>> {
    let one = (coding(), amount()).prop_map(|(coding, amount)| {
        let code = Json::object([("coding", Json::array([coding]))]);
        Json::object([("code", code), ("valueQuantity", amount)])
    });
    prop::collection::vec(one, 0..3)
}

fn number() -> impl Strategy<Value = String> {
    (
        "(eq|ne|gt|lt|ge|le|sa|eb|ap)?",
        "-?[0-9]{1,2}(\\.[0-9]{1,2})?(e-?[0-9])?",
        "(\\|http://unitsofmeasure\\.org\\|(k|m|)g|\\|\\|(k|m|)g)?",
    )
        .prop_map(|(prefix, number, unit)| format!("{prefix}{number}{unit}"))
}

fn filter() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "code (eq|ne) [abc]",
        "value-string (eq|ne|co|sw|ew) [aeB]{1,3}",
        "date (eq|ne|gt|lt|ge|le|sa|eb|ap|po) 20[012][0-9]",
        "(subject|date|value-string) pr (true|false)",
        "subject (eq|re) (Patient|Group)/[12]",
        "combo-value-quantity (gt|lt|eq) [0-9]",
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), "(and|or)", inner.clone())
                .prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            inner.clone().prop_map(|a| format!("not({a})")),
            inner.prop_map(|a| format!("({a})")),
        ]
    })
}

fn resource() -> impl Strategy<Value = Json> {
    let observation = (
        prop::collection::vec(coding(), 0..3),
        prop_oneof![
            date().prop_map(|d| ("effectiveDateTime", d.into())),
            period().prop_map(|p| ("effectivePeriod", p)),
        ],
        reference(),
        name(),
        components(),
    )
        .prop_map(|(codings, effective, subject, text, components)| {
            Json::object([
                ("resourceType", "Observation".into()),
                ("id", "1".into()),
                ("code", Json::object([("coding", Json::array(codings))])),
                effective,
                ("subject", Json::object([("reference", subject.into())])),
                ("valueString", text.into()),
                ("component", Json::array(components)),
            ])
        });
    observation.boxed()
}

fn asked() -> impl Strategy<Value = (String, String)> {
    let code = (
        "code(:not|:missing)?",
        prop_oneof!["[st]?\\|?[abc]{1,2}", "[abc],[abc]", "s\\|"],
    );
    let when = (
        Just("date".to_owned()),
        ("(eq|ne|gt|lt|ge|le|sa|eb|ap)?", date()).prop_map(|(p, d)| format!("{p}{d}")),
    );
    let who = (
        "(subject|patient|subject:Patient)",
        prop_oneof![reference(), "[12]".prop_map(String::from)],
    );
    let text = ("value-string(:exact|:contains)?", name());
    let much = (Just("combo-value-quantity".to_owned()), number());
    let pair_of = (
        "(combo|component)-code-value-quantity",
        ("([st]\\|)?[abc]{1,2}", number()).prop_map(|(code, number)| format!("{code}${number}")),
    );
    let filters = (Just("_filter".to_owned()), filter());
    let sounds = (
        "code:(text|in|of-type)|value-string:text",
        "[a-c]{1,2}".prop_map(String::from),
    );
    let gone = (
        "(date|subject|value-string|code|combo-value-quantity|component-code-value-quantity):missing",
        "(true|false)".prop_map(String::from),
    );
    prop_oneof![
        code.prop_map(pair),
        when,
        who.prop_map(pair),
        text.prop_map(pair),
        much.prop_map(pair),
        pair_of.prop_map(pair),
        filters.prop_map(pair),
        sounds.prop_map(pair),
        gone.prop_map(pair)
    ]
}

fn pair((name, value): (String, String)) -> (String, String) {
    (name, value)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn candidates_are_sound(
        resource in resource(),
        asked in prop::collection::vec(asked(), 1..3),
        zone in prop_oneof!["UTC", "Asia/Karachi", "America/New_York"],
    ) {
        let zone = Zone::of(jiff::tz::TimeZone::get(&zone).unwrap());
        let values = extract(&resource, &zone);
        prop_assert_eq!(SearchValues::decode(&values.encode(), &zone), Some(values.clone()));
        let asking = Asking::new(Handling::Strict, &zone).whole();
        if let Ok(query) = Query::parse_with("Observation", &asked, &asking)
            && query.matches(&values)
        {
            let terms = values.terms();
            for group in query.candidates().all_of {
                prop_assert!(group.iter().any(|term| terms.binary_search(term).is_ok()), "{asked:?}");
            }
        }
    }

    /// The values that a query looks at decide as all of them do.
    #[test]
    fn some_values_decide_as_all(
        resource in resource(),
        asked in prop::collection::vec(asked(), 0..3),
        sort in prop_oneof!["-date", "code,-value-quantity", "subject,_lastUpdated", "status"],
    ) {
        let zone = Zone::of(jiff::tz::TimeZone::UTC);
        let all = extract(&resource, &zone);
        let asking = Asking::new(Handling::Strict, &zone).whole();
        let mut asked = asked;
        asked.push(("_sort".to_owned(), sort));
        if let Ok(query) = Query::parse_with("Observation", &asked, &asking) {
            let some = SearchValues::decode_some(&all.encode(), &zone, &query.looks()).unwrap();
            prop_assert_eq!(some.key(), all.key());
            prop_assert_eq!(query.matches(&some), query.matches(&all));
            prop_assert_eq!(query.sort_key(&some), query.sort_key(&all));
        }
    }

    #[test]
    fn bytes_from_anywhere_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let zone = Zone::of(jiff::tz::TimeZone::UTC);
        let values = SearchValues::decode(&bytes, &zone);
        prop_assert!(values.is_none_or(|v| !v.encode().is_empty()));
    }

    #[test]
    fn damaged_values_do_no_harm(resource in resource(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let zone = Zone::of(jiff::tz::TimeZone::UTC);
        let mut bytes = extract(&resource, &zone).encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Some(values) = SearchValues::decode(&bytes, &zone) {
            values.terms();
        }
        let query = Query::parse("Observation", &[], Handling::Strict, &zone).unwrap();
        if let Some(values) = SearchValues::decode_some(&bytes, &zone, &query.looks()) {
            query.matches(&values);
        }
    }
}
