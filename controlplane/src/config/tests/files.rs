//! Files that documents of the tests name: keys, certificates, a revocation list; the environment that they refer to.

use std::collections::HashMap;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, SerialNumber, date_time_ymd,
};

/// Makes them in a new folder.
pub(super) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    folder
}

fn write(folder: &Path) {
    std::fs::create_dir(folder.join("keys")).unwrap();
    std::fs::create_dir(folder.join("tls")).unwrap();
    for name in ["openai", "anthropic"] {
        std::fs::write(folder.join("keys").join(name), format!("sk-{name}\n")).unwrap();
    }
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(vec!["ai.example.com".to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let revocations = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 1, 1),
        next_update: date_time_ymd(2036, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    }
    .signed_by(&issuer)
    .unwrap();
    let other = KeyPair::generate().unwrap();
    for (name, text) in [
        ("ca.pem", authority_pem.clone()),
        ("cert.pem", cert.pem() + &authority_pem),
        ("key.pem", key.serialize_pem()),
        ("crl.pem", revocations.pem().unwrap()),
        ("other-key.pem", other.serialize_pem()),
        ("none.pem", "no PEM at all\n".to_owned()),
    ] {
        std::fs::write(folder.join("tls").join(name), text).unwrap();
    }
}

/// What the examples refer to.
pub(super) fn environment() -> HashMap<String, String> {
    [
        "ANTHROPIC_API_KEY",
        "OPENAI_API_KEY",
        "GEMINI_API_KEY",
        "AWS_BEARER_TOKEN_BEDROCK",
        "AUDIT_KEY",
        "S3_SECRET",
    ]
    .iter()
    .map(|name| ((*name).to_owned(), "sk-canary".to_owned()))
    .collect()
}

/// A file of the project's `docs`.
pub(super) fn docs(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(path)
}

/// Compares a checked-in text with what it should be; with `SLUICE_UPDATE=1` writes it instead.
pub(super) fn checked_in(path: &str, expected: &str) {
    let file = docs(path);
    if std::env::var_os("SLUICE_UPDATE").is_some() {
        std::fs::write(&file, expected).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == expected,
        "docs/{path} is out of date: run the tests with SLUICE_UPDATE=1 and read the difference"
    );
}
