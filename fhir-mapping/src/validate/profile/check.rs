//! A resource beside a profile's rules: counts, values, types, bindings, invariants, slices.

use super::super::rules::{Named, Walk};
use super::slicing::{holds, is_of_types, named, slice_of};
use super::{Binding, Profile, Profiles, Rule, plain};
use crate::fhirpath::{Node, Outside, Scope, types};
use crate::model::{Issue, IssueCode, Json, Reference, Severity};

/// Profiles inside profiles, no deeper than this.
const DEPTH_MAX: usize = 8;

/// Adds the findings of a profile, and of those it is based on.
pub(in crate::validate) fn check<'a>(
    walk: &mut Walk<'a>,
    resource: &'a Json,
    (profile, profiles): (&'a Profile, &'a Profiles),
) {
    let scope = walk.scope(resource);
    let mut check = Check {
        walk,
        profiles,
        depth: 0,
    };
    let path = scope.focus.type_name().to_owned();
    check.profile(profile, &scope, &path);
}

struct Check<'a, 'w> {
    walk: &'w mut Walk<'a>,
    profiles: &'a Profiles,
    depth: usize,
}

impl<'a> Check<'a, '_> {
    fn profile(&mut self, profile: &'a Profile, scope: &Scope<'a>, path: &str) {
        let mut next = Some(profile);
        for _ in 0..DEPTH_MAX {
            let Some(profile) = next else { return };
            if !types::specialises(scope.focus.type_name(), &profile.of_type) {
                let text = format!("{} is a profile of {}", profile.url, profile.of_type);
                self.error("E-VAL-31", IssueCode::Structure, path, text);
                return;
            }
            self.invariants(&profile.root, scope, path);
            self.children(&profile.root, scope, path);
            let base = profile.base.as_deref();
            next = base.and_then(|url| self.profiles.get(url));
        }
    }

    fn children(&mut self, rule: &'a Rule, scope: &Scope<'a>, path: &str) {
        for child in &rule.children {
            let found = named(&scope.focus, &child.name);
            if self.walk.budget.spend(found.len() + 1).is_err() {
                return self.too_costly(path);
            }
            let at = format!("{path}.{}", child.name);
            self.count(child, found.len(), &at);
            for node in &found {
                let at = format!("{path}.{}", node.last_step());
                self.value(child, &scope.at(node.clone()), &at);
            }
            if !child.slices.is_empty() {
                self.slices(child, (scope, &found), path);
            }
        }
    }

    fn count(&mut self, rule: &Rule, count: usize, path: &str) {
        if count < rule.min {
            let text = format!("the profile wants at least {} of it", rule.min);
            self.error("E-VAL-32", IssueCode::Required, path, text);
        }
        if rule.max.is_some_and(|max| count > max) {
            let max = rule.max.unwrap_or_default();
            let text = format!("the profile allows at most {max} of it");
            self.error("E-VAL-33", IssueCode::Structure, path, text);
        }
    }

    fn slices(&mut self, rule: &'a Rule, (scope, found): (&Scope<'a>, &[Node<'a>]), path: &str) {
        let mut counts = vec![0_usize; rule.slices.len()];
        for node in found {
            let inner = scope.at(node.clone());
            let at = format!("{path}.{}", node.last_step());
            match slice_of(rule, &inner) {
                Some(slice) => {
                    let index = rule.slices.iter().position(|s| std::ptr::eq(s, slice));
                    let count = index.and_then(|i| counts.get_mut(i));
                    count.into_iter().for_each(|count| *count += 1);
                    self.value(&slice.rule, &inner, &at);
                }
                None if rule.slicing.as_ref().is_some_and(|s| s.is_closed) => {
                    let text = "the profile allows its own slices only, and this fits none";
                    self.error("E-VAL-34", IssueCode::Structure, &at, text.to_owned());
                }
                None => {}
            }
            if self.walk.budget.spend(rule.slices.len()).is_err() {
                return self.too_costly(&at);
            }
        }
        for (slice, count) in rule.slices.iter().zip(counts) {
            let at = format!("{path}.{}:{}", rule.name, slice.name);
            self.count(&slice.rule, count, &at);
        }
    }

    fn value(&mut self, rule: &'a Rule, scope: &Scope<'a>, path: &str) {
        let node = &scope.focus;
        if let Some(json) = node.json() {
            if rule.fixed.as_ref().is_some_and(|fixed| fixed != json) {
                let text = "the profile fixes another value".to_owned();
                self.error("E-VAL-35", IssueCode::Value, path, text);
            }
            if rule.pattern.as_ref().is_some_and(|p| !holds(json, p)) {
                let text = "the value lacks what the profile's pattern holds".to_owned();
                self.error("E-VAL-36", IssueCode::Value, path, text);
            }
            if let Some(binding) = &rule.binding {
                self.binding(binding, json, path);
            }
        }
        if !rule.types.is_empty() {
            self.types(rule, scope, path);
        }
        self.invariants(rule, scope, path);
        self.children(rule, scope, path);
    }

    fn types(&mut self, rule: &'a Rule, scope: &Scope<'a>, path: &str) {
        let node = &scope.focus;
        if !is_of_types(node, rule) {
            let codes: Vec<&str> = rule.types.iter().map(|of| of.code.as_str()).collect();
            let text = format!("the profile allows {} here", codes.join(", "));
            self.error("E-VAL-37", IssueCode::Structure, path, text);
            return;
        }
        let found = node.type_name();
        let mut of_type = rule
            .types
            .iter()
            .filter(|of| types::specialises(found, &of.code));
        let Some(of) = of_type.next() else { return };
        if found == "Reference" && !of.targets.is_empty() {
            self.target(&of.targets, node, path);
        }
        // Several profiles are alternatives: only one alone is sure to be meant.
        if let [url] = of.profiles.as_slice()
            && let Some(profile) = self.profiles.get(url)
            && self.depth < DEPTH_MAX
        {
            self.depth += 1;
            self.profile(profile, scope, path);
            self.depth -= 1;
        }
    }

    /// A reference's target by type, as far as its text tells.
    fn target(&mut self, targets: &[String], node: &Node<'a>, path: &str) {
        let text = node.json().and_then(|j| j.get("reference")?.as_str());
        let Some(Reference::Literal { resource_type, .. }) = text.map(Reference::parse) else {
            return;
        };
        let allows = |url: &String| match self.profiles.get(url) {
            Some(profile) => profile.of_type == resource_type,
            None => {
                let url = plain(url);
                let name = url.strip_prefix("http://hl7.org/fhir/StructureDefinition/");
                name.is_none_or(|name| {
                    !super::is_core(&url) || types::specialises(resource_type, name)
                })
            }
        };
        if !targets.iter().any(allows) {
            let text = format!("the profile allows no reference to {resource_type} here");
            self.error("E-VAL-38", IssueCode::Structure, path, text);
        }
    }

    fn binding(&mut self, binding: &Binding, json: &Json, path: &str) {
        let set = &binding.value_set;
        let outside = self.walk.surroundings.outside;
        let answer = outside.and_then(|outside| member(outside, set, json));
        let (severity, text) = match answer {
            Some(true) => return,
            Some(false) if binding.is_required => {
                let text =
                    format!("no code here is in the value set that the profile requires: {set}");
                (Severity::Error, text)
            }
            Some(false) => {
                let text =
                    format!("no code here is in the value set that the profile prefers: {set}");
                (Severity::Warning, text)
            }
            None if binding.is_required => {
                let text =
                    format!("the value set is not known here, so the code is not judged: {set}");
                (Severity::Warning, text)
            }
            None => return,
        };
        let mut issue = Issue::error("E-VAL-39", IssueCode::CodeInvalid, path, text);
        issue.severity = severity;
        self.walk.note(issue);
    }

    fn invariants(&mut self, rule: &'a Rule, scope: &Scope<'a>, path: &str) {
        for invariant in &rule.invariants {
            let named = Named {
                key: &invariant.key,
                severity: invariant.severity,
                text: &invariant.text,
            };
            self.walk
                .expression(&invariant.expression, named, (scope, path));
        }
    }

    fn too_costly(&mut self, path: &str) {
        let text = "the profile is not judged from here on: it takes too many steps".to_owned();
        let mut issue = Issue::error("E-VAL-40", IssueCode::TooCostly, path, text);
        issue.severity = Severity::Warning;
        self.walk.note(issue);
    }

    fn error(&mut self, number: &'static str, code: IssueCode, path: &str, text: String) {
        self.walk.note(Issue::error(number, code, path, text));
    }
}

/// Whether a code, Coding, CodeableConcept or Quantity has a code in the value set; a concept of
/// text alone has none.
pub(super) fn member(outside: &dyn Outside, set: &str, json: &Json) -> Option<bool> {
    let coding = |json: &Json| {
        let code = json.get("code")?.as_str()?;
        let system = json.get("system").and_then(Json::as_str);
        outside.member_of(set, system, code)
    };
    if let Some(code) = json.as_str() {
        return outside.member_of(set, None, code);
    }
    if json.get("coding").is_none() {
        return match json.get("code") {
            Some(_) => coding(json),
            None => Some(false),
        };
    }
    let answers: Vec<Option<bool>> = json.items("coding").iter().map(coding).collect();
    if answers.contains(&Some(true)) {
        return Some(true);
    }
    (!answers.contains(&None)).then_some(false)
}
