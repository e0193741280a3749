//! Cases in the manner of HL7's FHIRPath suite, on small resources of our own.

mod suite;

use super::*;
use crate::model::{Limits, parse};

const PATIENT: &str = r##"{"resourceType":"Patient","id":"p","active":true,
  "contained":[{"resourceType":"Organization","id":"o","name":"Clinic"}],
  "name":[{"use":"official","family":"Chalmers","given":["Peter","James"]},{"use":"usual","given":["Jim"]},
   {"use":"maiden","family":"Windsor","given":["Peter","James"],"period":{"end":"2002"}}],
  "telecom":[{"use":"home"},{"system":"phone","value":"(03) 5555","use":"work","rank":1}],
  "gender":"male","birthDate":"1974-12-25",
  "_birthDate":{"extension":[{"url":"urn:time","valueDateTime":"1974-12-25T14:35:45-05:00"}]},
  "deceasedBoolean":false,"managingOrganization":{"reference":"#o"},
  "generalPractitioner":[{"reference":"Practitioner/x"}],
  "maritalStatus":{"coding":[{"system":"s","code":"M"}]}}"##;

const OBSERVATION: &str = r#"{"resourceType":"Observation","status":"final","code":{"text":"Weight"},
  "issued":"2013-04-03T15:30:10+01:00","effectiveDateTime":"2016-03-28",
  "valueQuantity":{"value":185.00,"unit":"lbs","system":"http://unitsofmeasure.org","code":"[lb_av]"}}"#;

/// The result as text, items separated by a space; `stop` and `misread` for the failures.
fn on(resource: &str, expression: &str) -> String {
    let resource = parse(resource.as_bytes(), Limits::default()).unwrap();
    let compiled = match compile(expression) {
        Ok(compiled) => compiled,
        Err(_) => return "misread".to_owned(),
    };
    let mut scope = Scope::of(&resource);
    scope.now = Some("2024-05-06T07:08:09Z");
    let items = match compiled.evaluate(&scope, &mut Budget::default()) {
        Ok(items) => items,
        Err(_) => return "stop".to_owned(),
    };
    let shown: Vec<String> = items.iter().map(show).collect();
    shown.join(" ")
}

fn show(item: &Item<'_>) -> String {
    match item.value() {
        Ok(Some(Value::Bool(value))) => value.to_string(),
        Ok(Some(Value::Integer(value))) => value.to_string(),
        Ok(Some(Value::Decimal(value))) => number::text(&value),
        Ok(Some(Value::Text(text))) => text.into_owned(),
        Ok(Some(Value::Moment(moment))) => format!("@{}", moment.text()),
        Ok(Some(Value::Quantity(q))) => format!("{} '{}'", number::text(&q.value), q.unit),
        Ok(Some(Value::Type(space, name))) => format!("{space}.{name}"),
        Ok(None) => format!("<{}>", item.node().unwrap().path()),
        Err(stop) => stop.to_string(),
    }
}

fn check(resource: &str, cases: &[(&str, &str)]) {
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(expression, expected)| {
            let got = on(resource, expression);
            (got != *expected).then(|| format!("{expression}\n  gives {got}\n  wants {expected}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn paths() {
    check(
        PATIENT,
        &[
            ("birthDate", "@1974-12-25"),
            ("name.given", "Peter James Jim Peter James"),
            ("Patient.name.`given`.first()", "Peter"),
            ("`Patient`.name[1].given", "Jim"),
            ("name[7]", ""),
            ("name.suffix", ""),
            ("Encounter.name", ""),
            ("DomainResource.id", "p"),
            ("deceased", "false"),
            ("deceasedBoolean", ""),
            (
                "birthDate.extension('urn:time').value",
                "@1974-12-25T14:35:45-05:00",
            ),
            ("birthDate.extension.url", "urn:time"),
            ("name", "<name[0]> <name[1]> <name[2]>"),
            ("contained.name", "Clinic"),
            ("managingOrganization.resolve().name", "Clinic"),
            ("managingOrganization.resolve() is Organization", "true"),
            (
                "generalPractitioner.where(resolve() is Practitioner).count()",
                "1",
            ),
            (
                "generalPractitioner.where(resolve() is Patient).count()",
                "0",
            ),
            ("%resource.id & %context.id & %rootResource.id", "ppp"),
            ("%ucum", "http://unitsofmeasure.org"),
            ("%nobody", "stop"),
            ("telecom.children().count()", "5"),
            ("descendants().where($this is Coding).code", "M"),
        ],
    );
}

#[test]
fn syntax() {
    check(
        PATIENT,
        &[
            ("2 + 2 // comment", "4"),
            ("2 + /* $@% * */ 2 = 4", "true"),
            ("2 + 2 /", "misread"),
            ("2 + 2 /* open", "misread"),
            ("name.nothing()", "misread"),
            ("name.where()", "misread"),
            ("name.first(1)", "misread"),
            ("'a", "misread"),
            ("name[0", "misread"),
            ("name.$this", "misread"),
            ("@2015-02-30", "misread"),
            ("@T14:34:28Z", "misread"),
            (r"'\u0050\t\'\\'", "P\t'\\"),
            ("-3 != 3", "true"),
            ("-name.given.count() = -5", "true"),
            ("-1.convertsToInteger()", "stop"),
            ("1 + 2 * 3 - 4 div 3", "6"),
            ("(1 + 2) * 3", "9"),
            ("true or false and false", "true"),
            ("{}", ""),
            ("1 | 2 | 1", "1 2"),
            ("@2015T is DateTime", "true"),
            ("@2015-02-04T14:34:28.123+10:00 is DateTime", "true"),
            ("@T14:34 is Time", "true"),
            ("4 days", "4 'days'"),
            ("10.1 'mg'", "10.1 'mg'"),
        ],
    );
}

#[test]
fn hostile_expressions_are_refused() {
    for text in [
        "(".repeat(5_000),
        format!("a{}", ".a".repeat(5_000)),
        "-".repeat(5_000) + "1",
        format!("1{}", "+1".repeat(5_000)),
        "1".repeat(2_000),
        "a".repeat(100_000),
    ] {
        assert!(compile(&text).is_err(), "{}", text.get(..20).unwrap());
    }
    check(
        PATIENT,
        &[
            ("name.repeat($this | 1)", "<name[0]> 1 <name[1]> <name[2]>"),
            ("(1|2|3|4|5|6|7|8|9).repeat($this + 1)", "stop"),
            ("'a'.matches('(a{500}){500}{500}')", "stop"),
            (
                "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!'.matches('^(a+)+$')",
                "false",
            ),
            ("(9.power(64)).power(64).power(64)", ""),
        ],
    );
}

#[test]
fn logic() {
    check(
        PATIENT,
        &[
            ("true and {}", ""),
            ("false and {}", "false"),
            ("true or {}", "true"),
            ("{} or {}", ""),
            ("{} implies true", "true"),
            ("{} implies false", ""),
            ("true implies {}", ""),
            ("false implies {}", "true"),
            ("true xor true", "false"),
            ("true xor {}", ""),
            ("{}.not()", ""),
            ("(1).not()", "false"),
            ("(1|2).not()", "stop"),
            ("active and name.exists()", "true"),
            ("true and 'x'", "true"),
        ],
    );
}

#[test]
fn existence() {
    check(
        PATIENT,
        &[
            ("name.exists(given = 'Jim')", "true"),
            ("name.all(given.exists())", "true"),
            ("name.all(family.exists())", "false"),
            ("{}.all(false)", "true"),
            ("name.select(use = 'usual').allFalse()", "false"),
            ("name.select(use = 'usual').anyTrue()", "true"),
            ("name.given.isDistinct()", "false"),
            ("name.given.distinct()", "Peter James Jim"),
            ("name.first().subsetOf(name)", "true"),
            ("name.supersetOf(name.first())", "true"),
            ("name.subsetOf(name.first())", "false"),
            ("name.given.intersect('Jim' | 'x')", "Jim"),
            ("name.given.exclude('Peter')", "James Jim James"),
            ("name.given.combine('x').count()", "6"),
            ("name.select(given | family).count()", "7"),
            (
                "birthDate.hasValue() and name.first().hasValue().not()",
                "true",
            ),
            ("name.single()", "stop"),
            ("name.skip(1).given", "Jim Peter James"),
            ("name.take(2).use", "official usual"),
            ("name.tail().use", "usual maiden"),
            ("name.last().use", "maiden"),
            ("name.given[$this.length() - 1]", "stop"),
            ("name.select($index)", "0 1 2"),
            ("name.where($index = 1).use", "usual"),
            ("(1|2|3).aggregate($this + $total, 0)", "6"),
            (
                "(3|1|2).aggregate(iif($total.empty(), $this, iif($this < $total, $this, $total)))",
                "1",
            ),
            ("iif(name.empty(), 'none', 'some')", "some"),
            ("iif(false, 1)", ""),
            ("('a'|'b').iif(true, 1)", "stop"),
            ("(1.0 | 1 | 2).count()", "2"),
        ],
    );
}

#[test]
fn texts() {
    check(
        PATIENT,
        &[
            ("'LogicalModel-Person'.indexOf('-')", "12"),
            ("'é-x'.indexOf('-')", "1"),
            ("'abc'.indexOf('')", "0"),
            ("'abc'.indexOf('z')", "-1"),
            ("'12345'.substring(2)", "345"),
            ("'12345'.substring(2, 1)", "3"),
            ("'12345'.substring(25)", ""),
            ("'12345'.substring(-1)", ""),
            ("{}.substring(1)", ""),
            (
                "'abc'.startsWith('ab') and 'abc'.endsWith('bc') and 'abc'.contains('b')",
                "true",
            ),
            ("'aXb'.upper() & 'aXb'.lower()", "AXBaxb"),
            ("'abcdefg'.replace('cde', '123')", "ab123fg"),
            ("'abc'.replace('', 'x')", "xaxbxcx"),
            (
                r"'11/30/1972'.replaceMatches('(?P<m>\\d+)/(?P<d>\\d+)', '$d-$m')",
                "30-11/1972",
            ),
            (
                "'FHIR'.matches('HI') and 'FHIR'.matchesFull('HI').not()",
                "true",
            ),
            (r"'http://a/Library'.matches('^http:\\/\\/a\\/L')", "true"),
            ("'abc'.length()", "3"),
            ("'t2'.toChars()", "t 2"),
            ("'a,b'.split(',')", "a b"),
            ("('a'|'b').join('-')", "a-b"),
            ("' a '.trim()", "a"),
            ("'a' & {} & 'b'", "ab"),
            ("'a' + 'b'", "ab"),
            ("'a' + {}", ""),
            ("name.given.length()", "stop"),
            (
                "name.given.where(substring($this.length()-3) = 'ter')",
                "Peter Peter",
            ),
        ],
    );
}

#[test]
fn numbers() {
    check(
        OBSERVATION,
        &[
            ("0.1 + 0.2 = 0.3", "true"),
            ("1 / 4", "0.25"),
            ("7 div 2", "3"),
            ("-7 mod 3", "-1"),
            ("1 / 0", ""),
            ("value.value", "185.00"),
            ("value.value > 180.0 and value.value < 190", "true"),
            ("value > 100 '[lb_av]'", "true"),
            ("value < 200 'kg'", "true"),
            ("1 'kg' = 1000 'g'", "true"),
            ("1 'kg' = 1 'mol'", ""),
            ("7 days = 1 week", "true"),
            ("1 'mg' + 2 'mg'", "3 'mg'"),
            ("value.value < 'test'", "stop"),
            ("(-5).abs()", "5"),
            ("1.1.ceiling() + 1.9.floor() + 1.9.truncate()", "4"),
            ("3.14159.round(3)", "3.142"),
            ("2.power(10)", "1024"),
            ("81.sqrt()", "9"),
            ("16.log(2)", "4"),
            ("'1'.toInteger() + '1.5'.toDecimal()", "2.5"),
            ("'1.5'.toInteger()", ""),
            ("0.0.toString()", "0.0"),
            ("'4 days'.toQuantity() = 4 days", "true"),
            ("'true'.toBoolean() and 1.toBoolean()", "true"),
            (
                "1.is(Integer) and 1.is(System.Integer) and 1.is(Decimal).not()",
                "true",
            ),
            ("1 ~ 1.0 and 1.50 ~ 1.5", "true"),
            ("'A  b' ~ 'a B'", "true"),
            ("(1|2) ~ (2|1)", "true"),
            ("(1|2) = (2|1)", "false"),
            ("1 in (1|2) and (1|2) contains 2", "true"),
        ],
    );
}

#[test]
fn types() {
    check(
        OBSERVATION,
        &[
            ("value.unit", "lbs"),
            ("value is Quantity", "true"),
            ("value.is(Period)", "false"),
            ("value.as(Quantity).unit", "lbs"),
            ("(value as Period).start", ""),
            ("value.ofType(Quantity).code", "[lb_av]"),
            ("issued is instant", "true"),
            ("status is code and status is string", "true"),
            ("status.type()", "FHIR.code"),
            ("1.type()", "System.Integer"),
            ("value.value is decimal", "true"),
            (
                "Observation is DomainResource and $this is FHIR.Resource",
                "true",
            ),
            ("$this is System.Observation", "false"),
            (
                "conformsTo('http://hl7.org/fhir/StructureDefinition/Observation')",
                "true",
            ),
            ("code.memberOf('urn:x')", "stop"),
        ],
    );
}

#[test]
fn moments() {
    check(
        OBSERVATION,
        &[
            ("@2012 = @2012-01", ""),
            ("@2012 < @2013-01", "true"),
            ("@2012-01-01 != @2012-01-01T12:00:00", ""),
            (
                "@2017-11-05T01:30:00.0-04:00 < @2017-11-05T01:15:00.0-05:00",
                "true",
            ),
            (
                "@2017-11-05T01:30:00-04:00 = @2017-11-05T00:30:00-05:00",
                "true",
            ),
            ("@2012-01-01T10:00:00 < @2012-01-01T11:00:00Z", ""),
            ("@2012-01-01T10:00:00 < @2012-01-09T11:00:00Z", "true"),
            ("@T12:14 != @2012", "true"),
            ("effective >= @2016-03-27", "true"),
            ("issued < @2013-04-03T14:30:11Z", "true"),
            ("@1973-12-25 + 7 days", "@1974-01-01"),
            ("@2012-01-31 + 1 month", "@2012-02-29"),
            ("@2012 + 12 months", "@2013"),
            (
                "@1973-12-25T00:00:00.000+10:00 - 1 second",
                "@1973-12-24T23:59:59.000+10:00",
            ),
            ("@T23:00:00 + 2 hours", "@01:00:00"),
            ("@2012 + 1 'mo'", "stop"),
            ("now() > @2024-05-05", "true"),
            ("today() = @2024-05-06", "true"),
            ("'2015-02-04T14'.toDateTime() is DateTime", "true"),
            (
                "'14:34'.convertsToTime() and 'x'.convertsToDate().not()",
                "true",
            ),
            ("@2012-02.lowBoundary()", "@2012-02-01"),
            ("@2012-02.highBoundary()", "@2012-02-29"),
            ("1.5.lowBoundary() = 1.45", "true"),
            ("@2014.precision()", "4"),
        ],
    );
}

#[test]
fn places_are_known() {
    let resource = parse(PATIENT.as_bytes(), Limits::default()).unwrap();
    let place = |text: &str| {
        let compiled = compile(text).unwrap();
        let items = compiled.evaluate(&Scope::of(&resource), &mut Budget::default());
        let items = items.unwrap();
        let paths: Vec<String> = items.iter().map(|i| i.node().unwrap().path()).collect();
        paths.join(" ")
    };
    assert_eq!(place("Patient"), "");
    assert_eq!(place("name.where(use = 'usual').given"), "name[1].given[0]");
    assert_eq!(place("deceased"), "deceased");
    assert_eq!(
        place("birthDate.extension[0].value"),
        "birthDate.extension[0].value"
    );
}

#[test]
fn a_budget_is_kept() {
    let resource = parse(PATIENT.as_bytes(), Limits::default()).unwrap();
    let compiled = compile("name.where(use = 'usual').given").unwrap();
    let scope = Scope::of(&resource);
    let mut budget = Budget::default();
    compiled.evaluate(&scope, &mut budget).unwrap();
    let spent = Budget::default().steps - budget.steps;
    assert!((10..100).contains(&spent), "{spent} steps");
    let mut short = Budget { steps: spent - 1 };
    assert_eq!(
        compiled.evaluate(&scope, &mut short).err(),
        Some(Stop::Budget)
    );
    assert_eq!(short.steps, 0);
}

#[test]
fn references_are_resolved_here_and_outside() {
    struct Stored(Json);
    impl Outside for Stored {
        fn member_of(&self, _: &str, _: Option<&str>, _: &str) -> Option<bool> {
            None
        }
        fn conforms_to(&self, _: &Json, _: &str) -> Option<bool> {
            None
        }
        fn resolve(&self, reference: &str) -> Option<&Json> {
            (reference == "Patient/stored").then_some(&self.0)
        }
    }
    let json = |text: &str| parse(text.as_bytes(), Limits::default()).unwrap();
    let bundle = json(
        r##"{"resourceType":"Bundle","type":"collection","entry":[
        {"fullUrl":"http://a/fhir/Patient/p","resource":{"resourceType":"Patient","id":"p","gender":"male"}},
        {"fullUrl":"urn:uuid:1","resource":{"resourceType":"Observation","status":"final","code":{"text":"x"},
          "subject":{"reference":"Patient/p"},"focus":[{"reference":"http://a/fhir/Patient/p"},{"reference":"urn:uuid:1"}],
          "performer":[{"reference":"Patient/stored"},{"reference":"Patient/nowhere"},{"reference":"#none"}]}}]}"##,
    );
    let stored = Stored(json(r#"{"resourceType":"Patient","gender":"female"}"#));
    let mut scope = Scope::of(&bundle);
    scope.outside = Some(&stored);
    let of = |text: &str| {
        let compiled = compile(text).unwrap();
        let items = compiled.evaluate(&scope, &mut Budget::default()).unwrap();
        let shown: Vec<String> = items.iter().map(show).collect();
        shown.join(" ")
    };
    let observation = "entry[1].resource";
    assert_eq!(
        of(&format!("{observation}.subject.resolve().gender")),
        "male"
    );
    assert_eq!(
        of(&format!("{observation}.focus.resolve().status")),
        "final"
    );
    assert_eq!(of(&format!("{observation}.focus.resolve().gender")), "male");
    assert_eq!(
        of(&format!("{observation}.performer.resolve().gender")),
        "female"
    );
    assert_eq!(
        of(&format!(
            "{observation}.performer.where(resolve() is Patient).count()"
        )),
        "2"
    );
}
