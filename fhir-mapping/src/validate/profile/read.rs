//! A StructureDefinition to a tree of rules. The snapshot is taken when there is one.

use super::{
    AllowedType, Binding, Constraint, Discriminator, DiscriminatorKind, PathStep, Profile, Rule,
    Slice, Slicing, SlicingRules, is_core,
};
use crate::fhirpath::compile;
use crate::model::{Issue, IssueCode, Json, Severity};

/// More elements than any published profile has.
const ELEMENTS_MAX: usize = 5_000;
const DEPTH_MAX: usize = 24;

impl Profile {
    /// Reads and compiles; the issue names the element that cannot be used.
    pub fn read(definition: &Json) -> Result<Profile, Issue> {
        let text = |key: &str| definition.get(key).and_then(Json::as_str);
        let url = text("url").ok_or_else(|| unusable("url", "a profile needs its url"))?;
        let of_type = text("type").ok_or_else(|| unusable("type", "a profile needs its type"))?;
        let part = match definition.get("snapshot") {
            Some(_) => "snapshot",
            None => "differential",
        };
        let elements = definition.get(part).map_or(&[][..], |p| p.items("element"));
        if elements.len() > ELEMENTS_MAX {
            return Err(unusable(part, "the profile has too many elements"));
        }
        let mut root = Rule::default();
        for (index, element) in elements.iter().enumerate() {
            add(&mut root, element)
                .map_err(|reason| unusable(&format!("{part}.element[{index}]"), &reason))?;
        }
        let base = text("baseDefinition").filter(|base| !is_core(base));
        Ok(Profile {
            url: url.to_owned(),
            of_type: of_type.to_owned(),
            base: base.map(str::to_owned),
            root,
        })
    }
}

fn unusable(place: &str, reason: &str) -> Issue {
    let place = format!("StructureDefinition.{place}");
    Issue::error("E-VAL-30", IssueCode::NotSupported, place, reason)
}

/// Puts an element where its id says: `Patient.identifier:mrn.system`.
fn add(root: &mut Rule, element: &Json) -> Result<(), String> {
    let id = element.get("id").or(element.get("path"));
    let id = id.and_then(Json::as_str).unwrap_or_default();
    let mut rule = root;
    for (depth, segment) in id.split('.').skip(1).enumerate() {
        if depth >= DEPTH_MAX {
            return Err("the element is too deep".to_owned());
        }
        let (name, slice) = segment.split_once(':').unwrap_or((segment, ""));
        rule = child(rule, name.trim_end_matches("[x]"));
        // Slices of slices (`a:b/c`) are slices of the element.
        if !slice.is_empty() {
            rule = slice_of(rule, slice);
        }
    }
    fill(rule, element)
}

fn child<'r>(rule: &'r mut Rule, name: &str) -> &'r mut Rule {
    let at = rule.children.iter().position(|c| c.name == name);
    let at = at.unwrap_or_else(|| {
        rule.children.push(Rule {
            name: name.to_owned(),
            ..Rule::default()
        });
        rule.children.len() - 1
    });
    last_or(&mut rule.children, at)
}

fn slice_of<'r>(rule: &'r mut Rule, name: &str) -> &'r mut Rule {
    let at = rule.slices.iter().position(|s| s.name == name);
    let at = at.unwrap_or_else(|| {
        let of_slice = Rule {
            name: rule.name.clone(),
            ..Rule::default()
        };
        rule.slices.push(Slice {
            name: name.to_owned(),
            rule: of_slice,
        });
        rule.slices.len() - 1
    });
    &mut last_or(&mut rule.slices, at).rule
}

fn last_or<T>(list: &mut [T], at: usize) -> &mut T {
    match list.get_mut(at) {
        Some(item) => item,
        // The position was found or made just before.
        None => unreachable!("a position within the list"),
    }
}

fn fill(rule: &mut Rule, element: &Json) -> Result<(), String> {
    let min = element.get("min").and_then(Json::as_number);
    if let Some(min) = min.and_then(|m| m.parse().ok()) {
        rule.min = min;
    }
    let max = element.get("max").and_then(Json::as_str);
    if let Some(max) = max {
        rule.max = max.parse().ok();
    }
    let starting = |stem: &str| {
        let mut members = element.as_object().into_iter().flat_map(|o| o.iter());
        members
            .find(|(key, _)| key.strip_prefix(stem).is_some_and(starts_upper))
            .map(|(_, value)| value.clone())
    };
    rule.fixed = starting("fixed");
    rule.pattern = starting("pattern");
    rule.types = element.items("type").iter().map(allowed).collect();
    rule.binding = element.get("binding").and_then(binding);
    for constraint in element.items("constraint") {
        rule.invariants.extend(invariant(constraint)?);
    }
    let same_as = element.get("contentReference").and_then(Json::as_str);
    rule.same_as = same_as.and_then(|id| Some(id.rsplit_once('#')?.1.to_owned()));
    if let Some(given) = element.get("slicing") {
        rule.slicing = Some(slicing(given)?);
    }
    Ok(())
}

fn starts_upper(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase())
}

fn allowed(given: &Json) -> AllowedType {
    let texts = |key: &str| {
        let items = given.items(key).iter().filter_map(Json::as_str);
        items.map(str::to_owned).collect()
    };
    let code = given.get("code").and_then(Json::as_str).unwrap_or_default();
    AllowedType {
        code: code.to_owned(),
        profiles: texts("profile"),
        targets: texts("targetProfile"),
    }
}

fn binding(given: &Json) -> Option<Binding> {
    let strength = given.get("strength")?.as_str()?;
    let is_required = match strength {
        "required" => true,
        "extensible" => false,
        _ => return None,
    };
    Some(Binding {
        value_set: given.get("valueSet")?.as_str()?.to_owned(),
        is_required,
    })
}

/// `None` for R4's own rules, which are judged anyway, and for rules without an expression.
fn invariant(given: &Json) -> Result<Option<Constraint>, String> {
    let text = |key: &str| given.get(key).and_then(Json::as_str);
    let (Some(key), Some(expression)) = (text("key"), text("expression")) else {
        return Ok(None);
    };
    let is_r4 = match text("source") {
        Some(source) => is_core(source) || is_core(&with_base(source)),
        None => super::super::invariants::invariants().has_key(key),
    };
    if is_r4 {
        return Ok(None);
    }
    let expression = compile(expression)
        .map_err(|misread| format!("the expression of {key} cannot be read: {misread}"))?;
    let severity = match text("severity") {
        Some("warning") => Severity::Warning,
        _ => Severity::Error,
    };
    Ok(Some(Constraint {
        key: key.to_owned(),
        severity,
        text: text("human").unwrap_or("a rule of the profile").to_owned(),
        expression,
    }))
}

/// Some definitions name a type where a URL is wanted.
fn with_base(source: &str) -> String {
    let name = source.split('.').next().unwrap_or_default();
    format!("http://hl7.org/fhir/StructureDefinition/{name}")
}

fn slicing(given: &Json) -> Result<Slicing, String> {
    let mut slicing = Slicing {
        rules: match given.get("rules").and_then(Json::as_str) {
            Some("closed") => SlicingRules::Closed,
            Some("openAtEnd") => SlicingRules::OpenAtEnd,
            _ => SlicingRules::Open,
        },
        is_ordered: given.get("ordered") == Some(&Json::Bool(true)),
        ..Slicing::default()
    };
    for discriminator in given.items("discriminator") {
        let text = |key: &str| discriminator.get(key).and_then(Json::as_str);
        let kind = match text("type") {
            Some("value" | "pattern") => DiscriminatorKind::Value,
            Some("exists") => DiscriminatorKind::Exists,
            Some("type") => DiscriminatorKind::Type,
            _ => DiscriminatorKind::Profile,
        };
        let path = text("path").unwrap_or("$this");
        let compiled = compile(path)
            .map_err(|misread| format!("the discriminator {path} cannot be read: {misread}"))?;
        slicing.discriminators.push(Discriminator {
            kind,
            path: compiled,
            steps: steps(path),
        });
    }
    Ok(slicing)
}

/// The steps of a path; `ofType(X)` narrows a choice, which is named without its type here too.
fn steps(path: &str) -> Vec<PathStep> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(call) = rest.strip_prefix("extension(") {
            let (url, after) = call.split_once(')').unwrap_or((call, ""));
            steps.push(PathStep::Extension(
                url.trim_matches(['\'', '"']).to_owned(),
            ));
            rest = after.trim_start_matches('.');
            continue;
        }
        let (step, after) = rest.split_once('.').unwrap_or((rest, ""));
        match step {
            "resolve()" => steps.push(PathStep::Resolve),
            _ if step.starts_with('$') || step.contains('(') => {}
            name => steps.push(PathStep::Name(name.to_owned())),
        }
        rest = after;
    }
    steps
}
