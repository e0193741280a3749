//! One criterion of a query: a parameter, its modifier, and the values of which one must match.

use super::asking::{Asking, Code};
use super::definitions::{self, Kind, Parameter, is_resource_type};
use super::kinds::date::{DateTest, Prefix};
use super::kinds::escape::{split, unescape};
use super::kinds::place::PlaceTest;
use super::kinds::quantity::QuantityTest;
use super::kinds::reference::ReferenceTest;
use super::kinds::sound::SoundTest;
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
    Place(PlaceTest),
    Sound(SoundTest),
    /// One test for each component.
    Composite(Vec<ValueTest>),
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
    pub(super) fn parse(
        resource_type: &str,
        asked: &Asked,
        asking: &Asking,
    ) -> Result<Criterion, Issue> {
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
        // Sounds are those of the names, whose values and terms there are.
        let named = definitions::of_type(resource_type).and_then(|d| d.find("name"));
        let (index, parameter) = named
            .filter(|_| asked.parameter.kind == Kind::Sound)
            .unwrap_or((asked.index, asked.parameter));
        Ok(Criterion {
            parameter,
            index,
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

    /// The parameter that it looks at.
    pub(super) fn index(&self) -> u16 {
        self.index
    }

    pub(super) fn localize(&mut self, base: &str) {
        let (Test::AnyOf(tests) | Test::NoneOf(tests) | Test::SomeOther(tests)) = &mut self.test
        else {
            return;
        };
        tests.iter_mut().for_each(|test| test.localize(base));
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
        let tests = match &self.test {
            Test::Missing(true) | Test::NoneOf(_) => return None,
            Test::Missing(false) | Test::SomeOther(_) => &[][..],
            Test::AnyOf(tests) if self.parameter.kind == Kind::Composite => {
                return self.component_candidates(resource_type, tests);
            }
            Test::AnyOf(tests) => tests,
        };
        let is_any = matches!(self.test, Test::AnyOf(_));
        let name = self.parameter.name;
        let served = is_any.then(|| group(resource_type, name, tests.iter()));
        served.flatten().or_else(|| {
            let sink = Sink::new(resource_type, name);
            posts_presence(self.parameter.kind).then(|| sink.presence())
        })
    }

    /// A composite posts nothing: the first component whose own parameter selects serves, or else
    /// one whose parameter posts its presence.
    fn component_candidates(
        &self,
        resource_type: &str,
        tests: &[ValueTest],
    ) -> Option<Vec<Vec<u8>>> {
        let components = &self.parameter.components;
        // A bare id is posted under parameters of many types only.
        let selective = components
            .iter()
            .enumerate()
            .filter(|(_, c)| c.kind != Kind::Reference);
        let served = selective.into_iter().find_map(|(at, component)| {
            let parts = tests.iter().filter_map(|test| match test {
                ValueTest::Composite(parts) => parts.get(at),
                _ => None,
            });
            group(resource_type, component.defined_by, parts)
        });
        served.or_else(|| {
            let present = components.iter().find(|c| posts_presence(c.kind))?;
            Some(Sink::new(resource_type, present.defined_by).presence())
        })
    }
}

/// The terms of one parameter of which a value that passes one of the tests has one; `None` when
/// they are not sure or too many.
fn group<'a>(
    resource_type: &str,
    parameter: &str,
    mut tests: impl Iterator<Item = &'a ValueTest>,
) -> Option<Vec<Vec<u8>>> {
    let mut sink = Sink::new(resource_type, parameter);
    let served = tests.all(|test| test.candidates(&mut sink));
    (served && sink.len() <= GROUP_TERMS_MAX).then(|| sink.into_group())
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
    match parameter.kind {
        Kind::Token => token_test(asked, value, asking),
        Kind::Text => StringTest::parse(modifier, value)
            .map(ValueTest::Text)
            .ok_or_else(|| bad_modifier(asked)),
        Kind::Uri => UriTest::parse(modifier, value)
            .map(ValueTest::Uri)
            .ok_or_else(|| bad_modifier(asked)),
        Kind::Reference if modifier == "identifier" => {
            Ok(ValueTest::Reference(ReferenceTest::of_identifier(value)))
        }
        Kind::Reference if matches!(modifier, "above" | "below") => Ok(ValueTest::Reference(
            ReferenceTest::of_canonical(value, modifier == "below"),
        )),
        Kind::Reference => reference_test(asked, value),
        Kind::Date if matches!(modifier, "~po" | "~co") => {
            let prefix = match modifier {
                "~po" => Prefix::Po,
                _ => Prefix::Co,
            };
            DateTest::of_filter(prefix, value, asking.zone)
                .map(ValueTest::Date)
                .ok_or_else(|| bad_value(asked, "not a date"))
        }
        Kind::Number if modifier == "~co" => QuantityTest::included(value)
            .map(|test| ValueTest::Quantity(Box::new(test)))
            .ok_or_else(|| bad_value(asked, "not a number")),
        _ if !modifier.is_empty() => Err(bad_modifier(asked)),
        Kind::Date => DateTest::parse(value, asking)
            .map(ValueTest::Date)
            .ok_or_else(|| bad_value(asked, "not a date, optionally with a prefix")),
        Kind::Number | Kind::Quantity => QuantityTest::parse(value)
            .map(|test| ValueTest::Quantity(Box::new(test)))
            .ok_or_else(|| bad_value(asked, "not [prefix]number or [prefix]number|system|code")),
        Kind::Place => PlaceTest::parse(value)
            .map(ValueTest::Place)
            .ok_or_else(|| bad_value(asked, "not latitude|longitude|distance|units")),
        Kind::Sound => SoundTest::parse(value)
            .map(ValueTest::Sound)
            .ok_or_else(|| bad_value(asked, "no name")),
        Kind::Composite => composite_test(asked, value, asking),
    }
}

fn token_test(asked: &Asked, value: &str, asking: &Asking) -> Result<ValueTest, Issue> {
    let test = match asked.modifier {
        "" | "not" => TokenTest::parse(value, false),
        "~eq" | "~ne" => TokenTest::folded(value),
        "~within" => TokenTest::version_within(value),
        "text" => TokenTest::parse(value, true),
        "of-type" => TokenTest::of_type(value)
            .ok_or_else(|| bad_value(asked, ":of-type takes system|code|value, all three"))?,
        "in" | "not-in" | "above" | "below" => TokenTest::one_of(codes(asked, value, asking)?),
        _ => return Err(bad_modifier(asked)),
    };
    Ok(ValueTest::Token(test))
}

/// `code$value`: one value for each component.
fn composite_test(asked: &Asked, value: &str, asking: &Asking) -> Result<ValueTest, Issue> {
    let parts = split(value, '$');
    let components = &asked.parameter.components;
    if parts.len() != components.len() || parts.iter().any(|part| part.is_empty()) {
        let count = components.len();
        let why = format!("a composite of {count} values joined by $");
        return Err(bad_value(asked, &why));
    }
    let tests = parts.iter().zip(components).map(|(part, component)| {
        let wrong = || bad_value(asked, &format!("not a value of {}", component.defined_by));
        match component.kind {
            Kind::Token => Some(ValueTest::Token(TokenTest::parse(part, false))),
            Kind::Text => StringTest::parse("", part).map(ValueTest::Text),
            Kind::Uri => UriTest::parse("", part).map(ValueTest::Uri),
            Kind::Reference => ReferenceTest::parse(part, None, &[]).map(ValueTest::Reference),
            Kind::Date => DateTest::parse(part, asking).map(ValueTest::Date),
            Kind::Number | Kind::Quantity => {
                QuantityTest::parse(part).map(|test| ValueTest::Quantity(Box::new(test)))
            }
            Kind::Composite | Kind::Place | Kind::Sound => None,
        }
        .ok_or_else(wrong)
    });
    Ok(ValueTest::Composite(tests.collect::<Result<_, Issue>>()?))
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
    fn localize(&mut self, base: &str) {
        match self {
            ValueTest::Reference(reference) => reference.localize(base),
            ValueTest::Composite(parts) => parts.iter_mut().for_each(|part| part.localize(base)),
            _ => {}
        }
    }

    fn matches(&self, value: &Value) -> bool {
        match (self, value) {
            (ValueTest::Token(test), Value::Token(token)) => test.matches(token),
            (ValueTest::Text(test), Value::Text(text)) => test.matches(text),
            (ValueTest::Reference(test), Value::Reference(link)) => test.matches(link),
            (ValueTest::Date(test), Value::Date(span)) => test.matches(*span),
            (ValueTest::Uri(test), Value::Uri(uri)) => test.matches(uri),
            (ValueTest::Quantity(test), Value::Amount(amount)) => test.matches(amount),
            (ValueTest::Place(test), Value::Place(place)) => test.matches(place),
            (ValueTest::Sound(test), Value::Text(text)) => test.matches(text),
            (ValueTest::Composite(tests), Value::Composite(components)) => tests
                .iter()
                .zip(components)
                .all(|(test, values)| values.iter().any(|value| test.matches(value))),
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
            ValueTest::Quantity(_)
            | ValueTest::Place(_)
            | ValueTest::Sound(_)
            | ValueTest::Composite(_) => false,
        }
    }
}
