//! Compression of bodies both ways (RFC 9110 8.4): gzip, zstd and deflate in, gzip and zstd out.
//! Both libraries are here for other ends already; brotli would add a third for little.

use super::accept::quality;
use http::{HeaderMap, HeaderValue, header};
use std::io::{self, Read, Write as _};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Gzip,
    Zstd,
    /// The zlib format; read only.
    Deflate,
}

/// Level of zstd: as fast as gzip's fastest, and smaller.
const ZSTD_LEVEL: i32 = 3;
/// Window of 8 MB, the most that RFC 9659 allows on the web.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

impl Coding {
    /// What to answer with: the highest quality, zstd among equals.
    pub(crate) fn accepted(headers: &HeaderMap) -> Option<Coding> {
        let values = headers.get_all(header::ACCEPT_ENCODING).iter();
        let texts = values.filter_map(|value| value.to_str().ok());
        let parts = texts.flat_map(|text| text.split(','));
        let offers = parts.filter_map(|part| {
            let name = part.split(';').next().unwrap_or_default();
            let coding = Coding::named(name).filter(|coding| *coding != Coding::Deflate)?;
            Some((quality(part), coding == Coding::Zstd, coding))
        });
        let best = offers
            .filter(|(quality, ..)| *quality > 0)
            .max_by_key(|(quality, is_zstd, _)| (*quality, *is_zstd));
        best.map(|(.., coding)| coding)
    }

    pub(crate) fn named(name: &str) -> Option<Coding> {
        match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Some(Coding::Gzip),
            "zstd" => Some(Coding::Zstd),
            "deflate" => Some(Coding::Deflate),
            _ => None,
        }
    }

    pub(crate) fn as_header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Coding::Gzip => "gzip",
            Coding::Zstd => "zstd",
            Coding::Deflate => "deflate",
        })
    }

    pub(crate) fn encode(self, body: &[u8]) -> io::Result<Vec<u8>> {
        let packed = Vec::with_capacity(body.len() / 4);
        match self {
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(packed, ZSTD_LEVEL)?;
                encoder.write_all(body)?;
                encoder.finish()
            }
            Coding::Gzip => {
                let level = flate2::Compression::fast();
                let mut encoder = flate2::write::GzEncoder::new(packed, level);
                encoder.write_all(body)?;
                encoder.finish()
            }
            Coding::Deflate => {
                let level = flate2::Compression::fast();
                let mut encoder = flate2::write::ZlibEncoder::new(packed, level);
                encoder.write_all(body)?;
                encoder.finish()
            }
        }
    }

    /// Reads `size_max` bytes and one more at most: a small body that unpacks to gigabytes costs no
    /// more than a large one. An error when it is not whole.
    pub(crate) fn decode(self, body: &[u8], size_max: usize) -> io::Result<Vec<u8>> {
        let cap = u64::try_from(size_max)
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        let mut unpacked = Vec::new();
        match self {
            Coding::Gzip => flate2::read::MultiGzDecoder::new(body)
                .take(cap)
                .read_to_end(&mut unpacked)?,
            Coding::Deflate => flate2::read::ZlibDecoder::new(body)
                .take(cap)
                .read_to_end(&mut unpacked)?,
            Coding::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(body)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                decoder.take(cap).read_to_end(&mut unpacked)?
            }
        };
        Ok(unpacked)
    }
}
