//! Made-up secrets, each in a sentence.

/// A text that holds one secret.
pub(crate) struct Sample {
    /// Detector that finds it.
    pub(crate) detector: &'static str,
    /// What stands before it.
    pub(crate) before: &'static str,
    /// It.
    pub(crate) secret: String,
    /// What stands behind it.
    pub(crate) after: &'static str,
}

impl Sample {
    /// All three.
    pub(crate) fn text(&self) -> String {
        format!("{}{}{}", self.before, self.secret, self.after)
    }
}

/// `len` characters of an alphabet, drawn by lot, always the same.
pub(crate) fn drawn(alphabet: &str, len: usize) -> String {
    let alphabet: Vec<char> = alphabet.chars().collect();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64 ^ (len as u64);
    let mut out = String::new();
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.push(alphabet[(state >> 33) as usize % alphabet.len()]);
    }
    out
}

pub(crate) const ALNUM: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
pub(crate) const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
pub(crate) const HEX: &str = "0123456789abcdef";

/// A private key in armour, its lines ended by `line_end`.
pub(crate) fn private_key(label: &str, line_end: &str) -> String {
    let dashes = "-".repeat(5);
    let body = drawn(ALNUM, 64 * 4 + 20);
    let lines: Vec<&str> = body
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "{dashes}BEGIN {label}{dashes}{line_end}{}=={line_end}{dashes}END {label}{dashes}",
        lines.join(line_end)
    )
}

/// A token whose header names an algorithm.
pub(crate) fn jwt() -> String {
    use base64::Engine as _;
    let part = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let header = part(r#"{"alg":"HS256","typ":"JWT"}"#);
    format!(
        "{header}.{}.{}",
        part(r#"{"sub":"1234567890","name":"Jo"}"#),
        drawn(ALNUM, 43)
    )
}

/// At least one for each detector.
pub(crate) fn all() -> Vec<Sample> {
    let mut out = Vec::new();
    let mut add = |detector, before, secret: String, after| {
        out.push(Sample {
            detector,
            before,
            secret,
            after,
        });
    };
    let plain = |parts: &[&str]| parts.concat();
    add(
        "email",
        "Write to ",
        plain(&["jo.doe+x", "@", "mail.example.org"]),
        ", please.",
    );
    add("email", "<", plain(&["jo", "@", "example.de"]), ">.");
    add("phone", "Ring ", "+49 30 1234567".into(), " at noon.");
    add("phone", "Ring ", "(212) 456-7891".into(), ".");
    add("phone", "or ", "212-456-7891".into(), ", or");
    add("phone", "my phone: ", "2124567891".into(), " is new");
    add("card", "Pay with ", "4111 2223 3344 4550".into(), " now");
    add("card", "Pay with ", "5454-5454-5454-1230".into(), ".");
    add("card", "amex ", "378282246310005".into(), "\n");
    add(
        "iban",
        "Send it to ",
        "DE89 3704 0044 0532 0130 00".into(),
        ", thanks",
    );
    add("iban", "Send it to ", "GB82WEST12345698765432".into(), ".");
    add("ssn", "SSN ", "536-22-8726".into(), ".");
    add("gb_nino", "his is ", "AB123456C".into(), ".");
    add("gb_nino", "his is ", "AB 12 34 56 C".into(), ".");
    add("es_dni", "DNI ", "98765432M".into(), ".");
    add("es_dni", "NIE ", "X1234567L".into(), ".");
    add("fr_nir", "NIR ", "1 85 05 78 006 084 91".into(), ".");
    add("de_tax_id", "Steuer-ID ", "86095742719".into(), ".");
    add("it_codice_fiscale", "codice ", "RSSMRA85T10A562S".into(), ".");
    add("br_cpf", "cliente ", "529.982.247-25".into(), ".");
    add("br_cnpj", "empresa ", "11.222.333/0001-81".into(), ".");
    add("nl_bsn", "BSN: ", "111222333".into(), ".");
    add("pl_pesel", "PESEL ", "85051501236".into(), ".");
    add("se_personnummer", "hon heter ", "850515-0121".into(), ".");
    add("in_aadhaar", "it is ", "2341 2341 2346".into(), ".");
    add("ca_sin", "my SIN is ", "130692544".into(), ".");
    add("ip", "host ", "10.20.30.41".into(), " is down");
    add("ip", "host ", "2a02:8071:22::17".into(), " is down");
    add(
        "private_key",
        "key:\n",
        private_key("RSA PRIVATE KEY", "\n"),
        "\nthat was it.",
    );
    add(
        "private_key",
        "key: \"",
        private_key("OPENSSH PRIVATE KEY", "\\n"),
        ". That was it.",
    );
    add(
        "aws_access_key",
        "id ",
        plain(&["AK", "IA", &drawn(UPPER, 16)]),
        ".",
    );
    add(
        "aws_secret_key",
        "aws_secret_access_key = ",
        drawn(ALNUM, 40),
        "\n",
    );
    add(
        "google_api_key",
        "key=",
        plain(&["AI", "za", &drawn(ALNUM, 35)]),
        "&",
    );
    add(
        "gcp_service_account",
        "\"private_key_id\": \"",
        drawn(HEX, 40),
        "\",",
    );
    add(
        "azure_key",
        ";AccountKey=",
        plain(&[&drawn(ALNUM, 86), "=="]),
        ";EndpointSuffix",
    );
    add(
        "azure_sas",
        "?sv=2024&sig=",
        plain(&[&drawn(ALNUM, 41), "%2B", "z", "%3D"]),
        "&se=1",
    );
    add(
        "openai_key",
        "use ",
        plain(&["sk", "-proj-", &drawn(ALNUM, 60)]),
        ".",
    );
    add("openai_key", "use ", plain(&["sk", "-", &drawn(ALNUM, 48)]), ".");
    add(
        "anthropic_key",
        "use ",
        plain(&["sk", "-ant-api03-", &drawn(ALNUM, 90), "AA"]),
        ".",
    );
    add("groq_key", "use ", plain(&["gsk", "_", &drawn(ALNUM, 52)]), ".");
    add(
        "huggingface_token",
        "use ",
        plain(&["hf", "_", &drawn(ALNUM, 34)]),
        ".",
    );
    add(
        "replicate_token",
        "use ",
        plain(&["r8", "_", &drawn(ALNUM, 37)]),
        ".",
    );
    add("xai_key", "use ", plain(&["xai", "-", &drawn(ALNUM, 80)]), ".");
    add(
        "github_token",
        "use ",
        plain(&["gh", "p_", &drawn(ALNUM, 36)]),
        ".",
    );
    add(
        "github_token",
        "use ",
        plain(&["github", "_pat_", &drawn(ALNUM, 22), "_", &drawn(ALNUM, 59)]),
        ".",
    );
    add(
        "gitlab_token",
        "use ",
        plain(&["gl", "pat-", &drawn(ALNUM, 20)]),
        ".",
    );
    add(
        "slack_token",
        "use ",
        plain(&["xox", "b-", "123456789012-", &drawn(ALNUM, 24)]),
        ".",
    );
    add(
        "stripe_key",
        "use ",
        plain(&["sk", "_live_", &drawn(ALNUM, 24)]),
        ".",
    );
    add(
        "sendgrid_key",
        "use ",
        plain(&["SG", ".", &drawn(ALNUM, 22), ".", &drawn(ALNUM, 43)]),
        ".",
    );
    add("npm_token", "use ", plain(&["npm", "_", &drawn(ALNUM, 36)]), ".");
    add(
        "pypi_token",
        "use ",
        plain(&["pypi", "-", "AgEIcHlwaS5vcmc", &drawn(ALNUM, 120)]),
        ".",
    );
    add(
        "telegram_token",
        "bot ",
        plain(&["123456789", ":", "AA", &drawn(ALNUM, 33)]),
        ".",
    );
    add("twilio_key", "sid ", plain(&["S", "K", &drawn(HEX, 32)]), ".");
    add(
        "digitalocean_token",
        "use ",
        plain(&["dop", "_v1_", &drawn(HEX, 64)]),
        ".",
    );
    add(
        "databricks_token",
        "use ",
        plain(&["da", "pi", &drawn(HEX, 32)]),
        ".",
    );
    add("jwt", "Bearer ", jwt(), "\n");
    add(
        "url_password",
        "postgres://app:",
        "s3cr3t!x".into(),
        "@db.internal/main",
    );
    out
}
