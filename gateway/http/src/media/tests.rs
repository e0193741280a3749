use super::Coding;
use super::accept::{Form, Format, Return};
use super::incoming::{self, Content};
use crate::route::Interaction;
use http::request::Parts;
use http::{HeaderMap, HeaderName, Request, header};

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
        .collect()
}

/// `-` is absent; the expected content type has no charset, and `406` is a refusal.
#[track_caller]
fn check_accept(accept: &str, format: &str, expected: &str) {
    let headers = match accept {
        "-" => HeaderMap::new(),
        accept => headers(&[("accept", accept)]),
    };
    let query = match format {
        "-" => Vec::new(),
        format => vec![("_format".to_owned(), format.to_owned())],
    };
    let form = Form::negotiate(&headers, &query);
    let got = match form.check() {
        Ok(()) => form.content_type.strip_suffix("; charset=utf-8").unwrap(),
        Err(_) => "406",
    };
    assert_eq!(got, expected, "{accept} {format}");
    let is_xml = form.format == Format::Xml;
    assert_eq!(is_xml, got.contains("xml"));
}

#[test]
fn the_form_is_the_best_that_both_sides_know() {
    check_accept("-", "-", "application/fhir+json");
    check_accept("*/*", "-", "application/fhir+json");
    check_accept("application/fhir+xml", "-", "application/fhir+xml");
    check_accept("application/xml+fhir", "-", "application/fhir+xml");
    check_accept("application/xml", "-", "application/xml");
    check_accept("text/xml;q=0.3, image/png", "-", "text/xml");
    check_accept("application/json", "-", "application/json");
    check_accept("text/json", "-", "text/json");
    check_accept(
        "application/fhir+xml;q=0.5, application/fhir+json;q=0.6",
        "-",
        "application/fhir+json",
    );
    check_accept(
        "application/fhir+json;q=0.5, application/fhir+xml;q=0.501",
        "-",
        "application/fhir+xml",
    );
    check_accept(
        "application/fhir+xml, application/fhir+json",
        "-",
        "application/fhir+xml",
    );
    check_accept(
        "application/fhir+xml;q=0, */*",
        "-",
        "application/fhir+json",
    );
    check_accept(
        "application/fhir+json;q=0, */*",
        "-",
        "application/fhir+xml",
    );
    check_accept("application/fhir+json;q=0.0", "-", "406");
    check_accept("*/*;q=0", "-", "406");
    check_accept("image/png", "-", "406");
    check_accept("text/html", "-", "406");
    check_accept("application/fhir+turtle", "-", "406");
}

#[test]
fn a_browser_gets_json() {
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
    check_accept(browser, "-", "application/fhir+json");
    check_accept(browser, "xml", "application/fhir+xml");
}

#[test]
fn the_parameter_overrides_the_header() {
    for json in [
        "json",
        "application/fhir+json",
        "application/fhir json",
        "application/fhir+json; fhirVersion=4.0",
    ] {
        check_accept("application/fhir+xml", json, "application/fhir+json");
    }
    for xml in ["xml", "application/fhir xml", "application/fhir+xml"] {
        check_accept("application/fhir+json", xml, "application/fhir+xml");
    }
    check_accept("-", "text/xml", "text/xml");
    check_accept("-", "application/json", "application/json");
    check_accept("application/json", "ttl", "406");
    check_accept("application/json", "html", "406");
}

#[test]
fn another_release_is_refused_but_for_r4b() {
    check_accept(
        "application/fhir+json; fhirVersion=4.0",
        "-",
        "application/fhir+json",
    );
    check_accept(
        "application/fhir+xml;fhirVersion=4.0.1",
        "-",
        "application/fhir+xml",
    );
    check_accept(
        "application/fhir+json; fhirVersion=4.3",
        "-",
        "application/fhir+json",
    );
    check_accept("application/fhir+json; fhirVersion=3.0", "-", "406");
    check_accept("application/fhir+json; fhirVersion=40", "-", "406");
    check_accept(
        "application/fhir+json;fhirVersion=5.0, application/fhir+xml",
        "-",
        "application/fhir+xml",
    );
}

#[test]
fn preferences_are_read_wherever_they_stand() {
    let read = |value| Form::negotiate(&headers(&[("prefer", value)]), &[]).preference;
    assert_eq!(read("return=minimal"), Some(Return::Minimal));
    let strict = "handling=strict, return=representation";
    assert_eq!(read(strict), Some(Return::Representation));
    assert_eq!(
        read("return=OperationOutcome"),
        Some(Return::OperationOutcome)
    );
    assert_eq!(read("respond-async"), None);
}

#[test]
fn compression_is_as_accepted() {
    let check = |value: &str, expected| {
        let found = Coding::accepted(&headers(&[("accept-encoding", value)]));
        assert_eq!(found, expected, "{value}");
    };
    check("br, gzip;q=0.8", Some(Coding::Brotli));
    check("gzip;q=0.8, br;q=0.7", Some(Coding::Gzip));
    check("gzip, deflate, br", Some(Coding::Brotli));
    check("gzip;q=0, compress", None);
    check("gzip, deflate, br, zstd", Some(Coding::Zstd));
    check("BR ; Q=0.5", Some(Coding::Brotli));
    check("*", Some(Coding::Zstd));
    check("*;q=0", None);
    check("gzip;q=0.5, *;q=0", Some(Coding::Gzip));
    check("zstd;q=0, br;q=0, *", Some(Coding::Gzip));
    check("gzip;q=0.001, identity", Some(Coding::Gzip));
    check("gzip, zstd;q=0.5", Some(Coding::Gzip));
    check("identity", None);
    check("deflate", None);
    assert_eq!(Coding::accepted(&HeaderMap::new()), None);
}

#[test]
fn what_is_packed_is_unpacked_up_to_a_bound() {
    let text = b"the same words, the same words, the same words".repeat(100);
    for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd, Coding::Deflate] {
        let packed = coding.encode(&text).unwrap();
        assert!(packed.len() < text.len() / 10);
        assert_eq!(coding.decode(&packed, 10_000).unwrap(), text);
        assert_eq!(coding.decode(&packed, 99).unwrap().len(), 100);
    }
}

fn head(method: &str, content_type: &str) -> Parts {
    let mut request = Request::builder().method(method).uri("/");
    if !content_type.is_empty() {
        request = request.header(header::CONTENT_TYPE, content_type);
    }
    request.body(()).unwrap().into_parts().0
}

#[track_caller]
fn check_type(request: &str, content_type: &str, expected: Result<Content, u16>) {
    let (method, path) = request.split_once(' ').unwrap();
    let head = head(method, content_type);
    let resource_type = path.split('/').next().unwrap().to_owned();
    let interaction = match path.ends_with("/_search") {
        true => Interaction::Search { resource_type },
        false => Interaction::Create { resource_type },
    };
    let got = incoming::check(&head, &interaction);
    assert_eq!(
        got.map_err(|f| f.category.status()),
        expected,
        "{content_type}"
    );
}

#[test]
fn bodies_are_of_known_types() {
    let create = |kind, expected| check_type("POST Patient", kind, expected);
    create("application/fhir+json; charset=utf-8", Ok(Content::Json));
    create("application/json+fhir", Ok(Content::Json));
    create("", Ok(Content::Json));
    create("application/fhir+xml;charset=\"UTF-8\"", Ok(Content::Xml));
    create("text/xml", Ok(Content::Xml));
    create("application/fhir+json; charset=latin1", Err(415));
    create("application/fhir+json; fhirVersion=4.0", Ok(Content::Json));
    create("application/fhir+json; fhirVersion=3.0", Err(415));
    create("text/plain", Err(415));
    create("application/x-www-form-urlencoded", Err(415));
    let search = |kind, expected| check_type("POST Patient/_search", kind, expected);
    search("application/x-www-form-urlencoded", Ok(Content::Form));
    search("", Ok(Content::Form));
    search("application/json", Err(415));
    check_type("GET Patient", "text/plain", Ok(Content::Json));
    let binary = |kind, expected| check_type("POST Binary", kind, expected);
    binary("image/png", Ok(Content::Bytes));
    binary("application/fhir+json", Ok(Content::Bytes));
    binary("text/plain; charset=latin1", Ok(Content::Bytes));
    binary("application/fhir+json; fhirVersion=3.0", Err(415));
    binary("", Ok(Content::Json));
    check_type(
        "PATCH Patient",
        "application/json-patch+json",
        Ok(Content::Json),
    );
    check_type("PATCH Patient", "application/fhir+xml", Ok(Content::Xml));
}
