//! The members of a compartment, in the store's order: proposed by posting lists, judged by the
//! search values.

use super::{EverythingRequest, too_many};
use crate::indexing::{self, standing::Trust};
use fhir_mapping::compartment;
use fhir_mapping::search::{Handling, Query, SearchValues, Zone};
use gateway_ground::failure::{Category, Failure};
use std::collections::BTreeMap;
use store::{Head, Rid, StoreError, Term, View};

/// A live resource of the compartment.
pub(super) struct Member {
    pub(super) rid: Rid,
    pub(super) head: Head,
    /// Its care dates touch the period asked for, or it has none.
    pub(super) is_in_period: bool,
}

pub(super) struct Members<'v, 't> {
    view: &'v View<'t>,
    zone: &'v Zone,
    kinds: Vec<Kind>,
    /// Proposed resources and which kind proposed them.
    proposed: std::collections::btree_map::IntoIter<Rid, usize>,
}

/// One type of the compartment.
struct Kind {
    /// Any of these puts a resource into the compartment.
    memberships: Vec<Query>,
    /// The period as a query, and the query for those without care dates.
    period: Option<(Query, Query)>,
}

/// More members than any patient's record has.
const MEMBERS_MAX: usize = 100_000;

/// Which parameter of a type tells when care was given.
const CARE_DATES: [(&str, &str); 24] = [
    ("AllergyIntolerance", "date"),
    ("Appointment", "date"),
    ("CarePlan", "date"),
    ("CareTeam", "date"),
    ("Claim", "created"),
    ("ClinicalImpression", "date"),
    ("Communication", "sent"),
    ("Composition", "date"),
    ("Condition", "onset-date"),
    ("DiagnosticReport", "date"),
    ("DocumentReference", "date"),
    ("Encounter", "date"),
    ("EpisodeOfCare", "date"),
    ("ExplanationOfBenefit", "created"),
    ("Flag", "date"),
    ("Goal", "start-date"),
    ("ImagingStudy", "started"),
    ("Immunization", "date"),
    ("MedicationAdministration", "effective-time"),
    ("MedicationDispense", "whenhandedover"),
    ("MedicationRequest", "authoredon"),
    ("Observation", "date"),
    ("Procedure", "date"),
    ("ServiceRequest", "authored"),
];

impl<'v, 't> Members<'v, 't> {
    pub(super) fn of(
        view: &'v View<'t>,
        zone: &'v Zone,
        request: &EverythingRequest,
    ) -> Result<Members<'v, 't>, Failure> {
        let focus = &request.focus;
        let target = format!("{}/{}", focus.resource_type, focus.id);
        let members = compartment::members(&focus.resource_type).unwrap_or_default();
        let trust = Trust::of(view, zone)?;
        let (mut kinds, mut proposed) = (Vec::with_capacity(members.len()), BTreeMap::new());
        for member in members {
            let name = member.resource_type;
            let parameters = member.parameters.iter();
            let memberships =
                parameters.map(|parameter| query(name, &[(parameter, &target)], zone));
            let kind = Kind {
                memberships: memberships.collect::<Result<_, _>>()?,
                period: period(name, request, zone)?,
            };
            for membership in &kind.memberships {
                propose((view, &trust), membership, kinds.len(), &mut proposed)?;
            }
            if proposed.len() > MEMBERS_MAX {
                return Err(too_many(MEMBERS_MAX));
            }
            kinds.push(kind);
        }
        Ok(Members {
            view,
            zone,
            kinds,
            proposed: proposed.into_iter(),
        })
    }

    fn member(&self, rid: Rid, kind: usize) -> Result<Option<Member>, StoreError> {
        let Some(kind) = self.kinds.get(kind) else {
            return Ok(None);
        };
        let Some(values) = indexing::values_of(self.view, rid, self.zone)? else {
            return Ok(None);
        };
        if !kind.memberships.iter().any(|query| query.matches(&values)) {
            return Ok(None);
        }
        let head = self.view.head_of(rid)?.filter(|head| !head.deleted);
        Ok(head.map(|head| Member {
            rid,
            head,
            is_in_period: kind.is_in_period(&values),
        }))
    }
}

impl Iterator for Members<'_, '_> {
    type Item = Result<Member, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (rid, kind) = self.proposed.next()?;
            if let Some(member) = self.member(rid, kind).transpose() {
                return Some(member);
            }
        }
    }
}

impl Kind {
    fn is_in_period(&self, values: &SearchValues) -> bool {
        let matches =
            |(inside, undated): &(Query, Query)| inside.matches(values) || undated.matches(values);
        self.period.as_ref().is_none_or(matches)
    }
}

fn propose(
    (view, trust): (&View<'_>, &Trust),
    query: &Query,
    kind: usize,
    proposed: &mut BTreeMap<Rid, usize>,
) -> Result<(), StoreError> {
    for terms in query.candidates().all_of {
        for term in trust.terms(terms) {
            let mut postings = view.postings(&Term(term))?;
            let mut at = Rid(0);
            while let Some(rid) = postings.seek(at)? {
                proposed.insert(rid, kind);
                at = Rid(rid.0.saturating_add(1));
                if proposed.len() > MEMBERS_MAX {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

fn period(
    name: &str,
    request: &EverythingRequest,
    zone: &Zone,
) -> Result<Option<(Query, Query)>, Failure> {
    let at = CARE_DATES.binary_search_by(|(of_type, _)| (*of_type).cmp(name));
    let parameter = at.ok().and_then(|at| CARE_DATES.get(at));
    let Some((_, parameter)) = parameter else {
        return Ok(None);
    };
    let start = request.start.as_ref().map(|date| format!("ge{date}"));
    let end = request.end.as_ref().map(|date| format!("le{date}"));
    let bounds: Vec<(&str, &str)> = [&start, &end]
        .into_iter()
        .flatten()
        .map(|bound| (*parameter, bound.as_str()))
        .collect();
    if bounds.is_empty() {
        return Ok(None);
    }
    let missing = format!("{parameter}:missing");
    let undated = query(name, &[(&missing, "true")], zone)?;
    Ok(Some((query(name, &bounds, zone)?, undated)))
}

fn query(name: &str, pairs: &[(&str, &str)], zone: &Zone) -> Result<Query, Failure> {
    let pairs: Vec<(String, String)> = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let query = Query::parse(name, &pairs, Handling::Strict, zone);
    query.map_err(|issues| Failure::of(Category::Incorrect, issues))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn care_dates_are_sorted_date_parameters() {
        assert!(CARE_DATES.is_sorted());
        for (name, parameter) in CARE_DATES {
            let known = fhir_mapping::search::definitions(name);
            let found = known.iter().find(|d| d.name == parameter);
            assert_eq!(found.map(|d| d.kind), Some("date"), "{name} {parameter}");
        }
    }
}
