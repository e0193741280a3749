//! A stored message to the writes it asks for: read, map, find the patients, compare with what is
//! stored. Decides what is written and what a person must look at; writes nothing itself.

use super::standing::{self, Standing};
use fhir_mapping::draft::{Draft, PatientGroup};
use fhir_mapping::model::{Issue, IssueCode, Json, Limits, Severity, parse, walk_references_mut};
use fhir_mapping::search::{Handling, Query};
use fhir_mapping::terminology::flags;
use fhir_mapping::v2::{self, Connection};
use fhir_mapping::validate;
use gateway_ground::failure::Failure;
use gateway_repository::{Identified, Repository, SearchRequest, Write, search_value};
use store::ResourceKey;

/// What a message comes to.
#[derive(Debug, Default)]
pub(super) struct Attribution {
    pub writes: Vec<Write>,
    /// Why a person must look; empty when everything found its place.
    pub held: Vec<Issue>,
    /// A patient who becomes known may release it.
    pub for_patient: bool,
    /// Whom it may be about, when that is doubtful.
    pub candidates: Vec<ResourceKey>,
    /// It speaks of a value that endangers the patient.
    pub is_critical: bool,
    /// Findings that did not stop it.
    pub notes: Vec<Issue>,
}

/// Attributes a message. `Err` is trouble of the store: try again later.
pub(super) fn attribute(
    repository: &Repository,
    connection: &Connection,
    message: &[u8],
) -> Result<Attribution, Failure> {
    let mut attribution = Attribution::default();
    let drafted = v2::parse(message, connection).and_then(|(message, issues)| {
        attribution.notes.extend(issues);
        v2::map_oru(&message, connection)
    });
    match drafted {
        Ok(draft) => attribution.take(repository, draft)?,
        Err(issue) => attribution.held.push(issue),
    }
    Ok(attribution)
}

/// A finding that holds nothing up.
pub(super) fn note(number: &'static str, text: String) -> Issue {
    Issue {
        severity: Severity::Information,
        ..Issue::error(number, IssueCode::Informational, "", text)
    }
}

fn reason(number: &'static str, code: IssueCode, text: &str) -> Issue {
    Issue::error(number, code, "", text)
}

impl Attribution {
    fn take(&mut self, repository: &Repository, draft: Draft) -> Result<(), Failure> {
        self.notes.extend(draft.issues);
        for group in draft.groups {
            self.is_critical |= group.resources.iter().any(is_critical);
            if group.is_control {
                let text = "a control sample or test run: not a patient's";
                self.hold(reason("E-DEV-3", IssueCode::BusinessRule, text));
                continue;
            }
            let who =
                repository.identify_patient(&group.patient_identifiers, &group.demographics)?;
            match who {
                Identified::One(patient) => self.take_group(repository, group, &patient)?,
                Identified::Nobody => {
                    self.for_patient = true;
                    let text = "no patient with these identifiers is known here";
                    self.hold(reason("E-DEV-4", IssueCode::NotFound, text));
                }
                Identified::Doubtful(candidates) => {
                    self.for_patient = true;
                    self.candidates.extend(candidates);
                    let text = "whom it is about is doubtful: several patients, or one whose birth \
                                date, sex or name contradicts the message";
                    self.hold(reason("E-DEV-5", IssueCode::MultipleMatches, text));
                }
            }
        }
        Ok(())
    }

    fn hold(&mut self, issue: Issue) {
        if !self.held.contains(&issue) {
            self.held.push(issue);
        }
    }

    /// All of a patient's resources, or none of them: half a report would mislead.
    fn take_group(
        &mut self,
        repository: &Repository,
        mut group: PatientGroup,
        patient: &ResourceKey,
    ) -> Result<(), Failure> {
        link_orders(repository, &mut group.resources, patient)?;
        let subject = format!("Patient/{}", patient.id);
        let snapshot = repository.store().snapshot()?;
        let view = snapshot.view();
        let (mut writes, mut questions) = (Vec::new(), Vec::new());
        for mut resource in group.resources {
            if let Some(object) = resource.as_object_mut() {
                let reference = Json::object([("reference", subject.as_str().into())]);
                object.set("subject", reference);
            }
            let unsound = validate::structure(&resource);
            if unsound.iter().any(|i| i.severity >= Severity::Error) {
                questions.extend(unsound);
                continue;
            }
            match standing::of(&view, resource, repository.clock().next_hlc())? {
                Standing::Write(resource, if_match) => writes.push(Write::Update {
                    id: resource.id().unwrap_or_default().to_owned(),
                    resource,
                    if_match,
                }),
                Standing::Leave(finding) => self.notes.extend(finding),
                Standing::Ask(issue) => questions.push(issue),
            }
        }
        if questions.is_empty() {
            self.writes.extend(writes);
        }
        questions.into_iter().for_each(|issue| self.hold(issue));
        Ok(())
    }
}

/// Orders that the EMR placed are the ones that results point at: a drafted order gives way to a
/// stored one of the same patient with the same placer number.
fn link_orders(
    repository: &Repository,
    resources: &mut Vec<Json>,
    patient: &ResourceKey,
) -> Result<(), Failure> {
    let orders: Vec<Json> = resources
        .iter()
        .filter(|r| r.resource_type() == Some("ServiceRequest"))
        .cloned()
        .collect();
    for drafted in orders {
        let drafted_id = drafted.id().unwrap_or_default().to_owned();
        let Some(known) = placed_order(repository, &drafted, patient)? else {
            continue;
        };
        if known == drafted_id {
            continue;
        }
        resources.retain(|r| r.id() != Some(&drafted_id));
        let (old, new) = (
            format!("ServiceRequest/{drafted_id}"),
            format!("ServiceRequest/{known}"),
        );
        for resource in &mut *resources {
            walk_references_mut(resource, &mut |reference| {
                if reference.get("reference").and_then(Json::as_str) == Some(&old) {
                    reference.set("reference", new.as_str().into());
                }
            });
        }
    }
    Ok(())
}

/// The one stored order of this patient with the drafted order's number.
fn placed_order(
    repository: &Repository,
    drafted: &Json,
    patient: &ResourceKey,
) -> Result<Option<String>, Failure> {
    let identifier = drafted.items("identifier").first();
    let Some(number) = identifier.and_then(|i| i.get("value")?.as_str()) else {
        return Ok(None);
    };
    let pairs = [
        ("identifier".to_owned(), search_value(number)),
        ("subject".to_owned(), format!("Patient/{}", patient.id)),
    ];
    let query = Query::parse(
        "ServiceRequest",
        &pairs,
        Handling::Strict,
        repository.zone(),
    );
    let Ok(query) = query else {
        return Ok(None);
    };
    let page = repository.search(&SearchRequest::of(query, 3))?;
    match page.matches.as_slice() {
        [one] => Ok(Some(one.key.id.clone())),
        _ => Ok(None),
    }
}

fn is_critical(resource: &Json) -> bool {
    let codings = resource.items("interpretation").iter();
    let mut codings = codings.flat_map(|concept| concept.items("coding"));
    codings.any(|coding| {
        let code = coding.get("code").and_then(Json::as_str);
        code.is_some_and(flags::is_critical)
    })
}

/// A stored resource as a tree; `None` when it is not there.
pub(super) fn stored_tree(repository: &Repository, key: &ResourceKey) -> Option<Json> {
    let stored = repository.read(key).ok()?;
    parse(&stored.body, Limits::default()).ok()
}
