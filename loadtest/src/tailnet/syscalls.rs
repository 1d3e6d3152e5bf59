//! System calls of threads, counted by `strace`.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::process::{Spawned, on_path};

/// How long `strace` may take to attach.
const ATTACH_LIMIT: Duration = Duration::from_secs(10);

/// A count that goes on.
pub(super) struct Counting {
    strace: Spawned,
    table: std::path::PathBuf,
}

impl Counting {
    /// Begins to count the calls of a process's threads whose name begins like this; `Err` says why that cannot be
    /// done here.
    pub(super) async fn begin(pid: u32, prefix: &str, folder: &Path, label: &str) -> Result<Self, String> {
        if !on_path("strace") {
            return Err("strace is not installed (apt-get install strace)".into());
        }
        let threads = threads(pid, prefix);
        let table = folder.join(format!("{label}.calls"));
        let mut command = vec![
            "strace".to_owned(),
            "-c".into(),
            "-o".into(),
            table.display().to_string(),
        ];
        for thread in &threads {
            command.extend(["-p".to_owned(), thread.to_string()]);
        }
        let name = format!("{label}-strace");
        let mut strace =
            Spawned::start(&command, None, folder, &name).map_err(|error| format!("{error:#}"))?;
        let log = folder.join(format!("{name}.log"));
        let begin = Instant::now();
        loop {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            if said.matches("attached").count() >= threads.len().max(1) {
                break;
            }
            if strace.ended() || begin.elapsed() > ATTACH_LIMIT {
                return Err(format!(
                    "strace cannot attach: {}",
                    said.lines().next().unwrap_or_default()
                ));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(Self { strace, table })
    }

    /// Ends and gives how many calls there were.
    pub(super) fn end(mut self) -> Result<u64> {
        // It detaches and writes its table.
        self.strace.terminate(ATTACH_LIMIT);
        let text = std::fs::read_to_string(&self.table).context("no table of strace")?;
        total(&text).context("no total in the table of strace")
    }
}

fn threads(pid: u32, prefix: &str) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let named = tasks.filter(|task| {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        name.starts_with(prefix)
    });
    named
        .filter_map(|task| task.file_name().to_str()?.parse().ok())
        .collect()
}

/// The number of calls in the last line: `100.00  0.123  5  2345  [7]  total`.
fn total(table: &str) -> Option<u64> {
    let line = table
        .lines()
        .rev()
        .find(|line| line.trim_end().ends_with("total"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_read() {
        let check = |table: &str, expected| assert_eq!(total(table), expected, "{table}");
        check(
            "% time seconds\n 60.00 0.1 3 40 read\n------\n100.00    0.178    4     41         2 total\n",
            Some(41),
        );
        check(
            "100.00    0.000178           4        41           total\n",
            Some(41),
        );
        check("", None);
    }
}
