//! Names of coding systems in HL7 v2 (table 0396) to FHIR URLs.

/// The URL of a coding system's v2 name. Local and vendor systems get a URN of their connection:
/// the same code may mean another thing on the next instrument.
pub fn coding_system(name: &str, connection: &str) -> String {
    let known = match name {
        "LN" => "http://loinc.org",
        "SCT" | "SNM" | "SNOMED" => "http://snomed.info/sct",
        "UCUM" => "http://unitsofmeasure.org",
        "I10" | "ICD10" => "http://hl7.org/fhir/sid/icd-10",
        "CVX" => "http://hl7.org/fhir/sid/cvx",
        "ATC" | "WC" => "http://www.whocc.no/atc",
        _ => "",
    };
    if !known.is_empty() {
        return known.to_owned();
    }
    if name.starts_with("http://") || name.starts_with("https://") || name.starts_with("urn:") {
        return name.to_owned();
    }
    let table = name.strip_prefix("HL7").map(|t| t.trim_start_matches('-'));
    if let Some(table) = table.filter(|t| t.len() == 4 && t.bytes().all(|b| b.is_ascii_digit())) {
        return format!("http://terminology.hl7.org/CodeSystem/v2-{table}");
    }
    let connection = urn_part(connection);
    match name {
        "" | "L" => format!("urn:wayside:device:{connection}"),
        name => format!("urn:wayside:device:{connection}:{}", urn_part(name)),
    }
}

/// Text that may stand in a URN: other characters become `-`.
pub fn urn_part(text: &str) -> String {
    let plain = |c: char| {
        let is_plain = c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '~');
        if is_plain { c } else { '-' }
    };
    text.trim().chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: &str) {
        assert_eq!(coding_system(name, "bench 1"), expected);
    }

    #[test]
    fn names_become_urls() {
        check("LN", "http://loinc.org");
        check("HL70078", "http://terminology.hl7.org/CodeSystem/v2-0078");
        check("urn:oid:1.2", "urn:oid:1.2");
        check("", "urn:wayside:device:bench-1");
        check("99MRC", "urn:wayside:device:bench-1:99MRC");
        check("my codes", "urn:wayside:device:bench-1:my-codes");
    }
}
