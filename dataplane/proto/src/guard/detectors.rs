//! The built-in detectors: what they are called, how long what they find can be, and how a text is searched for all of them
//! in three passes.
//!
//! ```text
//! gate (vectorised)            verified by
//! literals: sk- AKIA eyJ …  ─▶ tokens, cloud, jwt, pem
//! '@' and ://               ─▶ mail
//! words that hold a digit   ─▶ digits ─▶ bank, national, phone, address
//! ```
//!
//! A recogniser looks at one candidate and says nothing, [`Sink::found`], or [`Sink::more`]: the text ends before it can
//! decide. The last is what makes streams safe; with [`View::ended`] nothing more comes and it decides on what there is.
//! Every recogniser reads a bounded number of bytes around its candidate, except those of tokens, whose runs are walked once.

mod address;
mod bank;
mod cloud;
mod digits;
mod gate;
mod jwt;
mod mail;
mod national;
mod pem;
mod phone;
mod tokens;
mod view;

pub(crate) use view::{Hit, Sink, View, word};

/// What a detector belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// It identifies a person.
    Pii,
    /// It opens a door.
    Secrets,
}

impl Group {
    /// Name in configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pii => "pii",
            Self::Secrets => "secrets",
        }
    }
}

/// Names that stand for several detectors in configuration.
pub const GROUPS: &[&str] = &["all", "pii", "secrets"];

/// What is said of a detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Name in configuration and verdicts.
    pub name: &'static str,
    /// Group that it belongs to.
    pub group: Group,
    /// Longest match, in bytes. [`usize::MAX`]: none; on streams what has begun is followed to its end.
    pub longest: usize,
    /// What it finds.
    pub meaning: &'static str,
}

macro_rules! detectors {
    ($($variant:ident = $name:literal, $group:ident, $longest:expr, $meaning:literal;)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Detector { $($variant),+ }

        /// Names of the built-in detectors, for configuration.
        pub const DETECTORS: &[&str] = &[$($name),+];

        /// What each of [`DETECTORS`] is, in the same order.
        pub const ABOUT: &[About] = &[
            $(About { name: $name, group: Group::$group, longest: $longest, meaning: $meaning }),+
        ];
    };
}

detectors! {
    Email = "email", Pii, 320, "e-mail address";
    Phone = "phone", Pii, 40, "telephone number: international, or in the usual national spelling";
    Card = "card", Pii, 24, "payment card: issuer's prefix, length and Luhn digit";
    Iban = "iban", Pii, 48, "bank account: country, length and mod-97 checksum";
    Ssn = "ssn", Pii, 12, "US social security number, spelt with hyphens or named as such";
    GbNino = "gb_nino", Pii, 16, "British national insurance number";
    EsDni = "es_dni", Pii, 12, "Spanish DNI or NIE with its check letter";
    FrNir = "fr_nir", Pii, 24, "French social security number (NIR) with its key";
    DeTaxId = "de_tax_id", Pii, 16, "German tax id with its check digit, grouped or named as such";
    ItCodiceFiscale = "it_codice_fiscale", Pii, 16, "Italian codice fiscale with its check letter";
    BrCpf = "br_cpf", Pii, 16, "Brazilian CPF with its check digits, punctuated or named as such";
    BrCnpj = "br_cnpj", Pii, 20, "Brazilian CNPJ with its check digits, punctuated or named as such";
    NlBsn = "nl_bsn", Pii, 12, "Dutch BSN that passes the eleven test and is named as such";
    PlPesel = "pl_pesel", Pii, 12, "Polish PESEL with date and check digit, named as such";
    SePersonnummer = "se_personnummer", Pii, 16, "Swedish personal number with date and Luhn digit, hyphenated or named as such";
    InAadhaar = "in_aadhaar", Pii, 16, "Indian Aadhaar number with its Verhoeff digit, grouped or named as such";
    CaSin = "ca_sin", Pii, 12, "Canadian social insurance number with its Luhn digit, named as such";
    Ip = "ip", Pii, 48, "IP address, except loopback, unspecified, broadcast and documentation addresses";
    PrivateKey = "private_key", Secrets, usize::MAX, "private key in PEM, OpenSSH or PGP armour";
    AwsAccessKey = "aws_access_key", Secrets, 24, "AWS access key id";
    AwsSecretKey = "aws_secret_key", Secrets, 48, "AWS secret access key that is named as such";
    GoogleApiKey = "google_api_key", Secrets, 48, "API key of Google Cloud or Google AI";
    GcpServiceAccount = "gcp_service_account", Secrets, 48, "id of the private key in a Google service account's file";
    AzureKey = "azure_key", Secrets, 96, "account or shared access key in an Azure connection string";
    AzureSas = "azure_sas", Secrets, 160, "signature of an Azure shared access URL";
    OpenAiKey = "openai_key", Secrets, 520, "OpenAI API key, or another in its shape";
    AnthropicKey = "anthropic_key", Secrets, 520, "Anthropic API key";
    GroqKey = "groq_key", Secrets, 80, "Groq API key";
    HuggingFaceToken = "huggingface_token", Secrets, 48, "Hugging Face token";
    ReplicateToken = "replicate_token", Secrets, 48, "Replicate token";
    XaiKey = "xai_key", Secrets, 160, "xAI API key";
    GitHubToken = "github_token", Secrets, 280, "GitHub token of any kind";
    GitLabToken = "gitlab_token", Secrets, 320, "GitLab token";
    SlackToken = "slack_token", Secrets, 280, "Slack token";
    StripeKey = "stripe_key", Secrets, 280, "Stripe secret or restricted key";
    SendGridKey = "sendgrid_key", Secrets, 72, "SendGrid API key";
    NpmToken = "npm_token", Secrets, 48, "npm access token";
    PypiToken = "pypi_token", Secrets, 520, "PyPI token";
    TelegramToken = "telegram_token", Secrets, 48, "token of a Telegram bot";
    TwilioKey = "twilio_key", Secrets, 40, "Twilio account or key id";
    DigitalOceanToken = "digitalocean_token", Secrets, 80, "DigitalOcean token";
    DatabricksToken = "databricks_token", Secrets, 48, "Databricks token";
    Jwt = "jwt", Secrets, usize::MAX, "JSON web token whose header names an algorithm";
    UrlPassword = "url_password", Secrets, 520, "password in a URL";
}

const _: () = assert!(DETECTORS.len() <= 64, "a set of detectors is a u64");

/// A set of detectors, by their index in [`DETECTORS`].
pub(crate) type Mask = u64;

impl Detector {
    pub(crate) const fn bit(self) -> Mask {
        1 << self as u8
    }
}

/// The detectors that a name in configuration stands for; `None`: there is no such name.
#[must_use]
pub(crate) fn named(name: &str) -> Option<Mask> {
    let of = |wanted: &dyn Fn(&About) -> bool| {
        let all = ABOUT.iter().enumerate();
        all.filter(|(_, about)| wanted(about))
            .fold(0, |mask, (at, _)| mask | 1 << at)
    };
    let mask: Mask = match name {
        "all" => of(&|_| true),
        "pii" => of(&|about| about.group == Group::Pii),
        "secrets" => of(&|about| about.group == Group::Secrets),
        one => of(&|about| about.name == one),
    };
    (mask != 0).then_some(mask)
}

/// Longest match of any detector of a set, in bytes; those without a bound aside.
pub(crate) fn longest(mask: Mask) -> usize {
    let of = ABOUT.iter().enumerate().filter(|(at, _)| mask & (1 << at) != 0);
    let bounded = of
        .map(|(_, about)| about.longest)
        .filter(|bytes| *bytes != usize::MAX);
    bounded.max().unwrap_or(0)
}

/// Bytes before what is judged that the recognisers may want to look back at.
pub(crate) const CONTEXT_BYTES: usize = 192;

/// Searches a text for all detectors that the sink wants.
pub(crate) fn search(view: View<'_>, sink: &mut Sink<'_>) {
    const AT: Mask = Detector::Email.bit() | Detector::UrlPassword.bit();
    if sink.on & gate::LITERALS != 0 {
        gate::literals(view, sink);
    }
    cloud::named(view, sink);
    if sink.on & AT != 0 {
        mail::search(view, sink);
    }
    if sink.on & digits::ALL != 0 {
        digits::search(view, sink);
    }
}

/// Where a settled finding that began at `start` and reaches to `from` ends, and whether more of it may come.
pub(crate) fn follow(view: View<'_>, detector: u16, cut: bool, start: usize, from: usize) -> (usize, bool) {
    /// Most bytes of a word that a forced end cut.
    const WORD_BYTES_MAX: usize = 512;
    let is = |one: Detector| u16::from(one as u8) == detector;
    if is(Detector::PrivateKey) {
        return pem::follow(view, start, from);
    }
    if is(Detector::Jwt) {
        let end = jwt::follow(view, from);
        return (
            end,
            view.open_at(end) || view.open_at(end + 1) && view.at(end) == Some(b'.'),
        );
    }
    if !cut {
        return (from, false);
    }
    let most = WORD_BYTES_MAX.saturating_sub(from.saturating_sub(start));
    let end = view.run(from, most, |byte| {
        word(byte) || matches!(byte, b'-' | b'+' | b'/' | b'=')
    });
    (end, view.open_at(end) && end - from < most)
}
