//! The command line: options, variables, help.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::logging::LogFormat;

const EXAMPLES: &str = "\
Examples:
  sluice up                            start with what the environment offers (or a mock)
  sluice up --config sluice.hujson     start with a configuration
  sluice check sluice.hujson           say what is wrong in it, with line and column
  sluice usage --by model --since 24h  model tokens and cost of the last day
  sluice config history                what was changed when by whom; `config rollback ID` goes back
  sluice quota list                    what is left of budgets; `quota refill BUCKET` fills one
  sluice explain --as alice@example.com --model gpt-5.1
                                       what they may do, by which grant, or what is missing
  sluice meter --api anthropic-messages --stream answer.sse
                                       what would be metered, to debug a bill

Documentation: README.md and docs/ of the source tree.";

/// Sluice: an AI gateway between your LLM clients and their providers.
#[derive(Debug, Parser)]
#[command(name = "sluice", version, max_term_width = 100, after_help = EXAMPLES)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What to do
    #[command(subcommand)]
    pub(crate) command: Command,
    /// How log lines on stderr are written; SLUICE_LOG filters them (`debug`, `info,sluice_dataplane=debug`)
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        env = "SLUICE_LOG_FORMAT",
        value_name = "FORMAT"
    )]
    pub(crate) log_format: LogFormat,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "made once")]
pub(crate) enum Command {
    /// Start the gateway: both processes, supervised, behind one address
    #[command(long_about = UP_HELP)]
    Up(UpOptions),
    /// Run the control plane alone (`up` does this)
    Controlplane(ControlplaneOptions),
    /// Run the data plane alone (`up` does this)
    Dataplane(DataplaneOptions),
    /// Check a configuration and print every problem with its line and column
    Check(CheckOptions),
    /// Print the JSON Schema of the configuration document, for editors
    Schema,
    /// Print what was used: requests, model tokens, cost
    Usage(UsageOptions),
    /// Write records of requests as a table or as lines
    Export(ExportOptions),
    /// Read, save and take back the configuration of a running instance
    Config(ConfigOptions),
    /// Say what somebody may do and by which grant, or what is missing
    Explain(ExplainOptions),
    /// Make, list and revoke tokens for jobs that have no identity of the network
    Token(TokenOptions),
    /// Say what is left of budgets, refill them, watch them
    Quota(QuotaOptions),
    /// List conversations, and show one with its agents
    Session(SessionOptions),
    /// List what administrators did, and check that the list is whole
    Audit(AuditOptions),
    /// Say how deliveries to hooks stand, deliver again or remove what could not be delivered
    Hook(HookOptions),
    /// Say how exporters stand, and run one now
    Exporter(ExporterOptions),
    /// Say what a model costs, how its price was found, and what given usage costs
    Price(PriceOptions),
    /// Run the mock provider: every API kind, JSON and streams, settable sizes, gaps and faults
    Mock(MockCommand),
    /// Print what would be metered in a provider's answer
    Meter(MeterOptions),
    /// Print the version
    Version,
}

const UP_HELP: &str = "\
Starts `sluice controlplane` and `sluice dataplane` as child processes and starts a dead one again. The listening \
sockets belong to this process, so while a data plane restarts clients wait instead of being refused. SIGTERM and \
Ctrl-C drain: no new connections, what is in flight ends, then everything stops; a second signal stops at once.

Without --config and without a file ./sluice.hujson, everyone on this machine is admin, and providers come from the \
usual variables (OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY, ...). Without any of these, a built-in mock provider is \
started, so that everything can be tried with no key at all.";

const UP_EXAMPLES: &str = "\
Examples:
  sluice up
  ANTHROPIC_API_KEY=... sluice up
  sluice up --config /etc/sluice/sluice.hujson --data /var/lib/sluice --listen 0.0.0.0:8080
  sluice up --mock --listen 127.0.0.1:0      any free port; it is printed and stands in DATA/listen";

/// Where a process keeps what it has.
#[derive(Args, Debug)]
pub(crate) struct PlaceOptions {
    /// Directory for the store, the journal and the sockets; made if missing, for its owner only
    #[arg(
        long,
        env = "SLUICE_DATA",
        value_name = "DIR",
        default_value = "./sluice-data"
    )]
    pub(crate) data: PathBuf,
}

/// The running instance that a command asks.
#[derive(Args, Debug)]
pub(crate) struct InstanceOptions {
    /// The instance's data directory
    #[arg(
        long,
        global = true,
        env = "SLUICE_DATA",
        value_name = "DIR",
        default_value = "./sluice-data"
    )]
    pub(crate) data: PathBuf,
}

/// Options of `sluice up`.
#[derive(Args, Debug)]
#[command(after_help = UP_EXAMPLES)]
pub(crate) struct UpOptions {
    /// Configuration document [default: ./sluice.hujson if there is one]
    #[arg(long, env = "SLUICE_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Address to listen on, instead of the configuration's `listeners`; several with commas
    /// [default: 127.0.0.1:8080]
    #[arg(long, env = "SLUICE_LISTEN", value_name = "IP:PORT", value_delimiter = ',', value_parser = listen_address)]
    pub(crate) listen: Vec<SocketAddr>,
    #[command(flatten)]
    pub(crate) place: PlaceOptions,
    /// Data plane threads, each pinned to a core [default: the number of cores]
    #[arg(long, env = "SLUICE_SHARDS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) shards: Option<u16>,
    /// Use the built-in mock provider even if there are keys; not together with a configuration
    #[arg(long, env = "SLUICE_MOCK", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) mock: bool,
    /// User to run as after a start as root: NAME, UID or UID:GID [default: `sluice` if there is one, else nobody (65534),
    /// if that can use data directory and configuration]
    #[arg(long, env = "SLUICE_USER", value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Seconds that requests in flight get when draining
    #[arg(long, env = "SLUICE_DRAIN", value_name = "SECONDS", default_value_t = 30)]
    pub(crate) drain: u64,
}

/// Options of `sluice controlplane`.
#[derive(Args, Debug)]
pub(crate) struct ControlplaneOptions {
    #[command(flatten)]
    pub(crate) place: PlaceOptions,
    /// Configuration document; without it providers come from the environment
    #[arg(long, env = "SLUICE_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Without a configuration: the mock provider's base URL, used instead of providers from the environment
    #[arg(long, value_name = "URL")]
    pub(crate) mock_url: Option<String>,
    /// Addresses that the data plane listens on, where they are not the configuration's
    #[arg(long, value_name = "IP:PORT", value_delimiter = ',', value_parser = listen_address)]
    pub(crate) listen: Vec<SocketAddr>,
}

/// Options of `sluice dataplane`.
#[derive(Args, Debug)]
pub(crate) struct DataplaneOptions {
    #[command(flatten)]
    pub(crate) place: PlaceOptions,
    /// Address to listen on, if no sockets are inherited (SLUICE_LISTEN_FDS)
    #[arg(long, env = "SLUICE_LISTEN", value_name = "IP:PORT", value_delimiter = ',', value_parser = listen_address)]
    pub(crate) listen: Vec<SocketAddr>,
    /// Threads, each pinned to a core [default: the number of cores]
    #[arg(long, env = "SLUICE_SHARDS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) shards: Option<u16>,
}

/// Options of `sluice check`.
#[derive(Args, Debug)]
#[command(after_help = "\
Ends with 0 if no document has a warning or an error, else with 1. Notes do not count.

Examples:
  sluice check
  sluice check team-a.hujson team-b.hujson
  sluice check --json - < sluice.hujson")]
pub(crate) struct CheckOptions {
    /// Configuration documents, HuJSON; `-` reads standard input
    #[arg(value_name = "FILE", default_value = "sluice.hujson")]
    pub(crate) files: Vec<PathBuf>,
    /// Print an array with an object for each document: file, usable, summary, errors, warnings, notices
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `sluice usage` groups by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum UsageBy {
    /// Who called
    User,
    /// Model asked for
    Model,
    /// Provider that served
    Provider,
    /// Hour, UTC
    Hour,
    /// Day, UTC
    Day,
}

impl UsageBy {
    /// The word of the API.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

/// Options of `sluice usage`.
#[derive(Args, Debug)]
#[command(after_help = "\
Times are RFC 3339 (2026-11-22T00:00:00Z), Unix seconds, or a span back from now (30m, 24h, 7d).

Examples:
  sluice usage
  sluice usage --by user --since 7d
  sluice usage --by day --since 2026-11-01T00:00:00Z --json")]
pub(crate) struct UsageOptions {
    /// From when on
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Until when
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Group by
    #[arg(long, value_enum, default_value = "model", value_name = "WHAT")]
    pub(crate) by: UsageBy,
    /// Print the API's JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) instance: InstanceOptions,
}

/// How `sluice export` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportAs {
    /// Values between commas (RFC 4180)
    Csv,
    /// A JSON object a line
    Jsonl,
    /// Apache Parquet
    Parquet,
}

impl From<ExportAs> for sluice_controlplane::ExportFormat {
    fn from(format: ExportAs) -> Self {
        match format {
            ExportAs::Csv => Self::Csv,
            ExportAs::Jsonl => Self::Jsonl,
            ExportAs::Parquet => Self::Parquet,
        }
    }
}

/// Options of `sluice export`.
#[derive(Args, Debug)]
#[command(after_help = "\
Reads the store of the data directory, beside or without a running instance; newest records first. TIME: a span back from
now (24h, 7d), Unix seconds, or RFC 3339.

Examples:
  sluice export --since 24h > usage.csv
  sluice export --since 2026-11-01T00:00:00Z --until 2026-12-01T00:00:00Z --format parquet -o november.parquet")]
pub(crate) struct ExportOptions {
    /// From when on
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Until when
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Of this login only
    #[arg(long, value_name = "LOGIN")]
    pub(crate) user: Option<String>,
    /// How it is written
    #[arg(long, value_enum, default_value = "csv", value_name = "FORMAT")]
    pub(crate) format: ExportAs,
    /// Where to; without it to standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) instance: InstanceOptions,
}

/// Options of `sluice config`.
#[derive(Args, Debug)]
#[command(after_help = "\
Asks the running instance over DATA/api.sock, as its own user or root. A save counts warnings as errors, fills in what is
redacted (***) from the document in use, and applies at once. Ends with 1 if it is refused.

Examples:
  sluice config get > edited.hujson
  sluice config put edited.hujson
  sluice config history
  sluice config diff 12
  sluice config rollback 11")]
pub(crate) struct ConfigOptions {
    /// What to do
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
    #[command(flatten)]
    pub(crate) instance: InstanceOptions,
}

/// What `sluice config` does.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the document in use, secrets redacted
    Get {
        /// Print the API's JSON
        #[arg(long)]
        json: bool,
    },
    /// Save a document and take it into use
    Put {
        /// HuJSON; `-` reads standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Only if the document in use is the one with this entity tag [default: whichever it is]
        #[arg(long, value_name = "ETAG")]
        if_match: Option<String>,
    },
    /// List the versions that were in use, newest first
    History {
        /// Print the API's JSON
        #[arg(long)]
        json: bool,
    },
    /// Print a version, secrets redacted
    Show {
        /// Number of the version
        #[arg(value_name = "ID")]
        id: u64,
    },
    /// Print what a version changed
    Diff {
        /// Number of the version
        #[arg(value_name = "ID")]
        id: u64,
        /// Compare with this version [default: the one before]
        #[arg(value_name = "AGAINST")]
        against: Option<u64>,
    },
    /// Take a version into use again, as a new one
    Rollback {
        /// Number of the version
        #[arg(value_name = "ID")]
        id: u64,
    },
}

/// Options of `sluice explain`.
#[derive(Args, Debug)]
#[command(after_help = "\
Ends with 0 if it is allowed (without --model: if there is a role), with 3 if not, with 1 if there is no answer.

Examples:
  sluice explain --as alice@example.com --model gpt-5.1
  sluice explain --tag tag:ci --model anthropic/claude-sonnet-4-5 --api anthropic_messages
  sluice explain --address 10.1.2.3
  sluice explain --as alice@example.com --group group:eng --config new.hujson     no instance needed")]
pub(crate) struct ExplainOptions {
    /// Login
    #[arg(long = "as", value_name = "LOGIN")]
    pub(crate) login: Option<String>,
    /// Tag of a device, `tag:x`; several allowed
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Vec<String>,
    /// Group, `group:x`; several allowed
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Vec<String>,
    /// Address of the peer; alone it asks the identity sources who that is
    #[arg(long, value_name = "IP")]
    pub(crate) address: Option<std::net::IpAddr>,
    /// Identity source that would prove it, e.g. `loopback`
    #[arg(long, value_name = "SOURCE")]
    pub(crate) source: Option<String>,
    /// Model, as a client would name it
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// API: a compatibility flag, e.g. openai_chat [default: all]
    #[arg(long, value_name = "API")]
    pub(crate) api: Option<String>,
    /// Answer for this document instead of a running instance
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print the API's JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) instance: InstanceOptions,
}

/// Options of `sluice price`.
#[derive(Args, Debug)]
#[command(after_help = "\
The prices are those of the configuration that the instance of the data directory has in use, or used last; of --config FILE; or,
with neither, of the built-in table. With any count the cost is worked out line by line, as the gateway does it.

Ends with 0 if there is a price, with 3 if the model is unpriced, with 1 if there is no answer.

Examples:
  sluice price claude-sonnet-4-5
  sluice price gpt-5 --input 12000 --cached 8000 --output 900 --tier flex
  sluice price us.anthropic.claude-haiku-4-5-20251001-v1:0 --basis bedrock
  sluice price my-deployment --provider azure --answered gpt-4.1-2025-04-14
  sluice price openai/gpt-5 --config new.hujson")]
pub(crate) struct PriceOptions {
    /// Model, as it is named to the provider; `provider/model` for one provider of the configuration
    #[arg(value_name = "MODEL")]
    pub(crate) model: String,
    /// Provider of the configuration [default: each that serves the model]
    #[arg(long, value_name = "ID")]
    pub(crate) provider: Option<String>,
    /// Price list instead of the provider's, e.g. openai, bedrock, azure
    #[arg(long, value_name = "BASIS")]
    pub(crate) basis: Option<String>,
    /// Model that the answer names
    #[arg(long, value_name = "MODEL")]
    pub(crate) answered: Option<String>,
    /// All tokens of the prompt, cached ones included
    #[arg(long, value_name = "N")]
    pub(crate) input: Option<u64>,
    /// Of the prompt: read from the provider's cache
    #[arg(long, value_name = "N")]
    pub(crate) cached: Option<u64>,
    /// Of the prompt: written to the cache for five minutes
    #[arg(long, value_name = "N")]
    pub(crate) written: Option<u64>,
    /// Of the prompt: written to the cache for an hour
    #[arg(long, value_name = "N")]
    pub(crate) written_1h: Option<u64>,
    /// Of the prompt: audio tokens
    #[arg(long, value_name = "N")]
    pub(crate) audio_input: Option<u64>,
    /// Of the prompt: image tokens
    #[arg(long, value_name = "N")]
    pub(crate) image_input: Option<u64>,
    /// All generated tokens, reasoning included
    #[arg(long, value_name = "N")]
    pub(crate) output: Option<u64>,
    /// Of the generated tokens: reasoning
    #[arg(long, value_name = "N")]
    pub(crate) reasoning: Option<u64>,
    /// Of the generated tokens: audio
    #[arg(long, value_name = "N")]
    pub(crate) audio_output: Option<u64>,
    /// Of the generated tokens: images
    #[arg(long, value_name = "N")]
    pub(crate) image_output: Option<u64>,
    /// Images, where the answer states no tokens
    #[arg(long, value_name = "N")]
    pub(crate) images: Option<u64>,
    /// Seconds of audio, where the answer states no tokens
    #[arg(long, value_name = "N")]
    pub(crate) seconds: Option<u64>,
    /// Hosted web searches
    #[arg(long, value_name = "N")]
    pub(crate) searches: Option<u64>,
    /// Searches in uploaded files
    #[arg(long, value_name = "N")]
    pub(crate) file_searches: Option<u64>,
    /// Sessions of a hosted code interpreter
    #[arg(long, value_name = "N")]
    pub(crate) code_sessions: Option<u64>,
    /// Service tier that the answer names: batch, flex or priority
    #[arg(long, value_name = "TIER")]
    pub(crate) tier: Option<String>,
    /// Prices of this document
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) instance: InstanceOptions,
}

/// Options of `sluice token`.
#[derive(Args, Debug)]
#[command(after_help = "\
By itself a token grants nothing: grants of its login, tags and groups apply, within its limits. `create` prints the token
alone on standard output, once.

Examples:
  TOKEN=$(sluice token create --tag tag:ci --models 'openai/**' --role user --expires 30d --name nightly)
  sluice token list
  sluice token revoke 3f7a90c1")]
pub(crate) struct TokenOptions {
    /// What to do
    #[command(subcommand)]
    pub(crate) command: TokenCommand,
    #[command(flatten)]
    pub(crate) instance: InstanceOptions,
}

/// What `sluice token` does.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token and print it
    Create(TokenCreate),
    /// List tokens, also those that ended within a year
    List {
        /// Print the API's JSON
        #[arg(long)]
        json: bool,
    },
    /// End a token, with whatever runs on it
    Revoke {
        /// Id, as `list` shows it
        #[arg(value_name = "ID")]
        id: String,
    },
}

/// Options of `sluice token create`.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("who").required(true).args(["login", "tag"]))]
pub(crate) struct TokenCreate {
    /// Whose it is
    #[arg(long, value_name = "LOGIN")]
    pub(crate) login: Option<String>,
    /// A machine's, with this tag, `tag:x`; several allowed
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Vec<String>,
    /// Group, `group:x`; several allowed
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Vec<String>,
    /// Limit to models that match this glob over provider/model; several allowed
    #[arg(long, value_name = "GLOB")]
    pub(crate) models: Vec<String>,
    /// Limit to this role
    #[arg(long, value_enum, value_name = "ROLE")]
    pub(crate) role: Option<TokenRole>,
    /// End: a span (90d, 12h) or a moment (RFC 3339) [default: 90d]
    #[arg(long, value_name = "WHEN")]
    pub(crate) expires: Option<String>,
    /// For people [default: the login or tags]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

/// A role that a token is limited to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TokenRole {
    /// Own data
    User,
    /// Everything
    Admin,
}

impl TokenRole {
    /// The word of the API.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
        }
    }
}

/// Options of `sluice quota`.
#[derive(Args, Debug)]
#[command(after_help = "\
A bucket is there from the first request that counts for it. Amounts: 5.00 or '$5.00' for dollars; 5000, 5k, 1.5M for the rest.

Examples:
  sluice quota list
  sluice quota list --quota 'daily:<user>'
  sluice quota refill daily:alice@example.com          to its ceiling
  sluice quota refill daily:alice@example.com 2.50
  sluice quota refill jobs:tag:ci 100k --unit tokens
  sluice quota watch --bucket daily:alice@example.com")]
pub(crate) struct QuotaOptions {
    /// What to do
    #[command(subcommand)]
    pub(crate) command: QuotaCommand,
    #[command(flatten)]
    pub(crate) instance: InstanceOptions,
}

/// What `sluice quota` does.
#[derive(Debug, Subcommand)]
pub(crate) enum QuotaCommand {
    /// List buckets with what is in them
    List {
        #[command(flatten)]
        filter: QuotaFilter,
        /// Print the API's JSON
        #[arg(long)]
        json: bool,
    },
    /// Add to a bucket, never above its ceiling
    Refill(QuotaRefill),
    /// Print the buckets, then a line for each that is used, refilled or passes a mark
    Watch(QuotaWatch),
}

/// Which buckets are meant.
#[derive(Args, Debug)]
pub(crate) struct QuotaFilter {
    /// Only buckets of this quota, named as it is defined: `daily:<user>`
    #[arg(long, value_name = "QUOTA")]
    pub(crate) quota: Option<String>,
    /// Only buckets of this name: `daily:alice@example.com`
    #[arg(long, value_name = "BUCKET")]
    pub(crate) bucket: Option<String>,
}

/// Options of `sluice quota refill`.
#[derive(Args, Debug)]
pub(crate) struct QuotaRefill {
    /// Name of the bucket
    #[arg(value_name = "BUCKET")]
    pub(crate) bucket: String,
    /// What is added [default: all that is missing]
    #[arg(value_name = "AMOUNT", allow_hyphen_values = true)]
    pub(crate) amount: Option<String>,
    /// The quota that it is of, where several have a bucket of this name
    #[arg(long, value_name = "QUOTA")]
    pub(crate) quota: Option<String>,
    /// What the bucket counts
    #[arg(long, value_enum, value_name = "UNIT", default_value = "usd")]
    pub(crate) unit: QuotaUnit,
}

/// Options of `sluice quota watch`.
#[derive(Args, Debug)]
pub(crate) struct QuotaWatch {
    #[command(flatten)]
    pub(crate) filter: QuotaFilter,
    /// End after this many looks [default: go on until Ctrl-C]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=3600))]
    pub(crate) every: u32,
}

/// What a bucket counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum QuotaUnit {
    /// Dollars
    Usd,
    /// Model tokens
    Tokens,
    /// Requests
    Requests,
    /// Requests at one time
    Concurrency,
}

impl QuotaUnit {
    /// The word of the API.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Usd => "usd",
            Self::Tokens => "tokens",
            Self::Requests => "requests",
            Self::Concurrency => "concurrency",
        }
    }
}

/// Options of `sluice session`.
#[derive(Args, Debug)]
pub(crate) struct SessionOptions {
    /// What to do
    #[command(subcommand)]
    pub(crate) command: SessionCommand,
    #[command(flatten)]
    pub(crate) instance: InstanceOptions,
}

/// What `sluice session` does.
#[derive(Debug, Subcommand)]
pub(crate) enum SessionCommand {
    /// List sessions, those with the latest request first
    List(SessionList),
    /// Show one with its agents, models and tools
    Show {
        /// Id, as `list` shows it
        #[arg(value_name = "ID")]
        id: String,
        /// Print the API's JSON
        #[arg(long)]
        json: bool,
    },
}

/// Which sessions `sluice session list` shows.
#[derive(Args, Debug)]
pub(crate) struct SessionList {
    /// Of this login
    #[arg(long, value_name = "LOGIN")]
    pub(crate) user: Option<String>,
    /// Of this program, e.g. claude-code, codex, gemini-cli, opencode
    #[arg(long, value_name = "NAME")]
    pub(crate) client: Option<String>,
    /// That asked for this model
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// Whose latest request is not older: a span (24h, 7d) or a moment (RFC 3339, Unix seconds)
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<String>,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    /// Print the API's JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `sluice audit`.
#[derive(Args, Debug)]
pub(crate) struct AuditOptions {
    /// What to do
    #[command(subcommand)]
    pub(crate) command: AuditCommand,
    #[command(flatten)]
    pub(crate) instance: InstanceOptions,
}

/// What `sluice audit` does.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List entries, newest first
    List(AuditList),
    /// Check every entry against its neighbours and the kept end of the chain; fails if anything is wrong
    Verify {
        /// Number of an entry whose hash was noted elsewhere
        #[arg(long, value_name = "N", requires = "hash")]
        seq: Option<u64>,
        /// Its hash
        #[arg(long, value_name = "HEX", requires = "seq")]
        hash: Option<String>,
        /// Print the API's JSON
        #[arg(long)]
        json: bool,
    },
}

/// Which entries `sluice audit list` shows.
#[derive(Args, Debug)]
pub(crate) struct AuditList {
    /// Of this login
    #[arg(long, value_name = "LOGIN")]
    pub(crate) actor: Option<String>,
    /// Of this kind, e.g. config.save, quota.refill, token.create, token.revoke
    #[arg(long, value_name = "NAME")]
    pub(crate) action: Option<String>,
    /// Not older: a span (24h, 7d) or a moment (RFC 3339, Unix seconds)
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<String>,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    /// Print the API's JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `sluice hook`.
#[derive(Args, Debug)]
pub(crate) struct HookOptions {
    /// What to do
    #[command(subcommand)]
    pub(crate) command: HookCommand,
    #[command(flatten)]
    pub(crate) instance: InstanceOptions,
}

/// What `sluice hook` does.
#[derive(Debug, Subcommand)]
pub(crate) enum HookCommand {
    /// List hooks with what waits for them and what became of the rest
    List {
        /// Print the API's JSON
        #[arg(long)]
        json: bool,
    },
    /// List events that could not be delivered (dead letters), newest first
    Dead {
        /// Of this hook
        #[arg(long, value_name = "NAME")]
        hook: Option<String>,
        /// How many
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Print the API's JSON
        #[arg(long)]
        json: bool,
    },
    /// Let a dead letter wait for delivery again
    Retry {
        /// Id, as `dead` shows it
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Remove a dead letter
    Remove {
        /// Id, as `dead` shows it
        #[arg(value_name = "ID")]
        id: String,
    },
}

/// Options of `sluice exporter`.
#[derive(Args, Debug)]
pub(crate) struct ExporterOptions {
    /// What to do
    #[command(subcommand)]
    pub(crate) command: ExporterCommand,
    #[command(flatten)]
    pub(crate) instance: InstanceOptions,
}

/// What `sluice exporter` does.
#[derive(Debug, Subcommand)]
pub(crate) enum ExporterCommand {
    /// List exporters with what they sent and what waits
    List {
        /// Print the API's JSON
        #[arg(long)]
        json: bool,
    },
    /// Run one without waiting for its time
    Run {
        /// Name in the document
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// Options of `sluice mock`.
#[derive(Args, Debug)]
#[command(after_help = "\
Input tokens stated = request body bytes / 4, output tokens = content events, so that records can be checked.
Every setting is also a header of one request (x-mock-events: 200) or a suffix of the model
(mock-gpt+events=200; not through a gateway, which refuses such names).
A last user message with MOCK_TOOL{\"name\":\"Bash\",\"input\":{\"command\":\"echo hi\"}} is answered with that tool call.
Inside: GET /mock/ledger, GET /mock/stats, POST /mock/reset.

Examples:
  sluice mock --listen 127.0.0.1:9000
  sluice mock --events 50 --gap-ms 20       paced streams
  sluice mock --fault reset:3               reset each answer after three events")]
pub(crate) struct MockCommand {
    /// Address to listen on
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9090", value_parser = listen_address)]
    pub(crate) listen: SocketAddr,
    /// What it answers
    #[command(flatten)]
    pub(crate) answers: sluice_loadtest::mock::MockOptions,
}

/// Options of `sluice meter`.
#[derive(Args, Debug)]
#[command(after_help = "\
KIND is an API kind (openai-chat, openai-responses, anthropic-messages, gemini-generate, bedrock-converse, ollama-native, ...),
or a format that only files come in: openai-realtime, gemini-live, anthropic-batches.
The body is what came from the provider, without HTTP framing. Unknown counts are null, never 0.

Examples:
  sluice meter --api openai-chat answer.json
  curl -sN ... | sluice meter --api anthropic-messages --stream -
  sluice meter --api bedrock-invoke --header 'x-amzn-bedrock-input-token-count: 12' answer.json")]
pub(crate) struct MeterOptions {
    /// Wire format of the call
    #[arg(long, value_name = "KIND")]
    pub(crate) api: String,
    /// The call asked for a stream
    #[arg(long)]
    pub(crate) stream: bool,
    /// The request's JSON body: its `model` is priced where the answer names none
    #[arg(long, value_name = "FILE")]
    pub(crate) request: Option<PathBuf>,
    /// The model asked for, where the body does not name it (Gemini, Bedrock)
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// The provider's price list to look in, e.g. `anthropic`
    #[arg(long, value_name = "NAME", default_value = "")]
    pub(crate) cost_basis: String,
    /// Status of the answer
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(crate) status: u16,
    /// A header of the answer, `name: value`; several allowed
    #[arg(long, value_name = "HEADER")]
    pub(crate) header: Vec<String>,
    /// `content-type` of the answer
    #[arg(long, value_name = "TYPE")]
    pub(crate) content_type: Option<String>,
    /// `content-encoding` of the body in the file
    #[arg(long, value_name = "CODING")]
    pub(crate) content_encoding: Option<String>,
    /// The connection broke before the body's end
    #[arg(long)]
    pub(crate) cut: bool,
    /// The answer's body; `-` reads standard input
    #[arg(value_name = "BODY")]
    pub(crate) body: PathBuf,
}

/// Reads `IP:PORT`, or `localhost:PORT`, which is IPv4's.
fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let ip = text
        .strip_prefix("localhost:")
        .map(|port| format!("127.0.0.1:{port}"));
    ip.as_deref().unwrap_or(text).parse().map_err(|_| {
        "wants IP:PORT, e.g. 127.0.0.1:8080, 0.0.0.0:8080 or [::]:8080 (port 0: any free one)".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_options_hold_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn listen_addresses() {
        let read = |text: &str| listen_address(text).ok().map(|address| address.to_string());
        assert_eq!(read("127.0.0.1:8080").as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(read("localhost:0").as_deref(), Some("127.0.0.1:0"));
        assert_eq!(read("[::1]:8080").as_deref(), Some("[::1]:8080"));
        for wrong in [
            "",
            "8080",
            ":8080",
            "example.com:80",
            "127.0.0.1",
            "127.0.0.1:65536",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
