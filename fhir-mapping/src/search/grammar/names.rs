//! The name of a criterion: `code:exact`, `subject:Patient.name`, `_has:Type:param:rest`.
//! (R4 3.1.1.4.17, 3.1.1.4.18)

use super::filter;
use crate::model::{Issue, IssueCode};
use crate::search::asking::Asking;
use crate::search::condition::{Branch, Chain, Condition, Has, Hierarchy};
use crate::search::criterion::{Asked, Criterion};
use crate::search::definitions::{self, Kind, Parameter, is_resource_type};
use crate::search::kinds::escape::{split, unescape};
use crate::search::kinds::reference;
use crate::search::words::Words;
use crate::search::zone::Zone;
use std::cell::Cell;

/// Reads criteria within the bounds of one request.
pub(in crate::search) struct Reader<'a> {
    pub(in crate::search) asking: &'a Asking<'a>,
    /// Conditions that may still be made: a chain makes one for each possible type.
    budget: Cell<usize>,
}

/// A name and a value below the links that lead to it.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) resource_type: &'a str,
    pub(super) depth: usize,
}

/// Reads what stands behind a `_has` for the type that it leads to.
pub(super) type Inner<'f> = dyn Fn(&Reader, Place, &str) -> Result<Option<Condition>, Issue> + 'f;

/// Reads what stands behind a reference for one type that it leads to.
pub(super) type Rest<'f> = dyn Fn(&Reader, Place) -> Result<Option<Condition>, Issue> + 'f;

/// More criteria than any honest form has, each possible type of a chain counted.
const CONDITIONS_MAX: usize = 256;
/// More links in a row are refused.
const DEPTH_MAX: usize = 6;
/// A longer name is refused: no chain within the depth needs it.
const NAME_BYTES_MAX: usize = 512;
/// A longer value is refused; 1,000 ids fit.
const VALUE_BYTES_MAX: usize = 128 * 1024;
/// A chain over more types than this must name one.
const BRANCHES_MAX: usize = 24;

/// A list that nobody keeps (R4 <https://hl7.org/fhir/R4/lifecycle.html>, "Current Resource Lists").
struct Functional {
    name: &'static str,
    resource_type: &'static str,
    criteria: &'static [(&'static str, &'static str)],
}

const UNFOUNDED: (&str, &str) = ("verification-status:not", "refuted,entered-in-error");

const FUNCTIONAL: [Functional; 5] = [
    Functional {
        name: "$current-problems",
        resource_type: "Condition",
        criteria: &[("clinical-status", "active,recurrence,relapse"), UNFOUNDED],
    },
    Functional {
        name: "$current-allergies",
        resource_type: "AllergyIntolerance",
        criteria: &[("clinical-status", "active"), UNFOUNDED],
    },
    Functional {
        name: "$current-drug-allergies",
        resource_type: "AllergyIntolerance",
        criteria: &[
            ("clinical-status", "active"),
            UNFOUNDED,
            ("category", "medication"),
        ],
    },
    Functional {
        name: "$current-medications",
        resource_type: "MedicationStatement",
        criteria: &[("status", "active")],
    },
    Functional {
        name: "$current-medications",
        resource_type: "MedicationRequest",
        criteria: &[("status", "active")],
    },
];

impl<'a> Reader<'a> {
    pub(in crate::search) fn new(asking: &'a Asking<'a>) -> Reader<'a> {
        Reader {
            asking,
            budget: Cell::new(CONDITIONS_MAX),
        }
    }

    /// `None` when the type has no such parameter.
    pub(in crate::search) fn condition(
        &self,
        resource_type: &str,
        name: &str,
        value: &str,
    ) -> Result<Option<Condition>, Issue> {
        if name.len() > NAME_BYTES_MAX || value.len() > VALUE_BYTES_MAX {
            let text = format!("{}: the parameter is too long", shown(name));
            return Err(Issue::error("E-SEARCH-9", IssueCode::TooLong, "", text));
        }
        let place = Place {
            resource_type,
            depth: 0,
        };
        self.at(place, name, value)
    }

    pub(super) fn at(
        &self,
        at: Place,
        name: &str,
        value: &str,
    ) -> Result<Option<Condition>, Issue> {
        if at.depth > DEPTH_MAX {
            let text = format!("a chain of more than {DEPTH_MAX} links");
            return Err(Issue::error("E-SEARCH-10", IssueCode::TooCostly, "", text));
        }
        if let Some(rest) = name.strip_prefix("_has:") {
            let inner: &Inner = &|reader, place, rest| reader.at(place, rest, value);
            return self.has(at, rest, inner).map(Some);
        }
        if let Some((head, rest)) = name.split_once('.') {
            return self.chain(at, head, &|reader, place| reader.at(place, rest, value));
        }
        let (code, modifier) = name.split_once(':').unwrap_or((name, ""));
        // Modifiers that start so are those of filters.
        if modifier.starts_with('~') {
            return Err(unreadable(code, "no such modifier"));
        }
        match code {
            "_list" if modifier.is_empty() => self.list(at, value).map(Some),
            "_text" | "_content" if modifier.is_empty() => self.words(code, value).map(Some),
            "_filter" if modifier.is_empty() => {
                self.needs_reach(code)?;
                filter::parse(self, at, value).map(Some)
            }
            _ => self.own(at, (code, modifier), value),
        }
    }

    fn own(
        &self,
        at: Place,
        (code, modifier): (&str, &str),
        value: &str,
    ) -> Result<Option<Condition>, Issue> {
        let Some((index, parameter)) = self.find(at.resource_type, code) else {
            return Ok(None);
        };
        let asked = Asked {
            parameter,
            index,
            modifier,
            value,
        };
        self.made(at, &asked).map(Some)
    }

    /// The condition of a parameter with its modifier.
    pub(super) fn made(&self, at: Place, asked: &Asked) -> Result<Condition, Issue> {
        self.spend()?;
        match (asked.parameter.kind, asked.modifier) {
            (Kind::Reference, "above" | "below") => self.hierarchy(at, asked),
            (Kind::Uri, "" | "below") if asked.parameter.name == "url" => self.canonical(at, asked),
            _ => Criterion::parse(at.resource_type, asked, self.asking).map(Condition::Own),
        }
    }

    /// Follows a reference parameter to every type that `rest` can be read for.
    pub(super) fn chain(
        &self,
        at: Place,
        head: &str,
        rest: &Rest,
    ) -> Result<Option<Condition>, Issue> {
        self.needs_reach(head)?;
        let (code, wanted) = head.split_once(':').unwrap_or((head, ""));
        let Some((_, parameter)) = self.find(at.resource_type, code) else {
            return Err(unreadable(head, "no such parameter to chain from"));
        };
        if parameter.kind != Kind::Reference {
            return Err(unreadable(head, "only a reference can be chained from"));
        }
        let mut branches = Vec::new();
        let mut refused = None;
        for target in targets(parameter, wanted, head)? {
            let place = Place {
                resource_type: target,
                depth: at.depth + 1,
            };
            match rest(self, place) {
                Ok(Some(condition)) => branches.push(Branch {
                    resource_type: target.to_owned(),
                    condition,
                }),
                Ok(None) => {}
                Err(issue) if issue.code == IssueCode::TooCostly => return Err(issue),
                Err(issue) => refused = Some(issue),
            }
        }
        if branches.is_empty() {
            let unknown =
                || unreadable(head, "no type that it refers to has the parameter after it");
            return Err(refused.unwrap_or_else(unknown));
        }
        if branches.len() > BRANCHES_MAX {
            return Err(unreadable(
                head,
                "may refer to many types: name one, as in subject:Patient.name",
            ));
        }
        Ok(Some(Condition::Chain(Chain {
            parameter: parameter.name,
            branches,
        })))
    }

    /// `Type:parameter:rest`
    pub(super) fn has(&self, at: Place, text: &str, inner: &Inner) -> Result<Condition, Issue> {
        self.needs_reach("_has")?;
        let mut parts = text.splitn(3, ':');
        let (source, code) = (parts.next().unwrap_or_default(), parts.next());
        let (Some(code), Some(rest)) = (code, parts.next()) else {
            return Err(unreadable("_has", "not _has:Type:reference:parameter"));
        };
        let parameter = reference_of(self.asking.zone, (source, code)).ok_or_else(|| {
            unreadable("_has", "no such type, or no such reference parameter of it")
        })?;
        let points_here =
            parameter.targets.is_empty() || parameter.targets.contains(&at.resource_type);
        if !points_here {
            return Err(unreadable(
                "_has",
                "this parameter never refers to the searched type",
            ));
        }
        let place = Place {
            resource_type: source,
            depth: at.depth + 1,
        };
        let condition = inner(self, place, rest)?;
        let condition =
            condition.ok_or_else(|| unreadable("_has", "the type has no such parameter"))?;
        Ok(Condition::Has(Has {
            source_type: source.to_owned(),
            parameter: parameter.name,
            condition: Box::new(condition),
        }))
    }

    /// `_list=id`: members of a List.
    fn list(&self, at: Place, value: &str) -> Result<Condition, Issue> {
        if value.starts_with('$') {
            return self.functional(at, value);
        }
        let ids: Vec<String> = split(value, ',')
            .into_iter()
            .map(|id| id.strip_prefix("List/").unwrap_or(id).to_owned())
            .collect();
        let ids = ids.join(",");
        self.has(at, "List:item:_id", &|reader, place, rest| {
            reader.at(place, rest, &ids)
        })
    }

    /// `_list=$current-problems`: what the resources say of themselves.
    fn functional(&self, at: Place, value: &str) -> Result<Condition, Issue> {
        let is_asked =
            |list: &&Functional| list.name == value && list.resource_type == at.resource_type;
        let Some(list) = FUNCTIONAL.iter().find(is_asked) else {
            let why = "functional lists of this type: there is none of that name";
            return Err(unreadable("_list", why));
        };
        let mut parts = Vec::new();
        for (name, value) in list.criteria {
            parts.extend(self.at(at, name, value)?);
        }
        Ok(Condition::All(parts))
    }

    fn words(&self, code: &str, value: &str) -> Result<Condition, Issue> {
        self.needs_reach(code)?;
        self.spend()?;
        Words::parse(&unescape(value), code == "_text")
            .map(Condition::Words)
            .ok_or_else(|| unreadable(code, "no word to look for"))
    }

    /// `url=http://a.b/c|1.0`: a `|version` behind the url asks for the business version of the
    /// resource (R4 3.1.1.4.13); with `:below` for one of that version, as 1.0 is of 1.
    fn canonical(&self, at: Place, asked: &Asked) -> Result<Condition, Issue> {
        let parse = |asked: &Asked| {
            Criterion::parse(at.resource_type, asked, self.asking).map(Condition::Own)
        };
        let mut any = vec![parse(asked)?];
        let version = self
            .find(at.resource_type, "version")
            .filter(|(_, p)| p.kind == Kind::Token);
        for value in split(asked.value, ',') {
            let parts = split(value, '|');
            let ([url, its], Some((index, parameter))) = (parts.as_slice(), version) else {
                continue;
            };
            self.spend()?;
            let url = parse(&Asked {
                modifier: "",
                value: url,
                ..*asked
            })?;
            let modifier = match asked.modifier {
                "below" => "~within",
                _ => "",
            };
            let version = parse(&Asked {
                parameter,
                index,
                modifier,
                value: its,
            })?;
            any.push(Condition::All(vec![url, version]));
        }
        Ok(one_of(any))
    }

    /// `:above` and `:below` on a reference: to a type that has parents, or to a canonical, whose
    /// versions stand below it.
    fn hierarchy(&self, at: Place, asked: &Asked) -> Result<Condition, Issue> {
        let name = asked.parameter.name;
        let places: Vec<_> = split(asked.value, ',');
        let mut any = Vec::new();
        for text in places.into_iter().filter(|text| !text.is_empty()) {
            self.spend()?;
            let is_absolute = text.contains(':') && may_be_canonical(asked.parameter);
            if is_absolute {
                let one = Asked {
                    value: text,
                    ..*asked
                };
                let found = Criterion::parse(at.resource_type, &one, self.asking)?;
                any.push(Condition::Own(found));
            }
            let place = reference::place(&unescape(text), &asked.parameter.targets);
            let has_parents =
                |(name, _): &(String, String)| definitions::parent_parameter(name).is_some();
            if is_absolute && !place.as_ref().is_some_and(has_parents) {
                continue;
            }
            self.needs_reach(name)?;
            let (target_type, target_id) =
                place.ok_or_else(|| unreadable(name, ":above and :below take Type/id or a URL"))?;
            let parent = definitions::parent_parameter(&target_type).ok_or_else(|| {
                unreadable(
                    name,
                    ":above and :below need a type whose resources have parents",
                )
            })?;
            any.push(Condition::Hierarchy(Hierarchy {
                parameter: asked.parameter.name,
                target_type,
                target_id,
                parent,
                is_below: asked.modifier == "below",
            }));
        }
        Ok(one_of(any))
    }

    pub(super) fn find(
        &self,
        resource_type: &str,
        code: &str,
    ) -> Option<(u16, &'static Parameter)> {
        self.asking.zone.of_type(resource_type)?.find(code)
    }

    pub(super) fn spend(&self) -> Result<(), Issue> {
        let left = self.budget.get().checked_sub(1);
        let Some(left) = left else {
            let text =
                format!("more than {CONDITIONS_MAX} criteria, possible types of chains counted");
            return Err(Issue::error("E-SEARCH-11", IssueCode::TooCostly, "", text));
        };
        self.budget.set(left);
        Ok(())
    }

    /// Never left out silently: it would widen the answer to other patients.
    fn needs_reach(&self, name: &str) -> Result<(), Issue> {
        if self.asking.reaches {
            return Ok(());
        }
        let text = format!(
            "{}: criteria on other resources are not supported here",
            shown(name)
        );
        Err(Issue::error(
            "E-SEARCH-5",
            IssueCode::NotSupported,
            "",
            text,
        ))
    }
}

/// May the reference be to a type that has canonical urls?
fn may_be_canonical(parameter: &Parameter) -> bool {
    let has_url = |name: &&str| {
        let url = definitions::of_type(name).and_then(|d| d.find("url"));
        url.is_some_and(|(_, p)| p.kind == Kind::Uri)
    };
    parameter.targets.is_empty() || parameter.targets.iter().any(has_url)
}

/// Any of these conditions.
fn one_of(mut any: Vec<Condition>) -> Condition {
    match (any.pop(), any.is_empty()) {
        (Some(only), true) => only,
        (last, _) => Condition::Any(any.into_iter().chain(last).collect()),
    }
}

/// A reference parameter of an R4 type.
pub(super) fn reference_of(
    zone: &Zone,
    (resource_type, code): (&str, &str),
) -> Option<&'static Parameter> {
    let of_type = is_resource_type(resource_type).then(|| zone.of_type(resource_type));
    let (_, parameter) = of_type.flatten()?.find(code)?;
    (parameter.kind == Kind::Reference).then_some(parameter)
}

/// The types that a chain leads to.
fn targets(parameter: &Parameter, wanted: &str, head: &str) -> Result<Vec<&'static str>, Issue> {
    if wanted.is_empty() {
        return Ok(match parameter.targets.as_slice() {
            [] => definitions::resource_types().collect(),
            list => list.to_vec(),
        });
    }
    let known = definitions::resource_types().find(|name| *name == wanted);
    known
        .filter(|name| parameter.targets.is_empty() || parameter.targets.contains(name))
        .map(|name| vec![name])
        .ok_or_else(|| unreadable(head, "does not refer to a type of this name"))
}

/// A chain or filter that cannot be read is an error under every handling.
pub(super) fn unreadable(name: &str, why: &str) -> Issue {
    let text = format!("{}: {why}", shown(name));
    Issue::error("E-SEARCH-12", IssueCode::Value, "", text)
}

/// A name is no patient's value, but it is cut in case one was put there.
fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}
