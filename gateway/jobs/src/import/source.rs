//! A file of NDJSON, read in pieces from the web or from the site's folder.

use super::Trouble;
use bytes::Bytes;
use gateway_ground::link::wire::{Flow, Wire};
use gateway_repository::{ImportPlace, Repository};
use http::{Request, StatusCode, header};
use http_body_util::Full;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use uuid::Uuid;

pub(super) enum Source {
    Web(Box<Flow>),
    /// `None` while a piece is being read.
    File(Option<File>),
    /// What came with the request, and the number of its next piece.
    Upload(Repository, Uuid, u32),
}

/// Bytes of a file read at once.
const PIECE_BYTES: usize = 256 << 10;

impl Source {
    pub(super) async fn open(
        wire: &Wire,
        place: ImportPlace,
        etag: Option<&str>,
    ) -> Result<Source, Trouble> {
        match place {
            ImportPlace::Web(url) => web(wire, &url, etag).await,
            ImportPlace::File { folder, path } => {
                let opened = tokio::task::spawn_blocking(move || file(&folder, &path)).await;
                let opened = opened.map_err(|_panicked| Trouble::Source(stopped()))?;
                Ok(Source::File(Some(opened.map_err(Trouble::Refused)?)))
            }
        }
    }

    /// `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Trouble> {
        match self {
            Source::Web(flow) => flow.next().await.map_err(Trouble::Source),
            Source::Upload(repository, job, number) => {
                let piece = repository.upload_piece(job, *number)?;
                *number += 1;
                Ok(piece.map(Bytes::from))
            }
            Source::File(place) => {
                let mut file = place.take().ok_or_else(|| Trouble::Source(stopped()))?;
                let read = tokio::task::spawn_blocking(move || {
                    let mut piece = Vec::new();
                    let limit = u64::try_from(PIECE_BYTES).unwrap_or(u64::MAX);
                    let read = file.by_ref().take(limit).read_to_end(&mut piece);
                    read.map(|_length| (file, piece))
                });
                let read = read.await.map_err(|_panicked| Trouble::Source(stopped()))?;
                let (file, piece) = read.map_err(|e| Trouble::Source(e.to_string()))?;
                *place = Some(file);
                Ok((!piece.is_empty()).then(|| piece.into()))
            }
        }
    }
}

async fn web(wire: &Wire, url: &str, etag: Option<&str>) -> Result<Source, Trouble> {
    let request = Request::get(url)
        // A Binary that holds the lines comes as they are, not as a resource.
        .header(header::ACCEPT, "*/*")
        .body(Full::new(Bytes::new()))
        .map_err(|_no_url| Trouble::Refused("the URL is no usable one".to_owned()))?;
    let flow = wire.open_flow(request).await.map_err(Trouble::Source)?;
    let status = flow.status;
    let is_passing = status.is_server_error()
        || matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
        );
    let reason = || format!("its server answered {}", status.as_u16());
    match status {
        StatusCode::OK => {}
        _ if is_passing => return Err(Trouble::Source(reason())),
        _ => return Err(Trouble::Refused(reason())),
    }
    let found = flow.headers.get(header::ETAG);
    let found = found.and_then(|found| found.to_str().ok());
    if etag.is_some_and(|etag| found.map(plain) != Some(plain(etag))) {
        let text = "the file has another ETag than was asked for".to_owned();
        return Err(Trouble::Refused(text));
    }
    Ok(Source::Web(Box::new(flow)))
}

/// Without quotes and the mark of a weak one.
fn plain(etag: &str) -> &str {
    etag.trim_start_matches("W/").trim_matches('"')
}

/// A symbolic link must not lead out of the folder.
fn file(folder: &Path, path: &Path) -> Result<File, String> {
    let unreadable = |e: std::io::Error| format!("the file cannot be read: {}", e.kind());
    let folder = folder.canonicalize().map_err(unreadable)?;
    let path = folder.join(path).canonicalize().map_err(unreadable)?;
    if !path.starts_with(&folder) || !path.is_file() {
        return Err("the path names no file below import.folder".to_owned());
    }
    File::open(path).map_err(unreadable)
}

fn stopped() -> String {
    "reading it stopped unexpectedly".to_owned()
}
