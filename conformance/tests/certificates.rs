//! A server that asks for a certificate (mutual TLS): `--cert` and `--key` are shown to it, and what
//! cannot be shown is told before anything is sent.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // panics are a test's answers

use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

const STATEMENT: &str = r#"{"resourceType":"CapabilityStatement","fhirVersion":"4.0.1","rest":[]}"#;

/// An authority, and files of what it has signed.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let authority = Authority {
            certificate,
            issuer: Issuer::new(params, key),
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::write(authority.file("ca"), authority.certificate.pem()).unwrap();
        authority
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.pem"))
    }

    fn signed(&self, name: &str) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.file(name), certificate.pem()).unwrap();
        std::fs::write(self.file(&format!("{name}-key")), key.serialize_pem()).unwrap();
        (certificate, key)
    }

    /// TLS that lets in only whom this authority knows.
    fn acceptor(&self) -> TlsAcceptor {
        let (certificate, key) = self.signed("localhost");
        let mut known = RootCertStore::empty();
        known.add(self.certificate.der().clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder(Arc::new(known));
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![certificate.der().clone()], key);
        TlsAcceptor::from(Arc::new(config.unwrap()))
    }
}

/// Answers every request with the statement; gives the base.
async fn serve(acceptor: TlsAcceptor) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut request = [0; 4096];
                let _asked = stream.read(&mut request).await.is_ok();
                let length = STATEMENT.len();
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/fhir+json\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{STATEMENT}"
                );
                let _told = stream.write_all(head.as_bytes()).await.is_ok();
                let _ended = stream.shutdown().await.is_ok();
            });
        }
    });
    format!("https://localhost:{port}/fhir")
}

fn run(base: &str, more: &[(&str, &Path)]) -> (Option<i32>, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_conformance"));
    program.args([base, "--only", "statement: is there without"]);
    for (option, file) in more {
        program.arg(option).arg(file);
    }
    let output = program.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[test]
fn who_is_asked_for_a_certificate_shows_it() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (ours, strange) = (Authority::new(), Authority::new());
    ours.signed("tester");
    strange.signed("tester");
    let base = runtime.block_on(serve(ours.acceptor()));
    let ca = ours.file("ca");
    let shown = |authority: &Authority| {
        let (certificate, key) = (authority.file("tester"), authority.file("tester-key"));
        run(
            &base,
            &[("--ca", &ca), ("--cert", &certificate), ("--key", &key)],
        )
    };
    let (code, said) = shown(&ours);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("1 of 1 applicable cases passed"), "{said}");
    let (code, said) = run(&base, &[("--ca", &ca)]);
    assert_eq!(code, Some(2), "nothing was shown: {said}");
    let (code, said) = shown(&strange);
    assert_eq!(code, Some(2), "a stranger's was shown: {said}");
}

#[test]
fn what_cannot_be_shown_is_told() {
    let ours = Authority::new();
    ours.signed("a");
    ours.signed("b");
    let base = "https://localhost:9/fhir";
    let (a, other) = (ours.file("a"), ours.file("b-key"));
    for (more, expected) in [
        (vec![("--cert", a.as_path())], "--key"),
        (vec![("--key", other.as_path())], "--cert"),
        (vec![("--cert", a.as_path()), ("--key", &a)], "a.pem"),
        (vec![("--cert", a.as_path()), ("--key", &other)], "a.pem"),
        (
            vec![("--cert", other.as_path()), ("--key", &other)],
            "holds no certificate",
        ),
    ] {
        let (code, said) = run(base, &more);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}
