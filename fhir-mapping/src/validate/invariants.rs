//! R4's own invariants and bindings of concepts, read once from `definitions/invariants.txt`.

use crate::fhirpath::{Expression, compile};
use crate::model::Severity;
use crate::structure::table::table;
use std::collections::HashMap;
use std::sync::LazyLock;

/// A rule of a type or an element.
pub(super) struct Invariant {
    pub(super) key: &'static str,
    pub(super) severity: Severity,
    pub(super) text: &'static str,
    pub(super) test: Test,
}

pub(super) enum Test {
    Expression(Expression),
    /// dom-3, as its expression is quadratic.
    ContainedIsReferred,
    /// ref-1, for the same reason.
    LocalTargetIsThere,
}

#[derive(Default)]
pub(super) struct Invariants {
    /// By type: `Patient`, `Patient.contact`, `HumanName`.
    of_types: HashMap<&'static str, Vec<Invariant>>,
    /// By type and element, where the rule is not the element's type's: `Organization`, `address`.
    of_elements: HashMap<&'static str, HashMap<&'static str, Vec<Invariant>>>,
    /// By type and element: the value set that its concept must come from.
    bindings: HashMap<&'static str, HashMap<&'static str, &'static str>>,
}

/// Rules whose published expression does not say what their text says: key, expression, reason.
const REPAIRED: &[(&str, &str, &str)] = &[
    (
        "per-1",
        "start.hasValue().not() or end.hasValue().not() or (start > end).allFalse()",
        "2012 to 2012-05 is a period: dates known to different depths compare to nothing",
    ),
    (
        "inv-1 Task",
        "lastModified.hasValue().not() or authoredOn.hasValue().not() \
         or (lastModified < authoredOn).allFalse()",
        "the same",
    ),
    (
        "mdd-1",
        "whenHandedOver.hasValue().not() or whenPrepared.hasValue().not() \
         or (whenHandedOver < whenPrepared).allFalse()",
        "the same",
    ),
    (
        "que-7",
        "operator = 'exists' implies (answer is boolean)",
        "an element is never of the System type Boolean",
    ),
    (
        "ras-2",
        "probability.ofType(decimal).all($this <= 100)",
        "a prediction without a probability is neither a decimal nor none",
    ),
    (
        "rng-2",
        "low.value.empty() or high.value.empty() or low.comparator.exists() \
         or high.comparator.exists() or (low <= high) != false",
        "units that cannot be converted compare to nothing, which is no proof of a wrong range",
    ),
];

/// The `-0` rules on computable names: they hold for names, and a name may be absent.
const NAME_RULE: &str = "name.matches('[A-Z]([A-Za-z0-9_]){0,254}')";
const NAME_RULE_REPAIRED: &str = "name.empty() or name.matchesFull('[A-Z]([A-Za-z0-9_]){0,254}')";

pub(super) fn invariants() -> &'static Invariants {
    static ALL: LazyLock<Invariants> = LazyLock::new(|| {
        let text = include_str!("../../definitions/invariants.txt");
        let mut all = Invariants::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            all.read(line)
                .unwrap_or_else(|| panic!("invariants.txt: cannot read {line:?}"));
        }
        all
    });
    &ALL
}

impl Invariants {
    pub(super) fn of_type(&self, name: &str) -> &[Invariant] {
        self.of_types.get(name).map_or(&[], Vec::as_slice)
    }

    /// The rules of a type's elements, by element.
    pub(super) fn of_elements(
        &self,
        owner: &str,
    ) -> impl Iterator<Item = (&'static str, &[Invariant])> {
        let of_owner = self.of_elements.get(owner);
        let all = of_owner.into_iter().flatten();
        all.map(|(name, list)| (*name, list.as_slice()))
    }

    /// The value sets that a type's elements are bound to, by element.
    pub(super) fn bindings(
        &self,
        owner: &str,
    ) -> impl Iterator<Item = (&'static str, &'static str)> {
        let of_owner = self.bindings.get(owner).into_iter().flatten();
        of_owner.map(|(name, set)| (*name, *set))
    }

    /// Whether R4 has a rule of that key.
    pub(super) fn has_key(&self, key: &str) -> bool {
        let of_elements = self.of_elements.values().flat_map(HashMap::values);
        let mut all = self.of_types.values().chain(of_elements).flatten();
        key == "ele-1" || all.any(|invariant| invariant.key == key)
    }

    fn read(&mut self, line: &'static str) -> Option<()> {
        let mut columns = line.split('\t');
        match (columns.next()?, columns.next()?) {
            ("I", path) => {
                let key = columns.next()?;
                let severity = match columns.next()? {
                    "error" => Severity::Error,
                    "warning" => Severity::Warning,
                    _ => return None,
                };
                let test = test(path, key, columns.next()?)?;
                let invariant = Invariant {
                    key,
                    severity,
                    text: columns.next()?,
                    test,
                };
                let list = match table().type_named(path) {
                    Some(_) => self.of_types.entry(path).or_default(),
                    None => {
                        let (owner, name) = path.rsplit_once('.')?;
                        let of_owner = self.of_elements.entry(owner).or_default();
                        of_owner.entry(name).or_default()
                    }
                };
                list.push(invariant);
            }
            ("B", path) => {
                let (owner, name) = path.rsplit_once('.')?;
                let of_owner = self.bindings.entry(owner).or_default();
                of_owner.insert(name, columns.next()?);
            }
            _ => return None,
        }
        Some(())
    }
}

fn test(path: &str, key: &str, published: &str) -> Option<Test> {
    match key {
        "dom-3" => return Some(Test::ContainedIsReferred),
        "ref-1" => return Some(Test::LocalTargetIsThere),
        _ => {}
    }
    let repaired = REPAIRED.iter().find(|(name, ..)| {
        let mut words = name.split(' ');
        words.next() == Some(key) && words.next().is_none_or(|of| path.starts_with(of))
    });
    let expression = match repaired {
        Some((_, expression, _)) => expression,
        None if published == NAME_RULE => NAME_RULE_REPAIRED,
        None => published,
    };
    compile(expression).ok().map(Test::Expression)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
        let all = invariants();
        let count = |lists: &mut dyn Iterator<Item = usize>| lists.sum::<usize>();
        assert_eq!(count(&mut all.of_types.values().map(Vec::len)), 227);
        assert!(all.of_elements.len() > 5 && all.bindings.len() > 10);
        let keys: Vec<_> = all.of_types.values().flatten().map(|i| i.key).collect();
        for (name, ..) in REPAIRED {
            let key = name.split(' ').next().unwrap();
            assert!(keys.contains(&key), "{name} repairs nothing");
        }
        assert!(all.of_type("Period").iter().any(|i| i.key == "per-1"));
        assert!(
            all.of_elements("Organization")
                .any(|(name, _)| name == "address")
        );
        assert!(
            all.bindings("Condition")
                .any(|(name, _)| name == "clinicalStatus")
        );
    }
}
