//! Canonical urls with and without version, as R4 3.1.1.4.13 tells of them.

use super::*;

fn asked(resource: &str, cases: &[(&str, bool)]) {
    for (text, expected) in cases {
        check_in(resource, text, *expected, &zone("UTC"));
    }
}

fn procedure(canonical: &str) -> String {
    format!(r#"{{"resourceType":"Procedure","id":"p","instantiatesCanonical":["{canonical}"]}}"#)
}

#[test]
fn references_to_canonicals() {
    // What is asked of `url|2.1.0`, of `url|2` and of `url`.
    for (text, of_version, of_major, of_none) in [
        ("instantiates-canonical=http://x.org/p", true, true, true),
        (
            "instantiates-canonical=http://x.org/p|2.1.0",
            true,
            false,
            false,
        ),
        (
            "instantiates-canonical=http://x.org/p|2",
            false,
            true,
            false,
        ),
        (
            "instantiates-canonical=http://x.org/p|2.1",
            false,
            false,
            false,
        ),
        (
            "instantiates-canonical:below=http://x.org/p",
            true,
            true,
            true,
        ),
        (
            "instantiates-canonical:below=http://x.org/p|2",
            true,
            true,
            false,
        ),
        (
            "instantiates-canonical:below=http://x.org/p|2.1",
            true,
            false,
            false,
        ),
        (
            "instantiates-canonical:below=http://x.org/p|21",
            false,
            false,
            false,
        ),
        (
            "instantiates-canonical:below=http://x.org/p|2.1.0",
            true,
            false,
            false,
        ),
        (
            "instantiates-canonical:below=http://x.org/q|2",
            false,
            false,
            false,
        ),
        (
            "instantiates-canonical:above=http://x.org/p|2.1.0",
            true,
            true,
            true,
        ),
        (
            "instantiates-canonical:above=http://x.org/p|2.1",
            false,
            true,
            true,
        ),
        (
            "instantiates-canonical:above=http://x.org/p|3",
            false,
            false,
            true,
        ),
        (
            "instantiates-canonical:above=http://x.org/p",
            false,
            false,
            true,
        ),
        (
            "instantiates-canonical:below=http://x.org/q,http://x.org/p|2",
            true,
            true,
            false,
        ),
    ] {
        asked(&procedure("http://x.org/p|2.1.0"), &[(text, of_version)]);
        asked(&procedure("http://x.org/p|2"), &[(text, of_major)]);
        asked(&procedure("http://x.org/p"), &[(text, of_none)]);
    }
}

#[test]
fn the_business_version_of_a_resource() {
    let set = r#"{"resourceType":"ValueSet","id":"s","url":"http://x.org/vs","version":"1.10"}"#;
    asked(
        set,
        &[
            ("url=http://x.org/vs|1.10", true),
            ("url=http://x.org/vs|1.1", false),
            ("url=http://x.org/vs|1", false),
            ("url=http://x.org/other|1.10", false),
            ("url=http://x.org/other|1,http://x.org/vs|1.10", true),
            (r"url=http://x.org/vs\|1.10", false),
            ("url:below=http://x.org/vs|1", true),
            ("url:below=http://x.org/vs|1.1", false),
            ("url:below=http://x.org/vs|1.10", true),
            ("url:below=http://x.org", true),
            ("url:above=http://x.org/vs/more", true),
        ],
    );
    let unversioned = r#"{"resourceType":"ValueSet","id":"s","url":"http://x.org/vs"}"#;
    asked(
        unversioned,
        &[
            ("url=http://x.org/vs|1", false),
            ("url:below=http://x.org/vs|1", false),
            ("url=http://x.org/vs", true),
        ],
    );
}

#[test]
fn profiles_with_a_version() {
    let patient =
        r#"{"resourceType":"Patient","id":"p","meta":{"profile":["http://x.org/p|1.2.3"]}}"#;
    asked(
        patient,
        &[
            ("_profile=http://x.org/p", true),
            ("_profile=http://x.org/p|1.2.3", true),
            ("_profile=http://x.org/p|1.2", false),
            ("_profile:below=http://x.org/p", true),
            ("_profile:below=http://x.org/p|1", true),
            ("_profile:below=http://x.org/p|1.2", true),
            ("_profile:below=http://x.org/p|1.3", false),
            ("_profile:below=http://x.org", true),
            ("_profile:above=http://x.org/p|1.2.3", true),
            ("_profile:above=http://x.org/p|1.2.3-beta", true),
            ("_profile:above=http://x.org/p|1.2", false),
        ],
    );
    let major = r#"{"resourceType":"Patient","id":"p","meta":{"profile":["http://x.org/p|1"]}}"#;
    asked(
        major,
        &[
            ("_profile:above=http://x.org/p|1.2.3", true),
            ("_profile:above=http://x.org/p|12", false),
            ("_profile:below=http://x.org/p|1.2", false),
        ],
    );
}

/// A reference that cannot be canonical keeps its refusal.
#[test]
fn only_canonicals_have_versions() {
    let zone = zone("UTC");
    for (name, value) in [
        ("subject:below", "http://x.org/Patient/1"),
        ("subject:below", "1"),
        ("instantiates-canonical:below", "1"),
    ] {
        let asking = Asking::new(Handling::Strict, &zone).whole();
        let pairs = [(name.to_owned(), value.to_owned())];
        let refused = Query::parse_with("Procedure", &pairs, &asking).unwrap_err();
        assert_eq!(refused[0].number, "E-SEARCH-12", "{name}={value}");
    }
}
