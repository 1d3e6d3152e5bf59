//! One supervised child process: started, started again when it dies, ended when asked.

use std::ffi::OsString;
use std::os::fd::{AsRawFd, RawFd};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::backoff::Backoff;
use super::instance::Instance;
use crate::environment;

/// What a child is started with.
#[derive(Debug)]
pub(super) struct Role {
    /// Subcommand and name of its pid file.
    pub(super) name: &'static str,
    /// Arguments behind the subcommand. Never a secret: everyone can read `/proc/PID/cmdline`.
    pub(super) args: Vec<OsString>,
    /// Whether it is handed the whole environment, in a memory file; in its own it has only what [`environment`] lists.
    pub(super) sees_environment: bool,
    /// Listening sockets it inherits, named in `SLUICE_LISTEN_FDS`.
    pub(super) sockets: Vec<std::net::TcpListener>,
}

/// What a child is asked to do; only ever grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wish {
    /// To live.
    Run,
    /// To finish what is in flight (SIGTERM), for at most this long; then SIGKILL.
    Drain(Duration),
    /// To be gone at once (SIGKILL).
    Gone,
}

/// Keeps a child running until it is asked to end. Returns whether it ended by itself when asked.
pub(super) async fn keep(role: Role, instance: Rc<Instance>, mut wish: watch::Receiver<Wish>) -> bool {
    let pid_file = format!("{}.pid", role.name);
    let mut backoff = Backoff::new();
    loop {
        let started = Instant::now();
        match spawn(&role) {
            Ok(mut child) => {
                let pid = child.id().unwrap_or_default();
                if let Err(error) = instance.write(&pid_file, &format!("{pid}\n")) {
                    warn!("{error:#}");
                }
                info!(pid, "{} started", role.name);
                tokio::select! {
                    status = child.wait() => report(role.name, pid, status),
                    () = until(&mut wish, |wish| wish != Wish::Run) => {
                        let in_time = end(&mut child, &mut wish).await;
                        instance.remove(&pid_file);
                        if !in_time {
                            warn!(pid, "{} was killed", role.name);
                        }
                        return in_time;
                    }
                }
            }
            Err(error) => error!("cannot start {}: {error}", role.name),
        }
        let pause = backoff.pause(started.elapsed());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = until(&mut wish, |wish| wish != Wish::Run) => {
                instance.remove(&pid_file);
                return true;
            }
        }
    }
}

/// Waits for a wish. A supervisor that is no longer there wishes everything.
async fn until(wish: &mut watch::Receiver<Wish>, wanted: impl Fn(Wish) -> bool) {
    wish.wait_for(|wish| wanted(*wish)).await.ok();
}

fn report(name: &str, pid: u32, status: std::io::Result<ExitStatus>) {
    match status {
        Ok(status) => error!(pid, "{name} ended ({status}); starting it again"),
        Err(error) => error!(pid, "{name} was lost ({error}); starting it again"),
    }
}

/// Ends a child as wished; the wish may become stronger meanwhile. Returns whether SIGKILL was not needed.
async fn end(child: &mut Child, wish: &mut watch::Receiver<Wish>) -> bool {
    let asked = *wish.borrow_and_update();
    if let Wish::Drain(limit) = asked {
        terminate(child);
        tokio::select! {
            _ = child.wait() => return true,
            () = tokio::time::sleep(limit) => {}
            () = until(wish, |wish| wish == Wish::Gone) => {}
        }
    }
    child.kill().await.ok();
    false
}

#[allow(
    unsafe_code,
    reason = "there is no safe call that sends SIGTERM to one process"
)]
fn terminate(child: &Child) {
    if let Some(pid) = child.id().and_then(|pid| libc::pid_t::try_from(pid).ok()) {
        // SAFETY: `kill` takes two integers. The child has not been waited for, so the id is still its own.
        unsafe { libc::kill(pid, libc::SIGTERM) };
    }
}

/// Starts the child: same executable, own process group (a Ctrl-C in the terminal is ours to translate), killed by
/// the kernel if this process dies. What this process has given up, it has not either.
#[allow(unsafe_code, reason = "the calls between fork and exec have no safe form")]
fn spawn(role: &Role) -> std::io::Result<Child> {
    let mut command = Command::new(executable());
    command
        .arg0("sluice")
        .arg(role.name)
        .args(&role.args)
        .stdin(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    command.env_clear().envs(environment::harmless());
    let mut inherited: Vec<RawFd> = role.sockets.iter().map(AsRawFd::as_raw_fd).collect();
    if !inherited.is_empty() {
        let list: Vec<String> = inherited.iter().map(ToString::to_string).collect();
        command.env(environment::LISTEN_FDS, list.join(","));
    }
    if role.sees_environment
        && let Some(file) = environment::memory_file()
    {
        command.env(environment::HANDED_OVER, file.as_raw_fd().to_string());
        inherited.push(file.as_raw_fd());
    }
    let parent = std::process::id();
    // SAFETY: between fork and exec only async-signal-safe calls are made: prctl, getppid, fcntl. The descriptors belong
    // to `role` and to the environment, which outlive this call.
    unsafe {
        command.pre_exec(move || {
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
            if u32::try_from(libc::getppid()) != Ok(parent) {
                return Err(std::io::Error::from_raw_os_error(libc::ESRCH));
            }
            // Huge pages round thousands of small streams up; what a process holds should be what it uses.
            check(libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0))?;
            for &fd in &inherited {
                check(libc::fcntl(fd, libc::F_SETFD, 0))?;
            }
            Ok(())
        });
    }
    command.spawn()
}

fn check(result: libc::c_int) -> std::io::Result<()> {
    if result == -1 {
        Err(std::io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// This program, also after its file was replaced by a newer one.
fn executable() -> PathBuf {
    PathBuf::from("/proc/self/exe")
}
