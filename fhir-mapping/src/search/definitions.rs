//! The official R4 search parameters, from the table that `definitions/generate_search.py` makes,
//! and what a site's own are joined to them as.

use super::path::Path;
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

/// How the values of a parameter are read, kept and compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Token,
    Text,
    Reference,
    Date,
    Uri,
    Number,
    Quantity,
    Composite,
    /// `near`
    Place,
    /// `phonetic`: keeps no values of its own, but listens to those of `name`.
    Sound,
}

/// One parameter of one resource type.
#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) paths: Vec<Path>,
    /// Types that a reference may point at; empty means any.
    pub(super) targets: Vec<&'static str>,
    pub(super) url: &'static str,
    /// Of a composite: `paths` are then its contexts.
    pub(super) components: Vec<Component>,
    /// Changes whenever its row or the rules of extraction change.
    pub(super) digest: u32,
}

/// One part of a composite parameter.
#[derive(Debug)]
pub(super) struct Component {
    pub(super) kind: Kind,
    /// The parameter that defines it: it has this value too, and posts its terms.
    pub(super) defined_by: &'static str,
    pub(super) paths: Vec<ComponentPath>,
}

#[derive(Debug)]
pub(super) struct ComponentPath {
    /// From the resource, not from the context.
    pub(super) is_absolute: bool,
    pub(super) path: Path,
}

/// A parameter that a site defined itself. Its number, which is not among those of official
/// parameters, is another for every definition: it stays the same while the program runs.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) number: u16,
    pub(super) parameter: Parameter,
}

/// All parameters of one resource type.
#[derive(Debug)]
pub(super) struct TypeDefinitions {
    /// Sorted by name. The number of each is its place.
    official: &'static [Parameter],
    /// Of the site, sorted by name.
    own: Vec<&'static Own>,
    /// Changes whenever a row of this type changes: encoded values of other definitions are stale.
    pub(super) digest: u32,
}

static TABLE: &str = include_str!("../../definitions/search_parameters.txt");
static ALL: LazyLock<HashMap<&'static str, TypeDefinitions>> = LazyLock::new(read_table);

const EVERY_TYPE: &str = "*";
const URL_BASE: &str = "http://hl7.org/fhir/SearchParameter/";

/// The parameters of a type; those of every resource for a type that R4 does not know.
pub(super) fn of_type(resource_type: &str) -> Option<&'static TypeDefinitions> {
    ALL.get(resource_type).or_else(|| ALL.get(EVERY_TYPE))
}

/// Is this the name of an R4 resource type?
pub(super) fn is_resource_type(name: &str) -> bool {
    name != EVERY_TYPE && ALL.contains_key(name)
}

/// The names of all R4 resource types, sorted.
pub(super) fn resource_types() -> impl Iterator<Item = &'static str> {
    static NAMES: LazyLock<Vec<&str>> = LazyLock::new(|| {
        let mut names: Vec<&str> = ALL.keys().copied().filter(|n| *n != EVERY_TYPE).collect();
        names.sort_unstable();
        names
    });
    NAMES.iter().copied()
}

/// The reference parameter by which resources of a type name their parent, for the types that form
/// hierarchies.
pub(super) fn parent_parameter(resource_type: &str) -> Option<&'static str> {
    Some(match resource_type {
        "Location" | "Organization" => "partof",
        "Encounter" | "Observation" | "Procedure" | "Task" | "CarePlan" => "part-of",
        _ => return None,
    })
    .filter(|name| {
        let found = of_type(resource_type).and_then(|d| d.find(name));
        found.is_some_and(|(_, p)| p.kind == Kind::Reference)
    })
}

impl TypeDefinitions {
    /// Number and definition.
    pub(super) fn find(&self, name: &str) -> Option<(u16, &'static Parameter)> {
        if let Ok(at) = self.official.binary_search_by(|p| p.name.cmp(name)) {
            return Some((u16::try_from(at).ok()?, self.official.get(at)?));
        }
        let own = self.own.iter().find(|own| own.parameter.name == name)?;
        Some((own.number, &own.parameter))
    }

    pub(super) fn parameter(&self, number: u16) -> Option<&'static Parameter> {
        if number < OWN_FIRST {
            return self.official.get(usize::from(number));
        }
        let own = self.own.iter().find(|own| own.number == number)?;
        Some(&own.parameter)
    }

    /// Every parameter with its number.
    pub(super) fn all(&self) -> impl Iterator<Item = (u16, &'static Parameter)> + '_ {
        let own = self.own.iter().map(|own| (own.number, &own.parameter));
        (0_u16..).zip(self.official).chain(own)
    }

    /// The place of a parameter among all: the same in every run, unlike the numbers of own ones.
    pub(super) fn place_of(&self, number: u16) -> Option<u64> {
        let place = match number < OWN_FIRST {
            true => usize::from(number),
            false => {
                let own = self.own.iter().position(|own| own.number == number)?;
                self.official.len() + own
            }
        };
        u64::try_from(place).ok()
    }

    pub(super) fn number_at(&self, place: u64) -> Option<u16> {
        let place = usize::try_from(place).ok()?;
        match place.checked_sub(self.official.len()) {
            None => u16::try_from(place).ok(),
            Some(own) => self.own.get(own).map(|own| own.number),
        }
    }
}

/// Numbers of own parameters begin here; there is room for so many definitions in one run.
const OWN_FIRST: u16 = 0x4000;
const OWN_MAX: usize = 10_000;

/// The own parameter that a row describes, read once; `None` when it cannot be read, or when there
/// were too many since the program started. They stay for the life of the program, as the official
/// ones do: whoever holds one need not ask whether it is still there.
pub(super) fn own(
    resource_type: &'static str,
    row: String,
    read: impl FnOnce(&'static str) -> Option<Parameter>,
) -> Option<&'static Own> {
    type Known = HashMap<(&'static str, &'static str), &'static Own>;
    static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(own) = known.get(&(resource_type, row.as_str())) {
        return Some(own);
    }
    if known.len() >= OWN_MAX {
        return None;
    }
    let number = OWN_FIRST.checked_add(u16::try_from(known.len()).ok()?)?;
    let row: &'static str = row.leak();
    let parameter = read(row)?;
    let own: &'static Own = Box::leak(Box::new(Own { number, parameter }));
    known.insert((resource_type, row), own);
    Some(own)
}

/// By type and the numbers of own parameters.
type Joined = HashMap<(&'static str, Vec<u16>), &'static TypeDefinitions>;
static JOINED: LazyLock<Mutex<Joined>> = LazyLock::new(Mutex::default);

/// Definitions that a type has or had since the program started, by their digest.
pub(super) fn former(resource_type: &str, digest: u32) -> Option<&'static TypeDefinitions> {
    let official = of_type(resource_type).filter(|known| known.digest == digest);
    official.or_else(|| {
        let known = JOINED.lock().unwrap_or_else(PoisonError::into_inner);
        let mut of_type = known.iter().filter(|((name, _), _)| *name == resource_type);
        let found = of_type.find(|(_, joined)| joined.digest == digest);
        found.map(|(_, joined)| *joined)
    })
}

/// The definitions of a type with these own ones, which are of different names. As long-lived.
pub(super) fn joined(
    resource_type: &'static str,
    mut own: Vec<&'static Own>,
) -> Option<&'static TypeDefinitions> {
    own.sort_by_key(|own| own.parameter.name);
    let numbers: Vec<u16> = own.iter().map(|own| own.number).collect();
    let mut known = JOINED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(joined) = known.get(&(resource_type, numbers.clone())) {
        return Some(joined);
    }
    let base = of_type(resource_type)?;
    let digests = own.iter().map(|own| own.parameter.digest);
    let joined = TypeDefinitions {
        official: base.official,
        digest: digests.fold(base.digest, |all, one| all.rotate_left(5) ^ one),
        own,
    };
    let joined: &'static TypeDefinitions = Box::leak(Box::new(joined));
    known.insert((resource_type, numbers), joined);
    Some(joined)
}

impl Kind {
    fn of_letter(letter: &str, name: &str) -> Option<Kind> {
        Some(match letter {
            _ if name == "phonetic" => Kind::Sound,
            "t" => Kind::Token,
            "s" => Kind::Text,
            "r" => Kind::Reference,
            "d" => Kind::Date,
            "u" => Kind::Uri,
            "n" => Kind::Number,
            "q" => Kind::Quantity,
            "c" => Kind::Composite,
            "x" => Kind::Place,
            _ => return None,
        })
    }

    /// The code of the R4 search-param-type.
    pub(super) fn code(self) -> &'static str {
        match self {
            Kind::Token => "token",
            Kind::Text | Kind::Sound => "string",
            Kind::Reference => "reference",
            Kind::Date => "date",
            Kind::Uri => "uri",
            Kind::Number => "number",
            Kind::Quantity => "quantity",
            Kind::Composite => "composite",
            Kind::Place => "special",
        }
    }
}

fn read_table() -> HashMap<&'static str, TypeDefinitions> {
    let mut sections: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in TABLE.lines() {
        match sections.last_mut() {
            Some((_, rows)) if line.contains('\t') => rows.push(line),
            _ => sections.push((line, Vec::new())),
        }
    }
    let shared: Vec<&str> = sections
        .iter()
        .find(|(name, _)| *name == EVERY_TYPE)
        .map(|(_, rows)| rows.clone())
        .unwrap_or_default();
    sections
        .into_iter()
        .map(|(name, mut rows)| {
            if name != EVERY_TYPE {
                rows.extend(&shared);
            }
            (name, read_section(name, &rows))
        })
        .collect()
}

fn read_section(resource_type: &'static str, rows: &[&'static str]) -> TypeDefinitions {
    let mut parameters: Vec<Parameter> = rows
        .iter()
        .filter_map(|row| read_row(resource_type, row))
        .collect();
    parameters.sort_by_key(|p| p.name);
    TypeDefinitions {
        official: parameters.leak(),
        own: Vec::new(),
        digest: digest(rows),
    }
}

fn read_row(resource_type: &str, row: &'static str) -> Option<Parameter> {
    let mut columns = row.split('\t');
    let name = columns.next()?;
    let kind = Kind::of_letter(columns.next()?, name)?;
    let paths = columns.next().unwrap_or_default();
    let targets = columns.next().unwrap_or_default();
    let url = match columns.next().unwrap_or_default() {
        "" => format!("{URL_BASE}{resource_type}-{name}"),
        suffix => format!("{URL_BASE}{suffix}"),
    };
    let paths: Option<Vec<Path>> = paths.split('|').map(Path::compile).collect();
    let (targets, components) = match (kind, targets) {
        (Kind::Composite, list) => (Vec::new(), list.split(';').map(read_component).collect()),
        (_, "" | "*") => (Vec::new(), Some(Vec::new())),
        (_, list) => (list.split(',').collect(), Some(Vec::new())),
    };
    Some(Parameter {
        name,
        kind,
        paths: paths?,
        targets,
        components: components?,
        url: Box::leak(url.into_boxed_str()), // once for the life of the program
        digest: digest(&[resource_type, row]),
    })
}

/// `t=code=code|valueCode`
fn read_component(text: &'static str) -> Option<Component> {
    let mut parts = text.splitn(3, '=');
    let (letter, defined_by, paths) = (parts.next()?, parts.next()?, parts.next()?);
    let path = |text: &'static str| {
        let relative = text.strip_prefix('%');
        Some(ComponentPath {
            is_absolute: relative.is_some(),
            path: Path::compile(relative.unwrap_or(text))?,
        })
    };
    let paths: Option<Vec<ComponentPath>> = paths.split('|').map(path).collect();
    Some(Component {
        kind: Kind::of_letter(letter, defined_by)?,
        defined_by,
        paths: paths?,
    })
}

/// FNV-1a over the rows and the version of the extraction rules.
pub(super) fn digest(rows: &[&str]) -> u32 {
    const EXTRACTION_RULES: u8 = 3;
    let bytes = rows.iter().flat_map(|row| row.bytes());
    std::iter::once(EXTRACTION_RULES)
        .chain(bytes)
        .fold(0x811c_9dc5, |hash: u32, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_compiles() {
        let rows = TABLE.lines().filter(|l| l.contains('\t')).count();
        let searchable = TABLE
            .lines()
            .filter(|l| l.contains('\t'))
            .filter(|row| read_row("X", row).is_some())
            .count();
        let expressions: usize = ALL
            .iter()
            .filter(|(name, _)| **name != EVERY_TYPE)
            .flat_map(|(_, d)| d.official)
            .filter(|p| !p.name.starts_with('_'))
            .map(|p| p.paths.len())
            .sum();
        assert_eq!((rows, searchable), (1706, 1706));
        assert_eq!((ALL.len(), expressions), (147, 1766));
    }

    #[test]
    fn lookup() {
        let patient = of_type("Patient").unwrap();
        let (_, gender) = patient.find("gender").unwrap();
        assert_eq!(
            gender.url,
            "http://hl7.org/fhir/SearchParameter/individual-gender"
        );
        assert_eq!(
            gender.paths.first().unwrap().system.as_deref(),
            Some("http://hl7.org/fhir/administrative-gender")
        );
        assert!(patient.find("nonsense").is_none());
        assert!(is_resource_type("Binary") && !is_resource_type("*"));
    }
}
