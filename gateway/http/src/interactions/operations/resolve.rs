//! POST Task/{id}/$resolve: a person's decision on a conflict.
//!
//! Parameters: `choice` (local, incoming, picks, edited), `pick` (repeated; parts `path` and `side`)
//! for picks, `resource` for edited, `rationale`. If-Match names the Task's version that was seen.

use super::{Asked, Inputs, instance};
use crate::exchange::Answer;
use crate::interactions::{Surface, answers, preconditions};
use fhir_mapping::conflict::{Decision, Pick};
use fhir_mapping::model::{Issue, IssueCode, Severity, format};
use gateway_ground::failure::{Category, Failure, outcome};
use gateway_repository::ReviewDecision;
use store::{ResourceKey, VersionId};

pub(super) async fn answer(asked: Asked) -> Result<Answer, Failure> {
    let (surface, exchange) = (&asked.surface, &asked.exchange);
    let task_id = instance(&asked.target)?.id.as_str();
    let Some(if_match) = preconditions::if_match(&exchange.headers)? else {
        let text = "If-Match with the Task's ETag is needed: it says which state was decided on";
        let code = IssueCode::Required;
        return Err(Failure::new(
            Category::PreconditionFailed,
            "E-RESOLVE-1",
            code,
            text,
        ));
    };
    let inputs = &asked.inputs;
    inputs.check_known(&["choice", "pick", "resource", "rationale"])?;
    let decision = ReviewDecision {
        decision: decision_in(inputs)?,
        rationale: inputs.text("rationale")?.unwrap_or_default().to_owned(),
        if_match,
    };
    let focus = surface.repository.review(task_id)?.focus;
    let decide = surface
        .repository
        .decide(&exchange.actor, task_id, decision);
    let version = Box::pin(decide).await?;
    decided(surface, &focus, version)
}

/// The decided version; a deletion has no body, so its answer says so in words.
fn decided(surface: &Surface, key: &ResourceKey, version: VersionId) -> Result<Answer, Failure> {
    match surface.repository.vread(key, version) {
        Ok(stored) => Ok(answers::stored(stored)),
        Err(failure) if failure.category == Category::Gone => {
            let text = std::format!("decided: {} is deleted", key.resource_type);
            let issue = Issue {
                severity: Severity::Information,
                code: IssueCode::Informational,
                expression: String::new(),
                number: "E-RESOLVE-2",
                text,
            };
            Ok(answers::body(format(&outcome(&[issue])).into_bytes()))
        }
        Err(failure) => Err(failure),
    }
}

fn decision_in(inputs: &Inputs) -> Result<Decision, Failure> {
    match inputs.text("choice")? {
        Some("local") => Ok(Decision::Local),
        Some("incoming") => Ok(Decision::Incoming),
        Some("picks") => {
            let picks = inputs.parts("pick")?.into_iter().map(pick_in);
            Ok(Decision::Picks(picks.collect::<Result<_, _>>()?))
        }
        Some("edited") => {
            let missing = || refuse("E-RESOLVE-3", "choice edited needs a parameter resource");
            let resource = inputs.resource("resource")?;
            resource.cloned().map(Decision::Edited).ok_or_else(missing)
        }
        _ => Err(refuse(
            "E-RESOLVE-4",
            "the parameter choice must be local, incoming, picks or edited",
        )),
    }
}

fn pick_in(pick: &Inputs) -> Result<(String, Pick), Failure> {
    let side = match pick.text("side")? {
        Some("local") => Some(Pick::Local),
        Some("incoming") => Some(Pick::Incoming),
        _ => None,
    };
    let pick = pick.text("path")?.map(str::to_owned).zip(side);
    pick.ok_or_else(|| {
        refuse(
            "E-RESOLVE-5",
            "a pick has the parts path and side (local or incoming)",
        )
    })
}

fn refuse(number: &'static str, text: &str) -> Failure {
    Failure::new(Category::Incorrect, number, IssueCode::Value, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fhir_mapping::model::{Limits, parse};

    fn check(parameters: &str, expected: Result<Decision, &str>) {
        let text = std::format!("{{'resourceType':'Parameters','parameter':[{parameters}]}}");
        let parameters = parse(text.replace('\'', "\"").as_bytes(), Limits::default()).unwrap();
        let inputs = Inputs::of(&parameters);
        let found = decision_in(&inputs).map_err(|failure| failure.issues[0].number);
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn decisions_are_read_from_parameters() {
        let pick = |path: &str, side: &str| {
            std::format!(
                "{{'name':'pick','part':[{{'name':'path','valueString':'{path}'}},\
                 {{'name':'side','valueCode':'{side}'}}]}}"
            )
        };
        check("{'name':'choice','valueCode':'local'}", Ok(Decision::Local));
        check(
            "{'name':'choice','valueString':'incoming'}",
            Ok(Decision::Incoming),
        );
        check("", Err("E-RESOLVE-4"));
        check("{'name':'choice','valueCode':'ours'}", Err("E-RESOLVE-4"));
        check("{'name':'choice','valueCode':'edited'}", Err("E-RESOLVE-3"));
        let picks = [("a", Pick::Local), ("b", Pick::Incoming)];
        check(
            &std::format!(
                "{{'name':'choice','valueCode':'picks'}},{},{}",
                pick("a", "local"),
                pick("b", "incoming")
            ),
            Ok(Decision::Picks(
                picks.map(|(p, s)| (p.to_owned(), s)).to_vec(),
            )),
        );
        check(
            &std::format!(
                "{{'name':'choice','valueCode':'picks'}},{}",
                pick("a", "both")
            ),
            Err("E-RESOLVE-5"),
        );
    }
}
