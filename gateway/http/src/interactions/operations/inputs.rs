//! Parameters of an operation, from the query string and from a Parameters body, as one list.
//! <https://hl7.org/fhir/R4/operations.html#request>

use crate::exchange::Exchange;
use crate::interactions::content;
use fhir_mapping::model::{IssueCode, Json};
use gateway_ground::failure::{Category, Failure};

/// All parameters in their order: the query's first.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    list: Vec<Input>,
    /// A body that is a resource other than Parameters.
    body: Option<Json>,
}

#[derive(Clone, Debug)]
struct Input {
    name: String,
    value: Value,
}

#[derive(Clone, Debug)]
enum Value {
    /// From the query string, or a primitive `value[x]`.
    Text(String),
    /// Any other `value[x]`.
    Complex(Json),
    Resource(Json),
    Parts(Inputs),
}

/// Parameters that every request may carry; they are not the operation's.
const EVERYWHERE: [&str; 3] = ["_format", "_pretty", "_summary"];

impl Inputs {
    /// Reads a request; refuses a body that is no resource. Resources inside Parameters must be
    /// sound unless they are what is asked about (`is_question`).
    pub(in crate::interactions) fn read(
        exchange: &Exchange,
        is_question: bool,
    ) -> Result<Inputs, Failure> {
        let pairs = exchange.query.iter();
        let mut inputs = Inputs {
            list: pairs
                .map(|(name, value)| Input {
                    name: name.clone(),
                    value: Value::Text(value.clone()),
                })
                .collect(),
            body: None,
        };
        if exchange.body.is_empty() || is_lines(exchange) {
            return Ok(inputs);
        }
        let body = content::json(&exchange.body)?;
        if body.resource_type() == Some("Parameters") {
            if is_question {
                content::check(&frame(&body))?;
            } else {
                content::check(&body)?;
            }
            inputs.list.extend(parts(body.items("parameter")));
        } else {
            inputs.body = Some(body);
        }
        Ok(inputs)
    }

    /// The parameters of a Parameters resource.
    pub fn of(resource: &Json) -> Inputs {
        Inputs {
            list: parts(resource.items("parameter")),
            body: None,
        }
    }

    /// The members of plain JSON as parameters: an object is one with parts, an array repeats.
    pub fn of_members(object: &Json) -> Inputs {
        let members = object
            .as_object()
            .into_iter()
            .flat_map(|object| object.iter());
        let list = members.flat_map(|(name, content)| {
            let items = match content.as_array() {
                Some(items) => items,
                None => std::slice::from_ref(content),
            };
            items.iter().map(|item| Input {
                name: name.to_owned(),
                value: match item {
                    Json::Object(_) => Value::Parts(Inputs::of_members(item)),
                    other => simple(other),
                },
            })
        });
        Inputs {
            list: list.collect(),
            body: None,
        }
    }

    /// The text of a parameter that may be given once.
    pub fn text(&self, name: &str) -> Result<Option<&str>, Failure> {
        let mut found = self.named(name);
        match (found.next(), found.next()) {
            (None, _) => Ok(None),
            (Some(Value::Text(text)), None) => Ok(Some(text)),
            (Some(_), None) => Err(wrong(name, "takes a simple value")),
            (Some(_), Some(_)) => Err(wrong(name, "may be given once only")),
        }
    }

    pub fn required_text(&self, name: &str) -> Result<&str, Failure> {
        self.text(name)?.ok_or_else(|| missing(name))
    }

    /// An instant, in milliseconds since 1970-01-01T00:00:00Z.
    pub fn instant(&self, name: &str) -> Result<Option<i64>, Failure> {
        let text = self.text(name)?;
        // A plus sign that was not escaped arrives as a blank.
        let instant = text.map(|text| text.replace(' ', "+").parse::<jiff::Timestamp>());
        let instant = instant.transpose();
        let instant = instant
            .map_err(|_no_instant| wrong(name, "takes an instant, as 2026-03-01T10:30:00Z"))?;
        Ok(instant.map(jiff::Timestamp::as_millisecond))
    }

    /// The texts of a parameter that may repeat, split at commas.
    pub fn texts(&self, name: &str) -> Result<Vec<&str>, Failure> {
        let mut texts = Vec::new();
        for value in self.named(name) {
            match value {
                Value::Text(text) => texts.extend(text.split(',').filter(|text| !text.is_empty())),
                _ => return Err(wrong(name, "takes simple values")),
            }
        }
        Ok(texts)
    }

    /// References of a parameter that may repeat, given as such or as their text.
    pub fn references(&self, name: &str) -> Result<Vec<&str>, Failure> {
        let mut found = Vec::new();
        for value in self.named(name) {
            match value {
                Value::Text(text) => found.extend(text.split(',').filter(|text| !text.is_empty())),
                Value::Complex(reference) => {
                    let text = reference.str_at(&["reference"]);
                    found.push(text.ok_or_else(|| wrong(name, "takes references"))?);
                }
                Value::Resource(_) | Value::Parts(_) => {
                    return Err(wrong(name, "takes references"));
                }
            }
        }
        Ok(found)
    }

    pub fn number(&self, name: &str) -> Result<Option<usize>, Failure> {
        let text = self.text(name)?;
        let number = text.map(str::parse).transpose();
        number.map_err(|_not_a_number| wrong(name, "takes a whole number"))
    }

    pub fn flag(&self, name: &str) -> Result<Option<bool>, Failure> {
        match self.text(name)? {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(wrong(name, "is true or false")),
        }
    }

    /// A `value[x]` that is no primitive: Coding, CodeableConcept, Meta, Reference.
    pub fn complex(&self, name: &str) -> Result<Option<&Json>, Failure> {
        match self.named(name).next() {
            None => Ok(None),
            Some(Value::Complex(content)) => Ok(Some(content)),
            Some(_) => Err(wrong(name, "takes a complex value, in a Parameters body")),
        }
    }

    /// The resource of a parameter, or the whole body when it is no Parameters.
    pub fn resource(&self, name: &str) -> Result<Option<&Json>, Failure> {
        match self.named(name).next() {
            None => Ok(self.body.as_ref()),
            Some(Value::Resource(resource)) => Ok(Some(resource)),
            Some(_) => Err(wrong(name, "takes a resource, in a Parameters body")),
        }
    }

    /// All parameters of that name with their parts.
    pub fn parts(&self, name: &str) -> Result<Vec<&Inputs>, Failure> {
        let parts = self.named(name).map(|value| match value {
            Value::Parts(parts) => Ok(parts),
            _ => Err(wrong(name, "takes parts, in a Parameters body")),
        });
        parts.collect()
    }

    /// Refuses what the operation does not know: to leave it out silently would change the answer.
    pub fn check_known(&self, known: &[&str]) -> Result<(), Failure> {
        let mut names = self.list.iter().map(|input| input.name.as_str());
        match names.find(|name| !known.contains(name) && !EVERYWHERE.contains(name)) {
            None => Ok(()),
            Some(name) => {
                let shown: String = name.chars().take(64).collect();
                Err(unknown(&shown))
            }
        }
    }

    /// The query pairs of a link that asks the same again: simple values only.
    pub fn pairs(&self) -> Vec<(&str, &str)> {
        let pairs = self.list.iter().filter_map(|input| match &input.value {
            Value::Text(text) => Some((input.name.as_str(), text.as_str())),
            _ => None,
        });
        pairs.collect()
    }

    fn named<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Value> {
        let name = name.to_owned();
        let list = self.list.iter().filter(move |input| input.name == name);
        list.map(|input| &input.value)
    }
}

/// Parameters without the resources in them.
fn frame(parameters: &Json) -> Json {
    let without = |item: &Json| match item {
        Json::Object(members) if members.get("resource").is_some() => {
            let name = members.get("name").cloned().unwrap_or(Json::Null);
            Json::object([("name", name)])
        }
        other => other.clone(),
    };
    let list = parameters.items("parameter").iter().map(without);
    Json::object([
        ("resourceType", "Parameters".into()),
        ("parameter", Json::array(list)),
    ])
}

/// 400 that names the parameter.
pub(super) fn wrong(name: &str, text: &str) -> Failure {
    let text = format!("the parameter {name} {text}");
    Failure::new(Category::Incorrect, "E-OPERATION-1", IssueCode::Value, text).at(&place(name))
}

pub(super) fn missing(name: &str) -> Failure {
    let text = format!("the parameter {name} is needed");
    let code = IssueCode::Required;
    Failure::new(Category::Incorrect, "E-OPERATION-2", code, text).at(&place(name))
}

fn unknown(name: &str) -> Failure {
    let text = format!("the parameter {name} is not known to this operation or not supported here");
    let code = IssueCode::NotSupported;
    Failure::new(Category::Incorrect, "E-OPERATION-3", code, text).at(&place(name))
}

/// Where in a Parameters resource, in FHIRPath.
fn place(name: &str) -> String {
    format!("Parameters.parameter.where(name='{name}')")
}

/// NDJSON is read by the operation itself.
fn is_lines(exchange: &Exchange) -> bool {
    let kind = exchange.headers.get(http::header::CONTENT_TYPE);
    kind.and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.contains("ndjson"))
}

fn parts(items: &[Json]) -> Vec<Input> {
    items.iter().filter_map(input).collect()
}

fn input(item: &Json) -> Option<Input> {
    let name = item.get("name")?.as_str()?.to_owned();
    let object = item.as_object()?;
    let value = object.iter().find_map(|(key, content)| match key {
        "resource" => Some(Value::Resource(content.clone())),
        "part" => Some(Value::Parts(Inputs {
            list: parts(content.as_array().unwrap_or_default()),
            body: None,
        })),
        _ if key.starts_with("value") => Some(simple(content)),
        _ => None,
    })?;
    Some(Input { name, value })
}

fn simple(content: &Json) -> Value {
    match content {
        Json::String(text) => Value::Text(text.clone()),
        Json::Number(text) => Value::Text(text.to_string()),
        Json::Bool(flag) => Value::Text(flag.to_string()),
        other => Value::Complex(other.clone()),
    }
}
