//! Bodies: read under a cap that also holds after decompression, and only while they make progress.

use super::media::Coding;
use bytes::{Bytes, BytesMut};
use fhir_mapping::model::IssueCode;
use gateway_ground::failure::{Category, Failure};
use http::{HeaderMap, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Body;
use std::time::Duration;

/// What a body may be.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    pub size_bytes_max: usize,
    /// Longest silence between two pieces.
    pub progress_timeout: Duration,
    /// Longest time for the whole.
    pub total_timeout: Duration,
}

/// Refuses by `Content-Length` alone, before anything is read.
pub fn check_length(headers: &HeaderMap, limits: BodyLimits) -> Result<(), Failure> {
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let cap = u64::try_from(limits.size_bytes_max).unwrap_or(u64::MAX);
    if length.is_some_and(|length| length > cap) {
        return Err(too_large("E-WIRE-1", limits));
    }
    Ok(())
}

/// Reads the whole body, decompressed as `Content-Encoding` says.
///
/// A body over the cap is refused, but what the sender is already sending is read and thrown away
/// for a while: closing in its face would reset the connection and lose the refusal.
pub async fn read<B>(headers: &HeaderMap, mut body: B, limits: BodyLimits) -> Result<Bytes, Failure>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let coding = coding(headers)?;
    let read = match check_length(headers, limits) {
        Ok(()) => tokio::time::timeout(limits.total_timeout, gather(&mut body, limits)).await,
        Err(refusal) => Ok(Err(refusal)),
    };
    let read = read.map_err(|_elapsed| too_slow("E-WIRE-2"))?;
    let waits_for_leave = headers.contains_key(header::EXPECT);
    if matches!(&read, Err(refusal) if refusal.category == Category::TooLarge) && !waits_for_leave {
        discard(body).await;
    }
    let bytes = read?;
    match coding {
        Some(coding) if !bytes.is_empty() => decompress(coding, &bytes, limits),
        _ => Ok(bytes),
    }
}

/// Most bytes of a refused body that are read, the longest time it may take, and the silence that
/// shows a sender who waits for its answer.
const DISCARD_BYTES_MAX: usize = 64 << 20;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(10);
const DISCARD_SILENCE: Duration = Duration::from_millis(500);

async fn discard<B>(mut body: B)
where
    B: Body<Data = Bytes> + Unpin,
{
    let to_the_end = async {
        let mut seen = 0;
        while let Ok(Some(Ok(frame))) = tokio::time::timeout(DISCARD_SILENCE, body.frame()).await {
            seen += frame.data_ref().map_or(0, Bytes::len);
            if seen > DISCARD_BYTES_MAX {
                break;
            }
        }
    };
    // The refusal is sent either way.
    tokio::time::timeout(DISCARD_TIMEOUT, to_the_end).await.ok();
}

async fn gather<B>(body: B, limits: BodyLimits) -> Result<Bytes, Failure>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut body = Limited::new(body, limits.size_bytes_max);
    let mut first = Bytes::new();
    let mut rest: Option<BytesMut> = None;
    loop {
        let frame = tokio::time::timeout(limits.progress_timeout, body.frame()).await;
        let Some(frame) = frame.map_err(|_elapsed| too_slow("E-WIRE-3"))? else {
            break;
        };
        let frame = frame.map_err(|e| broken(&*e, limits))?;
        let Ok(data) = frame.into_data() else {
            continue; // trailers say nothing to us
        };
        match &mut rest {
            Some(rest) => rest.extend_from_slice(&data),
            None if first.is_empty() => first = data,
            None => {
                let mut joined = BytesMut::from(first.as_ref());
                joined.extend_from_slice(&data);
                rest = Some(joined);
            }
        }
    }
    Ok(rest.map_or(first, BytesMut::freeze))
}

fn coding(headers: &HeaderMap) -> Result<Option<Coding>, Failure> {
    let Some(value) = headers.get(header::CONTENT_ENCODING) else {
        return Ok(None);
    };
    let name = value.to_str().unwrap_or("?").trim();
    if name.is_empty() || name.eq_ignore_ascii_case("identity") {
        return Ok(None);
    }
    Coding::named(name).map(Some).ok_or_else(|| {
        let text = "Content-Encoding may be gzip, br, zstd, deflate or absent";
        let code = IssueCode::NotSupported;
        Failure::new(Category::UnsupportedMedia, "E-WIRE-4", code, text)
    })
}

fn decompress(coding: Coding, bytes: &[u8], limits: BodyLimits) -> Result<Bytes, Failure> {
    let Ok(unpacked) = coding.decode(bytes, limits.size_bytes_max) else {
        let text = "the body is not whole, in the compression that Content-Encoding says";
        let code = IssueCode::Structure;
        return Err(Failure::new(Category::Incorrect, "E-WIRE-5", code, text));
    };
    if unpacked.len() > limits.size_bytes_max {
        return Err(too_large("E-WIRE-6", limits));
    }
    Ok(unpacked.into())
}

fn broken(error: &(dyn std::error::Error + Send + Sync + 'static), limits: BodyLimits) -> Failure {
    if error.is::<http_body_util::LengthLimitError>() {
        return too_large("E-WIRE-7", limits);
    }
    let text = "the body broke off or its framing is malformed";
    Failure::new(Category::Incorrect, "E-WIRE-8", IssueCode::Structure, text)
}

fn too_large(number: &'static str, limits: BodyLimits) -> Failure {
    let text = format!(
        "the body is larger than {} bytes; send it in parts",
        limits.size_bytes_max
    );
    Failure::new(Category::TooLarge, number, IssueCode::TooLong, text)
}

fn too_slow(number: &'static str) -> Failure {
    let text = "the body did not arrive in time";
    Failure::new(Category::Timeout, number, IssueCode::Timeout, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;

    fn limits() -> BodyLimits {
        BodyLimits {
            size_bytes_max: 1000,
            progress_timeout: Duration::from_secs(1),
            total_timeout: Duration::from_secs(2),
        }
    }

    fn packed(coding: Coding, size: usize) -> Vec<u8> {
        coding.encode(&vec![b'x'; size]).unwrap()
    }

    #[track_caller]
    fn check(encoding: &str, body: Vec<u8>, expected: Result<usize, u16>) {
        let mut headers = HeaderMap::new();
        if !encoding.is_empty() {
            headers.insert(header::CONTENT_ENCODING, encoding.parse().unwrap());
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        let read = read(&headers, Full::new(Bytes::from(body)), limits());
        let got = runtime.unwrap().block_on(read);
        let got = got.map(|b| b.len()).map_err(|f| f.category.status());
        assert_eq!(got, expected);
    }

    #[test]
    fn the_cap_holds_before_and_after_decompression() {
        check("", vec![b'x'; 1000], Ok(1000));
        check("", vec![b'x'; 1001], Err(413));
        check("", Vec::new(), Ok(0));
        for (name, coding) in [
            ("gzip", Coding::Gzip),
            ("br", Coding::Brotli),
            ("zstd", Coding::Zstd),
            ("deflate", Coding::Deflate),
        ] {
            check(name, packed(coding, 1000), Ok(1000));
            check(name, packed(coding, 1001), Err(413));
            check(name, packed(coding, 50_000_000), Err(413));
            check(name, b"not so".to_vec(), Err(400));
            let mut cut = packed(coding, 1000);
            cut.pop();
            check(name, cut, Err(400));
        }
        check("GZIP", packed(Coding::Gzip, 3), Ok(3));
        check("identity", vec![b'x'; 3], Ok(3));
        check("br", vec![0x11, 30, 0, 0], Err(400));
        check("compress", vec![b'x'; 3], Err(415));
        check("gzip, gzip", vec![b'x'; 3], Err(415));
    }

    #[test]
    fn a_declared_length_over_the_cap_is_refused_unread() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, "1001".parse().unwrap());
        assert!(check_length(&headers, limits()).is_err());
        headers.insert(header::CONTENT_LENGTH, "1000".parse().unwrap());
        assert!(check_length(&headers, limits()).is_ok());
    }

    #[tokio::test]
    async fn silence_is_answered_408() {
        let mut limits = limits();
        limits.progress_timeout = Duration::from_millis(20);
        let refusal = read(&HeaderMap::new(), Silent, limits).await.unwrap_err();
        assert_eq!(refusal.category.status(), 408);
    }

    struct Silent;

    impl Body for Silent {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _context: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, std::io::Error>>> {
            std::task::Poll::Pending
        }
    }
}
