//! The exact tree: what goes in comes out, and bad texts are refused.

use super::*;
use proptest::prelude::*;

fn read(text: &str) -> Result<Json, Issue> {
    parse(text.as_bytes(), Limits::default())
}

/// `text` is refused with this number, and the finding shows nothing of it.
fn refused(text: &[u8], number: &str) {
    let shown = String::from_utf8_lossy(text.get(..40.min(text.len())).unwrap()).into_owned();
    match parse(text, Limits::default()) {
        Ok(_) => panic!("accepted: {shown}"),
        Err(issue) => assert_eq!(issue.number, number, "{shown}: {}", issue.text),
    }
}

/// The text without white space between tokens.
fn compact(text: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    let keep = |c: &char| {
        let keeps = in_string || !c.is_whitespace();
        if in_string && !escaped && *c == '\\' {
            escaped = true;
        } else {
            in_string ^= *c == '"' && !escaped;
            escaped = false;
        }
        keeps
    };
    text.chars().filter(keep).collect()
}

#[test]
fn texts_come_out_as_they_came_in() {
    for text in [
        "null",
        "[]",
        "{}",
        "[1.00,-0,0.0,1e400,1E+2,-1.5e-7,12345678901234567890123456789012]",
        r#"{"b":1,"a":{"z":[true,false,null],"y":""}}"#,
        r#""\"\\\n\r\t\u0000\u001f""#,
        "\"é ß 漢 😀 \u{7f} \u{2028}\"",
    ] {
        assert_eq!(format(&read(text).unwrap()), text);
    }
    assert_eq!(
        format(&read(r#" [ "\/\b\f\u00e9\ud83d\ude00" ] "#).unwrap()),
        "[\"/\\u0008\\u000cé😀\"]"
    );
    let pretty = "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": {\n    \"c\": []\n  }\n}";
    assert_eq!(format_pretty(&read(pretty).unwrap()), pretty);
}

#[test]
fn bad_texts_are_refused() {
    for text in [
        "",
        " ",
        "{",
        "[",
        "[1,]",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "[1 2]",
        "[1]]",
        "01",
        "+1",
        ".5",
        "1.",
        "1e",
        "-",
        "0x1",
        "NaN",
        "Infinity",
        "nul",
        "True",
        "\"",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"a\nb\"",
        "\"\0\"",
        "\0",
        "[1]\0",
        "// x\n1",
        "\u{feff}\u{feff}1",
        "\u{a0}1",
        "\"\\é\"",
        "\"\\u00é\"",
    ] {
        refused(text.as_bytes(), "E-JSON-2");
    }
    for lone in [
        r#""\ud83d""#,
        r#""\ude00""#,
        r#""\ud83d\u0041""#,
        r#""\ud83dx""#,
        r#""\ud83d\n""#,
    ] {
        refused(lone.as_bytes(), "E-JSON-2");
    }
    let utf16: Vec<u8> = "{}".encode_utf16().flat_map(u16::to_be_bytes).collect();
    refused(&utf16, "E-JSON-2");
    refused(b"\xff\xfe{\0}\0", "E-JSON-1");
    refused(b"\"\xc0\xaf\"", "E-JSON-1");
    refused(b"\"\xed\xa0\x80\"", "E-JSON-1");
    assert_eq!(read("\u{feff}{}").unwrap(), Json::Object(Object::new()));
}

#[test]
fn everything_is_bounded() {
    for open in ["[", "{\"a\":", "[{\"a\":"] {
        refused(open.repeat(100_000).as_bytes(), "E-JSON-3");
    }
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let depth_max = Limits::default().depth_max;
    assert!(read(&nested(depth_max + 1)).is_ok() && read(&nested(depth_max + 2)).is_err());
    refused("1".repeat(10_000).as_bytes(), "E-JSON-5");
    refused(format!("0.{}", "1".repeat(10_000)).as_bytes(), "E-JSON-5");
    refused(format!("1e{}", "9".repeat(10_000)).as_bytes(), "E-JSON-5");
}

#[test]
fn a_key_is_given_once() {
    refused(br#"{"dose":1,"dose":2}"#, "E-JSON-4");
    refused(br#"{"dose":1,"d\u006fse":2}"#, "E-JSON-4");
    let many: Vec<String> = (0..100).map(|n| format!("\"k{n}\":{n}")).collect();
    assert!(read(&format!("{{{}}}", many.join(","))).is_ok());
    for again in [3, 15, 16, 99] {
        refused(
            format!("{{{},\"k{again}\":0}}", many.join(",")).as_bytes(),
            "E-JSON-4",
        );
    }
}

#[test]
fn official_examples_come_out_as_they_came_in() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/r4-examples");
    let Ok(files) = std::fs::read_dir(folder) else {
        eprintln!("skipped: no {folder}");
        return;
    };
    for file in files {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let tree = read(&text).unwrap();
        let out = format(&tree);
        assert_eq!(read(&out).unwrap(), tree, "{path:?}");
        // Only escapes may be written another way.
        if !text.contains("\\u") && !text.contains("\\/") {
            let original = compact(text.trim_start_matches('\u{feff}'));
            assert!(out == original, "{path:?} changed");
        }
        assert_eq!(read(&format_pretty(&tree)).unwrap(), tree, "{path:?}");
    }
}

#[test]
fn objects_keep_their_order() {
    let mut object = Object::new();
    object.set("b", true.into());
    object.set("a", "x".into());
    object.set("b", 7_u64.into());
    object.set_at(0, "first", Json::Null);
    object.set_at(99, "last", Json::Null);
    let text = |object: &Object| format(&Json::Object(object.clone()));
    assert_eq!(text(&object), r#"{"first":null,"b":7,"a":"x","last":null}"#);
    assert_eq!(object.remove("b"), Some(7_u64.into()));
    assert_eq!(object.keys().collect::<Vec<_>>(), ["first", "a", "last"]);
}

#[test]
fn paths_enter_arrays_at_their_first_item() {
    let tree = read(r#"{"name":[{"given":["a","b"]}],"active":true}"#).unwrap();
    assert_eq!(tree.str_at(&["name", "given"]), Some("a"));
    assert_eq!(tree.str_at(&["active"]), None);
    assert_eq!(tree.at(&["name", "family"]), None);
    assert_eq!(tree.items("name").len(), 1);
    assert!(tree.items("active").is_empty());
}

#[test]
fn references_are_read() {
    let literal = |base, resource_type, id, version| Reference::Literal {
        base,
        resource_type,
        id,
        version,
    };
    let base = "https://x.org/fhir";
    let urn = "urn:uuid:c757873d-ec9a-4326-a141-556f43239520";
    let cases = [
        ("Patient/1", literal(None, "Patient", "1", None)),
        (
            "Patient/1/_history/2",
            literal(None, "Patient", "1", Some("2")),
        ),
        (
            "https://x.org/fhir/Patient/a-b.c",
            literal(Some(base), "Patient", "a-b.c", None),
        ),
        ("#p", Reference::Contained("p")),
        (urn, Reference::Urn(urn)),
        (
            "Patient?identifier=a|b",
            Reference::Conditional {
                resource_type: "Patient",
                query: "identifier=a|b",
            },
        ),
        ("http://x.org/a?b=c", Reference::Other("http://x.org/a?b=c")),
        ("patient/1", Reference::Other("patient/1")),
        ("x/Patient/1", Reference::Other("x/Patient/1")),
        ("Patient/a_b", Reference::Other("Patient/a_b")),
        ("", Reference::Other("")),
    ];
    for (text, expected) in cases {
        assert_eq!(Reference::parse(text), expected, "{text}");
    }
}

#[test]
fn references_are_walked() {
    let text =
        r##"{"subject":{"reference":"Patient/1"},"a":[{"b":{"reference":"#x"}}],"reference":7}"##;
    let mut tree = read(text).unwrap();
    let mut found = Vec::new();
    walk_references(&tree, &mut |text| found.push(text.to_owned()));
    assert_eq!(found, ["Patient/1", "#x"]);
    walk_references_mut(&mut tree, &mut |object| {
        object.set("reference", "B/2".into())
    });
    let expected = text.replace("Patient/1", "B/2").replace("#x", "B/2");
    assert_eq!(format(&tree), expected);
}

fn any_json() -> impl Strategy<Value = Json> {
    let number = "-?(0|[1-9][0-9]{0,8})(\\.[0-9]{1,6})?([eE][+-]?[0-9]{1,3})?";
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        number.prop_map(|text| Json::Number(text.into())),
        any::<String>().prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        let members = proptest::collection::btree_map(any::<String>(), inner.clone(), 0..6);
        prop_oneof![
            proptest::collection::vec(inner, 0..6).prop_map(Json::Array),
            members.prop_map(|pairs| Json::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_tree_comes_back(tree in any_json()) {
        prop_assert_eq!(&read(&format(&tree)).unwrap(), &tree);
        prop_assert_eq!(&read(&format_pretty(&tree)).unwrap(), &tree);
    }

    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(tree) = parse(&bytes, Limits::default()) {
            prop_assert_eq!(read(&format(&tree)).unwrap(), tree);
        }
    }

    #[test]
    fn another_parser_reads_our_texts(text in any::<String>()) {
        let ours = format(&Json::from(text.as_str()));
        prop_assert_eq!(&serde_json::from_str::<String>(&ours).unwrap(), &text);
        let theirs = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(read(&theirs).unwrap(), Json::from(text));
    }
}
