//! The paths of FHIRPath Patch: what names places in a resource, not what computes. Names, indexes,
//! `first()`, `last()`, `where(...)` with comparisons and `exists()`, `extension('url')`, `ofType(X)`.

/// A path, read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Path {
    pub(super) steps: Vec<Step>,
    /// As sent, for messages.
    pub(super) text: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Child(String),
    Index(usize),
    First,
    Last,
    Where(Condition),
    /// The choice element's type.
    OfType(String),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    Compare {
        steps: Vec<Step>,
        is_equal: bool,
        literal: String,
    },
    Exists(Vec<Step>),
    All(Vec<Condition>),
    Any(Vec<Condition>),
}

const TOKENS_MAX: usize = 500;
const DEPTH_MAX: usize = 6;

impl Path {
    /// `Err` says what is not understood.
    pub(super) fn parse(text: &str) -> Result<Path, String> {
        let tokens = tokens(text)?;
        let mut parser = Parser { tokens, at: 0 };
        let (steps, asks_existence) = parser.steps(0)?;
        match parser.peek() {
            None if !asks_existence => Ok(Path {
                steps,
                text: super::shown(text),
            }),
            _ => Err("the path goes on where it should end".to_owned()),
        }
    }
}

impl Path {
    /// The name of the element that the path leads to.
    pub(super) fn last_name(&self) -> &str {
        let mut names = self.steps.iter().rev().filter_map(|step| match step {
            Step::Child(name) => Some(name.as_str()),
            _ => None,
        });
        names.next().unwrap_or_default()
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Name(String),
    Text(String),
    Number(String),
    /// `n` stands for `!=`.
    Symbol(char),
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if tokens.len() >= TOKENS_MAX {
            return Err(format!("the path has more than {TOKENS_MAX} parts"));
        }
        tokens.push(match c {
            ' ' | '\t' | '\n' | '\r' => continue,
            '.' | '(' | ')' | '[' | ']' | '=' => Token::Symbol(c),
            '!' if chars.next_if_eq(&'=').is_some() => Token::Symbol('n'),
            '\'' | '"' => Token::Text(quoted(c, &mut chars)?),
            '`' => Token::Name(quoted(c, &mut chars)?),
            '0'..='9' => Token::Number(word(c, &mut chars, |c| c.is_ascii_digit() || c == '.')),
            'a'..='z' | 'A'..='Z' | '_' => Token::Name(word(c, &mut chars, |c| {
                c.is_ascii_alphanumeric() || c == '_'
            })),
            _ => return Err("the path has a sign that is not understood".to_owned()),
        });
    }
    Ok(tokens)
}

type Chars<'t> = std::iter::Peekable<std::str::Chars<'t>>;

fn word(first: char, chars: &mut Chars<'_>, is_part: fn(char) -> bool) -> String {
    let mut word = String::from(first);
    while let Some(next) = chars.next_if(|c| is_part(*c)) {
        word.push(next);
    }
    word
}

/// The rest of a quoted text.
fn quoted(quote: char, chars: &mut Chars<'_>) -> Result<String, String> {
    let mut text = String::new();
    while let Some(c) = chars.next() {
        match c {
            c if c == quote => return Ok(text),
            '\\' => text.push(match chars.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some(other) => other,
                None => break,
            }),
            other => text.push(other),
        }
    }
    Err("a quoted text of the path does not end".to_owned())
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn takes(&mut self, symbol: char) -> bool {
        let is_there = self.peek() == Some(&Token::Symbol(symbol));
        self.at += usize::from(is_there);
        is_there
    }

    fn needs(&mut self, symbol: char) -> Result<(), String> {
        if self.takes(symbol) {
            return Ok(());
        }
        Err(format!("the path lacks {symbol}"))
    }

    /// Steps, and whether `exists()` follows them.
    fn steps(&mut self, depth: usize) -> Result<(Vec<Step>, bool), String> {
        let mut steps = Vec::new();
        loop {
            let Some(Token::Name(name)) = self.next() else {
                return Err("the path lacks a name".to_owned());
            };
            if !self.takes('(') {
                steps.push(Step::Child(name));
            } else if name == "exists" {
                self.needs(')')?;
                return Ok((steps, true));
            } else {
                self.function(&name, depth, &mut steps)?;
            }
            while self.takes('[') {
                steps.push(Step::Index(self.index()?));
                self.needs(']')?;
            }
            if !self.takes('.') {
                return Ok((steps, false));
            }
        }
    }

    fn index(&mut self) -> Result<usize, String> {
        match self.next() {
            Some(Token::Number(digits)) => digits.parse().ok(),
            _ => None,
        }
        .ok_or_else(|| "an index of the path is no whole number".to_owned())
    }

    fn function(&mut self, name: &str, depth: usize, steps: &mut Vec<Step>) -> Result<(), String> {
        match name {
            "first" => steps.push(Step::First),
            "last" => steps.push(Step::Last),
            "where" => {
                let condition = self.condition(depth + 1)?;
                steps.push(Step::Where(condition));
            }
            "extension" => {
                let literal = self.literal()?;
                steps.push(Step::Child("extension".to_owned()));
                steps.push(Step::Where(Condition::Compare {
                    steps: vec![Step::Child("url".to_owned())],
                    is_equal: true,
                    literal,
                }));
            }
            "ofType" | "as" => match self.next() {
                Some(Token::Name(kind)) => steps.push(Step::OfType(kind)),
                _ => return Err(format!("{name}() needs a type")),
            },
            _ => return Err("the path calls a function that names no place".to_owned()),
        }
        self.needs(')')
    }

    /// `or` binds weaker than `and`.
    fn condition(&mut self, depth: usize) -> Result<Condition, String> {
        let mut any = vec![self.all(depth)?];
        while self.takes_word("or") {
            any.push(self.all(depth)?);
        }
        Ok(Condition::Any(any))
    }

    fn all(&mut self, depth: usize) -> Result<Condition, String> {
        let mut all = vec![self.comparison(depth)?];
        while self.takes_word("and") {
            all.push(self.comparison(depth)?);
        }
        Ok(Condition::All(all))
    }

    fn comparison(&mut self, depth: usize) -> Result<Condition, String> {
        if depth > DEPTH_MAX {
            return Err(format!("the path nests deeper than {DEPTH_MAX}"));
        }
        if self.takes('(') {
            let condition = self.condition(depth + 1)?;
            self.needs(')')?;
            return Ok(condition);
        }
        let (steps, asks_existence) = self.steps(depth)?;
        if asks_existence {
            return Ok(Condition::Exists(steps));
        }
        let is_equal = match self.next() {
            Some(Token::Symbol('=')) => true,
            Some(Token::Symbol('n')) => false,
            _ => return Err("a condition of the path compares by = or != only".to_owned()),
        };
        let literal = self.literal()?;
        Ok(Condition::Compare {
            steps,
            is_equal,
            literal,
        })
    }

    fn literal(&mut self) -> Result<String, String> {
        match self.next() {
            Some(Token::Text(text) | Token::Number(text)) => Ok(text),
            Some(Token::Name(word)) if word == "true" || word == "false" => Ok(word),
            _ => Err("the path lacks a text, number, true or false".to_owned()),
        }
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let is_there = matches!(self.peek(), Some(Token::Name(name)) if name == word);
        self.at += usize::from(is_there);
        is_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(steps: &[Step]) -> String {
        let shown = steps.iter().map(|step| match step {
            Step::Child(name) => name.clone(),
            Step::Index(at) => format!("[{at}]"),
            Step::First => "first".to_owned(),
            Step::Last => "last".to_owned(),
            Step::Where(condition) => format!("?{}", show_condition(condition)),
            Step::OfType(kind) => format!(":{kind}"),
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    fn show_condition(condition: &Condition) -> String {
        let list = |all: &[Condition], word: &str| {
            let shown: Vec<_> = all.iter().map(show_condition).collect();
            match shown.as_slice() {
                [one] => one.clone(),
                _ => format!("({})", shown.join(word)),
            }
        };
        match condition {
            Condition::Compare {
                steps,
                is_equal,
                literal,
            } => format!(
                "{}{}{literal}",
                show(steps),
                if *is_equal { "=" } else { "!=" }
            ),
            Condition::Exists(steps) => format!("{}!", show(steps)),
            Condition::All(all) => list(all, "&"),
            Condition::Any(any) => list(any, "|"),
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match Path::parse(text) {
            Ok(path) => show(&path.steps),
            Err(why) => why,
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn paths_are_read() {
        check("Patient.birthDate", "Patient birthDate");
        check(
            "Patient.contact[0].name.given[1]",
            "Patient contact [0] name given [1]",
        );
        check(
            "Patient.name.where(use = 'official').given",
            "Patient name ?use=official given",
        );
        check(
            "identifier.where(system='a' and value!='b' or use.exists()).first()",
            "identifier ?((system=a&value!=b)|use!) first",
        );
        check(
            "Patient.extension('http://x').value",
            "Patient extension ?url=http://x value",
        );
        check(
            "Observation.value.ofType(Quantity).value",
            "Observation value :Quantity value",
        );
        check("a.where(b.where(c = true).d = 1.5)", "a ?b ?c=true d=1.5");
        check(
            "a.where((b = 'x' or c = 'y') and d = 'z')",
            "a ?((b=x|c=y)&d=z)",
        );
        check(r"a.where(b = 'it\'s')", "a ?b=it's");
        check("`div`.last()", "div last");
    }

    #[test]
    fn what_names_no_place_is_refused() {
        check("", "the path lacks a name");
        check("Patient.", "the path lacks a name");
        check(
            "Patient.name.given + 'x'",
            "the path has a sign that is not understood",
        );
        check(
            "Patient.name.count()",
            "the path calls a function that names no place",
        );
        check("Patient.name[x]", "an index of the path is no whole number");
        check(
            "Patient.name.exists()",
            "the path goes on where it should end",
        );
        check(
            "Patient.name.where(use 'x')",
            "a condition of the path compares by = or != only",
        );
        check("Patient.name.where(use = 'x'", "the path lacks )");
        check("Patient name", "the path goes on where it should end");
        check("a.where(b = 'x", "a quoted text of the path does not end");
        let deep = format!("{}a = 1{}", "a.where(".repeat(9), ")".repeat(9));
        check(&deep, "the path nests deeper than 6");
    }
}
