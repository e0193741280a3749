//! Which codes a value set has: the whole list, or one code judged without making the list.

use super::code_system::{CodeSystem, Concept};
use super::filter::Test;
use super::value_set::{Listed, Rule, ValueSet};
use super::{Library, grammar};
use crate::model::{Issue, IssueCode, Json};
use std::collections::HashSet;
use std::sync::Arc;

/// Judges codes with what a library holds.
#[derive(Clone, Copy)]
pub struct Terminology<'a> {
    loaded: &'a dyn Library,
}

/// One code of an expansion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    pub system: Option<String>,
    pub version: Option<String>,
    pub code: String,
    pub display: Option<String>,
    pub is_abstract: bool,
    pub is_inactive: bool,
    pub designations: Vec<Json>,
}

/// More concepts than this are not looked at for one answer.
const LOOKED_AT_MAX: usize = 200_000;
/// Value sets that import one another no deeper than this.
const IMPORTS_MAX: usize = 16;

impl<'a> Terminology<'a> {
    pub fn new(loaded: &'a dyn Library) -> Terminology<'a> {
        Terminology { loaded }
    }

    pub fn loaded(&self) -> &'a dyn Library {
        self.loaded
    }

    /// The value set, or `not-found`. `http://system?fhir_vs` is all of a code system.
    pub fn value_set(&self, canonical: &str) -> Result<Arc<ValueSet>, Issue> {
        if let Some(found) = self.loaded.value_set(canonical)? {
            return Ok(found);
        }
        if let Some(system) = canonical.strip_suffix("?fhir_vs") {
            return Ok(Arc::new(ValueSet::of_system(system)));
        }
        Err(unknown("E-TERM-4", "value set", canonical))
    }

    /// The code system, or `not-found`.
    pub fn code_system(&self, canonical: &str) -> Result<Arc<CodeSystem>, Issue> {
        let found = self.loaded.code_system(canonical)?;
        found.ok_or_else(|| unknown("E-TERM-5", "code system", canonical))
    }

    /// All codes in order, none twice.
    pub fn expand(&self, set: &ValueSet) -> Result<Vec<Member>, Issue> {
        Walk::of(self).expand(set)
    }

    /// Is the code in the set? Without a system, a code of any system counts.
    pub fn holds(&self, set: &ValueSet, system: Option<&str>, code: &str) -> Result<bool, Issue> {
        Walk::of(self).holds(set, system, code)
    }

    /// The code and all that it subsumes.
    pub fn below(&self, system: &str, code: &str) -> Result<Vec<String>, Issue> {
        self.reach(system, code, CodeSystem::below)
    }

    /// The code and all that subsume it.
    pub fn above(&self, system: &str, code: &str) -> Result<Vec<String>, Issue> {
        self.reach(system, code, CodeSystem::above)
    }

    fn reach(
        &self,
        url: &str,
        code: &str,
        reach: fn(&CodeSystem, usize) -> HashSet<usize>,
    ) -> Result<Vec<String>, Issue> {
        let system = self.code_system(url)?;
        let place = system.place(code);
        let place = place.ok_or_else(|| unknown("E-TERM-6", "code of this system", code))?;
        let places = reach(&system, place);
        let concepts = places
            .iter()
            .filter_map(|place| system.concepts.get(*place));
        let mut codes: Vec<String> = concepts.map(|concept| concept.code.clone()).collect();
        codes.sort_unstable();
        Ok(codes)
    }
}

/// One answer in the making.
struct Walk<'a> {
    terminology: &'a Terminology<'a>,
    /// URLs of the value sets that are being looked into.
    open: Vec<String>,
    looked_at: usize,
}

impl<'a> Walk<'a> {
    fn of(terminology: &'a Terminology<'a>) -> Walk<'a> {
        Walk {
            terminology,
            open: Vec::new(),
            looked_at: 0,
        }
    }

    fn expand(&mut self, set: &ValueSet) -> Result<Vec<Member>, Issue> {
        self.enter(set)?;
        let mut seen = HashSet::new();
        let mut members = Vec::new();
        let listed = set
            .expanded
            .iter()
            .map(|item| member(item.system.as_deref(), item, None));
        let mut found: Vec<Member> = listed.collect();
        for rule in &set.includes {
            found.extend(self.expand_rule(rule)?);
        }
        for one in found {
            let key = (one.system.clone(), one.code.clone());
            if seen.insert(key)
                && !self.any_holds(&set.excludes, one.system.as_deref(), &one.code)?
            {
                members.push(one);
            }
        }
        self.open.pop();
        Ok(members)
    }

    fn expand_rule(&mut self, rule: &Rule) -> Result<Vec<Member>, Issue> {
        let mut imports = rule.value_sets.iter();
        let mut members = match (&rule.system, imports.next()) {
            (Some(system), _) => {
                imports = rule.value_sets.iter();
                self.of_system(rule, system)?
            }
            (None, Some(first)) => {
                let set = self.terminology.value_set(first)?;
                self.expand(&set)?
            }
            (None, None) => Vec::new(),
        };
        for url in imports {
            let set = self.terminology.value_set(url)?;
            let mut kept = Vec::with_capacity(members.len());
            for one in members {
                if self.holds(&set, one.system.as_deref(), &one.code)? {
                    kept.push(one);
                }
            }
            members = kept;
        }
        Ok(members)
    }

    fn of_system(&mut self, rule: &Rule, url: &str) -> Result<Vec<Member>, Issue> {
        let system = self.terminology.loaded.code_system(&versioned(rule, url))?;
        if !rule.concepts.is_empty() {
            self.look_at(rule.concepts.len())?;
            let listed = rule.concepts.iter().map(|item| {
                let concept = system.as_ref().and_then(|system| system.find(&item.code));
                member(Some(url), item, concept)
            });
            return Ok(listed.collect());
        }
        let Some(system) = system.filter(|system| !system.concepts.is_empty()) else {
            return Err(endless_or_unknown(url));
        };
        self.look_at(system.concepts.len())?;
        let tests = tests(rule, &system)?;
        let concepts = system.concepts.iter().enumerate();
        let held = concepts.filter(|(place, concept)| all_hold(&tests, *place, concept));
        Ok(held
            .map(|(_, concept)| of_concept(url, system.version.as_deref(), concept))
            .collect())
    }

    fn holds(&mut self, set: &ValueSet, system: Option<&str>, code: &str) -> Result<bool, Issue> {
        self.enter(set)?;
        let is_listed = set.expanded.iter().any(|item| {
            let fits = system.is_none_or(|system| item.system.as_deref() == Some(system));
            fits && item.code == code
        });
        let is_in = (is_listed || self.any_holds(&set.includes, system, code)?)
            && !self.any_holds(&set.excludes, system, code)?;
        self.open.pop();
        Ok(is_in)
    }

    /// A rule that cannot be judged counts only when no other one holds.
    fn any_holds(
        &mut self,
        rules: &[Rule],
        system: Option<&str>,
        code: &str,
    ) -> Result<bool, Issue> {
        let mut failed = None;
        let depth = self.open.len();
        for rule in rules {
            match self.rule_holds(rule, system, code) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(issue) if issue.code == IssueCode::NotFound => {
                    self.open.truncate(depth);
                    failed = Some(issue);
                }
                Err(issue) => return Err(issue),
            }
        }
        failed.map_or(Ok(false), Err)
    }

    fn rule_holds(&mut self, rule: &Rule, system: Option<&str>, code: &str) -> Result<bool, Issue> {
        if let Some(url) = &rule.system
            && (system.is_some_and(|system| system != url)
                || !self.system_holds(rule, url, code)?)
        {
            return Ok(false);
        }
        for url in &rule.value_sets {
            let set = self.terminology.value_set(url)?;
            if !self.holds(&set, system, code)? {
                return Ok(false);
            }
        }
        Ok(rule.system.is_some() || !rule.value_sets.is_empty())
    }

    fn system_holds(&mut self, rule: &Rule, url: &str, code: &str) -> Result<bool, Issue> {
        self.look_at(1 + rule.concepts.len() / 8)?;
        let loaded = self.terminology.loaded;
        if !rule.concepts.is_empty() {
            if rule.concepts.iter().any(|item| item.code == code) {
                return Ok(true);
            }
            let system = loaded.code_system(&versioned(rule, url))?;
            let system = system.filter(|system| !system.is_case_sensitive);
            let is_same = |item: &Listed| item.code.eq_ignore_ascii_case(code);
            return Ok(system.is_some() && rule.concepts.iter().any(is_same));
        }
        if rule.filters.is_empty()
            && let Some(is_code) = grammar::is_code(url, code)
        {
            return Ok(is_code);
        }
        let system = loaded.code_system(&versioned(rule, url))?;
        let Some(system) = system.filter(|system| !system.concepts.is_empty()) else {
            return Err(unknown("E-TERM-7", "code system", url));
        };
        let Some(place) = system.place(code) else {
            return Ok(false);
        };
        let concept = system.concepts.get(place);
        let tests = tests(rule, &system)?;
        Ok(concept.is_some_and(|concept| all_hold(&tests, place, concept)))
    }

    fn enter(&mut self, set: &ValueSet) -> Result<(), Issue> {
        let is_known = !set.url.is_empty() && self.open.contains(&set.url);
        if is_known || self.open.len() >= IMPORTS_MAX {
            let text = "value sets import one another in a circle, or too deep";
            let code = IssueCode::Processing;
            return Err(Issue::error("E-TERM-8", code, "ValueSet.compose", text));
        }
        self.open.push(set.url.clone());
        Ok(())
    }

    fn look_at(&mut self, count: usize) -> Result<(), Issue> {
        self.looked_at = self.looked_at.saturating_add(count);
        if self.looked_at <= LOOKED_AT_MAX {
            return Ok(());
        }
        let text = format!("more than {LOOKED_AT_MAX} concepts would be looked at");
        Err(Issue::error("E-TERM-9", IssueCode::TooCostly, "", text))
    }
}

fn tests(rule: &Rule, system: &CodeSystem) -> Result<Vec<Test>, Issue> {
    rule.filters
        .iter()
        .map(|filter| filter.ready(system))
        .collect()
}

fn all_hold(tests: &[Test], place: usize, concept: &Concept) -> bool {
    tests.iter().all(|test| test.holds(place, concept))
}

fn versioned(rule: &Rule, url: &str) -> String {
    match &rule.version {
        Some(version) => format!("{url}|{version}"),
        None => url.to_owned(),
    }
}

fn member(system: Option<&str>, item: &Listed, concept: Option<&Concept>) -> Member {
    let display = item.display.clone();
    let known = concept.cloned().unwrap_or_default();
    Member {
        system: system.map(str::to_owned),
        version: None,
        code: item.code.clone(),
        is_abstract: known.is_abstract(),
        is_inactive: known.is_inactive(),
        designations: [item.designations.clone(), known.designations].concat(),
        display: display.or(known.display),
    }
}

fn of_concept(system: &str, version: Option<&str>, concept: &Concept) -> Member {
    Member {
        system: Some(system.to_owned()),
        version: version.map(str::to_owned),
        code: concept.code.clone(),
        display: concept.display.clone(),
        is_abstract: concept.is_abstract(),
        is_inactive: concept.is_inactive(),
        designations: concept.designations.clone(),
    }
}

fn endless_or_unknown(url: &str) -> Issue {
    match grammar::is_code(url, "") {
        Some(_) => {
            let text = format!("the codes of {url} follow a grammar and cannot be listed");
            Issue::error("E-TERM-10", IssueCode::TooCostly, "ValueSet.compose", text)
        }
        None => unknown("E-TERM-11", "code system", url),
    }
}

fn unknown(number: &'static str, what: &str, name: &str) -> Issue {
    let shown: String = name.chars().take(200).collect();
    let text = format!("this {what} is not known here: {shown}");
    Issue::error(number, IssueCode::NotFound, "", text)
}

#[cfg(test)]
mod tests;
