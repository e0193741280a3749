//! A resource beside a profile's rules: counts, values, types, bindings, invariants, slices.

use super::super::Surroundings;
use super::super::rules::{Named, Walk};
use super::slicing::{holds, is_of_types, named, slice_of};
use super::{Binding, Profile, Profiles, Rule, Slicing, SlicingRules, plain};
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
    let path = scope.focus.type_name().to_owned();
    check_at(walk, (&scope, &path), (profile, profiles));
}

/// Whether a resource has nothing against it in the profile of this URL, and in those that is based on.
/// R4's own rules are not judged again. Takes at most `steps`, and takes them off; `None` when the
/// profile is not among `profiles`, or could not be judged to its end.
pub fn conforms<'a>(
    resource: &'a Json,
    url: &str,
    (profiles, surroundings): (&'a Profiles, Surroundings<'a>),
    steps: &mut u64,
) -> Option<bool> {
    let profile = profiles.get(url)?;
    let mut walk = Walk::new(surroundings);
    walk.budget.steps = walk.budget.steps.min(*steps);
    let before = walk.budget.steps;
    check(&mut walk, resource, (profile, profiles));
    *steps -= before - walk.budget.steps;
    if walk.issues.iter().any(|i| i.severity >= Severity::Error) {
        return Some(false);
    }
    let is_open =
        |issue: &Issue| [IssueCode::TooCostly, IssueCode::Processing].contains(&issue.code);
    (!walk.issues.iter().any(is_open)).then_some(true)
}

/// The same for one element.
pub(super) fn check_at<'a>(
    walk: &mut Walk<'a>,
    (scope, path): (&Scope<'a>, &str),
    (profile, profiles): (&'a Profile, &'a Profiles),
) {
    let mut check = Check {
        walk,
        profiles,
        depth: 0,
        of: profile,
    };
    check.profile(profile, scope, path);
}

struct Check<'a, 'w> {
    walk: &'w mut Walk<'a>,
    profiles: &'a Profiles,
    depth: usize,
    /// The profile that is gone through.
    of: &'a Profile,
}

impl<'a> Check<'a, '_> {
    fn profile(&mut self, profile: &'a Profile, scope: &Scope<'a>, path: &str) {
        let outer = self.of;
        self.with_bases(profile, scope, path);
        self.of = outer;
    }

    fn with_bases(&mut self, profile: &'a Profile, scope: &Scope<'a>, path: &str) {
        let mut next = Some(profile);
        for _ in 0..DEPTH_MAX {
            let Some(profile) = next else { return };
            if !types::specialises(scope.focus.type_name(), &profile.of_type) {
                let text = format!("{} is a profile of {}", profile.url, profile.of_type);
                self.error("E-VAL-31", IssueCode::Structure, path, text);
                return;
            }
            self.of = profile;
            self.invariants(&profile.root, scope, path);
            self.children(&profile.root, scope, path);
            let base = profile.base.as_deref();
            next = base.and_then(|url| self.profiles.get(url));
        }
    }

    fn children(&mut self, rule: &'a Rule, scope: &Scope<'a>, path: &str) {
        let same = rule.same_as.as_deref().and_then(|id| self.of.rule_at(id));
        let same = same.into_iter().flat_map(|rule| &rule.children);
        for child in rule.children.iter().chain(same) {
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
        let mut order = Order::default();
        for node in found {
            let inner = scope.at(node.clone());
            let at = format!("{path}.{}", node.last_step());
            let found = self.slice_of(rule, &inner);
            if let Some(slicing) = &rule.slicing
                && let Some((number, text)) = order.fault(slicing, found)
            {
                self.error(number, IssueCode::Structure, &at, text.to_owned());
            }
            if let Some((index, slice)) = found.and_then(|i| Some((i, rule.slices.get(i)?))) {
                let count = counts.get_mut(index);
                count.into_iter().for_each(|count| *count += 1);
                self.value(&slice.rule, &inner, &at);
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

    /// Which slice an element is in, by its place.
    fn slice_of(&mut self, rule: &'a Rule, scope: &Scope<'a>) -> Option<usize> {
        let mut conforms = |scope: &Scope<'a>, url: &str| self.conforms(scope, url);
        slice_of(rule, scope, &mut conforms)
    }

    /// Whether an element, or the target of a reference, conforms to a profile.
    fn conforms(&mut self, scope: &Scope<'a>, url: &str) -> bool {
        let Some(profile) = self.profiles.get(url).filter(|_| self.depth < DEPTH_MAX) else {
            let url = plain(url);
            let name = url.strip_prefix("http://hl7.org/fhir/StructureDefinition/");
            return name.is_some_and(|name| types::specialises(scope.focus.type_name(), name));
        };
        let mut walk = Walk::new(self.walk.surroundings);
        walk.budget = self.walk.budget;
        let mut inner = Check {
            walk: &mut walk,
            profiles: self.profiles,
            depth: self.depth + 1,
            of: profile,
        };
        inner.profile(profile, scope, "");
        self.walk.budget = walk.budget;
        let is_error = |issue: &Issue| issue.severity >= Severity::Error;
        !walk.issues.iter().any(is_error)
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

/// What has been met of a list's slices so far.
#[derive(Default)]
struct Order {
    last: usize,
    is_past_slices: bool,
}

impl Order {
    /// What is wrong with an element's being where it is, or in no slice.
    fn fault(
        &mut self,
        slicing: &Slicing,
        found: Option<usize>,
    ) -> Option<(&'static str, &'static str)> {
        let Some(index) = found else {
            self.is_past_slices = true;
            let text = "the profile allows its own slices only, and this fits none";
            return (slicing.rules == SlicingRules::Closed).then_some(("E-VAL-34", text));
        };
        let is_back = index < self.last;
        self.last = index;
        if slicing.is_ordered && is_back {
            let text = "the profile has its slices in order, and this comes too late";
            return Some(("E-VAL-42", text));
        }
        let text = "the profile has what is in no slice at the end, and this comes after it";
        let is_late = slicing.rules == SlicingRules::OpenAtEnd && self.is_past_slices;
        is_late.then_some(("E-VAL-43", text))
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
