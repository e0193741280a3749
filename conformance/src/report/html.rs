//! The report as one page without scripts or links to other files: what failed first, then all.

use super::{Report, Tally};
use crate::runner::{Outcome, Verdict};
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = "
body{font:15px/1.5 system-ui,sans-serif;color:#1c2430;background:#fff;margin:0}
main{max-width:62rem;margin:0 auto;padding:2rem 1.25rem 4rem}
h1{font-size:1.6rem;margin:0 0 .25rem}h2{font-size:1.15rem;margin:2.25rem 0 .6rem}
.lead{color:#4b5665;margin:0 0 1.25rem}
.tiles{display:flex;gap:.75rem;flex-wrap:wrap}
.tile{flex:1 1 8rem;border:1px solid #dde3ea;border-radius:.5rem;padding:.6rem .9rem}
.tile b{display:block;font-size:1.6rem;line-height:1.2}
.passed b{color:#176b3a}.failed b{color:#b3261e}.other b{color:#4b5665}
td,p{overflow-wrap:anywhere}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #e8ecf1;vertical-align:top}
th{font-weight:600;color:#4b5665;font-size:.85rem}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.bar{display:flex;height:.6rem;width:9rem;border-radius:.3rem;overflow:hidden;background:#e8ecf1}
.bar i{display:block}.bar .p{background:#2f9e5f}.bar .f{background:#d9483b}.bar .d{background:#e0a030}
details{border-bottom:1px solid #e8ecf1;padding:.35rem 0}summary{cursor:pointer}
.fail{border:1px solid #f0c7c3;background:#fff8f7;border-radius:.5rem;padding:.7rem .9rem;margin:.6rem 0}
.fail h3{margin:0;font-size:1rem}.why{color:#8c1d18;margin:.25rem 0}
.mark{display:inline-block;min-width:6.5rem;font-size:.85rem}
.mark.ok{color:#176b3a}.mark.no{color:#b3261e;font-weight:600}.mark.skip{color:#6b7685}
pre{background:#f5f7fa;border-radius:.4rem;padding:.5rem .7rem;overflow:auto;font-size:.8rem;
white-space:pre-wrap;overflow-wrap:anywhere;margin:.35rem 0}
a{color:#1459a8}small{color:#6b7685}
";

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
                h1 { "FHIR R4 conformance of " (report.software) }
                p.lead { (report.summary()) " Begun " (report.begun) ". The CapabilityStatement makes "
                    (report.claims) " claims; what it does not claim is not tested and not held against the server." }
                (tiles(report.tally()))
                h2 { "By capability" }
                (table(report))
                @if !failed.is_empty() {
                    h2 { "What failed" }
                    @for verdict in &failed { (failure(verdict)) }
                }
                h2 { "All cases" }
                @for (capability, verdicts) in report.by_capability() { (all(capability, &verdicts)) }
            } }
        }
    };
    page.into_string()
}

fn tiles(tally: Tally) -> Markup {
    html! {
        div.tiles {
            div.tile.passed { b { (tally.passed) } "passed" }
            div.tile.failed { b { (tally.failed) } "failed" }
            div.tile.other { b { (tally.declined) } "declined clearly" }
            div.tile.other { b { (tally.not_claimed) } "not claimed" }
        }
    }
}

fn table(report: &Report) -> Markup {
    html! {
        table {
            tr { th { "Capability" } th {} th.n { "passed" } th.n { "failed" } th.n { "declined" } th.n { "not claimed" } }
            @for (capability, verdicts) in report.by_capability() {
                @let tally = Tally::of(verdicts.iter().copied());
                tr {
                    td { (capability) }
                    td { (bar(tally)) }
                    td.n { (tally.passed) } td.n { (tally.failed) }
                    td.n { (tally.declined) } td.n { (tally.not_claimed) }
                }
            }
        }
    }
}

/// Shares in percent; what is left is not claimed.
fn bar(tally: Tally) -> Markup {
    let share = |part: usize| format!("width:{}%", part * 100 / tally.all().max(1));
    html! {
        div.bar title={ (tally.passed) " of " (tally.all()) " passed" } {
            i.p style=(share(tally.passed)) {}
            i.f style=(share(tally.failed)) {}
            i.d style=(share(tally.declined)) {}
        }
    }
}

fn failure(verdict: &Verdict) -> Markup {
    html! {
        div.fail {
            h3 { (verdict.case) }
            @if let Outcome::Failed(failures) = &verdict.outcome {
                @for failure in failures { p.why { (failure) } }
            }
            p { "Specification: " a href=(verdict.spec) { (verdict.section) } }
            @if let Some(last) = verdict.said.last() {
                details {
                    summary { "The last of " (verdict.said.len()) " requests: " code { (last.request) } ", answered " (last.status) }
                    @if !last.sent.is_empty() { pre { (last.sent) } }
                    pre { (last.answer) }
                }
            }
        }
    }
}

fn all(capability: &str, verdicts: &[&Verdict]) -> Markup {
    let tally = Tally::of(verdicts.iter().copied());
    html! {
        details {
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
            "1 of 2 applicable cases passed in 1.5 s",
            "status: wanted 200, found 500",
            "the server does not claim format:xml",
            "answered 400: no",
            "&lt;oh&gt;",
            "https://hl7.org/fhir/R4/http.html#read",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("<oh>"));
        assert!(!page.contains("<script"));
    }
}
