//! Expressions that name places in a resource, for those that change what is there.

use super::expression::Expr;

/// Made of names, positions and filters; what is inside a filter may compute.
pub(super) fn is_path(expr: &Expr) -> bool {
    match expr {
        Expr::Member(before, _) => before.as_deref().is_none_or(is_path),
        Expr::At(before, _) | Expr::As(before, _) => is_path(before),
        Expr::Call(before, function, _) => {
            function.keeps_places() && before.as_deref().is_none_or(is_path)
        }
        _ => false,
    }
}

pub(super) fn last_name(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Member(_, name) => Some(name),
        Expr::At(before, _) | Expr::As(before, _) => last_name(before),
        Expr::Call(_, function, _) if function.is_extension() => Some("extension"),
        Expr::Call(Some(before), ..) => last_name(before),
        _ => None,
    }
}
