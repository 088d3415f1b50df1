//! The certificate authorities that S3 is trusted by: Mozilla's, brought along, for looking for the machine's takes longer.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

/// Variables that name certificates of the machine's: where one is set, those are trusted.
const NAMED: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Has S3's client trust what is brought along, unless the environment names something else.
pub(crate) fn bring_along() {
    let is_named = NAMED.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    if !is_named {
        reassemble_store::trust_only(pem().into_bytes());
    }
}

fn pem() -> String {
    let mut pem = String::new();
    for certificate in TLS_SERVER_ROOT_CERTS {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        BASE64_STANDARD.encode_string(certificate, &mut pem);
        pem.push_str("\n-----END CERTIFICATE-----\n");
    }
    pem
}
