//! What a compiled expression is made of.

use super::functions::Function;
use super::moment::Moment;
use super::number::Quantity;
use super::types::TypeName;
use bigdecimal::BigDecimal;

#[derive(Debug)]
pub(super) enum Expr {
    /// `{}`
    Empty,
    Bool(bool),
    Integer(i64),
    Decimal(BigDecimal),
    Text(String),
    Moment(Moment),
    Quantity(Quantity),
    /// `$this`, `$index`, `$total`
    This,
    Index,
    Total,
    /// `%name`
    External(String),
    /// `a.name`, or `name` from the focus.
    Member(Option<Box<Expr>>, String),
    /// `a.f(x)`, or `f(x)` on the focus.
    Call(Option<Box<Expr>>, Function, Vec<Expr>),
    /// `a[i]`
    At(Box<Expr>, Box<Expr>),
    /// `-a`
    Minus(Box<Expr>),
    /// `+a`
    Plus(Box<Expr>),
    Operator(Operator, Box<Expr>, Box<Expr>),
    /// `a is T`
    Is(Box<Expr>, TypeName),
    /// `a as T`
    As(Box<Expr>, TypeName),
    /// The same for every item of the collections around it; by its number among such parts.
    Once(Box<Expr>, usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Times,
    Divide,
    Div,
    Mod,
    Add,
    Subtract,
    Join,
    Union,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
    Equivalent,
    NotEquivalent,
    In,
    Contains,
    And,
    Or,
    Xor,
    Implies,
}
