//! The report as one page without scripts or links to other files, made to be printed: who was
//! tested and how it ended, the table by capability, what failed with all that was said, all cases.

use super::{Report, Tally};
use crate::runner::{Outcome, Verdict};
use crate::world::Exchange;
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The look of the page.
const STYLE: &str = include_str!("page.css");

/// The whole page.
pub fn page(report: &Report) -> String {
    let failed = report.verdicts.iter();
    let failed: Vec<&Verdict> = failed
        .filter(|verdict| matches!(verdict.outcome, Outcome::Failed(_)))
        .collect();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "FHIR R4 conformance of " (report.software) }
                style { (PreEscaped(STYLE)) }
            }
            body { main {
                (header(report))
                h2 { "By capability" }
                (table(report))
                @if !failed.is_empty() {
                    h2 #failed { "What failed" }
                    @for verdict in &failed { (failure(verdict)) }
                }
                h2.cases { "All cases" }
                @for (capability, verdicts) in report.by_capability() { (all(capability, &verdicts)) }
                footer { "Every case comes from a section of the specification, HL7 FHIR R4 (4.0.1). Requests "
                    "were made over HTTP alone; the cases saw no data but their own. The same run with "
                    code { "--json" } " tells the same to programs." }
            } }
        }
    };
    page.into_string()
}

fn header(report: &Report) -> Markup {
    let tally = report.tally();
    let applied = tally.passed + tally.failed;
    let (class, words) = match (applied, tally.failed) {
        (0, _) => ("none", "No case applied".to_owned()),
        (_, 0) => ("good", format!("All {applied} applicable cases passed")),
        (_, failed) => (
            "bad",
            format!("{failed} of {applied} applicable cases failed"),
        ),
    };
    html! {
        header {
            p.kind { "FHIR R4 conformance report" }
            h1 { (report.software) }
            dl {
                dt { "Server" } dd { (report.base) }
                dt { "FHIR release" } dd { (report.fhir_version) }
                dt { "Tested" } dd { (report.begun) ", in " (format!("{:.1}", report.took.as_secs_f64())) " s" }
                dt { "Claims" } dd { (report.claims) " in its CapabilityStatement; what it does not claim is not tested and not held against it" }
            }
            p class={ "verdict " (class) } { (words) }
            (tiles(tally))
        }
    }
}

fn tiles(tally: Tally) -> Markup {
    html! {
        div.tiles {
            div.tile.passed { b { (tally.passed) } "passed" }
            div.tile.failed[tally.failed > 0].other[tally.failed == 0] { b { (tally.failed) } "failed" }
            div.tile.other { b { (tally.declined) } "declined, as the specification allows" }
            div.tile.other { b { (tally.not_claimed) } "not claimed, not run" }
        }
    }
}

fn table(report: &Report) -> Markup {
    html! {
        table.capabilities {
            thead { tr {
                th { "Capability" } th {} th.n { "Passed" } th.n { "Failed" } th.n { "Declined" } th.n { "Not claimed" }
            } }
            tbody { @for (capability, verdicts) in report.by_capability() {
                @let tally = Tally::of(verdicts.iter().copied());
                tr.bad[tally.failed > 0] {
                    td { (capability) }
                    td { (bar(tally)) }
                    td.n { (tally.passed) } td.n.f { (dash(tally.failed)) }
                    td.n { (dash(tally.declined)) } td.n { (dash(tally.not_claimed)) }
                }
            } }
            tfoot { tr {
                @let tally = report.tally();
                th { "In all" } th { (bar(tally)) }
                th.n { (tally.passed) } th.n { (tally.failed) } th.n { (tally.declined) } th.n { (tally.not_claimed) }
            } }
        }
    }
}

/// A table is read for what is there.
fn dash(count: usize) -> String {
    match count {
        0 => "\u{2013}".to_owned(),
        _ => count.to_string(),
    }
}

/// Shares in a thousand; what is left is not claimed.
fn bar(tally: Tally) -> Markup {
    let share = |part: usize| {
        let thousandth = part * 1000 / tally.all().max(1);
        format!("width:{}.{}%", thousandth / 10, thousandth % 10)
    };
    html! {
        div.bar title={ (tally.passed) " of " (tally.all()) " passed" } {
            i.p style=(share(tally.passed)) {}
            i.f style=(share(tally.failed)) {}
            i.d style=(share(tally.declined)) {}
        }
    }
}

/// What does not hold, where that is written, and all that was said, the last open.
fn failure(verdict: &Verdict) -> Markup {
    let last = verdict.said.len();
    html! {
        section.fail {
            h3 { (verdict.case) }
            @if let Outcome::Failed(failures) = &verdict.outcome {
                @for failure in failures { p.why { (failure) } }
            }
            p.spec { (verdict.capability) ". Specification: " a href=(verdict.spec) { (verdict.section) } }
            @for (number, exchange) in verdict.said.iter().enumerate() {
                details open[number + 1 == last] {
                    summary { (number + 1) " of " (last) ": " code { (exchange.request) } " answered " b { (exchange.status) } }
                    (said("Request", &exchange.request, &exchange.headers, &exchange.sent))
                    (said("Answer", &answered(exchange), &exchange.answer_headers, &exchange.answer))
                }
            }
        }
    }
}

fn answered(exchange: &Exchange) -> String {
    format!("HTTP {}", exchange.status)
}

/// One message as it goes over the wire, JSON laid out for reading.
fn said(label: &str, first: &str, headers: &str, body: &str) -> Markup {
    let parsed = serde_json::from_str::<serde_json::Value>(body);
    let body = match parsed {
        // Numbers must be shown as they were said.
        Ok(json) if !body.contains('.') => format!("{json:#}"),
        _ => body.to_owned(),
    };
    html! {
        figure {
            figcaption { (label) }
            pre { b { (first) } "\n" span.h { (headers) } @if !body.is_empty() { "\n" (body) } }
        }
    }
}

fn all(capability: &str, verdicts: &[&Verdict]) -> Markup {
    let tally = Tally::of(verdicts.iter().copied());
    html! {
        details.all {
            summary { (capability) " " small { (tally.passed) " of " (tally.all()) " passed" } }
            table {
                @for verdict in verdicts {
                    tr {
                        td { (mark(&verdict.outcome)) }
                        td { (verdict.case) @if let Some(reason) = reason(&verdict.outcome) { br; small { (reason) } } }
                        td { a href=(verdict.spec) { (verdict.section) } }
                        td.n { (verdict.took.as_millis()) " ms" }
                    }
                }
            }
        }
    }
}

fn mark(outcome: &Outcome) -> Markup {
    let (class, word) = match outcome {
        Outcome::Passed => ("ok", "passed"),
        Outcome::Failed(_) => ("no", "failed"),
        Outcome::Declined(_) => ("skip", "declined"),
        Outcome::NotClaimed(_) => ("skip", "not claimed"),
    };
    html! { span class={ "mark " (class) } { (word) } }
}

fn reason(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Passed => None,
        Outcome::Failed(failures) => Some(failures.join("; ")),
        Outcome::Declined(reason) => Some(reason.clone()),
        Outcome::NotClaimed(needs) => {
            Some(format!("the server does not claim {}", needs.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_tells_all_and_escapes_what_servers_say() {
        let page = page(&super::super::tests::sample());
        for part in [
            "FHIR R4 conformance of S 1",
            "1 of 2 applicable cases failed",
            "in 1.5 s",
            "GET Patient/1",
            "accept: application/fhir+json",
            "HTTP 500",
            "status: wanted 200, found 500",
            "the server does not claim format:xml",
            "answered 400: no",
            "&lt;oh&gt;",
            "https://hl7.org/fhir/R4/http.html#read",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("<oh>"));
        assert!(!page.contains("All 1 applicable"));
        assert!(!page.contains("<script"));
    }
}
