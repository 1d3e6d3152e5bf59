//! Processes: starting them on a core, what they cost, ending them with all their children.
//!
//! CPU time is the sum over all threads of `/proc/PID/task/TID/schedstat` (nanoseconds on the CPU, user and kernel).
//! A thread that ends takes its time with it, so a figure can only be too low, never too high.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// How long a process may take to end after SIGTERM before it is killed.
const TERM_LIMIT: Duration = Duration::from_secs(5);

/// A process tree that is ended when this is dropped.
pub struct Spawned {
    child: Child,
}

impl Spawned {
    /// Starts a command line, on one core if asked. What it prints goes to a file in `dir`.
    ///
    /// # Errors
    /// The line is empty, or its program cannot be started.
    pub fn start(command: &[String], core: Option<usize>, dir: &Path, label: &str) -> Result<Self> {
        let log = dir.join(format!("{label}.log"));
        let out = fs::OpenOptions::new().create(true).append(true).open(&log)?;
        let mut line: Vec<String> = Vec::new();
        if let Some(core) = core {
            line.extend(["taskset".to_owned(), "-c".to_owned(), core.to_string()]);
        }
        line.extend(command.iter().cloned());
        let (program, arguments) = line.split_first().context("empty command line")?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("starting `{}`", line.join(" ")))?;
        Ok(Self { child })
    }

    /// Id of the root process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the root process has ended by itself.
    pub fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks the root to end and waits; true if it did so within the limit.
    pub fn terminate(&mut self, limit: Duration) -> bool {
        signal("TERM", self.pid());
        let begin = Instant::now();
        while begin.elapsed() < limit {
            if self.ended() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        let tree = tree(&[self.pid()]);
        if !self.ended() {
            self.terminate(TERM_LIMIT);
        }
        for pid in tree
            .into_iter()
            .filter(|pid| Path::new(&format!("/proc/{pid}")).exists())
        {
            signal("KILL", pid);
        }
        let _reaped = self.child.wait();
    }
}

/// Sends a signal by the shell's `kill`; a process that is gone is no error.
pub fn signal(name: &str, pid: u32) {
    let _gone = Command::new("sh")
        .args(["-c", &format!("kill -{name} {pid}")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

/// Pins a running process (and the threads it will start) to a core.
///
/// # Errors
/// `taskset` is missing or refuses.
pub fn pin(pid: u32, core: usize) -> Result<()> {
    let status = Command::new("taskset")
        .args(["-a", "-p", "-c", &core.to_string(), &pid.to_string()])
        .stdout(Stdio::null())
        .status()
        .context("running taskset")?;
    if !status.success() {
        bail!("taskset could not pin process {pid} to core {core}");
    }
    Ok(())
}

/// Whether a program is found on the path.
pub fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
        || Path::new("/usr/sbin").join(program).is_file()
}

/// The processes and all their descendants.
pub fn tree(roots: &[u32]) -> BTreeSet<u32> {
    let mut parents: Vec<(u32, u32)> = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if let Some(parent) = parent(&stat) {
            parents.push((pid, parent));
        }
    }
    let mut found: BTreeSet<u32> = roots.iter().copied().collect();
    loop {
        let before = found.len();
        for (pid, parent) in &parents {
            if found.contains(parent) {
                found.insert(*pid);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// The parent in a `/proc/PID/stat` line, whose second field may hold blanks and brackets.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Nanoseconds on the CPU of these processes and their descendants.
pub fn cpu_ns(roots: &[u32]) -> u64 {
    tree(roots).into_iter().map(process_cpu_ns).sum()
}

fn process_cpu_ns(pid: u32) -> u64 {
    let mut total = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        match text.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()) {
            Some(ns) => total += ns,
            // A kernel without schedstat: ticks of 10 ms.
            None => total += ticks_ns(&fs::read_to_string(task.path().join("stat")).unwrap_or_default()),
        }
    }
    total
}

/// User and system ticks of a `stat` line in nanoseconds.
fn ticks_ns(stat: &str) -> u64 {
    let Some((_, rest)) = stat.rsplit_once(')') else {
        return 0;
    };
    let mut fields = rest
        .split_whitespace()
        .skip(11)
        .map(|n| n.parse::<u64>().unwrap_or(0));
    (fields.next().unwrap_or(0) + fields.next().unwrap_or(0)) * 10_000_000
}

/// Resident and proportional memory of a process tree, in KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident.
    pub rss: u64,
    /// Proportional.
    pub pss: u64,
}

/// Memory of these processes and their descendants.
pub fn memory(roots: &[u32]) -> Memory {
    tree(roots).into_iter().fold(Memory::default(), |sum, pid| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        Memory {
            rss: sum.rss + kib(&status, "VmRSS:"),
            pss: sum.pss + kib(&rollup, "Pss:"),
        }
    })
}

fn kib(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next())
        .and_then(|n| n.parse().ok())
        .unwrap_or(0)
}

/// Raises the limit of open files of this process as far as it may be; gives what it is then.
///
/// # Errors
/// The limit cannot be read.
#[allow(unsafe_code, reason = "limits have no safe form")]
pub fn raise_open_files() -> std::io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel fills `limit`.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    let raised = libc::rlimit {
        rlim_cur: limit.rlim_max,
        ..limit
    };
    // SAFETY: `raised` lives for the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0 {
        limit = raised;
    }
    Ok(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_lines_are_read_past_odd_names() {
        let stat = "12 (a) b (c)) S 7 12 12 0 -1 4194304 1 2 3 4 250 50 0 0 20 0 1 0 1 1 1";
        assert_eq!(parent(stat), Some(7));
        assert_eq!(ticks_ns(stat), 3_000_000_000);
        assert_eq!(kib("VmRSS:\t  120 kB\nPss: 3 kB\n", "VmRSS:"), 120);
    }

    #[test]
    fn this_process_has_memory_and_time() {
        let me = std::process::id();
        assert!(tree(&[me]).contains(&me));
        assert!(cpu_ns(&[me]) > 0);
        assert!(memory(&[me]).rss > 0);
    }
}
