//! Abnormal flags (HL7 table 0078) to v3-ObservationInterpretation.

/// The code system of the interpretations.
pub const SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation";

const INTERPRETATIONS: &[(&str, &str)] = &[
    ("<", "Off scale low"),
    (">", "Off scale high"),
    ("A", "Abnormal"),
    ("AA", "Critical abnormal"),
    ("B", "Better"),
    ("CAR", "Carrier"),
    ("D", "Significant change down"),
    ("DET", "Detected"),
    ("E", "Equivocal"),
    ("EX", "outside threshold"),
    ("EXP", "Expected"),
    ("H", "High"),
    ("HH", "Critical high"),
    ("HU", "Significantly high"),
    ("I", "Intermediate"),
    ("IE", "Insufficient evidence"),
    ("IND", "Indeterminate"),
    ("L", "Low"),
    ("LL", "Critical low"),
    ("LU", "Significantly low"),
    ("MS", "moderately susceptible"),
    ("N", "Normal"),
    ("NCL", "No CLSI defined breakpoint"),
    ("ND", "Not detected"),
    ("NEG", "Negative"),
    ("NR", "Non-reactive"),
    ("NS", "Non-susceptible"),
    ("POS", "Positive"),
    ("R", "Resistant"),
    ("RR", "Reactive"),
    ("S", "Susceptible"),
    ("SDD", "Susceptible-dose dependent"),
    ("SYN-R", "Synergy - resistant"),
    ("SYN-S", "Synergy - susceptible"),
    ("U", "Significant change up"),
    ("UNE", "Unexpected"),
    ("VS", "very susceptible"),
    ("W", "Worse"),
    ("WR", "Weakly reactive"),
];

/// Code and display of a flag; `None` for a vendor's own flag, which stays text.
pub fn interpretation(flag: &str) -> Option<(&'static str, &'static str)> {
    let found = INTERPRETATIONS.iter().find(|(code, _)| *code == flag);
    found.copied()
}

/// Flags that a person must hear of at once.
pub fn is_critical(flag: &str) -> bool {
    matches!(flag, "HH" | "LL" | "AA" | "HU" | "LU")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_table_and_leaves_vendor_flags() {
        assert_eq!(interpretation("HH"), Some(("HH", "Critical high")));
        assert_eq!(interpretation("H*"), None);
        assert!(is_critical("LL") && !is_critical("L"));
    }
}
