//! Findings about content, shaped as OperationOutcome.issue (R4 2.42).

/// OperationOutcome.issue.severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Information,
    Warning,
    Error,
    Fatal,
}

/// The codes of issue-type that we use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssueCode {
    Structure,
    Required,
    Value,
    Invariant,
    CodeInvalid,
    Duplicate,
    NotSupported,
    TooLong,
    TooCostly,
    NotFound,
    Deleted,
    MultipleMatches,
    Conflict,
    BusinessRule,
    Login,
    Forbidden,
    Throttled,
    Timeout,
    NoStore,
    Exception,
    Processing,
    Extension,
    Informational,
}

/// One finding. The text never carries a patient's values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    pub severity: Severity,
    pub code: IssueCode,
    /// FHIRPath of the element, as `Patient.name[0].family`; empty for the whole.
    pub expression: String,
    /// Stable number, `E-<area>-<n>`.
    pub number: &'static str,
    pub text: String,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Information => "information",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Fatal => "fatal",
        }
    }
}

impl IssueCode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Structure => "structure",
            Self::Required => "required",
            Self::Value => "value",
            Self::Invariant => "invariant",
            Self::CodeInvalid => "code-invalid",
            Self::Duplicate => "duplicate",
            Self::NotSupported => "not-supported",
            Self::TooLong => "too-long",
            Self::TooCostly => "too-costly",
            Self::NotFound => "not-found",
            Self::Deleted => "deleted",
            Self::MultipleMatches => "multiple-matches",
            Self::Conflict => "conflict",
            Self::BusinessRule => "business-rule",
            Self::Login => "login",
            Self::Forbidden => "forbidden",
            Self::Throttled => "throttled",
            Self::Timeout => "timeout",
            Self::NoStore => "no-store",
            Self::Exception => "exception",
            Self::Processing => "processing",
            Self::Extension => "extension",
            Self::Informational => "informational",
        }
    }
}

impl Issue {
    /// An error about one element.
    pub fn error(
        number: &'static str,
        code: IssueCode,
        expression: impl Into<String>,
        text: impl Into<String>,
    ) -> Issue {
        let (expression, text) = (expression.into(), text.into());
        Issue {
            severity: Severity::Error,
            code,
            expression,
            number,
            text,
        }
    }
}
