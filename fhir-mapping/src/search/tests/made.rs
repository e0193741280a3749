//! Every path of every parameter, on a resource made for it from R4's element table: the value is
//! extracted, survives encoding, has its terms, and is found; the bare resource is not.

use super::*;
use crate::model::Object;
use crate::structure::table::{Element, Kind, Type, table};

/// A value of a type that a parameter of a kind is about, and a query that finds it.
fn sample(kind: &str, type_name: &str, target: &str) -> Option<(Json, String)> {
    let object = |members: &[(&str, Json)]| {
        Json::object(members.iter().map(|(key, value)| (*key, value.clone())))
    };
    let number = |text: &str| Json::Number(text.into());
    let coding = || object(&[("system", "http://x.org/s".into()), ("code", "c|1".into())]);
    let amount = |value: &str| {
        object(&[
            ("value", number(value)),
            ("system", "http://unitsofmeasure.org".into()),
            ("code", "mg".into()),
        ])
    };
    let token = r"http://x.org/s|c\|1".to_owned();
    Some(match (kind, type_name) {
        ("t", "boolean") => (Json::Bool(true), "true".to_owned()),
        ("t", "Coding") => (coding(), token),
        ("t", "CodeableConcept") => (object(&[("coding", Json::array([coding()]))]), token),
        ("t", "Identifier") => (
            object(&[("system", "http://x.org/s".into()), ("value", "c|1".into())]),
            token,
        ),
        ("t", "ContactPoint") => (object(&[("value", "c|1".into())]), r"c\|1".to_owned()),
        ("t", "code" | "string" | "id" | "uri" | "canonical" | "oid" | "url") => {
            ("c1".into(), "c1".to_owned())
        }
        ("s", "HumanName") => (
            object(&[("family", "Ségolène, B".into())]),
            r"segolene\, b".to_owned(),
        ),
        ("s", "Address") => (
            object(&[("city", "Ségolène, B".into())]),
            r"segolene\, b".to_owned(),
        ),
        ("s", "Annotation") => (
            object(&[("text", "Ségolène, B".into())]),
            r"segolene\, b".to_owned(),
        ),
        ("s", "string" | "markdown" | "code" | "uri" | "url") => {
            ("Ségolène, B".into(), r"segolene\, b".to_owned())
        }
        ("r", "Reference") => {
            let text = format!("{target}/x1");
            (object(&[("reference", text.as_str().into())]), text)
        }
        ("r", "canonical" | "uri") => ("http://x.org/c1".into(), "http://x.org/c1".to_owned()),
        ("r", "Resource") => (
            object(&[("resourceType", target.into()), ("id", "x1".into())]),
            format!("{target}/x1"),
        ),
        ("d", "date" | "dateTime") => ("2020-03-04".into(), "2020-03".to_owned()),
        ("d", "instant") => (
            "2020-03-04T05:06:07.008Z".into(),
            "2020-03-04T05:06:07.008Z".to_owned(),
        ),
        ("d", "Period") => (
            object(&[("start", "2020-03-04".into()), ("end", "2020-03-09".into())]),
            "2020-03".to_owned(),
        ),
        ("d", "Timing") => (
            object(&[("event", Json::array(["2020-03-04".into()]))]),
            "2020-03".to_owned(),
        ),
        ("u", "uri" | "url" | "canonical" | "oid" | "uuid") => {
            ("http://x.org/a,b".into(), r"http://x.org/a\,b".to_owned())
        }
        ("n", "decimal" | "integer" | "positiveInt" | "unsignedInt") => {
            (number("5"), "5".to_owned())
        }
        ("n" | "q", "Range") => (
            object(&[("low", amount("5")), ("high", amount("6"))]),
            "gt5".to_owned(),
        ),
        (
            "q",
            "Quantity" | "SimpleQuantity" | "Age" | "Duration" | "Count" | "Distance"
            | "MoneyQuantity",
        ) => (
            amount("5.40"),
            "0.00540|http://unitsofmeasure.org|g".to_owned(),
        ),
        ("q", "Money") => (
            object(&[("value", number("5.40")), ("currency", "EUR".into())]),
            "5.4||EUR".to_owned(),
        ),
        ("q", "SampledData") => (
            object(&[("origin", amount("5")), ("data", "1 2".into())]),
            "gt6".to_owned(),
        ),
        ("x", _) => (
            object(&[("latitude", number("-6.8")), ("longitude", number("39.2"))]),
            "-6.8|39.2|1|m".to_owned(),
        ),
        _ => return None,
    })
}

/// What a path leads to, in one of its types.
struct Maker<'a> {
    kind: &'a str,
    target: &'a str,
    /// Which of a choice's types to take.
    choice: &'a str,
    query: Option<String>,
}

const CHOICES: [&str; 26] = [
    "Age",
    "Annotation",
    "Boolean",
    "Canonical",
    "Code",
    "CodeableConcept",
    "Coding",
    "Date",
    "DateTime",
    "Decimal",
    "Duration",
    "Identifier",
    "Instant",
    "Integer",
    "Money",
    "Period",
    "Quantity",
    "Range",
    "Ratio",
    "Reference",
    "SampledData",
    "String",
    "Timing",
    "Uri",
    "Markdown",
    "PositiveInt",
];

impl Maker<'_> {
    /// Puts a sample at the end of the steps; false when there is none of this choice or type.
    fn put(&mut self, node: &mut Object, of: &Type, steps: &[String]) -> bool {
        let Some((step, rest)) = steps.split_first() else {
            return false;
        };
        if step.starts_with("where(") {
            constrain(node, step);
            return self.put(node, of, rest);
        }
        let name = match step.strip_suffix("[x]") {
            Some(stem) => format!("{stem}{}", self.choice),
            None => step.replace("[0]", ""),
        };
        let Some(element) = of.element(&name).copied() else {
            return false;
        };
        let inner = match element.kind {
            Kind::Complex(index) => table().type_at(index),
            _ => None,
        };
        let ends = rest.iter().all(|step| step.starts_with("where("));
        let mut value = match node.get(&name) {
            Some(Json::Array(items)) => items[0].clone(),
            Some(one) => one.clone(),
            None => Json::Object(Object::new()),
        };
        let made = match (ends, inner) {
            (true, _) => self.end(element, rest, &mut value),
            (false, Some(inner)) => self.put(value.as_object_mut().unwrap(), inner, rest),
            (false, None) => false,
        };
        let value = if element.is_array {
            Json::array([value])
        } else {
            value
        };
        node.set(&name, value);
        made
    }

    fn end(&mut self, element: Element, conditions: &[String], value: &mut Json) -> bool {
        let wanted = conditions
            .iter()
            .find_map(|c| c.strip_prefix("where(resolve() is "));
        let target = wanted
            .map_or(self.target, |w| w.trim_end_matches(')'))
            .to_owned();
        let type_name = if element.kind == Kind::Resource {
            "Resource"
        } else {
            element.type_name
        };
        let Some((made, query)) = sample(self.kind, type_name, &target) else {
            return false;
        };
        *value = made;
        if let Some(object) = value.as_object_mut() {
            conditions
                .iter()
                .for_each(|condition| constrain(object, condition));
        }
        self.query = Some(query);
        true
    }
}

fn constrain(node: &mut Object, condition: &str) {
    if let Some((key, literal)) = condition
        .trim_start_matches("where(")
        .trim_end_matches(')')
        .split_once('=')
    {
        node.set(key, literal.trim_matches('\'').into());
    }
}

fn steps(path: &str) -> Vec<String> {
    let path = path
        .split('{')
        .next()
        .unwrap()
        .replace("resolve() is ", "resolve()_is_");
    let steps = path.split('.').filter(|step| !step.is_empty());
    steps
        .map(|step| step.replace("resolve()_is_", "resolve() is "))
        .collect()
}

fn bare(resource_type: &str) -> Object {
    let mut object = Object::new();
    object.set("resourceType", resource_type.into());
    object.set("id", "r1".into());
    object
}

/// Is the made resource found by the query, and the bare one not?
fn proven(resource_type: &str, made: Object, (name, text): (&str, &str)) {
    let zone = zone("Africa/Dar_es_Salaam");
    let pairs = [(name.to_owned(), text.to_owned())];
    let query = Query::parse(resource_type, &pairs, Handling::Strict, &zone)
        .unwrap_or_else(|issues| panic!("{resource_type}.{name}={text}: {issues:?}"));
    let made = Json::Object(made);
    let values = SearchValues::decode(&extract(&made, &zone).encode(), &zone).unwrap();
    assert!(
        query.matches(&values),
        "{resource_type}.{name}={text} misses {made:?}"
    );
    let terms = values.terms();
    for group in query.candidates().all_of {
        let is_proposed = group.iter().any(|term| terms.binary_search(term).is_ok());
        assert!(is_proposed, "{resource_type}.{name}={text}: no candidate");
    }
    let none = extract(&Json::Object(bare(resource_type)), &zone);
    assert!(
        !query.matches(&none),
        "{resource_type}.{name}={text} finds what has no value"
    );
}

#[test]
fn every_path_of_every_parameter_is_found() {
    let (mut parameters, mut proofs, mut without) = (0, 0, Vec::new());
    for row in oracle::rows() {
        if row.name.starts_with('_') {
            continue;
        }
        let of = table().resource(&row.resource_type).unwrap();
        let before = proofs;
        if row.kind == "c" {
            for context in row.paths.split('|') {
                let mut made = bare(&row.resource_type);
                let mut asked = Vec::new();
                for component in row.components.split(';') {
                    let parts: Vec<&str> = component.splitn(3, '=').collect();
                    let path = parts[2].split('|').next().unwrap();
                    let absolute = path.strip_prefix('%').map(str::to_owned);
                    let path = absolute.unwrap_or_else(|| format!("{context}.{path}"));
                    let mut maker = Maker {
                        kind: parts[0],
                        target: &row.resource_type,
                        choice: "",
                        query: None,
                    };
                    assert!(
                        maker.put(&mut made, of, &steps(&path)),
                        "{} {path}",
                        row.name
                    );
                    asked.push(maker.query.unwrap().replace('$', r"\$"));
                }
                proven(&row.resource_type, made, (row.name, &asked.join("$")));
                proofs += 1;
            }
        }
        let target = row
            .components
            .split(',')
            .next()
            .filter(|t| !matches!(*t, "" | "*"))
            .unwrap_or("Patient");
        for path in row.paths.split('|').filter(|_| row.kind != "c") {
            let is_true = path.ends_with(".isTrue()");
            let path = path.replace(".isTrue()", "");
            for choice in CHOICES
                .iter()
                .filter(|c| path.contains("[x]") || **c == CHOICES[0])
            {
                let mut made = bare(&row.resource_type);
                let mut maker = Maker {
                    kind: row.kind,
                    target,
                    choice,
                    query: None,
                };
                if maker.put(&mut made, of, &steps(&path)) {
                    let text = if is_true {
                        "true".to_owned()
                    } else {
                        maker.query.unwrap()
                    };
                    let text = if row.name == "phonetic" {
                        "segolen".to_owned()
                    } else {
                        text
                    };
                    proven(&row.resource_type, made, (row.name, &text));
                    proofs += 1;
                }
            }
        }
        parameters += 1;
        if proofs == before {
            without.push(format!("{}.{}", row.resource_type, row.name));
        }
    }
    eprintln!("{parameters} parameters, {proofs} proofs");
    assert_eq!(without, Vec::<String>::new());
    assert!(
        parameters == 1700 && proofs >= 1785,
        "{parameters} parameters, {proofs} proofs"
    );
}
