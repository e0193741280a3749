//! Goes through a resource element by element and judges the rules that need FHIRPath: invariants
//! (R4 1.1.0.3) and required bindings of concepts.

use super::Surroundings;
use super::invariants::{Invariant, Test};
use super::memo::{Bound, ElementRules, Memo, rules_of};
use crate::fhirpath::{Budget, Expression, Node, Scope, Stop};
use crate::model::{Issue, IssueCode, Json, Severity};
use crate::structure::table::Slots;
use std::collections::HashSet;

/// Steps for all rules of one resource, and for one rule at one element. More than these are not
/// judged, and the findings say so.
pub(super) const STEPS_MAX: u64 = 12_000_000;
const RULE_STEPS_MAX: u64 = 8_000_000;

/// Extensions that are held against their definitions.
const EXTENSIONS_MAX: usize = 20_000;

/// Warnings beyond these are not worth their bytes.
const WARNINGS_MAX: usize = 20;

/// Adds the findings of R4's own rules.
pub(super) fn rules<'a>(walk: &mut Walk<'a>, resource: &'a Json) {
    let mut scope = walk.scope(resource);
    walk.root = name_of(&scope.focus);
    walk.resource(&mut scope);
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
    memo: Memo,
    /// How paths begin.
    root: String,
    /// The extensions met, for their definitions.
    pub(super) extensions: Vec<Node<'a>>,
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

impl Invariant {
    fn named(&self) -> Named<'static> {
        Named {
            key: self.key,
            severity: self.severity,
            text: self.text,
        }
    }
}

impl<'a> Walk<'a> {
    pub(super) fn new(surroundings: Surroundings<'a>) -> Walk<'a> {
        Walk {
            issues: Vec::new(),
            budget: Budget { steps: STEPS_MAX },
            surroundings,
            memo: Memo::default(),
            root: String::new(),
            extensions: Vec::new(),
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
    fn resource(&mut self, scope: &mut Scope<'a>) {
        let json = scope.focus.json();
        let before = std::mem::take(&mut self.local);
        self.local = json.map(Local::of).unwrap_or_default();
        self.element(scope);
        self.local = before;
    }

    fn element(&mut self, scope: &mut Scope<'a>) {
        if self.is_full() {
            return;
        }
        let Some(rules) = rules_of(scope.focus.type_name()) else {
            return self.parts(scope, scope.focus.parts());
        };
        if scope.focus.type_name() == "Extension" && self.extensions.len() < EXTENSIONS_MAX {
            self.extensions.push(scope.focus.clone());
        }
        if !rules.invariants.is_empty() {
            let given = scope.focus.given();
            for bound in &rules.invariants {
                self.judge_alike(bound, scope, given);
            }
        }
        if rules.elements.is_empty() {
            return self.parts(scope, scope.focus.parts());
        }
        let children = scope.focus.children();
        for child in &children {
            if let Some(of) = rules.elements.get(child.name().unwrap_or_default()) {
                self.in_owner(of, scope, child);
            }
        }
        self.parts(scope, children);
    }

    fn parts(&mut self, scope: &mut Scope<'a>, children: Vec<Node<'a>>) {
        for child in children {
            let is_leaf = child.json().is_none_or(|json| json.as_object().is_none());
            if child.is_resource() {
                self.inner_resource(scope, child);
            } else if !is_leaf || child.has_companion() {
                if is_only_an_id(&child) {
                    self.only_an_id(&child);
                }
                let parent = std::mem::replace(&mut scope.focus, child);
                self.element(scope);
                scope.focus = parent;
            }
        }
    }

    fn in_owner(&mut self, rules: &ElementRules, scope: &mut Scope<'a>, child: &Node<'a>) {
        if !rules.invariants.is_empty() {
            let parent = std::mem::replace(&mut scope.focus, child.clone());
            for invariant in rules.invariants {
                self.judge(invariant, scope);
            }
            scope.focus = parent;
        }
        if let Some(set) = rules.binding {
            self.bound(child, set);
        }
    }

    fn inner_resource(&mut self, scope: &Scope<'a>, child: Node<'a>) {
        let is_contained = child.name() == Some("contained");
        let mut inner = scope.at(child.clone());
        inner.resource = child.clone();
        let parent = scope.resource.json().filter(|_| !is_contained);
        inner.bundle = parent
            .filter(|parent| parent.resource_type() == Some("Bundle"))
            .or(scope.bundle);
        if is_contained {
            self.element(&mut inner);
        } else {
            inner.root = child;
            self.resource(&mut inner);
        }
    }

    /// Where an element is, from the resource that is judged.
    pub(super) fn path(&self, node: &Node<'a>) -> String {
        let below = node.path();
        match below.is_empty() {
            true => self.root.clone(),
            false => format!("{}.{below}", self.root),
        }
    }

    fn is_full(&self) -> bool {
        self.issues.len() >= super::ISSUES_MAX * 2
    }

    /// Judges a rule, or remembers what came of it for an element that is alike.
    fn judge_alike(&mut self, bound: &Bound, scope: &Scope<'a>, given: Option<Slots>) {
        let Ok(known) = self.memo.find(bound, (&scope.focus, given)) else {
            return self.judge(bound.invariant, scope);
        };
        let outcome = match (known, &bound.invariant.test) {
            (Some(outcome), _) => {
                self.budget.steps = self.budget.steps.saturating_sub(1);
                outcome
            }
            (None, Test::Expression(expression)) => match self.holds(expression, scope) {
                Ok(outcome) => {
                    self.memo.keep(outcome);
                    outcome
                }
                Err(stop) => {
                    let path = self.path(&scope.focus);
                    return self.unjudged(bound.invariant.named(), &path, &stop);
                }
            },
            (None, _) => return,
        };
        if outcome != Some(true) {
            let path = self.path(&scope.focus);
            self.broken(bound.invariant.named(), &path);
        }
    }

    fn judge(&mut self, invariant: &'static Invariant, scope: &Scope<'a>) {
        let named = invariant.named();
        match &invariant.test {
            Test::Expression(expression) => match self.holds(expression, scope) {
                Ok(Some(true)) => {}
                Ok(_) => self.broken(named, &self.path(&scope.focus)),
                Err(stop) => self.unjudged(named, &self.path(&scope.focus), &stop),
            },
            Test::LocalTargetIsThere => {
                let text = scope
                    .focus
                    .json()
                    .and_then(|j| j.get("reference")?.as_str());
                let id = text.and_then(|text| text.strip_prefix('#'));
                if id.is_some_and(|id| !id.is_empty() && !self.local.contained.contains(id)) {
                    self.broken(named, &self.path(&scope.focus));
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
                    self.broken(named, &self.path(&scope.focus));
                }
            }
        }
    }

    /// An expression that must be true, of a profile. Empty is not true.
    pub(super) fn expression(
        &mut self,
        expression: &'a Expression,
        named: Named<'_>,
        (scope, path): (&Scope<'a>, &str),
    ) {
        match self.holds(expression, scope) {
            Ok(Some(true)) => {}
            Ok(_) => self.broken(named, path),
            Err(stop) => self.unjudged(named, path, &stop),
        }
    }

    fn holds(
        &mut self,
        expression: &'a Expression,
        scope: &Scope<'a>,
    ) -> Result<Option<bool>, Stop> {
        let mut budget = Budget {
            steps: self.budget.steps.min(RULE_STEPS_MAX),
        };
        let before = budget.steps;
        let held = expression.holds(scope, &mut budget);
        self.budget.steps -= before - budget.steps;
        held
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

    fn only_an_id(&mut self, node: &Node<'a>) {
        let path = self.path(node);
        let text = "an element has a value or children, not an id alone (ele-1)";
        self.note(Issue::error("E-VAL-22", IssueCode::Invariant, path, text));
    }

    /// A concept of which one coding must be in the value set; a concept of text alone is not.
    fn bound(&mut self, node: &Node<'a>, set: &str) {
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
            let path = self.path(node);
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
