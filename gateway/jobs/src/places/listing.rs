//! Reads the XML of S3: pages of ListObjectsV2, and the code of an error. Pure.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>

use quick_xml::events::Event;

/// One page of names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) names: Vec<String>,
    /// Where the next page goes on.
    pub(super) next: Option<String>,
}

/// `None` when it is no such page.
pub(super) fn listing(xml: &[u8]) -> Option<Listing> {
    let mut listing = Listing::default();
    let (mut is_listing, mut is_cut) = (false, false);
    each_text(xml, |path, text| match path {
        ["ListBucketResult", "Contents", "Key"] => listing.names.push(text),
        ["ListBucketResult", "NextContinuationToken"] => listing.next = Some(text),
        ["ListBucketResult", "IsTruncated"] => is_cut = text == "true",
        ["ListBucketResult", ..] => is_listing = true,
        _ => {}
    })?;
    is_listing |= is_cut || !listing.names.is_empty();
    // A page that is cut and does not say where to go on would lose names.
    let is_sound = is_listing && (!is_cut || listing.next.is_some());
    listing.next = listing.next.filter(|_| is_cut);
    is_sound.then_some(listing)
}

/// `NoSuchBucket`, `SignatureDoesNotMatch`, and the like.
pub(super) fn error_code(xml: &[u8]) -> Option<String> {
    let mut code = None;
    each_text(xml, |path, text| {
        if path == ["Error", "Code"] {
            code = Some(text.chars().filter(char::is_ascii_alphanumeric).collect());
        }
    })?;
    code
}

/// Hands over the text of each innermost element with the names above it; `None` when it is no XML.
fn each_text(xml: &[u8], mut found: impl FnMut(&[&str], String)) -> Option<()> {
    let mut reader = quick_xml::Reader::from_reader(xml);
    let (mut names, mut text): (Vec<String>, String) = (Vec::new(), String::new());
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                names.push(start.local_name().as_ref().to_owned());
                text.clear();
            }
            Event::Text(part) => text.push_str(&part),
            Event::GeneralRef(name) => text.push_str(&resolved(&name)?),
            Event::End(_) => {
                let path: Vec<&str> = names.iter().map(String::as_str).collect();
                found(&path, std::mem::take(&mut text));
                names.pop()?;
            }
            Event::Eof => return names.is_empty().then_some(()),
            _ => {}
        }
    }
}

fn resolved(name: &str) -> Option<String> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix('x') {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code).map(String::from);
    }
    quick_xml::escape::resolve_predefined_entity(name).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_read_and_cut_ones_go_on() {
        let page = |more: &str| {
            format!(
                "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name>{more}</ListBucketResult>"
            )
        };
        let check = |more: &str, expected: Option<(&[&str], Option<&str>)>| {
            let found = listing(page(more).as_bytes());
            let expected = expected.map(|(names, next)| Listing {
                names: names.iter().map(|name| (*name).to_owned()).collect(),
                next: next.map(str::to_owned),
            });
            assert_eq!(found, expected, "{more}");
        };
        check("<IsTruncated>false</IsTruncated>", Some((&[], None)));
        check(
            "<Contents><Key>a&amp;b</Key><Size>1</Size></Contents><Contents><Key>c&#x2B;</Key></Contents>",
            Some((&["a&b", "c+"], None)),
        );
        check(
            "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>",
            Some((&[], Some("t"))),
        );
        check("<IsTruncated>true</IsTruncated>", None);
        assert_eq!(listing(b"<html><p>log in</p></html>"), None);
        assert_eq!(listing(b"<ListBucketResult><Name>b</Name>"), None);
        assert_eq!(listing(b""), None);
    }

    #[test]
    fn errors_tell_their_code_alone() {
        let error = b"<Error><Code>NoSuchBucket</Code><Message>x</Message></Error>";
        assert_eq!(error_code(error).as_deref(), Some("NoSuchBucket"));
        assert_eq!(error_code(b"<html></html>"), None);
    }
}
