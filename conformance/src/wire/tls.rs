//! Whom the program trusts, and the certificate that it shows (RFC 8446 4.4.2).

use super::Access;
use hyper_rustls::ConfigBuilderExt as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;

pub(super) fn config(access: &Access) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder();
    let builder = match &access.authorities {
        Some(path) => builder.with_root_certificates(roots(path)?),
        None => builder.with_webpki_roots(),
    };
    let Some((chain, key)) = &access.certificate else {
        return Ok(builder.with_no_client_auth());
    };
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| unusable(key, &e))?;
    let config = builder.with_client_auth_cert(certificates(chain)?, private);
    config.map_err(|e| unusable(chain, &e))
}

/// The certificates of this file alone.
fn roots(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|e| unusable(path, &e))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_file_iter(path).map_err(|e| unusable(path, &e))?;
    let found: Result<Vec<_>, _> = found.collect();
    let found = found.map_err(|e| unusable(path, &e))?;
    match found.is_empty() {
        true => Err(unusable(path, &"holds no certificate in PEM")),
        false => Ok(found),
    }
}

fn unusable(path: &Path, reason: &dyn std::fmt::Display) -> String {
    format!("{}: {reason}", path.display())
}
