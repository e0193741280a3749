//! The list of reviews and the sheet of one: whom it is about, what is in force, the three versions
//! side by side, and the form. Plain HTML that works without scripts and by keyboard alone.

use super::super::auth::Session;
use super::{PICK_PREFIX, show};
use fhir_mapping::conflict::{ElementConflict, why};
use fhir_mapping::model::{Json, format_pretty};
use gateway_ground::clock::format_instant;
use gateway_ground::failure::Failure;
use gateway_repository::{ReviewKind, ReviewSide, ReviewView};
use maud::{DOCTYPE, Markup, html};
use store::OriginKind;

/// What a person entered before, and why it was refused.
pub(super) struct Attempt<'a> {
    pub(super) form: &'a [(String, String)],
    pub(super) failure: Option<&'a Failure>,
    pub(super) now_ms: i64,
    pub(super) session: &'a Session,
}

impl Attempt<'_> {
    fn entered(&self, name: &str) -> &str {
        let found = self.form.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }
}

/// All open reviews, most pressing first.
pub(super) fn list(reviews: &[ReviewView], now_ms: i64, session: &Session) -> Markup {
    let body = html! {
        h1 { "Conflicts that wait for a person" }
        @if reviews.is_empty() {
            p { "None. Everything that came in could be merged." }
        } @else {
            table {
                thead { tr {
                    th scope="col" { "Priority" } th scope="col" { "Waits" }
                    th scope="col" { "Patient" } th scope="col" { "What" }
                    th scope="col" { "In conflict" } th scope="col" { "With" }
                } }
                tbody { @for review in reviews { (list_row(review, now_ms)) } }
            }
        }
    };
    whole("Conflicts", &body, session)
}

fn list_row(review: &ReviewView, now_ms: i64) -> Markup {
    let to = format!("/admin/reviews/{}", review.task_id);
    html! {
        tr {
            td { (review.priority) }
            td { (age(now_ms - review.opened_ms)) }
            td { (review.patient.as_ref().map(patient_name).unwrap_or_else(|| "-".to_owned())) }
            td { a href=(to) { (review.focus.resource_type) "/" (review.focus.id) } }
            td { (paths(&review.conflicts)) }
            td { (review.target_name) }
        }
    }
}

/// One review; with the form while it is open.
pub(super) fn one(review: &ReviewView, attempt: &Attempt<'_>) -> Markup {
    let title = format!("{}/{}", review.focus.resource_type, review.focus.id);
    let body = html! {
        p { a href="/admin/reviews" { "All conflicts" } }
        h1 { "Conflict: " (title) }
        (banner(review, attempt.now_ms))
        @if let Some(failure) = attempt.failure { (refused(failure)) }
        (in_force(review))
        @if review.is_open { (form(review, attempt)) } @else { (ended(review)) (columns(review)) }
        (everything(review))
    };
    whole(&title, &body, attempt.session)
}

/// Whom it is about: always in sight, so that nobody decides for the wrong person.
fn banner(review: &ReviewView, now_ms: i64) -> Markup {
    let Some(patient) = &review.patient else {
        return html! { p.banner { "The patient is not known at this site." } };
    };
    let text = |name: &str| patient.str_at(&[name]).unwrap_or("unknown").to_owned();
    let identifiers = patient.items("identifier").iter();
    let identifiers = identifiers.filter_map(|i| i.get("value").and_then(Json::as_str));
    html! {
        div.banner role="region" aria-label="Patient" {
            strong { (patient_name(patient)) }
            " | " (text("gender")) " | born " (text("birthDate"))
            @if let Some(years) = years(&text("birthDate"), now_ms) { " (" (years) " years)" }
            " | " (identifiers.take(4).collect::<Vec<_>>().join(", "))
        }
    }
}

fn in_force(review: &ReviewView) -> Markup {
    let shown = review.in_force.resource.as_ref();
    html! {
        section {
            h2 { "In force now" }
            p {
                "Version " (review.in_force.version.0) ", "
                @if review.is_open { "marked conflict-pending. Nothing of it leaves this site. " }
                @if review.kind == ReviewKind::DeleteUpdate {
                    "One side deleted the resource, the other changed it."
                }
            }
            @match shown {
                None => p { "The resource is deleted." },
                Some(resource) => dl {
                    @for conflict in &review.conflicts {
                        dt { (element_words(&conflict.path)) }
                        dd { (current(resource, conflict)) }
                    }
                },
            }
        }
    }
}

/// The element of the head that is in conflict; the side it equals says where it comes from.
fn current(resource: &Json, conflict: &ElementConflict) -> Markup {
    let Some((_, name)) = conflict.path.split_once('.') else {
        return html! { "the resource is kept" };
    };
    let found = resource.get(name).or_else(|| choice(resource, name));
    html! { @match found { Some(value) => (show::value(value)), None => em { "absent" } } }
}

fn choice<'r>(resource: &'r Json, name: &str) -> Option<&'r Json> {
    let mut pairs = resource.as_object()?.iter();
    let is_spelling = |key: &str| {
        let suffix = key.strip_prefix(name);
        suffix.is_some_and(|suffix| suffix.starts_with(|c: char| c.is_ascii_uppercase()))
    };
    pairs
        .find(|(key, _)| is_spelling(key))
        .map(|(_, value)| value)
}

fn form(review: &ReviewView, attempt: &Attempt<'_>) -> Markup {
    let edited = match attempt.entered("resource") {
        "" => review
            .in_force
            .resource
            .as_ref()
            .map(format_pretty)
            .unwrap_or_default(),
        entered => entered.to_owned(),
    };
    html! {
        form method="post" action={ "/admin/reviews/" (review.task_id) } {
            input type="hidden" name="form_key" value=(attempt.session.form_key);
            input type="hidden" name="if_match" value=(review.task_version.0);
            h2 { "What the two sides say" }
            (origins(review))
            @for conflict in &review.conflicts { (question(conflict, review, attempt)) }
            p {
                label for="rationale" { "Why? (required; stands in the history)" }
                textarea #rationale name="rationale" rows="3" required maxlength="2000" {
                    (attempt.entered("rationale"))
                }
            }
            p.choices {
                button type="submit" name="choice" value="picks" { "Decide as chosen above" }
                button.plain type="submit" name="choice" value="local" formnovalidate {
                    "Keep this site's whole version"
                }
                button.plain type="submit" name="choice" value="incoming" formnovalidate {
                    "Take the whole incoming version"
                }
            }
            details {
                summary { "Write something else" }
                label for="resource" { "The whole resource, as FHIR JSON" }
                textarea #resource name="resource" rows="16" spellcheck="false" { (edited) }
                button.plain type="submit" name="choice" value="edited" formnovalidate {
                    "Decide for this text"
                }
            }
        }
    }
}

fn question(conflict: &ElementConflict, review: &ReviewView, attempt: &Attempt<'_>) -> Markup {
    let name = format!("{PICK_PREFIX}{}", conflict.path);
    let chosen = attempt.entered(&name);
    html! {
        fieldset {
            legend { (element_words(&conflict.path)) }
            @if let Some(why) = why(conflict.rule) { p.why { "A person decides: " (why) "." } }
            div.three {
                div.side { h3 { "Before" } (side(&conflict.base)) }
                div.side {
                    h3 { "This site" } (side(&conflict.local))
                    label { input type="radio" name=(name) value="local" required
                        checked[chosen == "local"]; " Keep this" }
                }
                div.side {
                    h3 { (review.target_name) } (side(&conflict.incoming))
                    label { input type="radio" name=(name) value="incoming"
                        checked[chosen == "incoming"]; " Take this" }
                }
            }
        }
    }
}

/// The same columns without a form, for a closed review.
fn columns(review: &ReviewView) -> Markup {
    html! {
        h2 { "What the two sides said" }
        (origins(review))
        @for conflict in &review.conflicts {
            h3 { (element_words(&conflict.path)) }
            div.three {
                div.side { h4 { "Before" } (side(&conflict.base)) }
                div.side { h4 { "This site" } (side(&conflict.local)) }
                div.side { h4 { (review.target_name) } (side(&conflict.incoming)) }
            }
        }
    }
}

fn side(value: &Option<Json>) -> Markup {
    html! { @match value { Some(value) => (show::value(value)), None => em { "absent" } } }
}

fn origins(review: &ReviewView) -> Markup {
    let line = |name: &str, side: &ReviewSide| {
        html! {
            tr {
                th scope="row" { (name) } td { "version " (side.version.0) }
                td { (author(side, &review.target_name)) } td { (format_instant(side.time_ms)) }
            }
        }
    };
    html! {
        table {
            thead { tr {
                th scope="col" { "Version" } th scope="col" { "Number" }
                th scope="col" { "Written by" } th scope="col" { "Stored here at" }
            } }
            tbody {
                @if let Some(base) = &review.base { (line("Before", base)) }
                (line("This site", &review.local))
                (line(&review.target_name, &review.incoming))
            }
        }
    }
}

fn author(side: &ReviewSide, target_name: &str) -> String {
    match side.origin.kind {
        OriginKind::Client => "a client of this site".to_owned(),
        OriginKind::Device => "a device of this site".to_owned(),
        OriginKind::Target => target_name.to_owned(),
        OriginKind::Reviewer => "a reviewer".to_owned(),
    }
}

fn ended(review: &ReviewView) -> Markup {
    let Some(ended) = &review.ended else {
        return html! {};
    };
    html! {
        section {
            h2 { "Decided" }
            dl {
                dt { "Choice" } dd { (ended.choice) }
                dt { "By" } dd { (ended.reviewer) }
                dt { "Why" } dd { (ended.rationale) }
                dt { "Led to" } dd { (ended.result) }
            }
        }
    }
}

fn everything(review: &ReviewView) -> Markup {
    let sides = [
        ("Before", review.base.as_ref()),
        ("This site", Some(&review.local)),
        (review.target_name.as_str(), Some(&review.incoming)),
    ];
    html! {
        details {
            summary { "Show all of the three versions" }
            div.three {
                @for (name, side) in sides {
                    div.side {
                        h3 { (name) }
                        @match side.and_then(|side| side.resource.as_ref()) {
                            Some(resource) => pre { (format_pretty(resource)) },
                            None => em { "absent" },
                        }
                    }
                }
            }
        }
    }
}

fn refused(failure: &Failure) -> Markup {
    html! {
        div.problem role="alert" {
            p { strong { "Not decided." } }
            ul { @for issue in &failure.issues { li {
                (issue.number) ": " (issue.text)
                @if !issue.expression.is_empty() { " (" (issue.expression) ")" }
            } } }
        }
    }
}

fn element_words(path: &str) -> String {
    let name = path
        .split_once('.')
        .map_or("the whole resource", |(_, name)| name);
    show::words(name)
}

fn paths(conflicts: &[ElementConflict]) -> String {
    let names: Vec<String> = conflicts.iter().map(|c| element_words(&c.path)).collect();
    names.join(", ")
}

fn patient_name(patient: &Json) -> String {
    let names = patient.items("name");
    let official = names
        .iter()
        .find(|name| name.str_at(&["use"]) == Some("official"));
    let name = official.or(names.first()).map(show::person_name);
    name.filter(|name| !name.is_empty())
        .unwrap_or_else(|| "no name".to_owned())
}

fn years(birth_date: &str, now_ms: i64) -> Option<i64> {
    let born: i64 = birth_date.split('-').next()?.parse().ok()?;
    let now = format_instant(now_ms);
    let (year, rest) = now.split_once('-')?;
    let years = year.parse::<i64>().ok()? - born;
    let had_birthday = birth_date
        .get(5..)
        .is_none_or(|day| rest.get(..day.len()) >= Some(day));
    Some(if had_birthday { years } else { years - 1 })
}

/// `3 d`, `5 h`, `12 min`
fn age(ms: i64) -> String {
    let minutes = ms.max(0) / 60_000;
    match minutes {
        0..=119 => format!("{minutes} min"),
        120..=2_879 => format!("{} h", minutes / 60),
        _ => format!("{} d", minutes / 1_440),
    }
}

const STYLE: &str = "\
body{font:16px/1.5 sans-serif;max-width:72rem;margin:1rem auto;padding:0 1rem;color:#111;background:#fff}\
h1{font-size:1.4rem}h2{font-size:1.15rem}h3,h4{font-size:1rem;margin:.2rem 0}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #999}\
.banner{position:sticky;top:0;background:#e8f0fb;border:2px solid #1a4d8f;padding:.5rem .8rem}\
.problem{border:2px solid #a00;padding:.2rem .8rem;background:#fff2f2}\
fieldset{margin:1rem 0;border:1px solid #666}legend{font-weight:bold}.why{margin:.2rem 0;color:#333}\
.three{display:grid;grid-template-columns:repeat(auto-fit,minmax(15rem,1fr));gap:1rem}\
.side{border:1px solid #bbb;padding:.5rem;overflow-wrap:anywhere}.side label{display:block;margin-top:.6rem;font-weight:bold}\
pre{white-space:pre-wrap;font-size:.85rem}dl{margin:.2rem 0}dt{font-weight:bold}dd{margin:0 0 .4rem 1rem}\
textarea{width:100%;box-sizing:border-box;font:inherit}button{font:inherit;padding:.5rem .9rem;margin:.2rem .4rem .2rem 0}\
:focus-visible{outline:3px solid #1a4d8f;outline-offset:2px}\
@media print{form button,header form{display:none}}";

fn whole(title: &str, body: &Markup, session: &Session) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " - Wayside" }
                style { (maud::PreEscaped(STYLE)) }
            }
            body {
                header {
                    form method="post" action="/admin/logout" {
                        input type="hidden" name="form_key" value=(session.form_key);
                        "Signed in as " (session.caller.name) " "
                        button type="submit" { "Sign out" }
                    }
                }
                main { (body) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_years() {
        for (ms, expected) in [(0, "0 min"), (7_200_000, "2 h"), (200_000_000, "2 d")] {
            assert_eq!(age(ms), expected);
        }
        let now_ms = 1_795_547_178_123; // 2026-11-24
        for (born, expected) in [
            ("1990-11-24", Some(36)),
            ("1990-11-25", Some(35)),
            ("1990", Some(36)),
            ("unknown", None),
        ] {
            assert_eq!(years(born, now_ms), expected, "{born}");
        }
    }
}
