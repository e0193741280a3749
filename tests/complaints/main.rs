//! What users of other FHIR servers complain about (`fhir-rest.md` of the design, section 1), and the
//! tests that keep it from happening here. Those that need the whole gateway are below.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice)] // panics are a test's answers
#![allow(clippy::disallowed_methods)] // a test waits in real time

mod whole;

use tests::source;

/// Number, harm, and the tests that fail when it happens.
const COMPLAINTS: [(u8, &str, &[&str]); 21] = [
    (
        1,
        "parallel conditional creates make duplicates, and every later one is refused",
        &[
            "parallel_conditional_creates_make_one_resource",
            "parallel_creates_with_criteria_in_the_url_make_one_resource",
            "parallel_creates_under_a_chain_make_one_resource",
            "racing_transactions_meet_at_one_resource",
        ],
    ),
    (
        2,
        "two entries of one bundle under one condition: a duplicate, or one dropped silently",
        &[
            "twins_collapse_or_refuse_the_bundle_but_are_never_dropped",
            "two_entries_that_would_make_one_under_a_chain_make_one_or_are_refused",
        ],
    ),
    (
        3,
        "sending a bundle again after a lost answer fails, or makes everything twice",
        &["a_bundle_sent_again_changes_nothing"],
    ),
    (
        4,
        "pages show rows twice or never while others write",
        &[
            "nobody_is_seen_twice_or_missed_while_others_write",
            "pages_hold_when_everything_else_changes",
            "a_page_shows_the_versions_that_the_first_page_was_made_of",
        ],
    ),
    (
        5,
        "behind a proxy the next link names the inner host, a doubled port, or loses its path",
        &["links_lead_back_through_the_proxy_that_the_client_came_by"],
    ),
    (
        6,
        "a next link leads to an empty page, and clients loop",
        &["a_next_link_always_leads_to_a_match"],
    ),
    (
        7,
        "the total changes from page to page",
        &["the_total_is_the_same_on_every_page"],
    ),
    (
        8,
        "includes eat the count of matches, or are cut without a word",
        &[
            "includes_are_whole_and_take_no_room_from_matches",
            "includes_that_are_cut_are_said_to_be",
        ],
    ),
    (
        9,
        "dates shift with the zone of the machine; what is known by its year only is missed",
        &[
            "dates_do_not_shift_with_the_machine",
            "another_zone_reads_all_dates_anew_and_trusts_the_rest",
        ],
    ),
    (
        10,
        "a search just after a write answers from before it",
        &[
            "a_search_just_after_a_write_is_never_stale",
            "a_read_shows_the_last_write",
        ],
    ),
    (
        11,
        "after a change of search parameters old data are invisible until somebody reindexes",
        &[
            "old_data_are_never_invisible_and_are_reindexed_unasked",
            "until_a_reindex_is_through_all_is_found_and_less_is_claimed",
        ],
    ),
    (
        12,
        "large bundles and large searches run out of memory",
        &[
            "memory_stays_bounded_by_a_large_bundle_and_a_search_of_a_whole_type",
            "memory_stays_bounded_however_much_is_read",
        ],
    ),
    (
        13,
        "the order of an upload, ids of digits or references to what is not here yet are refused",
        &["what_comes_in_any_order_is_taken"],
    ),
    (
        14,
        "one bad resource holds all others up for ever",
        &[
            "a_batch_isolates_what_fails",
            "rejects_are_named_and_the_rest_comes_in",
            "a_refused_transaction_names_its_entries",
        ],
    ),
    (
        15,
        "a refused transaction does not say which entry it was",
        &["a_refused_transaction_names_its_entries"],
    ),
    (
        16,
        "no patch, conditional update or conditional reference, or not in transactions",
        &[
            "each_form_of_patch_changes_its_part_and_no_other",
            "a_conditional_update_creates_updates_or_refuses",
            "conditional_references_take_chains",
            "android_uploads_500_entries_at_once",
        ],
    ),
    (
        17,
        "modifiers are ignored silently, or fail in chains",
        &[
            "modifiers_are_never_ignored_silently",
            "nothing_is_left_out_silently",
            "a_chained_criterion_spares_what_it_does_not_mean",
        ],
    ),
    (
        18,
        "standard result parameters are refused, unknown ones ignored silently",
        &[
            "nothing_is_left_out_silently",
            "what_each_client_searches_for_is_found",
        ],
    ),
    (
        19,
        "an update by index from a second device hits the wrong item, and the first is lost",
        &[
            "lost_updates_by_index_wait_in_the_review_queue_instead",
            "a_late_patch_in_an_upload_is_refused_with_all_else_but_not_lost",
            "parallel_patches_all_take_effect",
        ],
    ),
    (
        20,
        "histories grow without end, and deleting for good takes hours or fails",
        &[
            "history_growth_is_ended_by_a_purge_with_a_certificate",
            "long_histories_go_in_bounded_commits",
        ],
    ),
    (
        21,
        "trailing zeros of decimals are lost, high precision is refused",
        &[
            "decimals_of_any_precision_are_found_by_what_was_written",
            "every_character_and_digit_comes_back",
        ],
    ),
];

const SOURCES: [&str; 5] = ["store", "fhir-mapping", "gateway", "conformance", "tests"];

#[test]
fn every_complaint_has_its_tests() {
    let sources = source::sources(&SOURCES);
    let mut missing = Vec::new();
    for (at, (number, harm, tests)) in COMPLAINTS.iter().enumerate() {
        assert_eq!(usize::from(*number), at + 1, "{harm}");
        assert!(!tests.is_empty(), "{number}: {harm}");
        for test in *tests {
            if !sources.iter().any(|source| runs(&source.text, test)) {
                missing.push(format!("{number}: {test}"));
            }
        }
    }
    assert!(missing.is_empty(), "no such test runs: {missing:#?}");
}

/// Is this a function that is run as a test, and not left out?
fn runs(text: &str, name: &str) -> bool {
    let declared = format!("fn {name}(");
    text.match_indices(&declared).any(|(at, _)| {
        let before = text[..at].rsplit("\n\n").next().unwrap_or_default();
        let is_test = before.contains("#[test]") || before.contains("#[tokio::test");
        is_test && !before.contains("#[ignore")
    })
}

#[test]
fn a_test_that_does_not_run_is_none() {
    let text = "\n\n#[test]\nfn a() {}\n\nfn b() {}\n\n#[tokio::test]\n#[ignore = \"slow\"]\nasync fn c() {}\n\n/// Why.\n#[tokio::test(flavor = \"multi_thread\")]\nasync fn d() {}\n";
    let found = ["a", "b", "c", "d", "e"].map(|name| runs(text, name));
    assert_eq!(found, [true, false, false, true, false]);
}
