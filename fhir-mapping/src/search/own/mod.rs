//! Search parameters of a site's own: what a SearchParameter resource defines, in the terms of the
//! table that the official ones stand in. <https://hl7.org/fhir/R4/searchparameter.html>

mod expression;

use super::definitions::{self, Kind, Own, Parameter, is_resource_type};
use super::path::Path;
use crate::model::{Issue, IssueCode, Json};
use expression::Alternative;

/// One parameter of one type.
#[derive(Clone, Copy, Debug)]
pub struct OwnParameter {
    pub(super) resource_type: &'static str,
    pub(super) own: &'static Own,
}

/// Roots that stand for every type.
const EVERY: [&str; 2] = ["Resource", "DomainResource"];
/// Types that are resources, but no domain resources.
const NO_DOMAIN: [&str; 3] = ["Binary", "Bundle", "Parameters"];
const CODE_CHARS_MAX: usize = 64;
const URL_BYTES_MAX: usize = 500;

impl PartialEq for OwnParameter {
    fn eq(&self, other: &OwnParameter) -> bool {
        (self.resource_type, self.own.number) == (other.resource_type, other.own.number)
    }
}

impl OwnParameter {
    pub fn name(&self) -> &'static str {
        self.own.parameter.name
    }

    pub fn url(&self) -> &'static str {
        self.own.parameter.url
    }

    pub fn resource_type(&self) -> &'static str {
        self.resource_type
    }
}

/// The parameters that a SearchParameter defines: none unless it is active, and none when it is the
/// standard's own definition of a standard parameter. The issues name its elements.
pub fn own_parameters(resource: &Json) -> Result<Vec<OwnParameter>, Vec<Issue>> {
    if resource.str_at(&["status"]) != Some("active") || is_official(resource) {
        return Ok(Vec::new());
    }
    let parts = (
        code(resource),
        bases(resource),
        kind(resource),
        targets(resource),
    );
    let (code, bases, kind, targets) = match parts {
        (Ok(code), Ok(bases), Ok(kind), Ok(targets)) => (code, bases, kind, targets),
        (code, bases, kind, targets) => {
            let issues = [code.err(), bases.err(), kind.err(), targets.err()];
            return Err(issues.into_iter().flatten().collect());
        }
    };
    let asked = Asked {
        code,
        kind,
        targets,
        url: resource.str_at(&["url"]).unwrap_or_default(),
        expression: resource.str_at(&["expression"]).unwrap_or_default(),
    };
    let found = bases.into_iter().map(|base| asked.of(base));
    found
        .collect::<Result<_, Issue>>()
        .map_err(|issue| vec![issue])
}

struct Asked<'a> {
    code: &'a str,
    kind: Kind,
    targets: Vec<&'static str>,
    url: &'a str,
    expression: &'a str,
}

impl Asked<'_> {
    /// The parameter of one type.
    fn of(&self, base: &'static str) -> Result<OwnParameter, Issue> {
        let official = definitions::of_type(base).and_then(|known| known.find(self.code));
        if official.is_some() {
            let text = format!("{base} has a standard search parameter of this code");
            return Err(refused("E-OWN-1", IssueCode::Duplicate, ("code", text)));
        }
        let unread = |why: String| {
            let text = format!("for {base}: {why}");
            refused("E-OWN-2", IssueCode::Value, ("expression", text))
        };
        let found = expression::alternatives(self.expression, base).map_err(unread)?;
        let fits = |alternative: &Alternative| {
            let mut types = alternative.types.iter();
            types.any(|name| accepts(self.kind, name))
        };
        let paths: Vec<&str> = found.iter().map(|found| found.path.as_str()).collect();
        if paths.is_empty() {
            return Err(unread("it says nothing of this type".to_owned()));
        }
        if let Some(other) = found.iter().find(|found| !fits(found)) {
            let text = format!(
                "for {base}: a {} parameter cannot be about {}",
                self.kind.code(),
                other.types.join(", ")
            );
            return Err(refused("E-OWN-3", IssueCode::Value, ("type", text)));
        }
        self.interned(base, &paths).ok_or_else(|| {
            let text = "search parameters were changed too often since the gateway started; restart it, then write this one again";
            refused("E-OWN-4", IssueCode::TooCostly, ("expression", text.to_owned()))
        })
    }

    fn interned(&self, base: &'static str, paths: &[&str]) -> Option<OwnParameter> {
        let row = [
            self.code,
            self.kind.code(),
            &paths.join("\n"),
            &self.targets.join(","),
            self.url,
        ]
        .join("\t");
        let own = definitions::own(base, row, |row| {
            let mut columns = row.split('\t');
            let (name, _kind) = (columns.next()?, columns.next()?);
            let paths: Option<Vec<Path>> = columns.next()?.split('\n').map(Path::compile).collect();
            Some(Parameter {
                name,
                kind: self.kind,
                paths: paths?,
                targets: self.targets.clone(),
                url: columns.nth(1)?,
                components: Vec::new(),
                digest: definitions::digest(&[base, row]),
            })
        })?;
        Some(OwnParameter {
            resource_type: base,
            own,
        })
    }
}

/// Is it the definition that the standard itself has of this parameter?
fn is_official(resource: &Json) -> bool {
    let (Some(url), Some(code)) = (resource.str_at(&["url"]), resource.str_at(&["code"])) else {
        return false;
    };
    let mut bases = resource.items("base").iter().filter_map(Json::as_str);
    bases.any(|base| {
        let base = match EVERY.contains(&base) {
            true => "Patient",
            false => base,
        };
        let found = definitions::of_type(base).and_then(|known| known.find(code));
        found.is_some_and(|(_, parameter)| parameter.url == url)
    })
}

fn code(resource: &Json) -> Result<&str, Issue> {
    let code = resource.str_at(&["code"]).unwrap_or_default();
    let is_name = code.starts_with(|c: char| c.is_ascii_alphabetic())
        && code.len() <= CODE_CHARS_MAX
        && code
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let has_url = |url: &str| url.len() <= URL_BYTES_MAX && !url.contains(['\t', '\n']);
    match (is_name, resource.str_at(&["url"]).is_none_or(has_url)) {
        (true, true) => Ok(code),
        (false, _) => {
            let text = "it must be a name of at most 64 letters, digits, - and _, a letter first";
            Err(refused(
                "E-OWN-5",
                IssueCode::Value,
                ("code", text.to_owned()),
            ))
        }
        (_, false) => {
            let text = "it is too long for an address";
            Err(refused(
                "E-OWN-6",
                IssueCode::Value,
                ("url", text.to_owned()),
            ))
        }
    }
}

fn bases(resource: &Json) -> Result<Vec<&'static str>, Issue> {
    let names: Vec<&str> = resource
        .items("base")
        .iter()
        .filter_map(Json::as_str)
        .collect();
    let is_every = names.iter().any(|name| EVERY.contains(name));
    let known = |name: &&str| EVERY.contains(name) || is_resource_type(name);
    if names.is_empty() || !names.iter().all(known) {
        let text = "it must name resource types of R4".to_owned();
        return Err(refused("E-OWN-7", IssueCode::Value, ("base", text)));
    }
    let has_all = names.contains(&"Resource");
    let is_meant = |name: &&'static str| {
        names.contains(name) || has_all || (is_every && !NO_DOMAIN.contains(name))
    };
    Ok(definitions::resource_types().filter(is_meant).collect())
}

fn kind(resource: &Json) -> Result<Kind, Issue> {
    let text = resource.str_at(&["type"]).unwrap_or_default();
    let has_parts = !resource.items("component").is_empty();
    let kind = match text {
        "token" => Some(Kind::Token),
        "string" => Some(Kind::Text),
        "reference" => Some(Kind::Reference),
        "date" => Some(Kind::Date),
        "uri" => Some(Kind::Uri),
        "number" => Some(Kind::Number),
        "quantity" => Some(Kind::Quantity),
        _ => None,
    };
    kind.filter(|_| !has_parts).ok_or_else(|| {
        let text = "token, string, reference, date, uri, number and quantity are understood; composite and special are not";
        refused("E-OWN-8", IssueCode::NotSupported, ("type", text.to_owned()))
    })
}

fn targets(resource: &Json) -> Result<Vec<&'static str>, Issue> {
    let names: Vec<&str> = resource
        .items("target")
        .iter()
        .filter_map(Json::as_str)
        .collect();
    if !names
        .iter()
        .all(|name| EVERY.contains(name) || is_resource_type(name))
    {
        let text = "it must name resource types of R4".to_owned();
        return Err(refused("E-OWN-9", IssueCode::Value, ("target", text)));
    }
    let is_meant = |name: &&'static str| names.contains(name);
    Ok(definitions::resource_types().filter(is_meant).collect())
}

/// Can a parameter of this kind be about values of this type?
fn accepts(kind: Kind, name: &str) -> bool {
    let known: &[&str] = match kind {
        Kind::Token => &[
            "boolean",
            "code",
            "Coding",
            "CodeableConcept",
            "Identifier",
            "ContactPoint",
            "string",
            "id",
            "uri",
            "url",
            "canonical",
            "oid",
            "uuid",
            "integer",
            "positiveInt",
            "unsignedInt",
        ],
        Kind::Text => &[
            "string",
            "markdown",
            "HumanName",
            "Address",
            "Annotation",
            "code",
            "id",
            "uri",
            "url",
            "canonical",
        ],
        Kind::Reference => &["Reference", "canonical", "uri", "Resource"],
        Kind::Date => &["date", "dateTime", "instant", "Period", "Timing"],
        Kind::Uri => &["uri", "url", "canonical", "oid", "uuid"],
        Kind::Number => &["decimal", "integer", "positiveInt", "unsignedInt"],
        Kind::Quantity => &[
            "Quantity",
            "SimpleQuantity",
            "Age",
            "Duration",
            "Count",
            "Distance",
            "MoneyQuantity",
            "Money",
            "Range",
            "SampledData",
        ],
        Kind::Composite | Kind::Place | Kind::Sound => &[],
    };
    known.contains(&name)
}

fn refused(number: &'static str, code: IssueCode, (element, why): (&str, String)) -> Issue {
    let text = format!("{element}: {why}");
    Issue::error(number, code, format!("SearchParameter.{element}"), text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Limits, parse};
    use crate::search::{Handling, Query, SearchValues, Zone, extract};

    fn tree(text: &str) -> Json {
        parse(text.as_bytes(), Limits::default()).unwrap()
    }

    /// `base code type expression`, and more members.
    fn defined(text: &str, more: &str) -> Result<Vec<OwnParameter>, Vec<Issue>> {
        let mut words = text.splitn(4, ' ');
        let [base, code, kind, expression] = [(); 4].map(|()| words.next().unwrap_or_default());
        own_parameters(&tree(&format!(
            r#"{{"resourceType":"SearchParameter","status":"active","url":"http://x.org/{code}","name":"n",
              "description":"d","base":["{base}"],"code":"{code}","type":"{kind}","expression":"{expression}"{more}}}"#
        )))
    }

    #[test]
    fn refusals_name_the_element() {
        for (text, more, expected) in [
            (
                "Patient gender token Patient.gender",
                "",
                "E-OWN-1 SearchParameter.code",
            ),
            (
                "Patient _id token Patient.id",
                "",
                "E-OWN-5 SearchParameter.code",
            ),
            (
                "Patient a.b token Patient.id",
                "",
                "E-OWN-5 SearchParameter.code",
            ),
            (
                "Patient  token Patient.id",
                "",
                "E-OWN-5 SearchParameter.code",
            ),
            (
                "Nothing x token Patient.id",
                "",
                "E-OWN-7 SearchParameter.base",
            ),
            (
                "Patient x composite Patient.id",
                "",
                "E-OWN-8 SearchParameter.type",
            ),
            (
                "Patient x thing Patient.id",
                "",
                "E-OWN-8 SearchParameter.type",
            ),
            (
                "Patient x token Patient.id",
                r#","component":[{"definition":"d","expression":"e"}]"#,
                "E-OWN-8 SearchParameter.type",
            ),
            (
                "Patient x date Patient.maritalStatus",
                "",
                "E-OWN-3 SearchParameter.type",
            ),
            ("Patient x token", "", "E-OWN-2 SearchParameter.expression"),
            (
                "Patient x token Patient.nonsense",
                "",
                "E-OWN-2 SearchParameter.expression",
            ),
            (
                "Patient x token Person.gender",
                "",
                "E-OWN-2 SearchParameter.expression",
            ),
            (
                "Patient x token Patient.name.exists()",
                "",
                "E-OWN-2 SearchParameter.expression",
            ),
            (
                "Patient x reference Patient.link.other",
                r#","target":["Nothing"]"#,
                "E-OWN-9 SearchParameter.target",
            ),
            (
                "Nothing 1 thing x",
                "",
                "E-OWN-5 SearchParameter.code, E-OWN-7 SearchParameter.base, E-OWN-8 SearchParameter.type",
            ),
        ] {
            let issues = defined(text, more).expect_err(text);
            let shown: Vec<String> = issues
                .iter()
                .map(|issue| format!("{} {}", issue.number, issue.expression))
                .collect();
            assert_eq!(shown.join(", "), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_in_force_defines_nothing() {
        for status in ["draft", "retired", "unknown"] {
            let text = format!(r#"{{"resourceType":"SearchParameter","status":"{status}"}}"#);
            assert_eq!(own_parameters(&tree(&text)), Ok(Vec::new()), "{status}");
        }
        let official = r#"{"resourceType":"SearchParameter","status":"active","base":["Patient","Person"],
          "url":"http://hl7.org/fhir/SearchParameter/individual-gender","code":"gender","type":"token","expression":"x.y()"}"#;
        assert_eq!(own_parameters(&tree(official)), Ok(Vec::new()));
        assert_eq!(
            defined("Resource x token Resource.language", "").map(|d| d.len()),
            Ok(146)
        );
    }

    /// Every kind is extracted, survives encoding, is posted and found; where it is not adopted,
    /// nobody knows it.
    #[test]
    fn what_is_defined_is_found() {
        let patient = r#"{"resourceType":"Patient","id":"p","maritalStatus":{"coding":[{"system":"s","code":"M"}]},
          "contact":[{"name":{"family":"Abe"},"organization":{"reference":"Organization/o"},"period":{"start":"2020-01-02"}}],
          "multipleBirthInteger":2,"extension":[{"url":"http://x.org/weight","valueQuantity":{"value":3.50,"unit":"kg"}},
          {"url":"http://x.org/site","valueUri":"http://x.org/here"}]}"#;
        let patient = tree(patient);
        let texts = [
            "Patient marital token Patient.maritalStatus",
            "Patient contact-name string Patient.contact.name",
            "Patient contact-org reference Patient.contact.organization",
            "Patient contact-since date Patient.contact.period",
            "Patient order number Patient.multipleBirth.as(integer)",
            "Patient weight quantity Patient.extension('http://x.org/weight').value.as(Quantity)",
            "Patient site uri (Patient.extension.where(url='http://x.org/site').value as uri)",
        ];
        let own: Vec<OwnParameter> = texts.iter().flat_map(|t| defined(t, "").unwrap()).collect();
        let plain = Zone::of(jiff::tz::TimeZone::UTC);
        let zone = plain.with(&own);
        let values = SearchValues::decode(&extract(&patient, &zone).encode(), &zone).unwrap();
        let terms = values.terms();
        for (asked, value, expected) in [
            ("marital", "M", true),
            ("marital", "s|M", true),
            ("marital:not", "S", true),
            ("marital", "S", false),
            ("contact-name", "ab", true),
            ("contact-name:exact", "abe", false),
            ("contact-org", "Organization/o", true),
            ("contact-org:missing", "true", false),
            ("contact-since", "ge2020", true),
            ("contact-since", "lt2020-01-02", false),
            ("order", "2", true),
            ("order", "gt2", false),
            ("weight", "3.5||kg", true),
            ("weight", "lt3.5", false),
            ("site", "http://x.org/here", true),
            ("site:below", "http://x.org", true),
            ("_filter", "marital eq m and order eq 2", true),
        ] {
            let pairs = [(asked.to_owned(), value.to_owned())];
            let asking = crate::search::Asking::new(Handling::Strict, &zone).whole();
            let query = Query::parse_with("Patient", &pairs, &asking).unwrap();
            assert_eq!(query.matches(&values), expected, "{asked}={value}");
            let proposed = |group: &Vec<Vec<u8>>| group.iter().any(|term| terms.contains(term));
            assert!(
                !expected || query.candidates().all_of.iter().all(proposed),
                "{asked}={value}"
            );
            let unknown = crate::search::Asking::new(Handling::Strict, &plain).whole();
            assert!(
                Query::parse_with("Patient", &pairs, &unknown).is_err(),
                "{asked}"
            );
        }
        assert!(
            SearchValues::decode(&values.encode(), &plain).is_none(),
            "stale elsewhere"
        );
        assert!(!values.is_current(&plain) && values.is_current(&zone));
        assert_ne!(plain.rules().number(), zone.rules().number());
        // In another order, with one left out: other places, the same values.
        let fewer: Vec<OwnParameter> = own.iter().skip(1).rev().copied().collect();
        let fewer = plain.with(&fewer);
        let values = extract(&patient, &fewer);
        let back = SearchValues::decode(&values.encode(), &fewer);
        assert_eq!(back.as_ref(), Some(&values));
        plain.adopt(&own);
        assert!(
            plain
                .definitions("Patient")
                .iter()
                .any(|known| known.name == "weight")
        );
        assert!(plain.clone().own() == own);
    }
}
