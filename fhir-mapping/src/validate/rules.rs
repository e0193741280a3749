//! Goes through a resource element by element and judges the rules that need FHIRPath: invariants
//! (R4 1.1.0.3) and required bindings of concepts.

use super::Surroundings;
use super::invariants::{Invariant, Invariants, Test, invariants};
use crate::fhirpath::{Budget, Expression, Node, Scope, Stop, types};
use crate::model::{Issue, IssueCode, Json, Severity};
use std::collections::HashSet;

/// Steps for all rules of one resource, and for one rule at one element. More than these are not
/// judged, and the findings say so.
const STEPS_MAX: u64 = 20_000_000;
const RULE_STEPS_MAX: u64 = 2_000_000;

/// Warnings beyond these are not worth their bytes.
const WARNINGS_MAX: usize = 20;

/// Adds the findings of R4's own rules.
pub(super) fn rules<'a>(walk: &mut Walk<'a>, resource: &'a Json) {
    let scope = walk.scope(resource);
    walk.resource(&scope, &name_of(&scope.focus));
}

fn name_of(node: &Node<'_>) -> String {
    match node.type_name() {
        "" => "Resource".to_owned(),
        name => name.to_owned(),
    }
}

/// Judges rules one by one, within one budget; used by profiles too.
pub(super) struct Walk<'a> {
    pub(super) issues: Vec<Issue>,
    pub(super) budget: Budget,
    pub(super) surroundings: Surroundings<'a>,
    all: &'static Invariants,
    /// What the root resource contains, and which of it is referred to, by id.
    local: Local<'a>,
}

#[derive(Default)]
struct Local<'a> {
    contained: HashSet<&'a str>,
    referred: HashSet<&'a str>,
}

/// A rule as a finding names it.
#[derive(Clone, Copy)]
pub(super) struct Named<'t> {
    pub(super) key: &'t str,
    pub(super) severity: Severity,
    pub(super) text: &'t str,
}

impl<'a> Walk<'a> {
    pub(super) fn new(surroundings: Surroundings<'a>) -> Walk<'a> {
        Walk {
            issues: Vec::new(),
            budget: Budget { steps: STEPS_MAX },
            surroundings,
            all: invariants(),
            local: Local::default(),
        }
    }

    /// Steps taken so far.
    pub(super) fn steps(&self) -> u64 {
        STEPS_MAX - self.budget.steps
    }

    pub(super) fn scope(&self, resource: &'a Json) -> Scope<'a> {
        Scope {
            now: self.surroundings.now,
            outside: self.surroundings.outside,
            ..Scope::of(resource)
        }
    }

    /// A resource by itself: what it contains has it as its root.
    fn resource(&mut self, scope: &Scope<'a>, path: &str) {
        let json = scope.focus.json();
        let before = std::mem::take(&mut self.local);
        self.local = json.map(Local::of).unwrap_or_default();
        self.element(scope, path);
        self.local = before;
    }

    fn element(&mut self, scope: &Scope<'a>, path: &str) {
        let node = &scope.focus;
        let mut name = node.type_name();
        for _ in 0..4 {
            for invariant in self.all.of_type(name) {
                self.judge(invariant, scope, path);
            }
            let Some(base) = types::base(name) else { break };
            name = base;
        }
        self.inner(scope, path);
    }

    fn inner(&mut self, scope: &Scope<'a>, path: &str) {
        if self.is_full() {
            return;
        }
        let owner = scope.focus.type_name();
        for child in scope.focus.children() {
            let name = child.name().unwrap_or_default();
            let at = || format!("{path}.{}", child.last_step());
            let inner = || scope.at(child.clone());
            for invariant in self.all.of_element(owner, name) {
                self.judge(invariant, &inner(), &at());
            }
            if let Some(set) = self.all.binding(owner, name) {
                self.bound(&child, set, &at());
            }
            let is_leaf = child.json().is_none_or(|json| json.as_object().is_none());
            if child.is_resource() {
                self.inner_resource(scope, child.clone(), &at());
            } else if !is_leaf || child.has_companion() {
                if is_only_an_id(&child) {
                    self.only_an_id(&at());
                }
                self.element(&inner(), &at());
            }
        }
    }

    fn inner_resource(&mut self, scope: &Scope<'a>, child: Node<'a>, path: &str) {
        let is_contained = child.name() == Some("contained");
        let mut inner = scope.at(child.clone());
        inner.resource = child.clone();
        if is_contained {
            self.element(&inner, path);
        } else {
            inner.root = child;
            self.resource(&inner, path);
        }
    }

    fn is_full(&self) -> bool {
        self.issues.len() >= super::ISSUES_MAX * 2
    }

    fn judge(&mut self, invariant: &'static Invariant, scope: &Scope<'a>, path: &str) {
        let named = Named {
            key: invariant.key,
            severity: invariant.severity,
            text: invariant.text,
        };
        match &invariant.test {
            Test::Expression(expression) => self.expression(expression, named, (scope, path)),
            Test::LocalTargetIsThere => {
                let text = scope
                    .focus
                    .json()
                    .and_then(|j| j.get("reference")?.as_str());
                let id = text.and_then(|text| text.strip_prefix('#'));
                if id.is_some_and(|id| !id.is_empty() && !self.local.contained.contains(id)) {
                    self.broken(named, path);
                }
            }
            Test::ContainedIsReferred => {
                let ids = &self.local;
                let json = scope.focus.json().map_or(&[][..], |j| j.items("contained"));
                let is_lone = |inner: &Json| {
                    let refers_out = refers_to_root(inner);
                    !refers_out && inner.id().is_none_or(|id| !ids.referred.contains(id))
                };
                if json.iter().any(is_lone) {
                    self.broken(named, path);
                }
            }
        }
    }

    /// An expression that must be true. Empty is not true.
    pub(super) fn expression(
        &mut self,
        expression: &'a Expression,
        named: Named<'_>,
        (scope, path): (&Scope<'a>, &str),
    ) {
        let mut budget = Budget {
            steps: self.budget.steps.min(RULE_STEPS_MAX),
        };
        let before = budget.steps;
        let held = expression.holds(scope, &mut budget);
        self.budget.steps -= before - budget.steps;
        match held {
            Ok(Some(true)) => {}
            Ok(_) => self.broken(named, path),
            Err(stop) => self.unjudged(named, path, &stop),
        }
    }

    fn broken(&mut self, named: Named<'_>, path: &str) {
        let mut issue = Issue::error(
            "E-VAL-20",
            IssueCode::Invariant,
            path,
            format!("{} ({})", named.text, named.key),
        );
        issue.severity = named.severity;
        self.note(issue);
    }

    fn unjudged(&mut self, named: Named<'_>, path: &str, stop: &Stop) {
        let code = match stop {
            Stop::Budget => IssueCode::TooCostly,
            _ => IssueCode::Processing,
        };
        let text = format!("rule {} is not judged here: {stop}", named.key);
        let mut issue = Issue::error("E-VAL-21", code, path, text);
        issue.severity = Severity::Warning;
        self.note(issue);
    }

    fn only_an_id(&mut self, path: &str) {
        let text = "an element has a value or children, not an id alone (ele-1)";
        self.note(Issue::error("E-VAL-22", IssueCode::Invariant, path, text));
    }

    /// A concept of which one coding must be in the value set; a concept of text alone is not.
    fn bound(&mut self, node: &Node<'a>, set: &str, path: &str) {
        let (Some(outside), Some(json)) = (self.surroundings.outside, node.json()) else {
            return;
        };
        let one = std::slice::from_ref(json);
        let codings = match json.get("coding") {
            Some(_) => json.items("coding"),
            None if json.get("code").is_some() => one,
            None => &[],
        };
        let mut judged = codings.iter().map(|coding| {
            let code = coding
                .get("code")
                .and_then(Json::as_str)
                .unwrap_or_default();
            let system = coding.get("system").and_then(Json::as_str);
            outside.member_of(set, system, code)
        });
        let is_fine = judged.any(|answer| answer != Some(false));
        if !is_fine {
            let text = format!("no coding here is in the value set that R4 requires: {set}");
            self.note(Issue::error("E-VAL-23", IssueCode::CodeInvalid, path, text));
        }
    }

    pub(super) fn note(&mut self, issue: Issue) {
        let of_severity = |i: &&Issue| i.severity <= Severity::Warning;
        let is_warning = issue.severity <= Severity::Warning;
        if is_warning && self.issues.iter().filter(of_severity).count() >= WARNINGS_MAX {
            return;
        }
        if self.issues.len() < super::ISSUES_MAX * 2 {
            self.issues.push(issue);
        }
    }
}

fn is_only_an_id(node: &Node<'_>) -> bool {
    let object = node.json().and_then(Json::as_object);
    object.is_some_and(|o| o.len() == 1 && o.get("id").is_some())
}

/// Whether a contained resource refers to the one that contains it.
fn refers_to_root(inner: &Json) -> bool {
    let mut found = false;
    crate::model::walk_references(inner, &mut |text: &str| found |= text == "#");
    found
}

impl<'a> Local<'a> {
    fn of(root: &'a Json) -> Local<'a> {
        let contained = root.items("contained").iter().filter_map(Json::id);
        let mut local = Local {
            contained: contained.collect(),
            referred: HashSet::new(),
        };
        if local.contained.is_empty() {
            return local;
        }
        let mut open = vec![root];
        while let Some(json) = open.pop() {
            match json {
                Json::Object(object) => open.extend(object.iter().map(|(_, value)| value)),
                Json::Array(items) => open.extend(items),
                Json::String(text) => local.referred.extend(text.strip_prefix('#')),
                _ => {}
            }
        }
        local
    }
}
