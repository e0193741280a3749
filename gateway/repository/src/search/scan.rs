//! Matches of one type's conditions in the store's order: the plan of which lists propose them, and
//! the walk.

use super::candidates::{Group, Intersection};
use super::judge::{Judge, has_url};
use fhir_mapping::search::{Chain, Condition, Has, Looks, Query, SearchValues, reference_terms};
use gateway_ground::failure::Failure;
use std::collections::HashSet;
use std::rc::Rc;
use store::Rid;

/// What must hold of resources of a type.
#[derive(Clone, Copy)]
pub(super) struct Asked<'q> {
    pub(super) resource_type: &'q str,
    pub(super) conditions: &'q [Condition],
}

impl<'q> Asked<'q> {
    pub(super) fn of(query: &'q Query) -> Asked<'q> {
        Asked {
            resource_type: query.resource_type(),
            conditions: query.conditions(),
        }
    }
}

/// Matches, ascending.
pub(super) struct Scan<'j, 'q, 'g, 't> {
    judge: &'j Judge<'g, 't>,
    asked: Asked<'q>,
    candidates: Intersection<'t>,
    among: Among,
    /// Values of these parameters are given; all, when it is not said.
    looks: Option<&'q Looks>,
    /// Resources below this were seen.
    pub(super) at: Rid,
}

/// Which resources are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Among {
    All,
    /// Those whose state that counts is the stored one.
    Unchanged,
    /// The others.
    Changed,
}

/// A condition on other resources is carried out first when at most so many of them, or as many as
/// there are candidates, may meet it; else it is looked up for each candidate.
const RESOLVED_MIN: u64 = 200;
const RESOLVED_MAX: u64 = 50_000;
/// More targets of a chain are not turned into terms.
const TARGETS_MAX: usize = 1_000;

impl<'j, 'q, 'g, 't> Scan<'j, 'q, 'g, 't> {
    pub(super) fn new(judge: &'j Judge<'g, 't>, asked: Asked<'q>) -> Result<Self, Failure> {
        let mut scan = Scan::planned(judge, asked, own_groups(asked))?;
        let foreign = asked.conditions.iter().filter(|c| !c.is_own());
        for condition in foreign {
            for group in scan.foreign_groups(condition)? {
                scan.candidates.add(judge.ground, group)?;
            }
        }
        Ok(scan)
    }

    /// Matches within a group; conditions on other resources are looked up for each of them.
    pub(super) fn below(
        judge: &'j Judge<'g, 't>,
        asked: Asked<'q>,
        group: Group,
    ) -> Result<Self, Failure> {
        let mut groups = own_groups(asked);
        groups.push(group);
        Scan::planned(judge, asked, groups)
    }

    /// Matches among the resources whose state that counts is another than the stored one.
    pub(super) fn of_changed(judge: &'j Judge<'g, 't>, asked: Asked<'q>) -> Result<Self, Failure> {
        let scan = Scan::planned(judge, asked, vec![Group::Rids(Vec::new())])?;
        Ok(Scan {
            among: Among::Changed,
            ..scan
        })
    }

    /// Leaves those out.
    pub(super) fn unchanged(self) -> Self {
        Scan {
            among: Among::Unchanged,
            ..self
        }
    }

    /// Gives the values of these parameters only; the conditions' must be among them.
    pub(super) fn looking(self, looks: &'q Looks) -> Self {
        Scan {
            looks: Some(looks),
            ..self
        }
    }

    fn planned(
        judge: &'j Judge<'g, 't>,
        asked: Asked<'q>,
        mut groups: Vec<Group>,
    ) -> Result<Self, Failure> {
        if groups.is_empty() {
            groups.push(Group::Terms(vec![asked.resource_type.as_bytes().to_vec()]));
        }
        Ok(Scan {
            judge,
            asked,
            candidates: Intersection::of(judge.ground, groups)?,
            among: Among::All,
            looks: None,
            at: Rid(0),
        })
    }

    /// No more matches than this, but for what changed since the first page.
    pub(super) fn count_max(&self) -> u64 {
        self.candidates.count_max()
    }

    pub(super) fn next(&mut self) -> Result<Option<(Rid, Rc<SearchValues>)>, Failure> {
        self.next_unless(&HashSet::new())
    }

    /// The next match that is none of these.
    pub(super) fn next_unless(
        &mut self,
        seen: &HashSet<Rid>,
    ) -> Result<Option<(Rid, Rc<SearchValues>)>, Failure> {
        while let Some(rid) = self.next_candidate()? {
            self.at = Rid(rid.0.saturating_add(1));
            if !seen.contains(&rid)
                && let Some(values) = self.judge.ground.values_in(rid, self.looks)?
                && self.matches(rid, &values)?
            {
                return Ok(Some((rid, values)));
            }
        }
        Ok(None)
    }

    fn next_candidate(&mut self) -> Result<Option<Rid>, Failure> {
        let changed = self.judge.ground.changed_of(self.asked.resource_type);
        if self.among == Among::Unchanged {
            let mut posted = self.candidates.seek(self.judge.ground, self.at)?;
            while let Some(rid) = posted.filter(|rid| changed.binary_search(rid).is_ok()) {
                posted = {
                    let next = Rid(rid.0.saturating_add(1));
                    self.candidates.seek(self.judge.ground, next)?
                };
            }
            return Ok(posted);
        }
        let next = changed.partition_point(|rid| *rid < self.at);
        let changed = changed.get(next).copied();
        let posted = self.candidates.seek(self.judge.ground, self.at)?;
        Ok(match (posted, changed) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        })
    }

    fn matches(&self, rid: Rid, values: &SearchValues) -> Result<bool, Failure> {
        if values.key().0 != self.asked.resource_type {
            return Ok(false);
        }
        for condition in self.asked.conditions {
            if !self.judge.holds(condition, rid, values)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Groups that a condition on other resources gives when it is carried out first.
    fn foreign_groups(&self, condition: &Condition) -> Result<Vec<Group>, Failure> {
        let mut groups = Vec::new();
        match condition {
            Condition::All(parts) => {
                for part in parts.iter().filter(|part| !part.is_own()) {
                    groups.extend(self.foreign_groups(part)?);
                }
            }
            Condition::Any(parts) => groups.extend(self.alternatives(parts)?),
            Condition::Chain(chain) => groups.extend(self.chained(chain)?),
            Condition::Has(has) => groups.extend(self.referred(has)?),
            _ => {}
        }
        Ok(groups)
    }

    /// One group for all alternatives; `None` when one of them has none.
    fn alternatives(&self, parts: &[Condition]) -> Result<Option<Group>, Failure> {
        let mut rids = Vec::new();
        for part in parts {
            let own = part.groups(self.asked.resource_type).into_iter();
            let mut groups: Vec<Group> = own.map(Group::Terms).collect();
            groups.extend(self.foreign_groups(part)?);
            let Some(group) = groups.pop() else {
                return Ok(None);
            };
            let mut lists = Intersection::of(self.judge.ground, vec![group])?;
            if lists.count_max() > RESOLVED_MAX {
                return Ok(None);
            }
            let mut at = Rid(0);
            while let Some(rid) = lists.seek(self.judge.ground, at)? {
                rids.push(rid);
                at = Rid(rid.0.saturating_add(1));
            }
        }
        rids.sort_unstable();
        rids.dedup();
        Ok(Some(Group::Rids(rids)))
    }

    fn chained(&self, chain: &Chain) -> Result<Option<Group>, Failure> {
        let mut targets = Vec::new();
        for branch in &chain.branches {
            // Canonical references point at a URL, which no term of the reference tells.
            if has_url(&branch.resource_type) {
                return Ok(None);
            }
            let asked = Asked {
                resource_type: &branch.resource_type,
                conditions: std::slice::from_ref(&branch.condition),
            };
            let Some(mut scan) = self.foreign(asked)? else {
                return Ok(None);
            };
            while let Some((_, values)) = scan.next()? {
                let (resource_type, id) = values.key();
                targets.push((resource_type.to_owned(), id.to_owned()));
                if targets.len() > TARGETS_MAX {
                    return Ok(None);
                }
            }
        }
        let terms = reference_terms(self.asked.resource_type, chain.parameter, &targets);
        Ok(Some(Group::Terms(terms)))
    }

    fn referred(&self, has: &Has) -> Result<Option<Group>, Failure> {
        let asked = Asked {
            resource_type: &has.source_type,
            conditions: std::slice::from_ref(&has.condition),
        };
        let Some(mut scan) = self.foreign(asked)? else {
            return Ok(None);
        };
        let mut rids = Vec::new();
        while let Some((_, values)) = scan.next()? {
            for (resource_type, id) in values.references(has.parameter) {
                if resource_type == self.asked.resource_type {
                    rids.extend(self.judge.ground.rid_of(&resource_type, &id)?);
                }
            }
        }
        rids.sort_unstable();
        rids.dedup();
        Ok(Some(Group::Rids(rids)))
    }

    /// A scan of other resources, unless it is longer than looking each candidate's up.
    fn foreign<'x>(&self, asked: Asked<'x>) -> Result<Option<Scan<'j, 'x, 'g, 't>>, Failure> {
        let scan = Scan::new(self.judge, asked)?;
        let limit = self.count_max().clamp(RESOLVED_MIN, RESOLVED_MAX);
        Ok(Some(scan).filter(|scan| scan.count_max() <= limit))
    }
}

fn own_groups(asked: Asked) -> Vec<Group> {
    let groups = asked
        .conditions
        .iter()
        .flat_map(|condition| condition.groups(asked.resource_type));
    groups.map(Group::Terms).collect()
}
