//! From the request to queries: which types, which pairs count, what was left out.

use super::Level;
use crate::exchange::Exchange;
use crate::interactions::{Surface, preconditions};
use fhir_mapping::compartment::{self, Member};
use fhir_mapping::model::{Issue, IssueCode};
use fhir_mapping::search::{Asking, Handling, Query, Summary, Terminology};
use fhir_mapping::subset::Subset;
use gateway_ground::failure::{Category, Failure};
use gateway_repository::{Cursor, Repository, SearchRequest};
use store::ResourceKey;

/// Our own parameter in `next` links.
pub(super) const AFTER: &str = "_after";
/// Page number of some HAPI clients; 1 is the first.
const PAGE: &str = "_page";
/// Sent by fhirpy beside `_count=0`, which says it already.
const MEANS_NOTHING: &str = "_totalMethod";
/// More matches are not left out: follow the links instead.
const OFFSET_MAX: usize = 100_000;
/// Longer queries are read on a thread that may block.
const LIGHT_BYTES_MAX: usize = 1_024;
/// Modifiers on tokens that ask the site's terminology.
const TERMINOLOGICAL: [&str; 4] = [":in", ":not-in", ":above", ":below"];

/// What a request says, before it is understood.
pub(super) struct Asked {
    target: Target,
    pairs: Vec<(String, String)>,
    after: Option<String>,
    page: Option<usize>,
    handling: Handling,
    base_url: String,
    page_size: usize,
    page_size_max: usize,
}

enum Target {
    Type(String),
    System,
    Compartment(ResourceKey, Option<String>),
}

/// A request understood.
pub(super) struct Search {
    pub(super) request: SearchRequest,
    /// The parameters that were used, as a query string.
    pub(super) self_link: String,
    /// The cursor of this page, as the link had it.
    pub(super) after: Option<String>,
    /// Names of parameters that were left out.
    pub(super) ignored: Vec<String>,
    pub(super) subset: Option<Subset>,
    pub(super) is_count_only: bool,
}

impl Asked {
    pub(super) fn read(
        surface: &Surface,
        exchange: &Exchange,
        level: Level,
    ) -> Result<Asked, Failure> {
        let mut asked = Asked {
            target: match level {
                Level::Type(name) => Target::Type(name.to_owned()),
                Level::System => Target::System,
                Level::Compartment(c) => {
                    Target::Compartment(c.focus.clone(), c.resource_type.clone())
                }
            },
            pairs: Vec::with_capacity(exchange.query.len()),
            after: None,
            page: None,
            handling: preconditions::handling(&exchange.headers),
            base_url: exchange.base_url.clone(),
            page_size: surface.page_size,
            page_size_max: surface.page_size_max,
        };
        for (name, value) in &exchange.query {
            match name.as_str() {
                AFTER => asked.after = Some(value.clone()),
                PAGE => {
                    asked.page = Some(
                        value
                            .parse()
                            .map_err(|_e: std::num::ParseIntError| bad_page())?,
                    )
                }
                MEANS_NOTHING => {}
                _ if name.is_empty() || value.is_empty() => {}
                _ => asked.pairs.push((name.clone(), value.clone())),
            }
        }
        Ok(asked)
    }

    /// Is it soon read, and no value set looked up for it?
    pub(super) fn is_light(&self) -> bool {
        let length = |(name, value): &(String, String)| name.len() + value.len();
        matches!(
            self.target,
            Target::Type(_) | Target::Compartment(_, Some(_))
        ) && self.pairs.iter().map(length).sum::<usize>() <= LIGHT_BYTES_MAX
            && !self.needs_terminology()
    }

    fn needs_terminology(&self) -> bool {
        self.pairs.iter().any(|(name, _)| {
            TERMINOLOGICAL
                .iter()
                .any(|modifier| name.contains(modifier))
                || name.as_str() == "_filter"
        })
    }

    /// Reads the pairs for every type that is searched. For a blocking thread when it is not light.
    pub(super) fn parse(self, repository: &Repository) -> Result<Search, Failure> {
        let first = self.after.as_deref().and_then(Cursor::asked_ms);
        let asked_ms = first.unwrap_or_else(|| repository.clock().now_ms());
        let asking = repository.asking(self.handling).whole().at(asked_ms);
        let queries = match self.needs_terminology() {
            false => self.queries(&asking),
            true => repository.with_terminology(|terminology| {
                let terminology: &dyn Terminology = terminology;
                Ok(self.queries(&asking.with_terminology(terminology)))
            })?,
        };
        let queries = queries.map_err(|issues| Failure::of(Category::Incorrect, issues))?;
        self.search(queries, asked_ms)
    }

    fn queries(&self, asking: &Asking) -> Result<Vec<Query>, Vec<Issue>> {
        let mut queries = match &self.target {
            Target::Type(name) => vec![Query::parse_with(name, &self.pairs, asking)?],
            Target::System => Query::parse_system(&self.pairs, asking)?,
            Target::Compartment(focus, Some(name)) => {
                let mut query = Query::parse_with(name, &self.pairs, asking)?;
                restrict(&mut query, focus);
                vec![query]
            }
            Target::Compartment(focus, None) => self.of_compartment(focus, asking)?,
        };
        queries
            .iter_mut()
            .for_each(|query| query.localize(&self.base_url));
        check_alike(&queries)?;
        Ok(queries)
    }

    fn of_compartment(
        &self,
        focus: &ResourceKey,
        asking: &Asking,
    ) -> Result<Vec<Query>, Vec<Issue>> {
        let members = compartment::members(&focus.resource_type).unwrap_or_default();
        let is_member = |name: &str| {
            let mut members = members.iter();
            name == focus.resource_type
                || members.any(|Member { resource_type, .. }| *resource_type == name)
        };
        let mut queries = Query::parse_system(&self.pairs, asking)?;
        queries.retain(|query| is_member(query.resource_type()));
        for query in &mut queries {
            restrict(query, focus);
        }
        Ok(queries)
    }

    fn search(self, queries: Vec<Query>, asked_ms: i64) -> Result<Search, Failure> {
        let first = queries.first();
        let used = first.map(Query::used).unwrap_or_default();
        let mut ignored: Vec<String> = self
            .pairs
            .iter()
            .filter(|pair| first.is_some() && !used.contains(pair))
            .map(|(name, _)| name.clone())
            .collect();
        ignored.dedup();
        let mut self_link = first.map(Query::self_link).unwrap_or_default();
        if let Some(page) = self.page {
            let mark = if self_link.is_empty() { "" } else { "&" };
            self_link.push_str(&format!("{mark}{PAGE}={page}"));
        }
        let is_count_only = first.is_some_and(Query::is_count_only);
        let count = match first.and_then(Query::count) {
            _ if is_count_only => 0,
            Some(count) => count.min(self.page_size_max),
            None => self.page_size,
        };
        let paged = self
            .page
            .unwrap_or(1)
            .saturating_sub(1)
            .saturating_mul(count);
        let offset = first.and_then(Query::offset).unwrap_or(paged);
        if offset > OFFSET_MAX {
            return Err(bad_page());
        }
        let after = self.after.as_deref();
        Ok(Search {
            subset: first.and_then(subset),
            request: SearchRequest {
                after: after
                    .map(|text| Cursor::parse(text, &self_link))
                    .transpose()?,
                queries,
                count,
                offset,
                asked_ms,
            },
            self_link,
            after: self.after,
            ignored,
            is_count_only,
        })
    }
}

fn restrict(query: &mut Query, focus: &ResourceKey) {
    let parameters = compartment::parameters(&focus.resource_type, query.resource_type());
    let target = (focus.resource_type.as_str(), focus.id.as_str());
    query.restrict_to(parameters.unwrap_or_default(), target);
}

fn subset(query: &Query) -> Option<Subset> {
    match query.summary() {
        Summary::True => Some(Subset::Summary),
        Summary::Text => Some(Subset::Text),
        Summary::Data => Some(Subset::Data),
        Summary::False | Summary::Count if query.elements().is_empty() => None,
        Summary::False | Summary::Count => Some(Subset::Elements(query.elements().to_vec())),
    }
}

/// A parameter that only some of the searched types have would let the others pass unasked.
fn check_alike(queries: &[Query]) -> Result<(), Vec<Issue>> {
    let Some((first, others)) = queries.split_first() else {
        return Ok(());
    };
    let all = queries.iter().flat_map(Query::used);
    let is_shared = |pair: &&(String, String)| {
        first.used().contains(pair) && others.iter().all(|query| query.used().contains(pair))
    };
    let Some((name, _)) = all.into_iter().find(|pair| !is_shared(pair)) else {
        return Ok(());
    };
    let shown: String = name.chars().take(64).collect();
    let text =
        format!("{shown}: not a parameter of every type that is searched; limit them by _type");
    Err(vec![Issue::error(
        "E-SCAN-3",
        IssueCode::NotSupported,
        "",
        text,
    )])
}

fn bad_page() -> Failure {
    let text =
        "the page or offset is not a number, or too far from the first page; follow the links";
    Failure::new(Category::Incorrect, "E-SCAN-4", IssueCode::Value, text)
}
