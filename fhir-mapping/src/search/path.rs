//! The part of FHIRPath that search expressions use, compiled once and walked without copying.

use crate::model::{Json, Reference};

/// A compiled expression: steps from the resource down to the values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    steps: Vec<Step>,
    /// The code system that a plain `code` element has by its binding.
    pub(super) system: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// `name`
    Member(&'static str),
    /// `entry[0]`: the first item only.
    First(&'static str),
    /// `effective[x]`: whichever type was chosen.
    Choice(&'static str),
    /// `where(system='phone')`
    Where(&'static str, &'static str),
    /// `where(resolve() is Patient)`, decided by the reference's text.
    Refers(&'static str),
    /// `isTrue()` after a choice: present and not `false`; absent counts as false.
    IsTrue(&'static str),
}

const SYSTEM_BASE: &str = "http://hl7.org/fhir/";

static TRUE: Json = Json::Bool(true);
static FALSE: Json = Json::Bool(false);

impl Path {
    /// `None` when the text is outside the subset. `.` is where the walk starts.
    pub(super) fn compile(text: &'static str) -> Option<Path> {
        if text == "." {
            return Some(Path {
                steps: Vec::new(),
                system: None,
            });
        }
        let (text, system) = match text.strip_suffix('}') {
            Some(rest) => {
                let (path, system) = rest.rsplit_once('{')?;
                let base = if system.contains(':') {
                    ""
                } else {
                    SYSTEM_BASE
                };
                (path, Some(format!("{base}{system}")))
            }
            None => (text, None),
        };
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (step, after) = split_step(rest)?;
            rest = after;
            let step = compile_step(step, &mut steps)?;
            steps.push(step);
        }
        (!steps.is_empty()).then_some(Path { steps, system })
    }

    /// Calls `found` with every value of the expression. Arrays are entered on the way.
    pub(super) fn visit<'a>(&self, root: &'a Json, found: &mut dyn FnMut(&'a Json)) {
        walk(&self.steps, root, root, found);
    }

    /// The same from a node below the root.
    pub(super) fn visit_from<'a>(
        &self,
        node: &'a Json,
        root: &'a Json,
        found: &mut dyn FnMut(&'a Json),
    ) {
        walk(&self.steps, node, root, found);
    }
}

/// Splits at the first dot that is outside parentheses.
fn split_step(text: &'static str) -> Option<(&'static str, &'static str)> {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.checked_sub(1)?,
            b'.' if depth == 0 => return Some((text.get(..at)?, text.get(at + 1..)?)),
            _ => {}
        }
    }
    (depth == 0).then_some((text, ""))
}

fn compile_step(text: &'static str, before: &mut Vec<Step>) -> Option<Step> {
    if text == "isTrue()" {
        let Some(Step::Choice(stem)) = before.pop() else {
            return None;
        };
        return Some(Step::IsTrue(stem));
    }
    if let Some(condition) = text
        .strip_prefix("where(")
        .and_then(|t| t.strip_suffix(')'))
    {
        if let Some(resource_type) = condition.strip_prefix("resolve() is ") {
            return is_name(resource_type).then_some(Step::Refers(resource_type));
        }
        let (key, literal) = condition.split_once("='")?;
        let literal = literal.strip_suffix('\'')?;
        return is_name(key).then_some(Step::Where(key, literal));
    }
    let (name, step): (_, fn(&'static str) -> Step) = match text.strip_suffix(']') {
        Some(indexed) => match indexed.split_once('[')? {
            (name, "x") => (name, Step::Choice),
            (name, "0") => (name, Step::First),
            _ => return None,
        },
        None => (text, Step::Member),
    };
    is_name(name).then(|| step(name))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn walk<'a>(steps: &[Step], node: &'a Json, root: &'a Json, found: &mut dyn FnMut(&'a Json)) {
    if let Json::Array(items) = node {
        items.iter().for_each(|item| walk(steps, item, root, found));
        return;
    }
    let Some((step, rest)) = steps.split_first() else {
        found(node);
        return;
    };
    match *step {
        Step::Member(key) => {
            if let Some(next) = node.get(key) {
                walk(rest, next, root, found);
            }
        }
        Step::First(key) => {
            if let Some(next) = node.items(key).first() {
                walk(rest, next, root, found);
            }
        }
        Step::Choice(stem) => {
            if let Some(next) = choice(node, stem) {
                walk(rest, next, root, found);
            }
        }
        Step::Where(key, literal) => {
            if node.get(key).and_then(Json::as_str) == Some(literal) {
                walk(rest, node, root, found);
            }
        }
        Step::Refers(resource_type) => {
            if target_type(node, root) == Some(resource_type) {
                walk(rest, node, root, found);
            }
        }
        Step::IsTrue(stem) => {
            let holds = choice(node, stem).is_some_and(|v| v.as_bool() != Some(false));
            found(if holds { &TRUE } else { &FALSE });
        }
    }
}

/// The member `stem` + a type name, such as `valueQuantity`.
fn choice<'a>(node: &'a Json, stem: &str) -> Option<&'a Json> {
    let is_choice = |key: &str| {
        key.strip_prefix(stem)
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
    };
    node.as_object()?
        .iter()
        .find(|(key, _)| is_choice(key))
        .map(|(_, value)| value)
}

/// The type a reference points at, as far as its text or its `type` tell.
fn target_type<'a>(node: &'a Json, root: &'a Json) -> Option<&'a str> {
    match node.get("reference").and_then(Json::as_str) {
        Some(text) => match Reference::parse(text) {
            Reference::Literal { resource_type, .. } => Some(resource_type),
            Reference::Contained(id) => root
                .items("contained")
                .iter()
                .find(|inner| inner.id() == Some(id))
                .and_then(Json::resource_type),
            Reference::Conditional { resource_type, .. } => Some(resource_type),
            _ => node.get("type").and_then(Json::as_str),
        },
        None => node.get("type").and_then(Json::as_str),
    }
}
