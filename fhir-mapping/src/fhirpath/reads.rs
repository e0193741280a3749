//! What an expression depends on, told before it is evaluated: the elements it reads where it
//! starts, and the parts of it that stay the same for every item of a collection.

use super::expression::Expr;
use super::functions::Function;

/// An element that an expression reads at its focus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) name: String,
    /// False when only its being there matters.
    pub(crate) is_value: bool,
}

/// The elements of the focus that decide the result; `None` when other things do too: the resource
/// around it, the focus as a whole, the clock, the surroundings.
pub(super) fn reads(root: &Expr) -> Option<Vec<Read>> {
    let mut reads = Reads(Vec::new());
    reads.collect(root, true).then_some(reads.0)
}

struct Reads(Vec<Read>);

impl Reads {
    fn note(&mut self, name: &str, is_value: bool) -> bool {
        if name.starts_with(|c: char| c.is_ascii_uppercase()) {
            return false;
        }
        match self.0.iter_mut().find(|read| read.name == name) {
            Some(read) => read.is_value |= is_value,
            None => self.0.push(Read {
                name: name.to_owned(),
                is_value,
            }),
        }
        true
    }

    /// `is_focus` while a path begins at the focus; within `where()` it begins at an item, and that
    /// comes from an element which was noted.
    fn collect(&mut self, expr: &Expr, is_focus: bool) -> bool {
        match expr {
            Expr::This => !is_focus,
            Expr::External(name) => {
                !matches!(name.as_str(), "context" | "resource" | "rootResource")
            }
            Expr::Member(None, name) => !is_focus || self.note(name, true),
            Expr::Member(Some(before), _)
            | Expr::Minus(before)
            | Expr::Plus(before)
            | Expr::Once(before, _)
            | Expr::Is(before, _)
            | Expr::As(before, _) => self.collect(before, is_focus),
            Expr::At(one, two) | Expr::Operator(_, one, two) => {
                self.collect(one, is_focus) && self.collect(two, is_focus)
            }
            Expr::Call(before, function, arguments) => {
                self.call((before.as_deref(), *function), arguments, is_focus)
            }
            Expr::Empty
            | Expr::Bool(_)
            | Expr::Integer(_)
            | Expr::Decimal(_)
            | Expr::Text(_)
            | Expr::Moment(_)
            | Expr::Quantity(_)
            | Expr::Index
            | Expr::Total => true,
        }
    }

    fn call(
        &mut self,
        (before, function): (Option<&Expr>, Function),
        arguments: &[Expr],
        is_focus: bool,
    ) -> bool {
        if function.asks_outside() {
            return false;
        }
        let is_before_fine = match before {
            Some(Expr::Member(None, name))
                if is_focus && function.is_existence() && arguments.is_empty() =>
            {
                self.note(name, false)
            }
            Some(before) => self.collect(before, is_focus),
            None => !is_focus || function.is_choice(),
        };
        let stays = is_focus && (before.is_none() || !function.binds_this());
        is_before_fine
            && arguments
                .iter()
                .all(|argument| self.collect(argument, stays))
    }
}

/// Wraps what is the same for every item of a collection, within what is evaluated for each; the
/// number of such parts.
pub(super) fn fold(root: &mut Expr) -> usize {
    let mut count = 0;
    visit(root, false, &mut count);
    count
}

fn visit(expr: &mut Expr, is_repeated: bool, count: &mut usize) {
    if is_repeated && !matches!(expr, Expr::External(_)) && is_fixed(expr) && has_external(expr) {
        let inner = std::mem::replace(expr, Expr::Empty);
        *expr = Expr::Once(Box::new(inner), *count);
        *count += 1;
        return;
    }
    match expr {
        Expr::Call(before, function, arguments) => {
            if let Some(before) = before {
                visit(before, is_repeated, count);
            }
            let is_repeated = is_repeated || function.binds_this();
            for argument in arguments {
                visit(argument, is_repeated, count);
            }
        }
        Expr::Member(Some(inner), _)
        | Expr::Minus(inner)
        | Expr::Plus(inner)
        | Expr::Is(inner, _)
        | Expr::As(inner, _) => visit(inner, is_repeated, count),
        Expr::At(one, two) | Expr::Operator(_, one, two) => {
            visit(one, is_repeated, count);
            visit(two, is_repeated, count);
        }
        _ => {}
    }
}

/// Made of `%` names and literals alone.
fn is_fixed(expr: &Expr) -> bool {
    match expr {
        Expr::This | Expr::Index | Expr::Total | Expr::Member(None, _) | Expr::Once(..) => false,
        Expr::Member(Some(inner), _)
        | Expr::Minus(inner)
        | Expr::Plus(inner)
        | Expr::Is(inner, _)
        | Expr::As(inner, _) => is_fixed(inner),
        Expr::At(one, two) | Expr::Operator(_, one, two) => is_fixed(one) && is_fixed(two),
        Expr::Call(before, function, arguments) => {
            let is_plain = !function.binds_this() || arguments.is_empty();
            is_plain && before.as_deref().is_some_and(is_fixed) && arguments.iter().all(is_fixed)
        }
        _ => true,
    }
}

fn has_external(expr: &Expr) -> bool {
    match expr {
        Expr::External(_) => true,
        Expr::Member(Some(inner), _)
        | Expr::Minus(inner)
        | Expr::Plus(inner)
        | Expr::Is(inner, _)
        | Expr::As(inner, _) => has_external(inner),
        Expr::At(one, two) | Expr::Operator(_, one, two) => has_external(one) || has_external(two),
        Expr::Call(before, _, arguments) => {
            before.as_deref().is_some_and(has_external) || arguments.iter().any(has_external)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::compile;

    fn check(text: &str, expected: &str) {
        let reads = compile(text).unwrap().reads();
        let shown = reads.map(|reads| {
            let shown = reads.iter().map(|read| match read.is_value {
                true => format!("{}=", read.name),
                false => read.name.clone(),
            });
            shown.collect::<Vec<_>>().join(" ")
        });
        assert_eq!(shown.as_deref().unwrap_or("more"), expected, "{text}");
    }

    #[test]
    fn what_decides_is_known() {
        check("code.empty() or system.exists()", "code system");
        check("type = 'group' implies item.empty().not()", "type= item");
        check("item.exists() and item.count() > 1", "item=");
        check("item.where(code = 'x').exists()", "item=");
        check("item.exists(code = 'x')", "item=");
        check("name.matches(other)", "name= other=");
        check("item.all($this.code = other)", "item=");
        check("iif(a.exists(), b, c)", "a b= c=");
        check("system = %ucum", "system=");
        for text in [
            "$this.exists()",
            "children().count() > 1",
            "Patient.name.exists()",
            "item.all(code = %resource.code)",
            "reference.resolve().exists()",
            "when < now()",
            "code.memberOf('x')",
            "where(a = 1).exists()",
        ] {
            check(text, "more");
        }
    }

    #[test]
    fn what_stays_is_evaluated_once() {
        let count = |text: &str| compile(text).unwrap().once;
        assert_eq!(count("entry.all(a = (%resource.type = 'x'))"), 1);
        assert_eq!(
            count("entry.all(%resource.a.first() = b and %context.c = d)"),
            2
        );
        assert_eq!(count("%resource.type = 'x'"), 0);
        assert_eq!(count("entry.all(%resource.where(a = 1).exists())"), 0);
        assert_eq!(count("entry.all(system = %ucum)"), 0);
    }
}
