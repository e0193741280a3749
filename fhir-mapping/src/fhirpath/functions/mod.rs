//! The functions of N1 and of FHIR (R4 2.9.1.4), by name; one file for each kind.

mod collections;
mod convert;
mod encode;
mod existence;
mod fhir;
mod filter;
mod maths;
mod sort;
mod texts;
mod times;

use super::Stop;
use super::evaluate::{Items, Local, Run};
use super::expression::Expr;
use super::item::{Item, Value};
use super::operators::single;
use super::types::TypeName;
use std::borrow::Cow;

pub(super) use collections::union;

/// What a call has in its parentheses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arguments {
    /// At least and at most so many expressions.
    Count(usize, usize),
    /// One type name.
    Type,
}

impl Arguments {
    const NONE: Arguments = Arguments::Count(0, 0);
    const ONE: Arguments = Arguments::Count(1, 1);
}

/// A function by its kind; each kind's file has the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Existence(existence::Name),
    Filter(filter::Name),
    Collection(collections::Name),
    Text(texts::Name),
    Convert(convert::Name),
    Maths(maths::Name),
    Time(times::Name),
    Fhir(fhir::Name),
    Sort,
    Encode(encode::Name),
}

impl Function {
    /// Evaluates its arguments on each item, or on another collection than the path around it.
    pub(super) fn binds_this(self) -> bool {
        use filter::Name::{Aggregate, Iif, Repeat, Select, Trace, Where};
        matches!(
            self,
            Function::Existence(existence::Name::Exists | existence::Name::All)
                | Function::Filter(Where | Select | Repeat | Iif | Trace | Aggregate)
                | Function::Sort
        )
    }

    /// Its results are elements of what it is called on, or below that.
    pub(super) fn keeps_places(self) -> bool {
        use collections::Name::{First, Last, Single, Skip, Tail, Take};
        use filter::Name::{Children, Descendants, OfType, Where};
        matches!(
            self,
            Function::Collection(First | Last | Single | Skip | Tail | Take)
                | Function::Filter(Children | Descendants | OfType | Where)
                | Function::Existence(existence::Name::As)
                | Function::Fhir(fhir::Name::Extension)
        )
    }

    /// `extension()`
    pub(super) fn is_extension(self) -> bool {
        self == Function::Fhir(fhir::Name::Extension)
    }

    pub(super) fn is_descendants(self) -> bool {
        self == Function::Filter(filter::Name::Descendants)
    }

    /// `exists()` and `empty()`.
    pub(super) fn is_existence(self) -> bool {
        use existence::Name::{Empty, Exists};
        matches!(self, Function::Existence(Exists | Empty))
    }

    /// `iif()`, which without a target depends on its arguments alone.
    pub(super) fn is_choice(self) -> bool {
        self == Function::Filter(filter::Name::Iif)
    }

    /// Depends on more than what it is called on: the resource around it, the clock, what is loaded.
    pub(super) fn asks_outside(self) -> bool {
        use fhir::Name::{ConformsTo, MemberOf, Resolve};
        use times::Name::{Now, TimeOfDay, Today};
        matches!(
            self,
            Function::Fhir(Resolve | MemberOf | ConformsTo)
                | Function::Time(Now | Today | TimeOfDay)
        )
    }
}

/// A call's arguments, not yet evaluated, and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Call<'a, 'l> {
    pub(super) arguments: &'a [Expr],
    pub(super) local: Local<'a, 'l>,
}

/// The function called `name`.
pub(super) fn named(name: &str) -> Option<(Function, Arguments)> {
    fn find<T: Copy>(list: &[(&str, T, Arguments)], name: &str) -> Option<(T, Arguments)> {
        let found = list.iter().find(|(known, ..)| *known == name)?;
        Some((found.1, found.2))
    }
    None.or_else(|| find(&existence::NAMES, name).map(|(f, a)| (Function::Existence(f), a)))
        .or_else(|| find(&filter::NAMES, name).map(|(f, a)| (Function::Filter(f), a)))
        .or_else(|| find(&collections::NAMES, name).map(|(f, a)| (Function::Collection(f), a)))
        .or_else(|| find(&texts::NAMES, name).map(|(f, a)| (Function::Text(f), a)))
        .or_else(|| find(&convert::NAMES, name).map(|(f, a)| (Function::Convert(f), a)))
        .or_else(|| find(&maths::NAMES, name).map(|(f, a)| (Function::Maths(f), a)))
        .or_else(|| find(&times::NAMES, name).map(|(f, a)| (Function::Time(f), a)))
        .or_else(|| find(&fhir::NAMES, name).map(|(f, a)| (Function::Fhir(f), a)))
        .or_else(|| find(&encode::NAMES, name).map(|(f, a)| (Function::Encode(f), a)))
        .or_else(|| (name == "sort").then_some((Function::Sort, sort::ARGUMENTS)))
}

/// Calls it on `input`.
pub(super) fn call<'a>(
    run: &mut Run<'a, '_>,
    function: Function,
    input: Items<'a>,
    call: Call<'a, '_>,
) -> Result<Items<'a>, Stop> {
    run.budget.spend(input.len() + 1)?;
    match function {
        Function::Existence(name) => existence::call(run, name, input, call),
        Function::Filter(name) => filter::call(run, name, input, call),
        Function::Collection(name) => collections::call(run, name, input, call),
        Function::Text(name) => texts::call(run, name, input, call),
        Function::Convert(name) => convert::call(run, name, input, call),
        Function::Maths(name) => maths::call(run, name, input, call),
        Function::Time(name) => times::call(run, name, input, call),
        Function::Encode(name) => encode::call(run, name, input, call),
        Function::Sort => sort::call(run, input, call),
        Function::Fhir(name) => fhir::call(run, name, input, call),
    }
}

impl<'a> Call<'a, '_> {
    /// An argument's items; none when it is not given.
    fn items(&self, run: &mut Run<'a, '_>, at: usize) -> Result<Items<'a>, Stop> {
        match self.arguments.get(at) {
            Some(expr) => run.eval(expr, self.local),
            None => Ok(Vec::new()),
        }
    }

    fn text(&self, run: &mut Run<'a, '_>, at: usize) -> Result<Option<Cow<'a, str>>, Stop> {
        let items = self.items(run, at)?;
        text(&items, "an argument")
    }

    fn whole(&self, run: &mut Run<'a, '_>, at: usize) -> Result<Option<i64>, Stop> {
        let items = self.items(run, at)?;
        whole(&items, "an argument")
    }

    /// An argument for one item of the input: `$this` is the item.
    fn each(
        &self,
        run: &mut Run<'a, '_>,
        at: usize,
        item: (usize, &Item<'a>),
    ) -> Result<Items<'a>, Stop> {
        let Some(expr) = self.arguments.get(at) else {
            return Ok(Vec::new());
        };
        let this = std::slice::from_ref(item.1);
        let local = Local {
            this,
            index: Some(item.0),
            total: self.local.total,
        };
        run.eval(expr, local)
    }

    /// The type name of `ofType(T)`.
    fn type_name(&self) -> Option<&'a TypeName> {
        match self.arguments.first() {
            Some(Expr::Is(_, name)) => Some(name),
            _ => None,
        }
    }
}

/// A single text; `None` for nothing.
fn text<'a>(items: &[Item<'a>], who: &'static str) -> Result<Option<Cow<'a, str>>, Stop> {
    let Some(item) = single(items, who)? else {
        return Ok(None);
    };
    match item.value()? {
        Some(Value::Text(text)) => Ok(Some(text)),
        Some(Value::Moment(moment)) => Ok(Some(Cow::Owned(moment.text()))),
        None if item.node().is_some_and(|n| n.json().is_none()) => Ok(None),
        _ => Err(Stop::Type(who)),
    }
}

/// A single whole number; `None` for nothing.
pub(super) fn whole(items: &[Item<'_>], who: &'static str) -> Result<Option<i64>, Stop> {
    let Some(item) = single(items, who)? else {
        return Ok(None);
    };
    match item.value()? {
        Some(Value::Integer(whole)) => Ok(Some(whole)),
        _ => Err(Stop::Type(who)),
    }
}

/// A result that may be missing.
fn one<'a>(value: Option<Value<'a>>) -> Items<'a> {
    value.map(Item::Value).into_iter().collect()
}
