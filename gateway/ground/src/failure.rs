//! Every answer that is not success: a closed set of categories, one table to the wire.

use fhir_mapping::model::{Issue, IssueCode, Json, Severity};
use store::StoreError;

/// What kind of refusal this is; decides the HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    Incorrect,
    Unauthenticated,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    Timeout,
    Gone,
    Conflict,
    PreconditionFailed,
    TooLarge,
    UnsupportedMedia,
    Unprocessable,
    Throttled,
    Busy,
    DiskFull,
    Fault,
}

/// A refusal with its findings; becomes an OperationOutcome.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    pub category: Category,
    pub issues: Vec<Issue>,
    /// Seconds for `Retry-After`, when waiting helps.
    pub retry_after_s: Option<u32>,
}

impl Category {
    /// The HTTP status of this category.
    pub fn status(self) -> u16 {
        match self {
            Self::Incorrect => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::NotAcceptable => 406,
            Self::Timeout => 408,
            Self::Conflict => 409,
            Self::Gone => 410,
            Self::PreconditionFailed => 412,
            Self::TooLarge => 413,
            Self::UnsupportedMedia => 415,
            Self::Unprocessable => 422,
            Self::Throttled => 429,
            Self::Fault => 500,
            Self::Busy => 503,
            Self::DiskFull => 507,
        }
    }
}

impl Failure {
    /// One finding, one refusal. `number` is stable and used in one place only.
    pub fn new(
        category: Category,
        number: &'static str,
        code: IssueCode,
        text: impl Into<String>,
    ) -> Failure {
        Failure::of(category, vec![Issue::error(number, code, "", text)])
    }

    pub fn of(category: Category, issues: Vec<Issue>) -> Failure {
        let retry_after_s = matches!(category, Category::Busy | Category::Throttled).then_some(1);
        Failure {
            category,
            issues,
            retry_after_s,
        }
    }

    /// Names the element (FHIRPath) in every finding that names none yet.
    pub fn at(mut self, expression: &str) -> Failure {
        for issue in &mut self.issues {
            if issue.expression.is_empty() {
                expression.clone_into(&mut issue.expression);
            }
        }
        self
    }

    /// Prefixes every finding's expression: `Bundle.entry[3].resource` + `.name` of `Patient.name`.
    pub fn inside(mut self, prefix: &str) -> Failure {
        for issue in &mut self.issues {
            let tail = issue.expression.split_once('.').map(|(_, tail)| tail);
            issue.expression = match tail {
                Some(tail) => format!("{prefix}.{tail}"),
                None => prefix.to_owned(),
            };
        }
        self
    }

    /// The OperationOutcome of this refusal.
    pub fn outcome(&self) -> Json {
        outcome(&self.issues)
    }
}

/// An OperationOutcome with these findings (R4 2.42).
pub fn outcome(issues: &[Issue]) -> Json {
    let issues = issues.iter().map(|issue| {
        let mut object = vec![
            ("severity", Json::from(issue.severity.as_str())),
            ("code", Json::from(issue.code.as_str())),
            (
                "diagnostics",
                Json::from(format!("{}: {}", issue.number, issue.text)),
            ),
        ];
        if !issue.expression.is_empty() {
            object.push((
                "expression",
                Json::array([issue.expression.as_str().into()]),
            ));
        }
        Json::object(object)
    });
    Json::object([
        ("resourceType", "OperationOutcome".into()),
        ("issue", Json::array(issues)),
    ])
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        let (category, code) = match &error {
            StoreError::Full => (Category::DiskFull, IssueCode::NoStore),
            StoreError::Busy | StoreError::Closed | StoreError::ReadOnly(_) => {
                (Category::Busy, IssueCode::Throttled)
            }
            _ => (Category::Fault, IssueCode::Exception),
        };
        let text = error.to_string();
        let (number, text) = match text.split_once(": ") {
            Some((_, rest)) => (store_number(&error), rest.to_owned()),
            None => ("E-STORE-0", text),
        };
        let issue = Issue {
            severity: Severity::Error,
            code,
            expression: String::new(),
            number,
            text,
        };
        Failure::of(category, vec![issue])
    }
}

fn store_number(error: &StoreError) -> &'static str {
    match error {
        StoreError::Io { .. } => "E-STORE-1",
        StoreError::Full => "E-STORE-2",
        StoreError::Corrupt { .. } => "E-STORE-3",
        StoreError::WrongKey => "E-STORE-4",
        StoreError::Poisoned(_) => "E-STORE-5",
        StoreError::Busy => "E-STORE-6",
        StoreError::Locked => "E-STORE-7",
        StoreError::Foreign(_) => "E-STORE-8",
        StoreError::Invalid(_) => "E-STORE-9",
        StoreError::Closed => "E-STORE-10",
        StoreError::ReadOnly(_) => "E-STORE-11",
    }
}
