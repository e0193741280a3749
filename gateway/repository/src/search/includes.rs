//! `_include` and `_revinclude`: what a page's matches refer to, and what refers to them; with
//! `:iterate` also what the included resources refer to, and so on (R4 3.1.1.5.4).

use super::candidates::Group;
use super::ground::{Ground, TOO_COSTLY};
use super::judge::{Judge, has_url};
use super::scan::{Asked, Scan};
use fhir_mapping::search::{Include, Query, SearchValues, Zone, reference_terms};
use fhir_mapping::validate::resource_types;
use gateway_ground::failure::Failure;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use store::{Rid, StoredVersion};

/// Included resources of one page, without repeats, none of them a match.
pub(super) struct Included {
    pub(super) resources: Vec<StoredVersion>,
    /// Some were left out at a bound.
    pub(super) is_cut: bool,
}

/// Most included resources of one page, and most bytes of them; the bundle says so when there are
/// more.
const INCLUDES_MAX: usize = 10_000;
const INCLUDED_BYTES_MAX: usize = 32 << 20;

pub(super) fn of(ground: &Ground, query: &Query, matches: &[Rid]) -> Result<Included, Failure> {
    let mut gathering = Gathering {
        judge: Judge::new(ground),
        seen: matches.iter().copied().collect(),
        included: Included {
            resources: Vec::new(),
            is_cut: false,
        },
        bytes: 0,
        changed: HashMap::new(),
    };
    if query.includes().is_empty() && query.rev_includes().is_empty() {
        return Ok(gathering.included);
    }
    match gathering.gather(query, matches) {
        Ok(()) => {}
        // What was found until then is shown, and that there is more.
        Err(failure) if is_too_costly(&failure) => gathering.included.is_cut = true,
        Err(failure) => return Err(failure),
    }
    Ok(gathering.included)
}

struct Gathering<'g, 't> {
    judge: Judge<'g, 't>,
    seen: HashSet<Rid>,
    included: Included,
    bytes: usize,
    /// By source type and parameter.
    changed: HashMap<(String, &'static str), Rc<Referrers>>,
}

/// Which of the sources that no posting tells of refer to a resource.
type Referrers = HashMap<(String, String), Vec<Rid>>;

/// `_include` and `_revinclude` of one round.
struct Round {
    forward: Vec<Include>,
    /// Source type and parameter of a reference, and which type it must refer to.
    reverse: Vec<(String, &'static str, Option<String>)>,
}

impl Round {
    fn of((query, zone): (&Query, &Zone), is_first: bool) -> Round {
        let taken = |include: &&Include| is_first || include.iterate;
        Round {
            forward: query.includes().iter().filter(taken).cloned().collect(),
            reverse: query
                .rev_includes()
                .iter()
                .filter(taken)
                .flat_map(|include| references_of(include, zone))
                .collect(),
        }
    }
}

/// The reference parameters that an include stands for.
fn references_of(include: &Include, zone: &Zone) -> Vec<(String, &'static str, Option<String>)> {
    let types: Vec<&str> = match include.source_type.as_str() {
        "*" => resource_types().to_vec(),
        name => vec![name],
    };
    let mut found = Vec::new();
    for name in types {
        for definition in zone.definitions(name) {
            let is_meant = include.parameter == "*" || include.parameter == definition.name;
            if is_meant && definition.kind == "reference" {
                let target = include.target_type.clone();
                found.push((name.to_owned(), definition.name, target));
            }
        }
    }
    found
}

impl Gathering<'_, '_> {
    fn gather(&mut self, query: &Query, matches: &[Rid]) -> Result<(), Failure> {
        let mut open = matches.to_vec();
        let mut round = Round::of((query, self.judge.ground.zone()), true);
        while !open.is_empty() && !self.included.is_cut {
            let mut found = Vec::new();
            for rid in open {
                if let Some(values) = self.judge.ground.values(rid)? {
                    self.forward(&round, &values, &mut found)?;
                    self.reverse(&round, &values, &mut found)?;
                }
                if self.included.is_cut {
                    return Ok(());
                }
            }
            round = Round::of((query, self.judge.ground.zone()), false);
            open = found;
        }
        Ok(())
    }

    fn forward(
        &mut self,
        round: &Round,
        values: &Rc<SearchValues>,
        found: &mut Vec<Rid>,
    ) -> Result<(), Failure> {
        let source_type = values.key().0;
        for include in &round.forward {
            if include.source_type != "*" && include.source_type != source_type {
                continue;
            }
            let is_wanted = |name: &str| include.target_type.as_deref().is_none_or(|t| t == name);
            for (resource_type, id) in values.references(&include.parameter) {
                if is_wanted(&resource_type)
                    && let Some(rid) = self.judge.ground.rid_of(&resource_type, &id)?
                {
                    self.take(rid, found)?;
                }
            }
            for canonical in values.canonicals(&include.parameter) {
                let types = resource_types().iter().filter(|name| is_wanted(name));
                for resource_type in types.filter(|name| has_url(name)) {
                    for rid in self.judge.by_url(resource_type, &canonical)? {
                        self.take(rid, found)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn reverse(
        &mut self,
        round: &Round,
        values: &Rc<SearchValues>,
        found: &mut Vec<Rid>,
    ) -> Result<(), Failure> {
        let (resource_type, id) = values.key();
        let me = (resource_type.to_owned(), id.to_owned());
        for (source_type, parameter, target_type) in &round.reverse {
            if target_type.as_ref().is_some_and(|name| *name != me.0) {
                continue;
            }
            let mut sources = Vec::new();
            {
                let asked = Asked {
                    resource_type: source_type,
                    conditions: &[],
                };
                let terms = reference_terms(source_type, parameter, std::slice::from_ref(&me));
                let scan = Scan::below(&self.judge, asked, Group::Terms(terms))?;
                let mut scan = scan.unchanged();
                while let Some((rid, source)) = scan.next()? {
                    if source.references(parameter).contains(&me) {
                        sources.push(rid);
                    }
                }
            }
            if !self.judge.ground.changed_of(source_type).is_empty() {
                let referrers = self.referrers(source_type, parameter)?;
                sources.extend(referrers.get(&me).into_iter().flatten());
                sources.sort_unstable();
            }
            for rid in sources {
                self.take(rid, found)?;
            }
        }
        Ok(())
    }

    fn referrers(
        &mut self,
        source_type: &str,
        parameter: &'static str,
    ) -> Result<Rc<Referrers>, Failure> {
        let place = (source_type.to_owned(), parameter);
        if let Some(known) = self.changed.get(&place) {
            return Ok(Rc::clone(known));
        }
        let mut referrers = Referrers::new();
        let asked = Asked {
            resource_type: source_type,
            conditions: &[],
        };
        let mut scan = Scan::of_changed(&self.judge, asked)?;
        while let Some((rid, source)) = scan.next()? {
            for target in source.references(parameter) {
                referrers.entry(target).or_default().push(rid);
            }
        }
        let referrers = Rc::new(referrers);
        self.changed.insert(place, Rc::clone(&referrers));
        Ok(referrers)
    }

    /// Includes a live resource that is not part of the page yet.
    fn take(&mut self, rid: Rid, found: &mut Vec<Rid>) -> Result<(), Failure> {
        if self.seen.contains(&rid) || self.included.is_cut {
            return Ok(());
        }
        let Some(stored) = self.judge.ground.stored(rid)? else {
            return Ok(());
        };
        self.bytes = self.bytes.saturating_add(stored.body.len());
        let is_full = self.included.resources.len() == INCLUDES_MAX;
        if is_full || self.bytes > INCLUDED_BYTES_MAX {
            self.included.is_cut = true;
            return Ok(());
        }
        self.seen.insert(rid);
        found.push(rid);
        self.included.resources.push(stored);
        Ok(())
    }
}

fn is_too_costly(failure: &Failure) -> bool {
    let mut issues = failure.issues.iter();
    issues.any(|issue| issue.number == TOO_COSTLY)
}
