//! Compression of bodies both ways (RFC 9110 8.4): gzip, brotli (RFC 7932) and zstd; deflate in only.

use super::accept::quality;
use http::{HeaderMap, HeaderValue, header};
use std::io::{self, Read, Write as _};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    Gzip,
    Brotli,
    Zstd,
    /// The zlib format; read only.
    Deflate,
}

/// Level of zstd: as fast as gzip's fastest, and smaller.
const ZSTD_LEVEL: i32 = 3;
/// Window of 8 MB, the most that RFC 9659 allows on the web.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// Quality of brotli: a quarter smaller than gzip's fastest; more would take several times as long.
const BROTLI_QUALITY: u32 = 1;
/// Window of 256 KB: what an encoder holds of memory grows with it.
const BROTLI_WINDOW_LOG: u32 = 18;
const BROTLI_BUFFER_BYTES: usize = 16 << 10;

impl Coding {
    /// What to answer with: the highest quality; among equals zstd, which is the smallest and the
    /// fastest, then brotli. `*` is all that are not named.
    pub(crate) fn accepted(headers: &HeaderMap) -> Option<Coding> {
        let values = headers.get_all(header::ACCEPT_ENCODING).iter();
        let texts = values.filter_map(|value| value.to_str().ok());
        let parts = texts.flat_map(|text| text.split(','));
        let asked: Vec<(&str, u16)> = parts
            .map(|part| (part.split(';').next().unwrap_or_default(), quality(part)))
            .collect();
        let of = |wanted: Coding| {
            let mut named = asked.iter();
            let named = named.find(|(name, _)| Coding::named(name) == Some(wanted));
            let any = || asked.iter().find(|(name, _)| name.trim() == "*");
            named.or_else(any).map_or(0, |(_, quality)| *quality)
        };
        // The last of equals wins.
        let ours = [Coding::Gzip, Coding::Brotli, Coding::Zstd];
        let best = ours.into_iter().max_by_key(|coding| of(*coding));
        best.filter(|coding| of(*coding) > 0)
    }

    pub(crate) fn named(name: &str) -> Option<Coding> {
        match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Some(Coding::Gzip),
            "br" => Some(Coding::Brotli),
            "zstd" => Some(Coding::Zstd),
            "deflate" => Some(Coding::Deflate),
            _ => None,
        }
    }

    pub(crate) fn as_header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Coding::Gzip => "gzip",
            Coding::Brotli => "br",
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
            Coding::Brotli => {
                let (buffer, window) = (BROTLI_BUFFER_BYTES, BROTLI_WINDOW_LOG);
                let mut encoder =
                    brotli::CompressorWriter::new(packed, buffer, BROTLI_QUALITY, window);
                encoder.write_all(body)?;
                Ok(encoder.into_inner())
            }
            Coding::Deflate => {
                let level = flate2::Compression::fast();
                let mut encoder = flate2::write::ZlibEncoder::new(packed, level);
                encoder.write_all(body)?;
                encoder.finish()
            }
        }
    }

    /// Packs pieces as they come, for a body whose length nobody knows.
    pub(crate) fn packer(self) -> io::Result<Packer> {
        Ok(match self {
            Coding::Zstd => {
                Packer::Zstd(zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?)
            }
            Coding::Brotli => Packer::Brotli(Box::new(brotli::CompressorWriter::new(
                Vec::new(),
                BROTLI_BUFFER_BYTES,
                BROTLI_QUALITY,
                BROTLI_WINDOW_LOG,
            ))),
            Coding::Gzip | Coding::Deflate => Packer::Gzip(flate2::write::GzEncoder::new(
                Vec::new(),
                flate2::Compression::fast(),
            )),
        })
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
            Coding::Brotli => {
                refuse_large_window(body)?;
                brotli::Decompressor::new(body, BROTLI_BUFFER_BYTES)
                    .take(cap)
                    .read_to_end(&mut unpacked)?
            }
            Coding::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(body)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                decoder.take(cap).read_to_end(&mut unpacked)?
            }
        };
        Ok(unpacked)
    }
}

/// A compression under way; what is ready of it is taken at every piece.
pub(crate) enum Packer {
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Packer {
    /// What of the body is ready once this piece is in; may be nothing.
    pub(crate) fn push(&mut self, piece: &[u8]) -> io::Result<Vec<u8>> {
        Ok(std::mem::take(match self {
            Packer::Gzip(encoder) => {
                encoder.write_all(piece)?;
                encoder.get_mut()
            }
            Packer::Brotli(encoder) => {
                encoder.write_all(piece)?;
                encoder.get_mut()
            }
            Packer::Zstd(encoder) => {
                encoder.write_all(piece)?;
                encoder.get_mut()
            }
        }))
    }

    /// The rest.
    pub(crate) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Packer::Gzip(encoder) => encoder.finish(),
            Packer::Brotli(encoder) => Ok(encoder.into_inner()),
            Packer::Zstd(encoder) => encoder.finish(),
        }
    }
}

/// Windows up to a gigabyte are no part of RFC 7932 (9.1: these bits are reserved), but the library
/// reads them.
fn refuse_large_window(body: &[u8]) -> io::Result<()> {
    match body.first() {
        Some(first) if first & 0x7f == 0x11 => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "large window"))
        }
        _ => Ok(()),
    }
}
