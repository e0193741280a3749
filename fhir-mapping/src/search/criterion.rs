//! One criterion of a query: a parameter, its modifier, and the values of which one must match.

use super::asking::{Asking, Code};
use super::definitions::{Kind, Parameter, is_resource_type};
use super::kinds::date::DateTest;
use super::kinds::escape::{split, unescape};
use super::kinds::quantity::QuantityTest;
use super::kinds::reference::ReferenceTest;
use super::kinds::string::StringTest;
use super::kinds::token::TokenTest;
use super::kinds::uri::UriTest;
use super::terms::{Sink, posts_presence};
use super::values::{SearchValues, Value};
use crate::model::{Issue, IssueCode};

/// Decided by the values of one parameter of one resource.
#[derive(Clone, Debug)]
pub struct Criterion {
    parameter: &'static Parameter,
    index: u16,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    /// `:missing`
    Missing(bool),
    AnyOf(Vec<ValueTest>),
    /// `:not`
    NoneOf(Vec<ValueTest>),
    /// Some value passes none of these: `ne` of filters.
    SomeOther(Vec<ValueTest>),
}

#[derive(Clone, Debug)]
enum ValueTest {
    Token(TokenTest),
    Text(StringTest),
    Reference(ReferenceTest),
    Date(DateTest),
    Uri(UriTest),
    Quantity(Box<QuantityTest>),
}

/// One parameter with its modifier (empty when there is none) and value, as the request has them.
pub(super) struct Asked<'a> {
    pub(super) parameter: &'static Parameter,
    pub(super) index: u16,
    pub(super) modifier: &'a str,
    pub(super) value: &'a str,
}

/// A list of more values is refused.
const VALUES_MAX: usize = 1000;
/// A group of more terms is not worth looking up: presence, or the whole type, serves instead.
pub(super) const GROUP_TERMS_MAX: usize = 160;

impl Criterion {
    pub(super) fn parse(asked: &Asked, asking: &Asking) -> Result<Criterion, Issue> {
        let test = if asked.modifier == "missing" {
            Test::Missing(match asked.value {
                "true" => true,
                "false" => false,
                _ => return Err(bad_value(asked, ":missing takes true or false")),
            })
        } else {
            let tests = value_tests(asked, asking)?;
            match asked.modifier {
                "not" | "not-in" => Test::NoneOf(tests),
                "~ne" => Test::SomeOther(tests),
                _ => Test::AnyOf(tests),
            }
        };
        Ok(Criterion {
            parameter: asked.parameter,
            index: asked.index,
            test,
        })
    }

    /// Refers to `Type/id`.
    pub(super) fn refers(parameter: &'static Parameter, index: u16, target: String) -> Criterion {
        let test = ReferenceTest::Local(vec![target]);
        Criterion {
            parameter,
            index,
            test: Test::AnyOf(vec![ValueTest::Reference(test)]),
        }
    }

    pub(super) fn localize(&mut self, base: &str) {
        let (Test::AnyOf(tests) | Test::NoneOf(tests) | Test::SomeOther(tests)) = &mut self.test
        else {
            return;
        };
        for test in tests {
            if let ValueTest::Reference(reference) = test {
                reference.localize(base);
            }
        }
    }

    pub(super) fn matches(&self, values: &SearchValues) -> bool {
        let found = values.of_index(self.index);
        let any = |tests: &[ValueTest]| found.iter().any(|v| tests.iter().any(|t| t.matches(v)));
        match &self.test {
            Test::Missing(missing) => *missing == found.is_empty(),
            Test::AnyOf(tests) => any(tests),
            Test::NoneOf(tests) => !any(tests),
            Test::SomeOther(tests) => found.iter().any(|v| !tests.iter().any(|t| t.matches(v))),
        }
    }

    /// Terms of which every match has one; `None` when only the type term is sure to be there.
    pub(super) fn candidates(&self, resource_type: &str) -> Option<Vec<Vec<u8>>> {
        let mut sink = Sink::new(resource_type, self.parameter.name);
        let served = match &self.test {
            Test::Missing(true) | Test::NoneOf(_) => return None,
            Test::Missing(false) | Test::SomeOther(_) => false,
            Test::AnyOf(tests) => tests.iter().all(|test| test.candidates(&mut sink)),
        };
        if served && sink.len() <= GROUP_TERMS_MAX {
            Some(sink.into_group())
        } else {
            posts_presence(self.parameter.kind).then(|| sink.presence())
        }
    }
}

fn value_tests(asked: &Asked, asking: &Asking) -> Result<Vec<ValueTest>, Issue> {
    let values = split(asked.value, ',');
    if values.len() > VALUES_MAX {
        let text = format!("{}: more than {VALUES_MAX} values", asked.parameter.name);
        return Err(Issue::error("E-SEARCH-1", IssueCode::TooCostly, "", text));
    }
    values
        .into_iter()
        .filter(|value| !value.is_empty())
        .map(|value| value_test(asked, value, asking))
        .collect()
}

fn value_test(asked: &Asked, value: &str, asking: &Asking) -> Result<ValueTest, Issue> {
    let (parameter, modifier) = (asked.parameter, asked.modifier);
    match (parameter.kind, modifier) {
        (Kind::Token, "" | "not" | "~ne") => Ok(ValueTest::Token(TokenTest::parse(value, false))),
        (Kind::Token, "text") => Ok(ValueTest::Token(TokenTest::parse(value, true))),
        (Kind::Token, "in" | "not-in" | "above" | "below") => {
            let codes = codes(asked, value, asking)?;
            Ok(ValueTest::Token(TokenTest::one_of(codes)))
        }
        (Kind::Text, _) => StringTest::parse(modifier, value)
            .map(ValueTest::Text)
            .ok_or_else(|| bad_modifier(asked)),
        (Kind::Reference, "identifier") => {
            Ok(ValueTest::Reference(ReferenceTest::of_identifier(value)))
        }
        (Kind::Reference, _) => reference_test(asked, value),
        (Kind::Date, "~po") => DateTest::overlapping(value, asking.zone)
            .map(ValueTest::Date)
            .ok_or_else(|| bad_value(asked, "not a date")),
        (Kind::Date, "") => DateTest::parse(value, asking.zone)
            .map(ValueTest::Date)
            .ok_or_else(|| bad_value(asked, "not a date, optionally with a prefix")),
        (Kind::Uri, modifier) => UriTest::parse(modifier, value)
            .map(ValueTest::Uri)
            .ok_or_else(|| bad_modifier(asked)),
        (Kind::Number | Kind::Quantity, "") => QuantityTest::parse(value)
            .map(|test| ValueTest::Quantity(Box::new(test)))
            .ok_or_else(|| bad_value(asked, "not [prefix]number or [prefix]number|system|code")),
        _ => Err(bad_modifier(asked)),
    }
}

fn reference_test(asked: &Asked, value: &str) -> Result<ValueTest, Issue> {
    let resource_type = match asked.modifier {
        "" | "~ne" => None,
        name if is_resource_type(name) => Some(name),
        _ => return Err(bad_modifier(asked)),
    };
    ReferenceTest::parse(value, resource_type, &asked.parameter.targets)
        .map(ValueTest::Reference)
        .ok_or_else(|| bad_value(asked, "the reference is of another type than its modifier"))
}

/// The codes that `:in`, `:not-in`, `:above` or `:below` stand for.
fn codes(asked: &Asked, value: &str, asking: &Asking) -> Result<Vec<Code>, Issue> {
    let name = asked.parameter.name;
    let Some(terminology) = asking.terminology else {
        let text = format!("{name}: value sets and code hierarchies are not looked up here");
        return Err(Issue::error(
            "E-SEARCH-13",
            IssueCode::NotSupported,
            "",
            text,
        ));
    };
    let value = unescape(value);
    let (system, code) = value.rsplit_once('|').unwrap_or(("", &value));
    let found = match asked.modifier {
        "above" => terminology.above(system, code),
        "below" => terminology.below(system, code),
        _ => terminology.members(&value),
    };
    found.map_err(|why| bad_value(asked, &why))
}

fn bad_modifier(asked: &Asked) -> Issue {
    let name = asked.parameter.name;
    let kind = asked.parameter.kind.code();
    let text = format!("{name}: this modifier is not supported for a {kind} parameter");
    Issue::error("E-SEARCH-2", IssueCode::NotSupported, "", text)
}

fn bad_value(asked: &Asked, why: &str) -> Issue {
    let text = format!("{}: {why}", asked.parameter.name);
    Issue::error("E-SEARCH-3", IssueCode::Value, "", text)
}

impl ValueTest {
    fn matches(&self, value: &Value) -> bool {
        match (self, value) {
            (ValueTest::Token(test), Value::Token(token)) => test.matches(token),
            (ValueTest::Text(test), Value::Text(text)) => test.matches(text),
            (ValueTest::Reference(test), Value::Reference(link)) => test.matches(link),
            (ValueTest::Date(test), Value::Date(span)) => test.matches(*span),
            (ValueTest::Uri(test), Value::Uri(uri)) => test.matches(uri),
            (ValueTest::Quantity(test), Value::Amount(amount)) => test.matches(amount),
            _ => false,
        }
    }

    fn candidates(&self, sink: &mut Sink) -> bool {
        match self {
            ValueTest::Token(test) => test.candidates('=', sink),
            ValueTest::Text(test) => test.candidates(sink),
            ValueTest::Reference(test) => test.candidates(sink),
            ValueTest::Date(test) => test.candidates(sink),
            ValueTest::Uri(test) => test.candidates(sink),
            ValueTest::Quantity(_) => false,
        }
    }
}
