//! TLS of the listener: given files, or a self-signed certificate made at the first start.

use gateway_ground::keys::{KeyError, replace_secret};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("E-TLS-1: cannot use the certificate {path}: {detail}; give a PEM file")]
    Certificate { path: String, detail: String },
    #[error("E-TLS-2: cannot use the private key {path}: {detail}; give a PEM file")]
    Key { path: String, detail: String },
    #[error("E-TLS-3: certificate and key do not fit: {0}; give two that belong together")]
    Unfit(String),
    #[error("E-TLS-4: cannot make a certificate: {0}; give your own with --tls-cert and --tls-key")]
    Unmade(String),
    #[error(transparent)]
    Unkept(#[from] KeyError),
}

/// TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
pub fn acceptor(cert: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unfit)?
        .with_no_client_auth()
        .with_single_cert(read_certificates(cert)?, read_key(key)?)
        .map_err(unfit)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Makes the two files unless both are there; true when they are new. `names` are host names and
/// addresses.
pub fn ensure_self_signed(cert: &Path, key: &Path, names: Vec<String>) -> Result<bool, TlsError> {
    if cert.exists() && key.exists() {
        return Ok(false);
    }
    let (cert_pem, key_pem) = make(names).map_err(|e| TlsError::Unmade(e.to_string()))?;
    replace_secret(key, &key_pem)?;
    replace_secret(cert, &cert_pem)?;
    Ok(true)
}

/// Certificate and key as PEM.
fn make(names: Vec<String>) -> Result<(String, String), rcgen::Error> {
    let mut asked = rcgen::CertificateParams::new(names)?;
    let name = "Wayside, self-signed";
    asked.distinguished_name = rcgen::DistinguishedName::new();
    asked
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    let key = rcgen::KeyPair::generate()?;
    let cert = asked.self_signed(&key)?;
    Ok((cert.pem(), key.serialize_pem()))
}

/// All certificates of a PEM file; at least one.
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unusable = |detail: String| TlsError::Certificate {
        path: path.display().to_string(),
        detail,
    };
    let items = CertificateDer::pem_file_iter(path).map_err(|e| unusable(e.to_string()))?;
    let chain: Result<Vec<_>, _> = items.collect();
    let chain = chain.map_err(|e| unusable(e.to_string()))?;
    if chain.is_empty() {
        return Err(unusable("it holds no certificate".to_owned()));
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|e| TlsError::Key {
        path: path.display().to_string(),
        detail: e.to_string(),
    })
}

fn unfit(error: rustls::Error) -> TlsError {
    TlsError::Unfit(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_self_signed_certificate_is_made_once_and_serves() {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
        let names = || vec!["localhost".to_owned(), "192.0.2.1".to_owned()];
        assert!(ensure_self_signed(&cert, &key, names()).unwrap());
        assert!(!ensure_self_signed(&cert, &key, names()).unwrap());
        assert!(acceptor(&cert, &key).is_ok());
    }

    #[test]
    fn files_that_are_no_pem_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
        std::fs::write(&cert, "nothing").unwrap();
        let refusal = acceptor(&cert, &key).err().unwrap().to_string();
        assert!(refusal.starts_with("E-TLS-1"), "{refusal}");
    }
}
