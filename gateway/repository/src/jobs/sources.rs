//! Where an import may read from: hosts and a folder that the site's administrator names, for
//! whoever can ask for an import could else make this box call any machine near it. Pure.

use std::path::{Component, Path, PathBuf};

/// The site's settings; the default allows nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImportSources {
    /// As `name` or `name:port`.
    pub hosts: Vec<String>,
    pub folder: Option<PathBuf>,
}

/// An allowed place.
#[derive(Clone, Debug, PartialEq)]
pub enum ImportPlace {
    /// An `http` or `https` URL.
    Web(String),
    /// A file below the folder, which may still lead out of it by a symbolic link.
    File { folder: PathBuf, path: PathBuf },
}

impl ImportSources {
    /// The place that a URL means; the error says why it is none.
    pub fn place(&self, url: &str) -> Result<ImportPlace, String> {
        if let Some(path) = url.strip_prefix("file:") {
            return self.file(path.trim_start_matches('/'));
        }
        let wrong = || "takes URLs that start with https://, http:// or file:".to_owned();
        let rest = url
            .strip_prefix("https://")
            .or_else(|| url.strip_prefix("http://"));
        let authority = rest.ok_or_else(wrong)?;
        let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.is_empty() || authority.contains('@') || url.contains(char::is_whitespace) {
            return Err(wrong());
        }
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => authority,
        };
        let is_allowed = |allowed: &String| {
            allowed.eq_ignore_ascii_case(host) || allowed.eq_ignore_ascii_case(authority)
        };
        match self.hosts.iter().any(is_allowed) {
            true => Ok(ImportPlace::Web(url.to_owned())),
            false => Err(
                "names a host that this site does not allow; its administrator names hosts in \
                 import.hosts"
                    .to_owned(),
            ),
        }
    }

    fn file(&self, path: &str) -> Result<ImportPlace, String> {
        let Some(folder) = &self.folder else {
            let text = "names a file; the site's administrator names their folder in import.folder";
            return Err(text.to_owned());
        };
        let path = Path::new(path);
        let is_inside = path
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if path.as_os_str().is_empty() || !is_inside {
            return Err("names files by their path below import.folder".to_owned());
        }
        Ok(ImportPlace::File {
            folder: folder.clone(),
            path: path.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: Result<(), &str>) {
        let sources = ImportSources {
            hosts: vec!["files.example.org".to_owned(), "box:8080".to_owned()],
            folder: Some(PathBuf::from("/in")),
        };
        match (sources.place(url), expected) {
            (Ok(_), Ok(())) => {}
            (Err(text), Err(part)) => assert!(text.contains(part), "{url}: {text}"),
            (found, _) => panic!("{url}: {found:?}"),
        }
        assert!(ImportSources::default().place(url).is_err());
    }

    #[test]
    fn only_what_the_site_names_is_read() {
        check("https://files.example.org/a.ndjson", Ok(()));
        check("http://FILES.example.org:81/a?b", Ok(()));
        check("http://box:8080/a", Ok(()));
        check("http://box/a", Err("import.hosts"));
        check("http://box:80801/a", Err("import.hosts"));
        check("https://files.example.org@evil/a", Err("https://"));
        check("https://evil/files.example.org", Err("import.hosts"));
        check("https://evil#files.example.org", Err("import.hosts"));
        check("https://files.example.org.evil/", Err("import.hosts"));
        check("http://[::1]/a", Err("import.hosts"));
        check("ftp://files.example.org/a", Err("https://"));
        check("file:a.ndjson", Ok(()));
        check("file:///a/b.ndjson", Ok(()));
        check("file:../a", Err("import.folder"));
        check("file:a/../../b", Err("import.folder"));
        check("file:", Err("import.folder"));
    }
}
