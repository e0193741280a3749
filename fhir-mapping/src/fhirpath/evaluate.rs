//! One evaluation: goes through the expression, spending its budget.

use super::expression::Expr;
use super::functions;
use super::item::{Item, Node, Shape, Value};
use super::types::{TypeName, specialises};
use super::{Budget, Scope, Stop, navigate, operators};
use std::borrow::Cow;

/// What stays the same during an evaluation, and what it may still cost.
pub(super) struct Run<'a, 'r> {
    pub(super) scope: &'r Scope<'a>,
    pub(super) budget: &'r mut Budget,
    /// Results of the parts that are evaluated once.
    pub(super) once: Vec<Option<Items<'a>>>,
}

/// What `$this`, `$index` and `$total` are; a path begins at `$this`.
#[derive(Clone, Copy)]
pub(super) struct Local<'a, 'l> {
    pub(super) this: &'l [Item<'a>],
    pub(super) index: Option<usize>,
    pub(super) total: Option<&'l [Item<'a>]>,
}

impl<'a, 'l> Local<'a, 'l> {
    /// The same for one item of a collection.
    pub(super) fn on(self, (index, item): (usize, &'l Item<'a>)) -> Local<'a, 'l> {
        Local {
            this: std::slice::from_ref(item),
            index: Some(index),
            total: self.total,
        }
    }
}

pub(super) type Items<'a> = Vec<Item<'a>>;

impl<'a> Run<'a, '_> {
    pub(super) fn whole(&mut self, root: &'a Expr) -> Result<Items<'a>, Stop> {
        let this = [Item::Node(self.scope.focus.clone())];
        let local = Local {
            this: &this,
            index: None,
            total: None,
        };
        self.eval(root, local)
    }

    pub(super) fn eval(&mut self, expr: &'a Expr, local: Local<'a, '_>) -> Result<Items<'a>, Stop> {
        self.budget.spend(1)?;
        let value = |value| Ok(vec![Item::Value(value)]);
        match expr {
            Expr::Empty => Ok(Vec::new()),
            Expr::Bool(literal) => value(Value::Bool(*literal)),
            Expr::Integer(literal) => value(Value::Integer(*literal)),
            Expr::Decimal(literal) => value(Value::Decimal(literal.clone())),
            Expr::Text(literal) => value(Value::Text(Cow::Borrowed(literal))),
            Expr::Moment(literal) => value(Value::Moment(literal.clone())),
            Expr::Quantity(literal) => value(Value::Quantity(literal.clone())),
            Expr::This => {
                self.budget.spend(local.this.len())?;
                Ok(local.this.to_vec())
            }
            Expr::Index => Ok(local.index.map(count_item).into_iter().collect()),
            Expr::Total => Ok(local.total.unwrap_or_default().to_vec()),
            Expr::External(name) => self.external(name),
            Expr::Member(None, name) => self.first_member(local.this, name),
            Expr::Member(Some(before), name) => self.member_of(before, name, local),
            Expr::Call(before, function, arguments) => {
                let input = match before {
                    Some(before) => self.eval(before, local)?,
                    None => local.this.to_vec(),
                };
                let call = functions::Call { arguments, local };
                functions::call(self, *function, input, call)
            }
            Expr::At(before, index) => {
                let items = self.eval(before, local)?;
                let index = self.eval(index, local)?;
                let index = functions::whole(&index, "[ ]")?;
                let at = index.and_then(|i| usize::try_from(i).ok());
                Ok(at
                    .and_then(|i| items.into_iter().nth(i))
                    .into_iter()
                    .collect())
            }
            Expr::Minus(inner) => {
                let items = self.eval(inner, local)?;
                operators::negate(items)
            }
            Expr::Plus(inner) => {
                let items = self.eval(inner, local)?;
                let negated = operators::negate(items)?;
                operators::negate(negated)
            }
            Expr::Operator(operator, left, right) => {
                operators::apply(self, *operator, (left, right), local)
            }
            Expr::Is(inner, name) => {
                let items = self.eval(inner, local)?;
                is(&items, name)
            }
            Expr::As(inner, name) => {
                let items = self.eval(inner, local)?;
                as_type(items, name)
            }
            Expr::Once(inner, at) => self.once(inner, *at, local),
        }
    }

    fn once(
        &mut self,
        inner: &'a Expr,
        at: usize,
        local: Local<'a, '_>,
    ) -> Result<Items<'a>, Stop> {
        if let Some(known) = self.once.get(at).and_then(Option::as_ref) {
            self.budget.spend(known.len())?;
            return Ok(known.clone());
        }
        let items = self.eval(inner, local)?;
        if let Some(place) = self.once.get_mut(at) {
            *place = Some(items.clone());
        }
        Ok(items)
    }

    fn member_of(
        &mut self,
        before: &'a Expr,
        name: &str,
        local: Local<'a, '_>,
    ) -> Result<Items<'a>, Stop> {
        let Expr::Call(above, function, _) = before else {
            let before = self.eval(before, local)?;
            return self.member(&before, name);
        };
        if !function.is_descendants() {
            let before = self.eval(before, local)?;
            return self.member(&before, name);
        }
        let above = match above {
            Some(above) => self.eval(above, local)?,
            None => local.this.to_vec(),
        };
        self.members_below(&above, name)
    }

    fn external(&self, name: &str) -> Result<Items<'a>, Stop> {
        let text = |text: &'static str| Ok(vec![Item::text(text)]);
        let node = |node: &Node<'a>| Ok(vec![Item::Node(node.clone())]);
        match name {
            "context" => node(&self.scope.focus),
            "resource" => node(&self.scope.resource),
            "rootResource" => node(&self.scope.root),
            "ucum" => text("http://unitsofmeasure.org"),
            "sct" => text("http://snomed.info/sct"),
            "loinc" => text("http://loinc.org"),
            _ => {
                let base = match name.split_once('-') {
                    Some(("vs", _)) => "http://hl7.org/fhir/ValueSet/",
                    Some(("ext", _)) => "http://hl7.org/fhir/StructureDefinition/",
                    _ => return Err(Stop::External(name.to_owned())),
                };
                let rest = name.split_once('-').map_or("", |(_, rest)| rest);
                Ok(vec![Item::text(format!("{base}{rest}"))])
            }
        }
    }

    /// A path's first name may be the type of where it begins: `Patient.name`.
    fn first_member(&mut self, this: &[Item<'a>], name: &str) -> Result<Items<'a>, Stop> {
        if name.starts_with(|c: char| c.is_ascii_uppercase()) {
            let of_type = |item: &&Item<'a>| match item {
                Item::Node(node) => specialises(node.type_name(), name),
                Item::Value(_) => false,
            };
            let found: Items<'a> = this.iter().filter(of_type).cloned().collect();
            if !found.is_empty() {
                return Ok(found);
            }
        }
        self.member(this, name)
    }

    pub(super) fn member(&mut self, before: &[Item<'a>], name: &str) -> Result<Items<'a>, Stop> {
        let mut found = Vec::new();
        for item in before {
            self.budget.spend(1)?;
            match item {
                Item::Node(node) => {
                    let count = found.len();
                    navigate::member(node, name, &mut found);
                    self.budget.spend(found.len() - count)?;
                }
                Item::Value(Value::Type(space, of)) => match name {
                    "namespace" => found.push(Item::text(*space)),
                    "name" => found.push(Item::text(of.clone())),
                    _ => {}
                },
                Item::Value(_) => {}
            }
        }
        Ok(found)
    }

    /// `descendants().name`, without making items of all that is below.
    fn members_below(&mut self, above: &[Item<'a>], name: &str) -> Result<Items<'a>, Stop> {
        let (mut open, mut found) = (Vec::new(), Vec::new());
        for item in above {
            if let Item::Node(node) = item {
                navigate::parts(node, &mut open);
            }
        }
        let mut at = 0;
        while let Some(Item::Node(node)) = open.get(at).cloned() {
            let count = (open.len(), found.len());
            navigate::member(&node, name, &mut found);
            navigate::parts(&node, &mut open);
            self.budget
                .spend(1 + open.len() - count.0 + found.len() - count.1)?;
            at += 1;
        }
        Ok(found)
    }

    pub(super) fn children(&mut self, before: &[Item<'a>]) -> Result<Items<'a>, Stop> {
        let mut found = Vec::new();
        for item in before {
            self.budget.spend(1)?;
            if let Item::Node(node) = item {
                let count = found.len();
                navigate::children(node, &mut found);
                self.budget.spend(found.len() - count)?;
            }
        }
        Ok(found)
    }

    /// All elements below, outer before inner.
    pub(super) fn descendants(&mut self, before: &[Item<'a>]) -> Result<Items<'a>, Stop> {
        let mut found = self.children(before)?;
        let mut at = 0;
        while let Some(Item::Node(node)) = found.get(at).cloned() {
            self.budget.spend(1)?;
            let count = found.len();
            navigate::children(&node, &mut found);
            self.budget.spend(found.len() - count)?;
            at += 1;
        }
        Ok(found)
    }
}

/// A count as an item.
pub(super) fn count_item<'a>(count: usize) -> Item<'a> {
    Item::integer(i64::try_from(count).unwrap_or(i64::MAX))
}

/// `is`: empty for nothing, refused for several.
pub(super) fn is<'a>(items: &[Item<'a>], name: &TypeName) -> Result<Items<'a>, Stop> {
    match items {
        [] => Ok(Vec::new()),
        [one] => {
            known(name)?;
            Ok(vec![Item::bool(is_of(one, name))])
        }
        _ => Err(Stop::Several("is")),
    }
}

/// `as`: the item when it is of the type; refused for several.
pub(super) fn as_type<'a>(items: Items<'a>, name: &TypeName) -> Result<Items<'a>, Stop> {
    if items.len() > 1 {
        return Err(Stop::Several("as"));
    }
    of_type(items, name)
}

/// The items of a type.
pub(super) fn of_type<'a>(items: Items<'a>, name: &TypeName) -> Result<Items<'a>, Stop> {
    if !items.is_empty() {
        known(name)?;
    }
    let fits = |item: &Item<'a>| match item {
        Item::Node(node) => match node.shape() {
            Shape::Unknown => false,
            _ => name.takes_out(node.type_name()),
        },
        Item::Value(value) => name.takes_system(value.type_name()),
    };
    Ok(items.into_iter().filter(fits).collect())
}

fn known(name: &TypeName) -> Result<(), Stop> {
    match name.is_known() {
        true => Ok(()),
        false => Err(Stop::Unknown("a type of this name")),
    }
}

fn is_of(item: &Item<'_>, name: &TypeName) -> bool {
    match item {
        Item::Node(node) => match node.shape() {
            Shape::Unknown => false,
            _ => name.takes_fhir(node.type_name()),
        },
        Item::Value(value) => name.takes_system(value.type_name()),
    }
}
