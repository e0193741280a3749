//! FHIRPath (N1, <https://hl7.org/fhirpath/N1>) over the exact JSON tree: compiled once, evaluated
//! within a budget of steps, with the place of each result.
//!
//! Own code, after a comparison: the crates `octofhir-fhirpath` and `rh-fhirpath` evaluate on
//! `serde_json::Value`, where `1.00` becomes `1`, pull two hundred crates, and have no budget.

mod compare;
mod evaluate;
mod expression;
mod functions;
mod item;
mod lexer;
mod moment;
mod navigate;
mod number;
mod operators;
mod parser;
mod path;
mod reads;
pub(crate) mod types;

#[cfg(test)]
mod tests;

pub use item::{Item, Node, Step, Value};
pub use moment::Moment;
pub use number::Quantity;

pub(crate) use reads::Read;

use crate::model::Json;
use expression::Expr;

/// A compiled expression. Keep it: compiling costs more than a short evaluation.
#[derive(Debug)]
pub struct Expression {
    root: Expr,
    /// How many parts of it are evaluated once.
    once: usize,
}

/// Compiles an expression; functions and the number of their arguments are checked here.
pub fn compile(text: &str) -> Result<Expression, Misread> {
    let tokens = lexer::tokens(text)?;
    let mut root = parser::parse(tokens)?;
    let once = reads::fold(&mut root);
    Ok(Expression { root, once })
}

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {at}: {reason}")]
pub struct Misread {
    /// Byte offset in the text.
    pub at: usize,
    pub reason: String,
}

/// What an expression can see.
#[derive(Clone)]
pub struct Scope<'a> {
    /// Where it starts: `%context`.
    pub focus: Node<'a>,
    /// The resource the focus is in: `%resource`. A contained resource is one of its own.
    pub resource: Node<'a>,
    /// The resource that contains it: `%rootResource`.
    pub root: Node<'a>,
    /// The Bundle that it is an entry of: references among entries are resolved in it.
    pub bundle: Option<&'a Json>,
    /// `now()`, as a FHIR instant; without it `now()` and `today()` are empty.
    pub now: Option<&'a str>,
    pub outside: Option<&'a dyn Outside>,
}

impl<'a> Scope<'a> {
    /// The scope of an expression on a whole resource.
    pub fn of(resource: &'a Json) -> Scope<'a> {
        let node = Node::root(resource);
        Scope {
            focus: node.clone(),
            resource: node.clone(),
            root: node,
            bundle: (resource.resource_type() == Some("Bundle")).then_some(resource),
            now: None,
            outside: None,
        }
    }

    /// The same resource, from another element of it.
    pub fn at(&self, focus: Node<'a>) -> Scope<'a> {
        Scope {
            focus,
            ..self.clone()
        }
    }
}

/// What only the surroundings know.
pub trait Outside {
    /// Whether a code is in a value set; `None` when the value set is not known or cannot be judged.
    fn member_of(&self, value_set: &str, system: Option<&str>, code: &str) -> Option<bool>;

    /// Whether the resource or element conforms to a profile; `None` when it is not known.
    fn conforms_to(&self, value: &Json, profile: &str) -> Option<bool>;

    /// The resource that a reference to outside the resource names; `None` when it is not here.
    fn resolve(&self, reference: &str) -> Option<&Json> {
        let _ = reference;
        None
    }
}

/// What an evaluation may cost: taken from by each step, and may be shared by many evaluations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Elements visited, items made and compared, functions called, 64 bytes of text read.
    pub steps: u64,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { steps: 1_000_000 }
    }
}

impl Budget {
    pub(crate) fn spend(&mut self, steps: usize) -> Result<(), Stop> {
        let steps = u64::try_from(steps).unwrap_or(u64::MAX);
        match self.steps.checked_sub(steps) {
            Some(rest) => {
                self.steps = rest;
                Ok(())
            }
            None => {
                self.steps = 0;
                Err(Stop::Budget)
            }
        }
    }
}

/// Why an evaluation has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    #[error("it takes more steps than are allowed")]
    Budget,
    #[error("{0} wants a single item, there are several")]
    Several(&'static str),
    #[error("{0} cannot take items of this type")]
    Type(&'static str),
    #[error("a number has too many digits")]
    Number,
    #[error("the regular expression of {0} cannot be read or is too large")]
    Pattern(&'static str),
    #[error("%{0} is not known")]
    External(String),
    #[error("{0} cannot be answered here")]
    Unknown(&'static str),
}

impl Expression {
    /// The items an expression selects or computes, in order. An element that does not exist is no
    /// fault: the result is empty then.
    pub fn evaluate<'a>(
        &'a self,
        scope: &Scope<'a>,
        budget: &mut Budget,
    ) -> Result<Vec<Item<'a>>, Stop> {
        let mut run = evaluate::Run {
            scope,
            budget,
            once: vec![None; self.once],
        };
        run.whole(&self.root)
    }

    /// The elements of the focus that decide the result; `None` when more does.
    pub(crate) fn reads(&self) -> Option<Vec<Read>> {
        reads::reads(&self.root)
    }

    /// True for a path: names, positions and filters, so that each result has a place.
    pub(crate) fn is_path(&self) -> bool {
        path::is_path(&self.root)
    }

    /// The name of the element that a path leads to.
    pub(crate) fn last_name(&self) -> Option<&str> {
        path::last_name(&self.root)
    }

    /// What has the element that a path ends with, whether the element is there or not, and its name;
    /// `None` when the path ends with a position or a filter.
    pub(crate) fn holders<'a>(
        &'a self,
        scope: &Scope<'a>,
        budget: &mut Budget,
    ) -> Result<Option<(Vec<Item<'a>>, &'a str)>, Stop> {
        let Expr::Member(before, name) = &self.root else {
            return Ok(None);
        };
        let mut run = evaluate::Run {
            scope,
            budget,
            once: vec![None; self.once],
        };
        let holders = match before {
            Some(before) => run.whole(before)?,
            None => vec![Item::Node(scope.focus.clone())],
        };
        Ok(Some((holders, name)))
    }

    /// Whether the result is one item that is true. Empty is `None`.
    pub fn holds<'a>(
        &'a self,
        scope: &Scope<'a>,
        budget: &mut Budget,
    ) -> Result<Option<bool>, Stop> {
        let items = self.evaluate(scope, budget)?;
        item::truth(&items, "an invariant")
    }
}
