//! Search at the repository: the bound on what one search reads.

use crate::search::ground::Budget;
use crate::{Actor, Repository, SearchRequest, Transaction, Write, fresh};
use fhir_mapping::model::{Limits, parse};
use fhir_mapping::search::{Handling, Query};
use gateway_ground::clock::Clock;
use store::{Origin, OriginKind};

async fn filled(count: usize) -> (Repository, tempfile::TempDir) {
    let (repository, folder) = fresh::repository(Clock::system(0));
    let writes = (0..count).map(|number| {
        let text = format!(
            r#"{{"resourceType":"Patient","id":"p{number}","name":[{{"family":"Family{number}"}}]}}"#
        );
        Write::Update {
            id: format!("p{number}"),
            resource: parse(text.as_bytes(), Limits::default()).unwrap(),
            if_match: None,
        }
    });
    let transaction = Transaction {
        actor: Actor {
            name: "test".to_owned(),
            origin: Origin {
                kind: OriginKind::Client,
                number: 0,
            },
        },
        writes: writes.collect(),
        rows: Vec::new(),
        resolve_conditional_references: false,
    };
    repository.write(transaction).await.unwrap();
    (repository, folder)
}

fn request(repository: &Repository, name: &str, value: &str) -> SearchRequest {
    let pairs = [(name.to_owned(), value.to_owned())];
    let asking = repository.asking(Handling::Strict).whole();
    SearchRequest::of(Query::parse_with("Patient", &pairs, &asking).unwrap(), 100)
}

/// A search that reads more rows than it may is refused, in words that help; one that selects
/// better, and the same one with more room, are answered.
#[tokio::test]
async fn a_search_that_reads_too_much_is_refused_and_harms_nobody() {
    let (repository, _folder) = filled(200).await;
    let wide = request(&repository, "name:contains", "ily199");
    let narrow = request(&repository, "family", "family199");
    let small = Budget(50);
    for _ in 0..3 {
        let refused = repository.search_within(&wide, small).unwrap_err();
        assert_eq!(refused.category.status(), 422);
        let text = fhir_mapping::model::format(&refused.outcome());
        for part in ["E-SCAN-1: ", "too-costly", "narrow it"] {
            assert!(text.contains(part), "{text}");
        }
        let found = repository.search_within(&narrow, small).unwrap();
        assert_eq!(found.matches.len(), 1);
    }
    let found = repository.search_within(&wide, Budget(500)).unwrap();
    assert_eq!(found.matches.len(), 1);
    // Words are looked for in bodies, which cost more.
    let words = request(&repository, "_content", "family199");
    assert!(repository.search_within(&words, Budget(500)).is_err());
    assert_eq!(repository.search(&words).unwrap().matches.len(), 1);
    // What is too long for the short lane is for the long one.
    assert!(repository.search_briefly(&wide).unwrap().is_some());
}
