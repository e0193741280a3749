//! Status tables: OBX-11 (HL7 table 0085) and OBR-25 (table 0123), the guide's targets where it has
//! them and our decisions where it has none.

/// What OBX-11 says of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResultStatus {
    /// Observation.status.
    Is(&'static str),
    /// `N` and `O`: not asked, or a description of the order; no observation.
    NoObservation,
    Unknown,
}

/// Observation.status of OBX-11. An empty one falls back on OBR-25; with neither, nobody released
/// the result, so it is preliminary.
pub(super) fn result_status(code: &str, report_code: &str) -> ResultStatus {
    ResultStatus::Is(match code {
        "F" | "V" | "U" => "final",
        "P" | "R" | "S" => "preliminary",
        "C" => "corrected",
        "A" | "B" => "amended",
        "D" | "W" => "entered-in-error",
        "X" => "cancelled",
        "I" => "registered",
        "N" | "O" => return ResultStatus::NoObservation,
        "" => match report_code {
            "F" => "final",
            "C" => "corrected",
            "X" => "cancelled",
            "O" | "I" | "S" => "registered",
            _ => "preliminary",
        },
        _ => return ResultStatus::Unknown,
    })
}

/// Codes whose meaning the FHIR status alone does not tell: they are kept as an extension.
pub(super) fn needs_original(code: &str) -> bool {
    !matches!(code, "" | "F" | "P" | "C" | "A")
}

/// DiagnosticReport.status of OBR-25. `Ok(None)` when it is empty, `Err` for `Y`, `Z` (no order, no
/// patient on record) and unknown codes.
pub(super) fn report_status(code: &str) -> Result<Option<&'static str>, ()> {
    Ok(Some(match code {
        "O" | "I" | "S" => "registered",
        "P" | "N" => "preliminary",
        "R" | "A" | "M" => "partial",
        "F" => "final",
        "C" => "corrected",
        "X" => "cancelled",
        "" => return Ok(None),
        _ => return Err(()),
    }))
}

/// The report's status out of its results', for the many analyzers that leave OBR-25 empty.
pub(super) fn derived_status(results: &[&str]) -> &'static str {
    let all = |wanted: &[&str]| results.iter().all(|status| wanted.contains(status));
    let any = |wanted: &str| results.contains(&wanted);
    if results.is_empty() {
        return "registered";
    }
    for single in ["entered-in-error", "cancelled", "registered"] {
        if all(&[single]) {
            return single;
        }
    }
    if any("preliminary") || any("registered") {
        let only = all(&["preliminary", "registered", "cancelled", "entered-in-error"]);
        return if only { "preliminary" } else { "partial" };
    }
    if any("corrected") || any("entered-in-error") {
        return "corrected";
    }
    if any("amended") { "amended" } else { "final" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_have_the_status_of_the_table() {
        let table = [
            ("F", "", "final"),
            ("P", "F", "preliminary"),
            ("C", "", "corrected"),
            ("A", "", "amended"),
            ("B", "", "amended"),
            ("D", "", "entered-in-error"),
            ("W", "", "entered-in-error"),
            ("X", "", "cancelled"),
            ("R", "", "preliminary"),
            ("S", "", "preliminary"),
            ("I", "", "registered"),
            ("V", "", "final"),
            ("U", "", "final"),
            ("", "F", "final"),
            ("", "C", "corrected"),
            ("", "", "preliminary"),
        ];
        for (code, report, expected) in table {
            let expected = ResultStatus::Is(expected);
            assert_eq!(result_status(code, report), expected, "{code} {report}");
        }
        assert_eq!(result_status("N", ""), ResultStatus::NoObservation);
        assert_eq!(result_status("O", "F"), ResultStatus::NoObservation);
        assert_eq!(result_status("?", "F"), ResultStatus::Unknown);
    }

    #[test]
    fn reports_derive_their_status() {
        let table: &[(&[&str], &str)] = &[
            (&[], "registered"),
            (&["final", "final"], "final"),
            (&["final", "preliminary"], "partial"),
            (&["preliminary", "registered"], "preliminary"),
            (&["final", "corrected"], "corrected"),
            (&["final", "amended"], "amended"),
            (&["entered-in-error"], "entered-in-error"),
            (&["final", "entered-in-error"], "corrected"),
            (&["cancelled", "cancelled"], "cancelled"),
            (&["final", "cancelled"], "final"),
        ];
        for (results, expected) in table {
            assert_eq!(derived_status(results), *expected, "{results:?}");
        }
        assert_eq!(report_status("M"), Ok(Some("partial")));
        assert_eq!((report_status(""), report_status("Z")), (Ok(None), Err(())));
    }
}
