//! Tokens to an expression: N1's precedence, with bounds on depth and size.

use super::Misread;
use super::expression::{Expr, Operator};
use super::functions::{self, Arguments};
use super::lexer::{Kind, Token, misread};
use super::moment::Moment;
use super::number::{self, Quantity};
use super::types::TypeName;

/// Nesting of a hand-written expression stays far below; evaluation recurses as deep.
const DEPTH_MAX: usize = 120;

pub(super) fn parse(tokens: Vec<Token>) -> Result<Expr, Misread> {
    let mut parser = Parser {
        tokens,
        at: 0,
        open: 0,
    };
    let parsed = parser.expression(0)?;
    match parser.kind() {
        Kind::End => Ok(parsed.expr),
        _ => Err(parser.wrong("an operator or the end is wanted")),
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    /// Calls of `expression` that are under way.
    open: usize,
}

/// An expression and how deep it is.
struct Parsed {
    expr: Expr,
    depth: usize,
}

impl Parsed {
    fn leaf(expr: Expr) -> Parsed {
        Parsed { expr, depth: 1 }
    }
}

/// What a binary operator makes.
#[derive(Clone, Copy)]
enum Infix {
    Operator(Operator),
    Is,
    As,
}

/// Symbol or word, how tightly it binds, what it makes.
const INFIX: [(&str, u8, Infix); 24] = [
    ("implies", 1, Infix::Operator(Operator::Implies)),
    ("or", 2, Infix::Operator(Operator::Or)),
    ("xor", 2, Infix::Operator(Operator::Xor)),
    ("and", 3, Infix::Operator(Operator::And)),
    ("in", 4, Infix::Operator(Operator::In)),
    ("contains", 4, Infix::Operator(Operator::Contains)),
    ("=", 5, Infix::Operator(Operator::Equal)),
    ("~", 5, Infix::Operator(Operator::Equivalent)),
    ("!=", 5, Infix::Operator(Operator::NotEqual)),
    ("!~", 5, Infix::Operator(Operator::NotEquivalent)),
    ("<=", 6, Infix::Operator(Operator::LessOrEqual)),
    ("<", 6, Infix::Operator(Operator::Less)),
    (">", 6, Infix::Operator(Operator::Greater)),
    (">=", 6, Infix::Operator(Operator::GreaterOrEqual)),
    ("|", 7, Infix::Operator(Operator::Union)),
    ("is", 8, Infix::Is),
    ("as", 8, Infix::As),
    ("+", 9, Infix::Operator(Operator::Add)),
    ("-", 9, Infix::Operator(Operator::Subtract)),
    ("&", 9, Infix::Operator(Operator::Join)),
    ("*", 10, Infix::Operator(Operator::Times)),
    ("/", 10, Infix::Operator(Operator::Divide)),
    ("div", 10, Infix::Operator(Operator::Div)),
    ("mod", 10, Infix::Operator(Operator::Mod)),
];

impl Parser {
    fn kind(&self) -> Kind {
        self.tokens
            .get(self.at)
            .map_or(Kind::End, |t| t.kind.clone())
    }

    fn wrong(&self, reason: &str) -> Misread {
        let token = self.tokens.get(self.at);
        misread(token.map_or(0, |t| t.at), reason)
    }

    fn is_symbol(&self, symbol: &str) -> bool {
        let token = self.tokens.get(self.at);
        token.is_some_and(|t| matches!(t.kind, Kind::Symbol(s) if s == symbol))
    }

    fn skip_symbol(&mut self, symbol: &str) -> bool {
        let found = self.is_symbol(symbol);
        self.at += usize::from(found);
        found
    }

    fn want(&mut self, symbol: &str) -> Result<(), Misread> {
        if self.skip_symbol(symbol) {
            return Ok(());
        }
        Err(self.wrong(&format!("{symbol} is wanted")))
    }

    fn checked(&self, expr: Expr, depth: usize) -> Result<Parsed, Misread> {
        if depth > DEPTH_MAX {
            return Err(self.wrong("the expression is too deep"));
        }
        Ok(Parsed { expr, depth })
    }

    /// Operators that bind at least as tightly as `tightness`, from the left.
    fn expression(&mut self, tightness: u8) -> Result<Parsed, Misread> {
        self.open += 1;
        if self.open > DEPTH_MAX {
            return Err(self.wrong("the expression is too deep"));
        }
        let mut left = self.signed()?;
        while let Some((binds, infix)) = self.infix().filter(|(b, _)| *b >= tightness) {
            self.at += 1;
            left = self.joined(left, infix, binds)?;
        }
        self.open -= 1;
        Ok(left)
    }

    fn infix(&self) -> Option<(u8, Infix)> {
        let text: &str = match &self.tokens.get(self.at)?.kind {
            Kind::Name(name) => name,
            Kind::Symbol(symbol) => symbol,
            _ => return None,
        };
        let found = INFIX.iter().find(|(name, ..)| *name == text)?;
        Some((found.1, found.2))
    }

    fn joined(&mut self, left: Parsed, infix: Infix, binds: u8) -> Result<Parsed, Misread> {
        let boxed = Box::new(left.expr);
        match infix {
            Infix::Is => {
                let expr = Expr::Is(boxed, self.type_name()?);
                self.checked(expr, left.depth + 1)
            }
            Infix::As => {
                let expr = Expr::As(boxed, self.type_name()?);
                self.checked(expr, left.depth + 1)
            }
            Infix::Operator(operator) => {
                let right = self.expression(binds + 1)?;
                let depth = left.depth.max(right.depth) + 1;
                self.checked(Expr::Operator(operator, boxed, Box::new(right.expr)), depth)
            }
        }
    }

    fn type_name(&mut self) -> Result<TypeName, Misread> {
        let first = self.name("a type is wanted")?;
        if self.skip_symbol(".") {
            let second = self.name("a type is wanted")?;
            return Ok(TypeName::new(Some(&first), &second));
        }
        Ok(TypeName::new(None, &first))
    }

    fn name(&mut self, reason: &str) -> Result<String, Misread> {
        match self.kind() {
            Kind::Name(name) | Kind::Quoted(name) => {
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.wrong(reason)),
        }
    }

    /// A sign binds looser than `.` and tighter than `*`.
    fn signed(&mut self) -> Result<Parsed, Misread> {
        let make: Option<fn(Box<Expr>) -> Expr> = match self.kind() {
            Kind::Symbol("-") => Some(Expr::Minus),
            Kind::Symbol("+") => Some(Expr::Plus),
            _ => None,
        };
        let Some(make) = make else {
            return self.chain();
        };
        self.at += 1;
        self.open += 1;
        if self.open > DEPTH_MAX {
            return Err(self.wrong("the expression is too deep"));
        }
        let inner = self.signed()?;
        self.open -= 1;
        self.checked(make(Box::new(inner.expr)), inner.depth + 1)
    }

    /// A term, and what follows it with `.` and `[ ]`.
    fn chain(&mut self) -> Result<Parsed, Misread> {
        let mut chain = self.term()?;
        loop {
            if self.skip_symbol(".") {
                chain = self.step(Some(chain))?;
            } else if self.skip_symbol("[") {
                let index = self.expression(0)?;
                self.want("]")?;
                let depth = chain.depth.max(index.depth) + 1;
                let expr = Expr::At(Box::new(chain.expr), Box::new(index.expr));
                chain = self.checked(expr, depth)?;
            } else {
                return Ok(chain);
            }
        }
    }

    fn term(&mut self) -> Result<Parsed, Misread> {
        match self.kind() {
            Kind::Symbol("(") => {
                self.at += 1;
                let inner = self.expression(0)?;
                self.want(")")?;
                Ok(inner)
            }
            Kind::Symbol("{") => {
                self.at += 1;
                self.want("}")?;
                Ok(Parsed::leaf(Expr::Empty))
            }
            Kind::Name(name) if name == "true" || name == "false" => {
                self.at += 1;
                Ok(Parsed::leaf(Expr::Bool(name == "true")))
            }
            Kind::Name(_) | Kind::Quoted(_) | Kind::Dollar(_) => self.step(None),
            Kind::Text(text) => {
                self.at += 1;
                Ok(Parsed::leaf(Expr::Text(text)))
            }
            Kind::External(name) => {
                self.at += 1;
                Ok(Parsed::leaf(Expr::External(name)))
            }
            Kind::Moment(text) => {
                let moment = Moment::literal(&text);
                let moment = moment.ok_or_else(|| self.wrong("there is no such date or time"))?;
                self.at += 1;
                Ok(Parsed::leaf(Expr::Moment(moment)))
            }
            Kind::Number(text) => self.number(&text),
            Kind::Symbol(_) | Kind::End => Err(self.wrong("a value or a name is wanted")),
        }
    }

    /// A number, or with a unit behind it a quantity.
    fn number(&mut self, text: &str) -> Result<Parsed, Misread> {
        let decimal = number::parse(text);
        let decimal = decimal.ok_or_else(|| self.wrong("the number has too many digits"))?;
        self.at += 1;
        let unit = match self.kind() {
            Kind::Text(unit) => Some(unit),
            Kind::Name(word) => number::calendar_unit(&word).map(|_plural| word),
            _ => None,
        };
        if let Some(unit) = unit {
            self.at += 1;
            let quantity = Quantity {
                value: decimal,
                unit,
            };
            return Ok(Parsed::leaf(Expr::Quantity(quantity)));
        }
        let whole = (!text.contains('.')).then(|| text.parse().ok()).flatten();
        Ok(Parsed::leaf(match whole {
            Some(whole) => Expr::Integer(whole),
            None => Expr::Decimal(decimal),
        }))
    }

    /// A name or call, on a value (`before`) or on the focus.
    fn step(&mut self, before: Option<Parsed>) -> Result<Parsed, Misread> {
        let depth = before.as_ref().map_or(1, |b| b.depth + 1);
        let target = before.map(|b| Box::new(b.expr));
        if let Kind::Dollar(name) = self.kind() {
            let expr = match (name.as_str(), &target) {
                ("this", None) => Expr::This,
                ("index", None) => Expr::Index,
                ("total", None) => Expr::Total,
                _ => return Err(self.wrong("$this, $index and $total begin a path")),
            };
            self.at += 1;
            return Ok(Parsed::leaf(expr));
        }
        let at = self.at;
        let name = self.name("a name is wanted")?;
        if !self.skip_symbol("(") {
            return self.checked(Expr::Member(target, name), depth);
        }
        let Some((function, arguments)) = functions::named(&name) else {
            self.at = at;
            return Err(self.wrong(&format!("there is no function {name}()")));
        };
        let (list, inside) = match arguments {
            Arguments::Type => self.type_argument()?,
            Arguments::Count(least, most) => {
                let (list, inside) = self.arguments()?;
                if list.len() < least || list.len() > most {
                    self.at = at;
                    return Err(self.wrong(&format!("{name}() has another number of arguments")));
                }
                (list, inside)
            }
        };
        self.checked(Expr::Call(target, function, list), depth.max(inside + 1))
    }

    fn arguments(&mut self) -> Result<(Vec<Expr>, usize), Misread> {
        let (mut list, mut depth) = (Vec::new(), 0);
        if self.skip_symbol(")") {
            return Ok((list, depth));
        }
        loop {
            let argument = self.expression(0)?;
            depth = depth.max(argument.depth);
            list.push(argument.expr);
            if !self.skip_symbol(",") {
                self.want(")")?;
                return Ok((list, depth));
            }
        }
    }

    /// `ofType(T)`: carried as `{} is T`.
    fn type_argument(&mut self) -> Result<(Vec<Expr>, usize), Misread> {
        let name = self.type_name()?;
        self.want(")")?;
        Ok((vec![Expr::Is(Box::new(Expr::Empty), name)], 1))
    }
}
