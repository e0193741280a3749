//! `$validate`: judges a resource by R4 and by profiles, and changes nothing.
//! <https://hl7.org/fhir/R4/resource-operation-validate.html>

use super::{Asked, Target, inputs, resource};
use crate::exchange::Answer;
use crate::interactions::aside;
use fhir_mapping::model::{Issue, IssueCode, Json, Limits, Severity, parse};
use gateway_ground::failure::{Failure, outcome};
use gateway_repository::Repository;

/// What the resource is to be judged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Its content only.
    Content,
    Create,
    Update,
    Delete,
}

/// The resource asked about is answered with 200 whatever is found.
pub(super) async fn answer(asked: Asked) -> Result<Answer, Failure> {
    asked.inputs.check_known(&["resource", "mode", "profile"])?;
    let mode = mode(&asked)?;
    let profiles: Vec<String> = asked
        .inputs
        .texts("profile")?
        .into_iter()
        .map(str::to_owned)
        .collect();
    let issues = aside(move || {
        let repository = &asked.surface.repository;
        if mode == Mode::Delete {
            return of_deletion(repository, &asked.target);
        }
        let given = asked.inputs.resource("resource")?.cloned();
        let judged = match (given, &asked.target) {
            (Some(given), _) => given,
            (None, Target::Instance(key)) => stored(repository, key)?,
            (None, _) => return Err(inputs::missing("resource")),
        };
        let mut issues = of_request(&judged, &asked.target, mode);
        issues.append(&mut of_content(repository, &judged, &profiles)?);
        Ok(issues)
    })
    .await?;
    Ok(resource(&outcome(&all_or_fine(issues))))
}

fn mode(asked: &Asked) -> Result<Mode, Failure> {
    match asked.inputs.text("mode")? {
        None => Ok(Mode::Content),
        Some("profile") => Ok(Mode::Content),
        Some("create") => Ok(Mode::Create),
        Some("update") => Ok(Mode::Update),
        Some("delete") => Ok(Mode::Delete),
        Some(_) => Err(inputs::wrong(
            "mode",
            "is create, update, delete or profile",
        )),
    }
}

fn stored(repository: &Repository, key: &store::ResourceKey) -> Result<Json, Failure> {
    let stored = repository.read(key)?;
    let tree = parse(&stored.body, Limits::default());
    tree.map_err(|issue| Failure::of(gateway_ground::failure::Category::Fault, vec![issue]))
}

/// Whether what is there may be deleted: it must be there.
fn of_deletion(repository: &Repository, target: &Target) -> Result<Vec<Issue>, Failure> {
    match target {
        Target::Instance(key) => repository.read(key).map(|_there| Vec::new()),
        _ => Err(inputs::wrong("mode", "delete is for a resource by its id")),
    }
}

/// What the URL and the mode ask of the resource.
fn of_request(judged: &Json, target: &Target, mode: Mode) -> Vec<Issue> {
    let mut issues = Vec::new();
    let mut error = |number, expression: &str, text: &str| {
        issues.push(Issue::error(number, IssueCode::Value, expression, text));
    };
    let (wanted, id) = match target {
        Target::Instance(key) => (key.resource_type.as_str(), Some(key.id.as_str())),
        Target::Type(name) => (name.as_str(), None),
        Target::System => return issues,
    };
    if judged.resource_type() != Some(wanted) {
        error(
            "E-VALID-2",
            "resourceType",
            "the resource is not of the type in the URL",
        );
    }
    let path = format!("{wanted}.id");
    match (mode, id) {
        (Mode::Update, Some(id)) if judged.id() != Some(id) => {
            error(
                "E-VALID-3",
                &path,
                "an update needs the id that the URL has",
            );
        }
        (Mode::Update, None) if judged.id().is_none() => {
            error("E-VALID-4", &path, "an update needs an id");
        }
        _ => {}
    }
    issues
}

/// By the profiles asked for, and those that the resource claims.
fn of_content(
    repository: &Repository,
    judged: &Json,
    asked: &[String],
) -> Result<Vec<Issue>, Failure> {
    let mut issues = repository.judge(judged, asked, true)?.issues;
    let claimed = judged
        .get("meta")
        .map_or(&[][..], |meta| meta.items("profile"));
    let claimed = claimed.iter().filter_map(Json::as_str).map(str::to_owned);
    let claimed: Vec<String> = claimed.filter(|url| !asked.contains(url)).collect();
    if !claimed.is_empty() {
        let more = repository.judge(judged, &claimed, false)?.issues;
        let new = more.into_iter().filter(|issue| !issues.contains(issue));
        issues.extend(new.collect::<Vec<_>>());
    }
    issues.sort_by_key(|issue| std::cmp::Reverse(issue.severity));
    Ok(issues)
}

/// An outcome has at least one issue.
fn all_or_fine(mut issues: Vec<Issue>) -> Vec<Issue> {
    if issues.is_empty() {
        let mut fine = Issue::error(
            "E-VALID-5",
            IssueCode::Informational,
            "",
            "nothing is wrong with it",
        );
        fine.severity = Severity::Information;
        issues.push(fine);
    }
    issues
}
