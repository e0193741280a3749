//! The pages on which a person sees a conflict and decides it. They only read and call what
//! `Task` and `$resolve` offer as well.

mod sheet;
mod show;

use super::exchange::Answer;
use super::interactions::Surface;
use super::interactions::operations::Call;
use super::pages::PageRequest;
use super::route::Interaction;
use fhir_mapping::conflict::{Decision, Pick};
use fhir_mapping::model::{IssueCode, Limits, parse};
use gateway_ground::failure::{Category, Failure};
use gateway_repository::{ReviewDecision, ReviewView};
use http::{HeaderValue, Method, header};
use maud::Markup;
use sheet::Attempt;
use store::VersionId;

/// Most reviews on the list.
const LISTED_MAX: usize = 200;

/// Marks the fields of the form that pick a side: `pick:MedicationRequest.status`.
const PICK_PREFIX: &str = "pick:";

/// Answers `/admin/reviews` and everything below it. The caller is signed in; a POST's form key has
/// been checked. The answer brings its own `Content-Type`.
pub async fn answer(surface: &Surface, request: PageRequest) -> Result<Answer, Failure> {
    match (&request.method, request.segments.as_slice()) {
        (&Method::GET | &Method::HEAD, []) => {
            let reviews = surface.repository.reviews(LISTED_MAX)?;
            let now_ms = surface.repository.clock().now_ms();
            Ok(page(200, sheet::list(&reviews, now_ms, &request.session)))
        }
        (&Method::GET | &Method::HEAD, [task]) => {
            let review = surface.repository.review(task)?;
            Ok(page(200, one(surface, &review, &request, None)))
        }
        (&Method::POST, [task]) => decide(surface, task, &request).await,
        (_, [] | [_]) => {
            let text = "reviews are read (GET) and decided (POST to one of them)";
            let code = IssueCode::NotSupported;
            Err(Failure::new(
                Category::MethodNotAllowed,
                "E-PAGE-5",
                code,
                text,
            ))
        }
        _ => {
            let text = "nothing is here; see /admin/reviews";
            Err(Failure::new(
                Category::NotFound,
                "E-PAGE-6",
                IssueCode::NotFound,
                text,
            ))
        }
    }
}

/// Decides and shows the closed review; a refusal shows the open one again with what was entered.
async fn decide(surface: &Surface, task: &str, request: &PageRequest) -> Result<Answer, Failure> {
    let resolve = Interaction::Operation(Call::resolve(task));
    let decided = match decision_of(&request.form) {
        Ok(decision) => {
            let actor = request.session.caller.actor(&resolve);
            Box::pin(surface.repository.decide(&actor, task, decision)).await
        }
        Err(failure) => Err(failure),
    };
    match decided {
        Ok(_version) => Ok(Answer {
            status: 303,
            headers: location(&format!("/admin/reviews/{task}")),
            body: Vec::new(),
        }),
        Err(failure) if is_reviewers(failure.category) => {
            let review = surface.repository.review(task)?;
            let status = failure.category.status();
            Ok(page(status, one(surface, &review, request, Some(&failure))))
        }
        Err(failure) => Err(failure),
    }
}

/// Refusals that the person at the form can do something about.
fn is_reviewers(category: Category) -> bool {
    use Category::{Busy, Incorrect, PreconditionFailed, Unprocessable};
    matches!(
        category,
        Busy | Incorrect | PreconditionFailed | Unprocessable
    )
}

fn one(
    surface: &Surface,
    review: &ReviewView,
    request: &PageRequest,
    failure: Option<&Failure>,
) -> Markup {
    let attempt = Attempt {
        form: &request.form,
        failure,
        now_ms: surface.repository.clock().now_ms(),
        session: &request.session,
    };
    sheet::one(review, &attempt)
}

fn decision_of(form: &[(String, String)]) -> Result<ReviewDecision, Failure> {
    let value = |name: &str| {
        let found = form.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    };
    let decision = match value("choice") {
        "local" => Decision::Local,
        "incoming" => Decision::Incoming,
        "picks" => Decision::Picks(form.iter().filter_map(pick_of).collect()),
        "edited" => {
            let resource = parse(value("resource").as_bytes(), Limits::default());
            Decision::Edited(resource.map_err(|i| Failure::of(Category::Incorrect, vec![i]))?)
        }
        _ => return Err(malformed("the form says no choice; load the page again")),
    };
    let if_match = value("if_match").parse().map(VersionId);
    Ok(ReviewDecision {
        decision,
        rationale: value("rationale").trim().to_owned(),
        if_match: if_match
            .map_err(|_no_number| malformed("the form is not whole; load it again"))?,
    })
}

fn pick_of((name, value): &(String, String)) -> Option<(String, Pick)> {
    let path = name.strip_prefix(PICK_PREFIX)?;
    let side = match value.as_str() {
        "local" => Pick::Local,
        "incoming" => Pick::Incoming,
        _ => return None,
    };
    Some((path.to_owned(), side))
}

fn malformed(text: &str) -> Failure {
    Failure::new(Category::Incorrect, "E-PAGE-7", IssueCode::Value, text)
}

fn page(status: u16, markup: Markup) -> Answer {
    let content_type = HeaderValue::from_static("text/html; charset=utf-8");
    Answer {
        status,
        headers: vec![(header::CONTENT_TYPE, content_type)],
        body: markup.into_string().into_bytes(),
    }
}

fn location(to: &str) -> Vec<(header::HeaderName, HeaderValue)> {
    let value = HeaderValue::from_str(to).ok();
    value
        .map(|value| (header::LOCATION, value))
        .into_iter()
        .collect()
}
