//! Units as laboratories write them, to UCUM. The alias table comes first, for some aliases are
//! valid UCUM of another meaning (`K/uL` is kelvin). Values are never converted.

/// UCUM's URL.
pub const SYSTEM: &str = "http://unitsofmeasure.org";

/// The UCUM code of a unit as sent; `None` when it is not known: the text alone is then kept.
pub fn ucum(sent: &str) -> Option<String> {
    let sent = sent.trim();
    let alias = ALIASES.iter().find(|(alias, _)| *alias == sent);
    if let Some((_, code)) = alias {
        return Some((*code).to_owned());
    }
    let plain = plain(sent);
    let alias = ALIASES.iter().find(|(alias, _)| *alias == plain);
    if let Some((_, code)) = alias {
        return Some((*code).to_owned());
    }
    if let Some(code) = power_of_ten(&plain) {
        return Some(code);
    }
    KNOWN.contains(&plain.as_str()).then_some(plain)
}

/// Micro signs, superscripts and inner spaces in one form.
fn plain(text: &str) -> String {
    let digits = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let mut out = String::new();
    let mut is_raised = false;
    for c in text.chars().filter(|c| !c.is_whitespace()) {
        let digit = digits.iter().position(|digit| *digit == c);
        if let Some(digit) = digit {
            if !is_raised && !out.ends_with('^') {
                out.push('^');
            }
            out.push_str(&digit.to_string());
        } else {
            out.push(match c {
                'µ' | 'μ' => 'u',
                '×' => 'x',
                c => c,
            });
        }
        is_raised = digit.is_some();
    }
    out
}

/// `x10^9/L`, `10E3/uL`, `10**6/uL`, `10(12)/l`: all counts per volume.
fn power_of_ten(text: &str) -> Option<String> {
    let rest = text.strip_prefix(['x', 'X', '*']).unwrap_or(text);
    let rest = rest.strip_prefix("10")?;
    let rest = rest.trim_start_matches(['^', '*', 'E', 'e', '(']);
    let (power, volume) = rest.split_once('/')?;
    let power = power.trim_end_matches(')').trim_start_matches('+');
    let power: u8 = power
        .parse()
        .ok()
        .filter(|power| (1..=12).contains(power))?;
    let volume = match volume {
        "L" | "l" => "L",
        "mL" | "ml" | "ML" => "mL",
        "uL" | "ul" | "UL" => "uL",
        "mm3" | "mm^3" | "cumm" => "mm3",
        _ => return None,
    };
    Some(format!("10*{power}/{volume}"))
}

/// As written on the left, meant as on the right.
const ALIASES: &[(&str, &str)] = &[
    ("K/uL", "10*3/uL"),
    ("K/UL", "10*3/uL"),
    ("K/ul", "10*3/uL"),
    ("k/uL", "10*3/uL"),
    ("K/mm3", "10*3/mm3"),
    ("K/cumm", "10*3/mm3"),
    ("thou/uL", "10*3/uL"),
    ("Thousand/uL", "10*3/uL"),
    ("M/uL", "10*6/uL"),
    ("M/UL", "10*6/uL"),
    ("M/ul", "10*6/uL"),
    ("M/mm3", "10*6/mm3"),
    ("M/cumm", "10*6/mm3"),
    ("mil/uL", "10*6/uL"),
    ("Million/uL", "10*6/uL"),
    ("G/L", "10*9/L"),
    ("G/l", "10*9/L"),
    ("Giga/L", "10*9/L"),
    ("T/L", "10*12/L"),
    ("T/l", "10*12/L"),
    ("Tera/L", "10*12/L"),
    ("cells/uL", "{cells}/uL"),
    ("cells/ul", "{cells}/uL"),
    ("cell/uL", "{cells}/uL"),
    ("cells/mm3", "{cells}/mm3"),
    ("cells/mL", "{cells}/mL"),
    ("copies/mL", "{copies}/mL"),
    ("copies/ml", "{copies}/mL"),
    ("cp/mL", "{copies}/mL"),
    ("IU/L", "[IU]/L"),
    ("IU/l", "[IU]/L"),
    ("IU/mL", "[IU]/mL"),
    ("IU/ml", "[IU]/mL"),
    ("mIU/mL", "m[IU]/mL"),
    ("mIU/ml", "m[IU]/mL"),
    ("mIU/L", "m[IU]/L"),
    ("uIU/mL", "u[IU]/mL"),
    ("uIU/ml", "u[IU]/mL"),
    ("kIU/L", "k[IU]/L"),
    ("U/l", "U/L"),
    ("u/L", "U/L"),
    ("U/ml", "U/mL"),
    ("gm/dL", "g/dL"),
    ("gm/dl", "g/dL"),
    ("g/dl", "g/dL"),
    ("G/DL", "g/dL"),
    ("gm%", "g/dL"),
    ("g%", "g/dL"),
    ("g/l", "g/L"),
    ("mg/dl", "mg/dL"),
    ("MG/DL", "mg/dL"),
    ("mg/l", "mg/L"),
    ("mg/ml", "mg/mL"),
    ("ug/dl", "ug/dL"),
    ("mcg/dL", "ug/dL"),
    ("mcg/L", "ug/L"),
    ("mcg/mL", "ug/mL"),
    ("ug/l", "ug/L"),
    ("ug/ml", "ug/mL"),
    ("ng/ml", "ng/mL"),
    ("ng/dl", "ng/dL"),
    ("ng/l", "ng/L"),
    ("pg/ml", "pg/mL"),
    ("mmol/l", "mmol/L"),
    ("MMOL/L", "mmol/L"),
    ("umol/l", "umol/L"),
    ("nmol/l", "nmol/L"),
    ("pmol/l", "pmol/L"),
    ("mEq/L", "meq/L"),
    ("mEq/l", "meq/L"),
    ("meq/l", "meq/L"),
    ("mm/hr", "mm/h"),
    ("mm/Hr", "mm/h"),
    ("mm/1h", "mm/h"),
    ("mOsm/kg", "mosm/kg"),
    ("fl", "fL"),
    ("FL", "fL"),
    ("um^3", "um3"),
    ("PG", "pg"),
    ("sec", "s"),
    ("secs", "s"),
    ("seconds", "s"),
    ("min.", "min"),
    ("hr", "h"),
    ("hrs", "h"),
    ("yr", "a"),
    ("yrs", "a"),
    ("year", "a"),
    ("years", "a"),
    ("deg C", "Cel"),
    ("°C", "Cel"),
    ("degC", "Cel"),
    ("mmHg", "mm[Hg]"),
    ("MMHG", "mm[Hg]"),
    ("bpm", "/min"),
    ("ratio", "{ratio}"),
    ("Ratio", "{ratio}"),
    ("index", "{index}"),
    ("S/CO", "{s_co_ratio}"),
    ("mL/min/1.73m2", "mL/min/{1.73_m2}"),
    ("ml/min/1.73m2", "mL/min/{1.73_m2}"),
    ("mL/min/1.73m^2", "mL/min/{1.73_m2}"),
    ("ml/min", "mL/min"),
    ("ml", "mL"),
    ("ul", "uL"),
    ("l", "L"),
    ("/ul", "/uL"),
    ("/HPF", "/[HPF]"),
    ("/hpf", "/[HPF]"),
    ("/LPF", "/[LPF]"),
    ("/lpf", "/[LPF]"),
    ("pct", "%"),
    ("percent", "%"),
    ("kg/m^2", "kg/m2"),
    ("kPa.", "kPa"),
];

/// UCUM codes that laboratories use as they are. Compound units beyond these keep their text only.
const KNOWN: &[&str] = &[
    "%",
    "1",
    "/L",
    "/mL",
    "/uL",
    "/mm3",
    "/min",
    "/[HPF]",
    "/[LPF]",
    "[IU]/L",
    "[IU]/mL",
    "[pH]",
    "a",
    "d",
    "h",
    "min",
    "s",
    "wk",
    "mo",
    "Cel",
    "cm",
    "m",
    "mm",
    "m2",
    "kg",
    "g",
    "mg",
    "ug",
    "ng",
    "pg",
    "fL",
    "pL",
    "nL",
    "uL",
    "mL",
    "dL",
    "L",
    "um",
    "um3",
    "g/L",
    "g/dL",
    "g/mL",
    "mg/L",
    "mg/dL",
    "mg/mL",
    "mg/g",
    "mg/mmol",
    "mg/d",
    "mg/(24.h)",
    "ug/L",
    "ug/dL",
    "ug/mL",
    "ug/g",
    "ug/mg",
    "ng/L",
    "ng/dL",
    "ng/mL",
    "pg/mL",
    "pg/dL",
    "fg/mL",
    "mol/L",
    "mmol/L",
    "umol/L",
    "nmol/L",
    "pmol/L",
    "mmol/mol",
    "mmol/mol{Hb}",
    "mmol/kg",
    "meq/L",
    "mosm/kg",
    "U",
    "U/L",
    "U/mL",
    "mU/L",
    "mU/mL",
    "uU/mL",
    "kU/L",
    "U/g",
    "U/g{Hb}",
    "ukat/L",
    "nkat/L",
    "m[IU]/L",
    "m[IU]/mL",
    "u[IU]/mL",
    "k[IU]/L",
    "k[IU]/mL",
    "mm/h",
    "mm[Hg]",
    "kPa",
    "mL/min",
    "mL/min/{1.73_m2}",
    "kg/m2",
    "L/L",
    "g/kg",
    "{INR}",
    "{ratio}",
    "{cells}/uL",
    "{copies}/mL",
    "{Cells}/uL",
    "{titer}",
    "[arb'U]/mL",
    "kg/m3",
    "mV",
    "ms",
    "deg",
    "10*3/uL",
    "10*6/uL",
    "10*9/L",
    "10*12/L",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sent: &str, expected: Option<&str>) {
        assert_eq!(ucum(sent).as_deref(), expected, "{sent}");
    }

    #[test]
    fn aliases_come_before_validity() {
        check("K/uL", Some("10*3/uL"));
        check("x10^9/L", Some("10*9/L"));
        check("X10^12/l", Some("10*12/L"));
        check("10^3/uL", Some("10*3/uL"));
        check("10E6/uL", Some("10*6/uL"));
        check("10*9/L", Some("10*9/L"));
        check("10³/µL", Some("10*3/uL"));
        check("10¹²/L", Some("10*12/L"));
        check("x10(3)/mm3", Some("10*3/mm3"));
        check("IU/L", Some("[IU]/L"));
        check("mIU/mL", Some("m[IU]/mL"));
        check("µmol/L", Some("umol/L"));
        check("μmol/l", Some("umol/L"));
        check("copies/mL", Some("{copies}/mL"));
        check("cells/uL", Some("{cells}/uL"));
        check("gm/dL", Some("g/dL"));
        check(" mg / dL ", Some("mg/dL"));
        check("%", Some("%"));
    }

    #[test]
    fn what_is_not_known_has_no_code() {
        for unit in [
            "",
            "furlongs",
            "10^99/L",
            "10^3/pint",
            "mg/dL/day",
            "KELVIN",
        ] {
            check(unit, None);
        }
    }

    #[test]
    fn every_alias_ends_in_a_known_shape() {
        for (alias, code) in ALIASES {
            let shaped = KNOWN.contains(code) || code.contains('{') || code.starts_with("10*");
            assert!(shaped, "{alias} -> {code}");
        }
    }
}
