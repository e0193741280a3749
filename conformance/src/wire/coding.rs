//! Packed bodies both ways: gzip, brotli and zstd (RFC 9110 8.4).
//! <https://hl7.org/fhir/R4/http.html#compression>

use bytes::Bytes;
use std::io::{self, Read, Write};

/// What an answer may hold unpacked.
const UNPACKED_BYTES_MAX: u64 = 64 << 20;
const BROTLI_BUFFER: usize = 4096;
const BROTLI_QUALITY: u32 = 5;
const BROTLI_WINDOW: u32 = 22;

/// The content of a body with this `Content-Encoding`; one that is not known stays as it is.
pub(crate) fn unpacked(coding: &str, body: Bytes) -> Result<Bytes, String> {
    let packed = &*body;
    let reader: io::Result<Box<dyn Read + '_>> = match coding {
        // An answer to HEAD, or 304.
        _ if packed.is_empty() => return Ok(body),
        "gzip" => Ok(Box::new(flate2::read::MultiGzDecoder::new(packed))),
        "br" => Ok(Box::new(brotli::Decompressor::new(packed, BROTLI_BUFFER))),
        "zstd" => zstd::stream::read::Decoder::with_buffer(packed).map(|decoder| {
            let boxed: Box<dyn Read + '_> = Box::new(decoder);
            boxed
        }),
        _ => return Ok(body),
    };
    let mut content = Vec::new();
    let read = reader.and_then(|reader| {
        let mut reader = reader.take(UNPACKED_BYTES_MAX);
        reader.read_to_end(&mut content)
    });
    match read {
        Ok(_) => Ok(content.into()),
        Err(error) => Err(format!("the body is not {coding}, as it says: {error}")),
    }
}

/// The body packed in a coding of this name.
pub(crate) fn packed(coding: &str, body: &[u8]) -> Result<Vec<u8>, String> {
    let packed = match coding {
        "gzip" => {
            let level = flate2::Compression::fast();
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(body).and_then(|()| encoder.finish())
        }
        "br" => {
            let mut packed = Vec::new();
            let reader =
                brotli::CompressorReader::new(body, BROTLI_BUFFER, BROTLI_QUALITY, BROTLI_WINDOW);
            let mut reader = reader;
            reader.read_to_end(&mut packed).map(|_| packed)
        }
        "zstd" => zstd::stream::encode_all(body, 0),
        _ => return Err(format!("`packed` is gzip, br or zstd, not {coding}")),
    };
    packed.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked() {
        for coding in ["gzip", "br", "zstd"] {
            let text = "a body that repeats itself, ".repeat(100);
            let small = packed(coding, text.as_bytes()).unwrap();
            assert!(small.len() < text.len() / 5, "{coding}");
            assert_eq!(unpacked(coding, small.into()).unwrap(), text);
            let broken = unpacked(coding, Bytes::from_static(b"plain text"));
            assert!(broken.unwrap_err().contains(coding));
            assert_eq!(unpacked(coding, Bytes::new()).unwrap(), "");
        }
        assert_eq!(unpacked("", "x".into()).unwrap(), "x");
        assert!(packed("deflate", b"x").is_err());
    }
}
