//! `sluice up`: the supervisor.
//!
//! The order of a start: read the configuration, claim the data directory, bind the sockets (each of these can
//! refuse, before anything runs), become a user without privileges, start the children, say what there is, say `ready` when the gateway itself says so.
//! The order of an end: the data plane drains while the control plane still answers and stores; then the control
//! plane takes in the rest of the journal; then the mock provider goes.

mod backoff;
mod banner;
mod child;
mod instance;
mod ready;
mod sockets;
mod user;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinHandle, LocalSet};
use tracing::{info, warn};

use self::banner::Banner;
use self::child::{Role, Wish};
use self::instance::Instance;
use self::sockets::Sockets;
use crate::cli::UpOptions;
use crate::logging::{self, LogFormat};
use crate::planes::{self, Found};

/// Read if it is there and no other configuration is named.
const CONFIG_DEFAULT: &str = "sluice.hujson";
/// Any free port of this machine alone.
const ANY_LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
/// Beyond its own deadline the data plane needs a moment to record what it cut off.
const DRAIN_MARGIN: Duration = Duration::from_secs(2);
/// The control plane stores what the journal still holds.
const STORE_LIMIT: Duration = Duration::from_secs(10);
/// The mock provider has nothing to lose.
const MOCK_LIMIT: Duration = Duration::from_secs(1);

/// Runs until SIGTERM, SIGINT or SIGHUP.
///
/// # Errors
/// Refuses to start, with the reason, if the configuration is invalid, the data directory unusable, or an address
/// taken.
pub(crate) fn run(options: UpOptions, log_format: LogFormat) -> Result<ExitCode> {
    // One thread: the kernel ties a child's life to the thread that started it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let prepared = {
        let _context = runtime.enter();
        prepare(options)?
    };
    let logs = logging::start(log_format);
    if let Some(warning) = &prepared.warning {
        warn!("{warning}");
    }
    let code = LocalSet::new().block_on(&runtime, supervise(prepared, log_format));
    drop(logs);
    code
}

/// Everything that can refuse to start, and what is done with the privileges of whoever started this.
struct Prepared {
    config: Option<PathBuf>,
    found: Found,
    instance: Rc<Instance>,
    shards: u16,
    sockets: Sockets,
    mock: Option<Sockets>,
    /// The mock provider was asked for: keys in the environment are none of the gateway's business.
    mock_only: bool,
    /// Addresses were given on the command line.
    overruled: bool,
    drain_s: u64,
    /// That root has to stay root.
    warning: Option<String>,
}

fn prepare(options: UpOptions) -> Result<Prepared> {
    let config = config_path(options.config, &options.place.data)?;
    if options.mock
        && let Some(path) = &config
    {
        bail!(
            "--mock does not go together with the configuration {}",
            path.display()
        );
    }
    let found = planes::look(config.as_deref(), options.mock)?;
    let instance = Instance::claim(&options.place.data)?;
    let shards = options.shards.unwrap_or_else(cores);
    let wanted = if options.listen.is_empty() {
        &found.listeners
    } else {
        &options.listen
    };
    let sockets = Sockets::bind(wanted, shards)?;
    let mock = if found.needs_mock {
        Some(Sockets::bind(&[ANY_LOCAL], 1).context("cannot start the mock provider")?)
    } else {
        None
    };
    let warning = user::settle(options.user.as_deref(), &instance, || {
        planes::look(config.as_deref(), options.mock).map(drop)
    })?;
    Ok(Prepared {
        config,
        // A port that was left to the system is known only now.
        overruled: !options.listen.is_empty() || found.listeners.iter().any(|address| address.port() == 0),
        found,
        instance: Rc::new(instance),
        shards,
        sockets,
        mock,
        mock_only: options.mock,
        drain_s: options.drain,
        warning,
    })
}

async fn supervise(prepared: Prepared, log_format: LogFormat) -> Result<ExitCode> {
    let Prepared {
        config,
        found,
        instance,
        shards,
        sockets,
        mock,
        mock_only,
        overruled,
        drain_s,
        warning: _,
    } = prepared;
    let mock_address = mock.as_ref().and_then(|mock| mock.addresses.first().copied());
    let addresses = sockets.addresses.clone();
    // The control plane keeps the document's listeners unless they were overruled here.
    let listen = if overruled { addresses.as_slice() } else { &[] };
    let lines: Vec<String> = addresses.iter().map(|address| format!("{address}\n")).collect();
    instance.write("listen", &lines.concat())?;

    let mut interrupts = Interrupts::new()?;
    let start = |role: Role| Supervised::start(role, &instance);
    let mock = mock.map(|sockets| start(mock_role(sockets, log_format)));
    let control = start(control_role(
        &instance,
        config.as_deref(),
        mock_address,
        listen,
        !mock_only,
        log_format,
    ));
    let data = start(data_role(&instance, sockets, shards, log_format));

    print!(
        "{}",
        banner(
            &addresses,
            shards,
            instance.dir(),
            config.as_deref(),
            &found,
            mock_address
        )
    );
    if let Some(&address) = addresses.first() {
        tokio::select! {
            () = ready::ready(address) => println!("ready"),
            () = interrupts.next() => {
                interrupts.pending = true;
            }
        }
    }

    interrupts.next().await;
    let drain = Duration::from_secs(drain_s);
    info!(seconds = drain_s, "draining; a second signal stops at once");
    let stages = [
        (Some(data), drain.saturating_add(DRAIN_MARGIN)),
        (Some(control), STORE_LIMIT),
        (mock, MOCK_LIMIT),
    ];
    let clean = end(stages, &mut interrupts).await;
    info!("stopped");
    Ok(if clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Ends the children one after the other. Returns whether none had to be killed.
async fn end(stages: [(Option<Supervised>, Duration); 3], interrupts: &mut Interrupts) -> bool {
    let mut clean = true;
    let mut at_once = false;
    for (child, limit) in stages {
        let Some(mut child) = child else { continue };
        child
            .wish
            .send_replace(if at_once { Wish::Gone } else { Wish::Drain(limit) });
        loop {
            tokio::select! {
                ended = &mut child.task => {
                    clean &= ended.unwrap_or(false);
                    break;
                }
                () = interrupts.next(), if !at_once => {
                    at_once = true;
                    child.wish.send_replace(Wish::Gone);
                }
            }
        }
    }
    clean
}

/// A child and the means to end it.
struct Supervised {
    wish: watch::Sender<Wish>,
    task: JoinHandle<bool>,
}

impl Supervised {
    fn start(role: Role, instance: &Rc<Instance>) -> Self {
        let (wish, wished) = watch::channel(Wish::Run);
        Self {
            wish,
            task: tokio::task::spawn_local(child::keep(role, Rc::clone(instance), wished)),
        }
    }
}

/// The signals that end a supervisor. A terminal that goes away (SIGHUP) ends it like any other.
struct Interrupts {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// One has come and was not yet acted on.
    pending: bool,
}

impl Interrupts {
    fn new() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            pending: false,
        })
    }

    async fn next(&mut self) {
        if std::mem::take(&mut self.pending) {
            return;
        }
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

/// The document: the one that is named, one in the working directory, or one that was saved through the API.
fn config_path(named: Option<PathBuf>, data: &Path) -> Result<Option<PathBuf>> {
    let saved = data.join(sluice_controlplane::SAVED_CONFIG);
    let path = match named {
        Some(path) => path,
        None if Path::new(CONFIG_DEFAULT).exists() => PathBuf::from(CONFIG_DEFAULT),
        None if saved.exists() => saved,
        None => return Ok(None),
    };
    let path = path
        .canonicalize()
        .with_context(|| format!("cannot read the configuration {}", path.display()))?;
    Ok(Some(path))
}

/// Cores that this process may use.
pub(crate) fn cores() -> u16 {
    std::thread::available_parallelism()
        .ok()
        .and_then(|n| u16::try_from(n.get()).ok())
        .unwrap_or(1)
}

fn common(instance: Option<&Instance>, log_format: LogFormat) -> Vec<OsString> {
    let mut args = vec!["--log-format".into(), log_format.name().into()];
    if let Some(instance) = instance {
        args.extend(["--data".into(), instance.dir().into()]);
    }
    args
}

fn control_role(
    instance: &Instance,
    config: Option<&Path>,
    mock: Option<SocketAddr>,
    listen: &[SocketAddr],
    sees_environment: bool,
    log_format: LogFormat,
) -> Role {
    let mut args = common(Some(instance), log_format);
    if let Some(path) = config {
        args.extend(["--config".into(), path.into()]);
    }
    if let Some(address) = mock {
        args.extend(["--mock-url".into(), format!("http://{address}").into()]);
    }
    for address in listen {
        args.extend(["--listen".into(), address.to_string().into()]);
    }
    // It resolves `${env:NAME}` and finds the usual key variables, so it alone sees them.
    Role {
        name: "controlplane",
        args,
        sees_environment,
        sockets: Vec::new(),
    }
}

fn data_role(instance: &Instance, sockets: Sockets, shards: u16, log_format: LogFormat) -> Role {
    let mut args = common(Some(instance), log_format);
    args.extend(["--shards".into(), shards.to_string().into()]);
    Role {
        name: "dataplane",
        args,
        sees_environment: false,
        sockets: sockets.listeners,
    }
}

fn mock_role(sockets: Sockets, log_format: LogFormat) -> Role {
    Role {
        name: "mock",
        args: common(None, log_format),
        sees_environment: false,
        sockets: sockets.listeners,
    }
}

fn banner(
    addresses: &[SocketAddr],
    shards: u16,
    data: &Path,
    config: Option<&Path>,
    found: &Found,
    mock: Option<SocketAddr>,
) -> String {
    banner::text(&Banner {
        addresses,
        shards,
        data,
        config,
        summary: &found.summary,
        mock,
        warnings: &found.warnings,
    })
}
