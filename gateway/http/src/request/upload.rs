//! `$import` with the lines in its body: NDJSON is kept as it comes, piece by piece, and accepted as a
//! job once all of it is on disk. One piece is in memory, however long the body.

use super::{Asked, Front, Peer, RequestBody, room};
use crate::auth::Caller;
use crate::exchange::Answer;
use crate::interactions::{jobs, preconditions};
use crate::route::Interaction;
use fhir_mapping::model::IssueCode;
use flate2::write::MultiGzDecoder;
use gateway_ground::failure::{Category, Failure};
use gateway_repository::Upload;
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use std::io::{self, Write as _};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Uploads at once; each takes a place in the queue of jobs too.
const UPLOADS_MAX: usize = 4;
/// Of lines, unpacked.
const BYTES_MAX: u64 = 4 << 30;
/// One commit each.
const PIECE_BYTES: usize = 256 << 10;
/// So many packed bytes are unpacked at once: small enough that a bomb stays small.
const PACKED_BYTES: usize = 2 << 10;
const TOTAL_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
/// Lines of one commit of the import.
const TOGETHER: usize = 500;

const TYPES: [&str; 3] = [
    "application/fhir+ndjson",
    "application/ndjson",
    "application/x-ndjson",
];

/// A permit for each upload.
pub struct Uploads(Semaphore);

impl Default for Uploads {
    fn default() -> Uploads {
        Uploads(Semaphore::new(UPLOADS_MAX))
    }
}

/// Is this an import that brings its lines along?
pub(super) fn is_one(interaction: &Interaction, headers: &HeaderMap) -> bool {
    let Interaction::Operation(call) = interaction else {
        return false;
    };
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let is_lines = TYPES.iter().any(|one| one.eq_ignore_ascii_case(kind));
    call.operation.name == "import" && is_lines
}

impl Front {
    /// 202 when everything is on disk.
    pub(super) async fn upload<B: RequestBody>(
        &self,
        asked: Asked,
        caller: Caller,
        (body, peer): (B, Peer),
    ) -> Result<Answer, Failure> {
        let Asked {
            interaction,
            query,
            head,
        } = asked;
        caller.permit(&interaction)?;
        room::check(&self.space, &interaction)?;
        if !preconditions::prefers(&head.headers, "respond-async") {
            let text = "an import takes long: ask with Prefer: respond-async";
            let code = IssueCode::Required;
            return Err(Failure::new(Category::Incorrect, "E-UPLOAD-1", code, text));
        }
        let is_known = |(name, _): &(String, String)| name.starts_with("_format");
        if !query.iter().all(is_known) {
            let text = "an import of lines in its body takes no parameters";
            let code = IssueCode::NotSupported;
            return Err(Failure::new(Category::Incorrect, "E-UPLOAD-2", code, text));
        }
        let unpacker = Unpacker::of(&head.headers)?;
        let _permit = self.uploads.0.try_acquire().map_err(|_none_left| busy())?;
        let actor = caller.actor(&interaction);
        let base_url = self.hosts.base_of(&head, peer);
        let request = format!("{base_url}/$import");
        let repository = &self.surface.repository;
        let mut upload = repository.begin_upload(&actor, &request, TOGETHER).await?;
        let taken = self.take((&mut upload, unpacker), body);
        let taken = tokio::time::timeout(TOTAL_TIMEOUT, taken).await;
        match taken.unwrap_or_else(|_elapsed| Err(too_slow())) {
            Ok(()) => Ok(jobs::accepted(&base_url, &upload.finish().await?)),
            Err(failure) => {
                // What cannot be taken away now goes with the next look at the jobs.
                upload.give_up().await.unwrap_or_default();
                Err(failure)
            }
        }
    }

    async fn take<B: RequestBody>(
        &self,
        (upload, mut unpacker): (&mut Upload, Unpacker),
        mut body: B,
    ) -> Result<(), Failure> {
        let (mut piece, mut total) = (Vec::new(), 0);
        loop {
            let frame = tokio::time::timeout(self.body.progress_timeout, body.frame()).await;
            let frame = frame.map_err(|_elapsed| too_slow())?;
            let Some(frame) = frame.transpose().map_err(|_cut| broken())? else {
                break;
            };
            let data = frame.into_data().unwrap_or_default();
            for packed in data.chunks(PACKED_BYTES) {
                piece.extend(unpacker.push(packed).map_err(|_garbage| not_gzip())?);
                if piece.len() >= PIECE_BYTES {
                    total = grown(total, &piece)?;
                    self.space.check_bulk()?;
                    upload.push(std::mem::take(&mut piece)).await?;
                }
            }
        }
        piece.extend(unpacker.finish().map_err(|_cut| not_gzip())?);
        grown(total, &piece)?;
        match (total, piece.is_empty()) {
            (0, true) => Err(empty()),
            (_, true) => Ok(()),
            (_, false) => upload.push(piece).await,
        }
    }
}

fn grown(total: u64, piece: &[u8]) -> Result<u64, Failure> {
    let total = total.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
    if total <= BYTES_MAX {
        return Ok(total);
    }
    let text = format!("an import takes {BYTES_MAX} bytes of lines; send them in parts");
    let code = IssueCode::TooLong;
    Err(Failure::new(Category::TooLarge, "E-UPLOAD-3", code, text))
}

/// What the body is packed with.
enum Unpacker {
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
}

impl Unpacker {
    fn of(headers: &HeaderMap) -> Result<Unpacker, Failure> {
        let coding = headers.get(header::CONTENT_ENCODING);
        let coding = coding.map_or("identity", |coding| coding.to_str().unwrap_or("?"));
        match coding.trim().to_ascii_lowercase().as_str() {
            "identity" | "" => Ok(Unpacker::Plain),
            "gzip" | "x-gzip" => Ok(Unpacker::Gzip(Box::new(MultiGzDecoder::new(Vec::new())))),
            _ => {
                let text = "lines of an import come as they are, or packed with gzip";
                let code = IssueCode::NotSupported;
                Err(Failure::new(
                    Category::UnsupportedMedia,
                    "E-UPLOAD-4",
                    code,
                    text,
                ))
            }
        }
    }

    fn push(&mut self, packed: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Unpacker::Plain => Ok(packed.to_vec()),
            Unpacker::Gzip(decoder) => {
                decoder.write_all(packed)?;
                Ok(std::mem::take(decoder.get_mut()))
            }
        }
    }

    fn finish(&mut self) -> io::Result<Vec<u8>> {
        match self {
            Unpacker::Plain => Ok(Vec::new()),
            Unpacker::Gzip(decoder) => {
                decoder.try_finish()?;
                Ok(std::mem::take(decoder.get_mut()))
            }
        }
    }
}

fn busy() -> Failure {
    let text = format!("{UPLOADS_MAX} imports are being sent already; ask again when one is there");
    let code = IssueCode::Throttled;
    Failure::new(Category::Throttled, "E-UPLOAD-5", code, text)
}

fn too_slow() -> Failure {
    let text = "the lines did not arrive in time; nothing of them is kept";
    let code = IssueCode::Timeout;
    Failure::new(Category::Timeout, "E-UPLOAD-6", code, text)
}

fn broken() -> Failure {
    let text = "the body broke off or its framing is malformed; nothing of it is kept";
    let code = IssueCode::Structure;
    Failure::new(Category::Incorrect, "E-UPLOAD-7", code, text)
}

fn not_gzip() -> Failure {
    let text =
        "the body is not whole, in the gzip that Content-Encoding says; nothing of it is kept";
    let code = IssueCode::Structure;
    Failure::new(Category::Incorrect, "E-UPLOAD-8", code, text)
}

fn empty() -> Failure {
    let text = "an import of lines in its body needs lines";
    let code = IssueCode::Required;
    Failure::new(Category::Incorrect, "E-UPLOAD-9", code, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    fn unpacked(packed: &[u8]) -> io::Result<Vec<u8>> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        let mut unpacker =
            Unpacker::of(&headers).map_err(|_refused| io::Error::other("refused"))?;
        let mut all = Vec::new();
        for part in packed.chunks(7) {
            all.extend(unpacker.push(part)?);
        }
        all.extend(unpacker.finish()?);
        Ok(all)
    }

    #[test]
    fn gzip_comes_whole_or_not_at_all() {
        let text = b"{\"resourceType\":\"Patient\"}\n".repeat(1_000);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&text).unwrap();
        let packed = encoder.finish().unwrap();
        assert_eq!(unpacked(&packed).unwrap(), text);
        assert_eq!(unpacked(&packed.repeat(2)).unwrap(), text.repeat(2));
        assert!(unpacked(&packed[..packed.len() - 3]).is_err());
        assert!(unpacked(b"no gzip at all").is_err());
        assert!(unpacked(b"").is_err());
    }

    #[test]
    fn a_bomb_is_unpacked_in_bounded_parts() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&vec![b' '; 64 << 20]).unwrap();
        let packed = encoder.finish().unwrap();
        let mut unpacker = Unpacker::Gzip(Box::new(MultiGzDecoder::new(Vec::new())));
        for part in packed.chunks(PACKED_BYTES) {
            assert!(unpacker.push(part).unwrap().len() <= 4 << 20);
        }
    }

    #[test]
    fn other_packings_are_refused() {
        for (coding, is_taken) in [
            ("identity", true),
            ("GZIP", true),
            ("br", false),
            ("zstd", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_ENCODING, coding.parse().unwrap());
            assert_eq!(Unpacker::of(&headers).is_ok(), is_taken, "{coding}");
        }
    }
}
