//! One example of what each detector finds. None of them is anybody's; keys are put together here so that no scanner of
//! repositories takes them for real.

use sluice_proto::guard::DETECTORS;

use super::{guards, rule};
use sluice_shared::snapshot::GuardAction;

/// Letters and digits without a pattern.
fn noise(len: usize) -> String {
    let alphabet = b"aB3dE5fG7hJ9kL2mN4pQ6rS8tV";
    (0..len)
        .map(|at| char::from(alphabet[(at * 7 + at / 26 * 3) % alphabet.len()]))
        .collect()
}

fn hex(len: usize) -> String {
    (0..len)
        .map(|at| char::from(b"0a1b2c3d4e5f6789"[(at * 5 + at / 16) % 16]))
        .collect()
}

fn pem() -> String {
    let lines: Vec<String> = (0..4).map(|at| noise(60 + at)).collect();
    let label = "PRIVATE KEY";
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----",
        lines.join("\n")
    )
}

fn jwt() -> String {
    // {"alg":"HS256","typ":"JWT"}
    format!("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.{}.{}", noise(40), noise(43))
}

/// Name of the detector, what stands around the secret, the secret.
pub(crate) fn all() -> Vec<(&'static str, &'static str, String, &'static str)> {
    let plain = |name, secret: &str| (name, "it is ", secret.to_owned(), " indeed");
    let named = |name, before, secret: &str| (name, before, secret.to_owned(), " indeed");
    vec![
        plain("email", "alice.smith@mail.example.com"),
        plain("phone", "+49 30 901820 17"),
        plain("card", "4539 1488 0343 6467"),
        plain("iban", "DE89 3704 0044 0532 0130 00"),
        plain("ssn", "536-22-8715"),
        plain("gb_nino", "AB123456C"),
        plain("es_dni", "12345678Z"),
        plain("fr_nir", "1 85 05 78 006 084 91"),
        named("de_tax_id", "Steuer-ID ", "86095742719"),
        plain("it_codice_fiscale", "RSSMRA85T10A562S"),
        plain("br_cpf", "529.982.247-25"),
        plain("br_cnpj", "11.222.333/0001-81"),
        named("nl_bsn", "BSN ", "111222333"),
        named("pl_pesel", "PESEL ", "44051401359"),
        plain("se_personnummer", "811218-9876"),
        plain("in_aadhaar", "2341 2341 2346"),
        named("ca_sin", "SIN ", "130692544"),
        plain("ip", "8.8.4.4"),
        plain("private_key", &pem()),
        plain("aws_access_key", &format!("AKIA{}", "Q3ZT7KPN2WMB5XHC")),
        named("aws_secret_key", "aws_secret_access_key = ", &noise(40)),
        plain("google_api_key", &format!("AIza{}", noise(35))),
        named("gcp_service_account", "\"private_key_id\": \"", &hex(40)),
        named("azure_key", "AccountKey=", &format!("{}==", noise(86))),
        named("azure_sas", "&sig=", &format!("{}%3D", noise(43))),
        plain("openai_key", &format!("sk-proj-{}", noise(60))),
        plain("anthropic_key", &format!("sk-ant-api03-{}", noise(60))),
        plain("groq_key", &format!("gsk_{}", noise(52))),
        plain("huggingface_token", &format!("hf_{}", noise(34))),
        plain("replicate_token", &format!("r8_{}", noise(37))),
        plain("xai_key", &format!("xai-{}", noise(80))),
        plain("github_token", &format!("ghp_{}", noise(36))),
        plain("gitlab_token", &format!("glpat-{}", noise(20))),
        plain("slack_token", &format!("xoxb-{}", noise(40))),
        plain("stripe_key", &format!("sk_live_{}", noise(24))),
        plain("sendgrid_key", &format!("SG.{}.{}", noise(22), noise(43))),
        plain("npm_token", &format!("npm_{}", noise(36))),
        plain("pypi_token", &format!("pypi-{}", noise(70))),
        plain("telegram_token", &format!("123456789:AA{}", noise(33))),
        plain("twilio_key", &format!("SK{}", hex(32))),
        plain("digitalocean_token", &format!("dop_v1_{}", hex(64))),
        plain("databricks_token", &format!("dapi{}", hex(32))),
        plain("jwt", &jwt()),
        (
            "url_password",
            "postgres://admin:",
            "hunter2Kx9".into(),
            "@localhost:5432/x indeed",
        ),
    ]
}

#[test]
fn every_detector_has_an_example_that_it_finds() {
    let guards = guards(&[rule(GuardAction::Redact)]);
    let set = guards.set(&[0]);
    let engine = set.answers().unwrap();
    let examples = all();
    for detector in DETECTORS {
        let mut of = examples.iter().filter(|(name, ..)| name == detector);
        let Some((_, before, secret, after)) = of.next() else {
            panic!("no example for {detector}");
        };
        let text = format!("{before}{secret}{after}");
        let mut found = Vec::new();
        engine.scan(text.as_bytes(), &mut found);
        let names: Vec<_> = found
            .iter()
            .map(|found| (set.rule(0).unwrap().what(found.detector), found.range.clone()))
            .collect();
        assert!(
            names.iter().any(|(name, _)| name == detector),
            "{detector} in {text:?}: {names:?}"
        );
    }
}
