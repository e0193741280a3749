//! Outcomes of rules that a few plain values decide: an element with the same values as one before
//! it is judged by looking up. What makes large resources cheap, whose parts are much alike.

use super::invariants::{Invariant, Invariants, Test, invariants};
use crate::fhirpath::{Node, types};
use crate::model::Json;
use crate::structure::table::{Slots, Type, table};
use std::collections::HashMap;
use std::sync::LazyLock;

/// The rules of one type, those of the types that it specialises included.
#[derive(Default)]
pub(super) struct TypeRules {
    pub(super) invariants: Vec<Bound>,
    /// By element, where the rule is not the element's type's.
    pub(super) elements: HashMap<&'static str, ElementRules>,
}

/// The rules of an element in its owner.
#[derive(Default)]
pub(super) struct ElementRules {
    pub(super) invariants: &'static [Invariant],
    pub(super) binding: Option<&'static str>,
}

/// A rule with what decides it in one type.
pub(super) struct Bound {
    pub(super) invariant: &'static Invariant,
    pub(super) decides: Option<Decides>,
    number: u32,
}

pub(super) struct Decides {
    /// All the elements that it reads.
    slots: Slots,
    /// Those whose values matter.
    values: Vec<&'static str>,
    /// Choices whose values matter: not looked up when one is given.
    choices: Slots,
}

/// The rules of a type by its name.
pub(super) fn rules_of(name: &str) -> Option<&'static TypeRules> {
    static ALL: LazyLock<HashMap<&'static str, TypeRules>> = LazyLock::new(|| {
        let mut number = 0;
        let all = table().types().map(|of| {
            let rules = TypeRules::of(of, invariants(), &mut number);
            (of.name, rules)
        });
        all.collect()
    });
    ALL.get(name)
}

impl TypeRules {
    fn of(of: &'static Type, all: &'static Invariants, number: &mut u32) -> TypeRules {
        let mut rules = TypeRules::default();
        let mut name = of.name;
        for _ in 0..4 {
            for invariant in all.of_type(name) {
                *number += 1;
                rules.invariants.push(Bound {
                    invariant,
                    decides: Decides::of(invariant, of),
                    number: *number,
                });
            }
            let Some(base) = types::base(name) else { break };
            name = base;
        }
        for (name, invariants) in all.of_elements(of.name) {
            rules.elements.entry(name).or_default().invariants = invariants;
        }
        for (name, set) in all.bindings(of.name) {
            rules.elements.entry(name).or_default().binding = Some(set);
        }
        rules
    }
}

impl Decides {
    fn of(invariant: &Invariant, of: &'static Type) -> Option<Decides> {
        let Test::Expression(expression) = &invariant.test else {
            return None;
        };
        let mut decides = Decides {
            slots: 0,
            values: Vec::new(),
            choices: 0,
        };
        for read in expression.reads()? {
            let plain = of.element(&read.name).filter(|element| !element.is_choice);
            if let Some(element) = plain {
                decides.slots |= element.slot;
                if read.is_value {
                    decides.values.push(element.json_name);
                }
            } else if let Some(element) = of.choices(&read.name).next() {
                decides.slots |= element.slot;
                if read.is_value {
                    decides.choices |= element.slot;
                }
            }
        }
        Some(decides)
    }
}

/// The outcomes met so far in one judgement.
#[derive(Default)]
pub(super) struct Memo {
    known: HashMap<Box<[u8]>, Option<bool>>,
    key: Vec<u8>,
}

/// Outcomes kept: the values of more are not alike.
const KNOWN_MAX: usize = 10_000;
/// A longer text is no code.
const TEXT_BYTES_MAX: usize = 64;

impl Memo {
    /// The outcome of the rule for the same values, when it is known. Keeps what decides for
    /// [`Memo::keep`]; `Err` when that cannot be told.
    pub(super) fn find(
        &mut self,
        bound: &Bound,
        (node, given): (&Node<'_>, Option<Slots>),
    ) -> Result<Option<Option<bool>>, Untold> {
        let (Some(decides), Some(given)) = (&bound.decides, given) else {
            return Err(Untold);
        };
        let given = given & decides.slots;
        if given & decides.choices != 0 {
            return Err(Untold);
        }
        self.key.clear();
        self.key.extend(bound.number.to_be_bytes());
        self.key.extend(given.to_be_bytes());
        for name in &decides.values {
            self.add(node, name)?;
        }
        Ok(self.known.get(self.key.as_slice()).copied())
    }

    fn add(&mut self, node: &Node<'_>, name: &str) -> Result<(), Untold> {
        let object = node.json().and_then(Json::as_object).ok_or(Untold)?;
        let is_companion = |key: &str| key.strip_prefix('_') == Some(name);
        if object.keys().any(is_companion) {
            return Err(Untold);
        }
        match object.get(name) {
            None => self.key.push(0),
            Some(Json::Bool(value)) => self.key.push(1 + u8::from(*value)),
            Some(Json::String(text)) if text.len() <= TEXT_BYTES_MAX => {
                self.key.push(3);
                self.key.extend(text.as_bytes());
                self.key.push(0xff);
            }
            Some(_) => return Err(Untold),
        }
        Ok(())
    }

    /// Keeps the outcome for what was asked last.
    pub(super) fn keep(&mut self, outcome: Option<bool>) {
        if self.known.len() < KNOWN_MAX {
            self.known
                .insert(self.key.clone().into_boxed_slice(), outcome);
        }
    }
}

/// More than a few plain values decides.
pub(super) struct Untold;
