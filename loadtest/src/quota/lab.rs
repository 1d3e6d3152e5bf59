//! The place where budgets are tried: a mock provider in this process, a gateway as a process, its admin API.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::books::{Account, Charge, Record, Unit};
use super::plan::number_of;
use crate::answer::{Answer, parse};
use crate::mock::{Mock, MockOptions};
use crate::process::{self, Spawned, signal};

/// Whatever is waited for comes within this time, unless it never comes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);
/// How long the admin API may be silent.
const SILENCE_LIMIT: Duration = Duration::from_secs(20);

/// A process of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plane {
    Data,
    Control,
}

impl Plane {
    const fn word(self) -> &'static [u8] {
        match self {
            Self::Data => b"dataplane",
            Self::Control => b"controlplane",
        }
    }
}

/// The gateway and what stands behind it.
pub(crate) struct Lab {
    pub(crate) gateway: SocketAddr,
    pub(super) mock: Mock,
    provider: JoinHandle<()>,
    process: Option<Spawned>,
    command: Vec<String>,
    place: PathBuf,
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.provider.abort();
    }
}

impl Lab {
    /// Starts a mock and a gateway in `place`, a folder that is there, with the document for the mock's address.
    pub(crate) async fn start(
        sluice: &Path,
        shards: u32,
        place: &Path,
        document: impl FnOnce(SocketAddr) -> Value,
    ) -> Result<Self> {
        let mock = Mock::new(MockOptions {
            ledger_max: 5_000_000,
            ..MockOptions::default()
        });
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let upstream = listener.local_addr()?;
        let served = mock.clone();
        let provider = tokio::spawn(async move {
            // It ends with the scenarios.
            let _ = served.serve(listener).await;
        });
        // Free now; if another process takes it meanwhile, the start fails visibly.
        let gateway = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let config = place.join("sluice.hujson");
        std::fs::write(&config, format!("{:#}\n", document(upstream)))?;
        let command = [
            sluice.display().to_string(),
            "up".into(),
            "--config".into(),
            config.display().to_string(),
            "--listen".into(),
            gateway.to_string(),
            "--data".into(),
            place.join("data").display().to_string(),
            "--shards".into(),
            shards.to_string(),
        ];
        let mut lab = Self {
            gateway,
            mock,
            provider,
            process: None,
            command: command.to_vec(),
            place: place.to_owned(),
        };
        lab.begin().await?;
        Ok(lab)
    }

    /// Starts the gateway, on the data that there are.
    pub(super) async fn begin(&mut self) -> Result<()> {
        self.process = Some(Spawned::start(&self.command, None, &self.place, "sluice")?);
        self.serving()
            .await
            .with_context(|| format!("its output is in {}", self.place.display()))
    }

    /// Asks the gateway to end, in good order, and waits.
    pub(crate) fn end(&mut self) -> Result<()> {
        let mut process = self.process.take().context("it does not run")?;
        if !process.terminate(PATIENCE) {
            bail!("the gateway does not end");
        }
        Ok(())
    }

    /// Where the control plane keeps its store.
    pub(super) fn data(&self) -> PathBuf {
        self.place.join("data")
    }

    /// Waits until the gateway serves, and its control plane answers.
    pub(crate) async fn serving(&mut self) -> Result<()> {
        let begin = Instant::now();
        let mut last = "no try yet".to_owned();
        while begin.elapsed() < PATIENCE {
            if self.process.as_mut().is_none_or(Spawned::ended) {
                bail!("the gateway has ended");
            }
            match self.exchange("GET", "/api/health", "").await {
                Ok(answer) if answer.status == 200 => return Ok(()),
                Ok(answer) => last = format!("status {}", answer.status),
                Err(error) => last = format!("{error:#}"),
            }
            tokio::time::sleep(PAUSE).await;
        }
        bail!("the gateway does not answer: {last}")
    }

    fn pid(&self, plane: Plane) -> Option<u32> {
        let root = self.process.as_ref()?.pid();
        process::tree(&[root]).into_iter().find(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|b| *b == 0).any(|word| word == plane.word())
        })
    }

    /// `kill -9`, then waits until the supervisor has another one and the gateway serves.
    pub(super) async fn kill(&mut self, plane: Plane) -> Result<()> {
        let old = self
            .pid(plane)
            .with_context(|| format!("no process of the {plane:?} plane"))?;
        signal("KILL", old);
        let begin = Instant::now();
        while self.pid(plane).is_none_or(|pid| pid == old) {
            if begin.elapsed() > PATIENCE {
                bail!("the {plane:?} plane was not started again");
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.serving().await
    }

    async fn exchange(&self, method: &str, path: &str, body: &str) -> Result<Answer> {
        let asked = async {
            let mut stream = TcpStream::connect(self.gateway).await?;
            let message = format!(
                "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nConnection: close\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                self.gateway,
                body.len()
            );
            stream.write_all(message.as_bytes()).await?;
            let mut seen = Vec::new();
            // It closes behind its answer.
            stream.read_to_end(&mut seen).await?;
            parse(&seen)?.context("a part of an answer")
        };
        tokio::time::timeout(SILENCE_LIMIT, asked)
            .await
            .context("silence")?
    }

    pub(crate) async fn json(&self, method: &str, path: &str, body: &str) -> Result<Value> {
        let answer = self.exchange(method, path, body).await?;
        let text = || String::from_utf8_lossy(&answer.body).into_owned();
        if answer.status != 200 {
            bail!("{method} {path}: status {}: {}", answer.status, text());
        }
        serde_json::from_slice(&answer.body).with_context(|| format!("{method} {path}: {}", text()))
    }

    /// Every bucket.
    pub(super) async fn accounts(&self) -> Result<Vec<Account>> {
        let mut accounts = Vec::new();
        let mut after = String::new();
        loop {
            let page = self
                .json("GET", &format!("/api/quotas?limit=500{after}"), "")
                .await?;
            let found = page.get("quotas").and_then(Value::as_array);
            for line in found.context("no `quotas` in the answer")? {
                accounts.push(account(line).with_context(|| format!("a bucket: {line}"))?);
            }
            let Some(next) = page.get("next").and_then(Value::as_str) else {
                return Ok(accounts);
            };
            after = format!("&cursor={next}");
        }
    }

    /// Every record of ours.
    pub(super) async fn records(&self) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        let mut after = String::new();
        loop {
            let page = self
                .json("GET", &format!("/api/requests?limit=1000{after}"), "")
                .await?;
            let found = page.get("requests").and_then(Value::as_array);
            for line in found.context("no `requests` in the answer")? {
                records.extend(record(line)?);
            }
            let Some(next) = page.get("next_cursor").and_then(Value::as_str) else {
                return Ok(records);
            };
            after = format!("&cursor={next}");
        }
    }

    /// Puts something into a bucket by hand; what really came.
    pub(super) async fn refill(&self, bucket: &str, unit: Unit, amount: u64) -> Result<u64> {
        let amount = match unit {
            Unit::Usd => json!(dollars(amount)),
            Unit::Tokens | Unit::Requests | Unit::Concurrency => json!(amount),
        };
        let body = json!({"bucket": bucket, "unit": unit.name(), "amount": amount}).to_string();
        let answer = self.json("POST", "/api/quotas/refill", &body).await?;
        let added = answer.get("added").and_then(Value::as_u64);
        added.with_context(|| format!("no `added` in {answer}"))
    }

    /// Sum over all series of a gauge; `None`: there is none.
    pub(super) async fn gauge(&self, name: &str) -> Result<Option<u64>> {
        let answer = self.exchange("GET", "/metrics", "").await?;
        if answer.status != 200 {
            bail!("/metrics: status {}", answer.status);
        }
        Ok(sum_of(&String::from_utf8_lossy(&answer.body), name))
    }
}

fn sum_of(metrics: &str, name: &str) -> Option<u64> {
    let mut values = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let value = rest.strip_prefix(' ').or_else(|| {
            let (_, value) = rest.strip_prefix('{')?.rsplit_once("} ")?;
            Some(value)
        })?;
        value.split_whitespace().next()?.parse::<u64>().ok()
    });
    let first = values.next()?;
    Some(values.fold(first, u64::saturating_add))
}

/// Nanodollars as the document and the API take them, to the last one.
pub(super) fn dollars(nanodollars: u64) -> String {
    format!(
        "${}.{:09}",
        nanodollars / 1_000_000_000,
        nanodollars % 1_000_000_000
    )
}

fn account(line: &Value) -> Option<Account> {
    let text = |name: &str| line.get(name)?.as_str().map(str::to_owned);
    Some(Account {
        id: line.get("id")?.as_u64()?,
        quota: text("quota")?,
        bucket: text("bucket")?,
        unit: Unit::parse(line.get("unit")?.as_str()?)?,
        capacity: line.get("capacity")?.as_u64()?,
        balance: line.get("balance")?.as_i64()?,
        charged: line.get("charged")?.as_u64()?,
    })
}

/// A record of ours; those of other calls are none.
fn record(line: &Value) -> Result<Option<Record>> {
    let text = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or_default();
    let Some(number) = number_of(text("user_agent")) else {
        return Ok(None);
    };
    let charges = line.get("charges").and_then(Value::as_array);
    let charges = charges.with_context(|| format!("no `charges` in {line}"))?;
    let charges: Option<Vec<Charge>> = charges
        .iter()
        .map(|charge| {
            Some(Charge {
                bucket: charge.get("bucket")?.as_u64()?,
                unit: Unit::parse(charge.get("unit")?.as_str()?)?,
                amount: charge.get("amount")?.as_u64()?,
            })
        })
        .collect();
    Ok(Some(Record {
        number,
        ended: text("ended").to_owned(),
        status: line.get("status").and_then(Value::as_u64).unwrap_or(0),
        cost: line.get("cost_nanousd").and_then(Value::as_u64),
        charges: charges.with_context(|| format!("charges in {line}"))?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateways_words_are_understood() {
        let line = json!({"quota": "daily:<user>", "bucket": "daily:a", "unit": "usd", "id": 7, "capacity": 10,
            "balance": -4, "leased": 6, "charged": 14, "rate": {"amount": 0, "per_s": 0}});
        let expected = Account {
            id: 7,
            quota: "daily:<user>".into(),
            bucket: "daily:a".into(),
            unit: Unit::Usd,
            capacity: 10,
            balance: -4,
            charged: 14,
        };
        assert_eq!(account(&line), Some(expected));
        let line = json!({"user_agent": "loadtest-quota/3", "ended": "complete", "status": 200, "cost_nanousd": 5,
            "charges": [{"bucket": 7, "unit": "tokens", "amount": 9}]});
        let record = record(&line).unwrap().unwrap();
        let charge = Charge {
            bucket: 7,
            unit: Unit::Tokens,
            amount: 9,
        };
        assert_eq!((record.number, record.charges), (3, vec![charge]));
        assert!(super::record(&json!({"user_agent": "curl"})).unwrap().is_none());
    }

    #[test]
    fn gauges_are_summed_over_their_series() {
        let text = "# TYPE a gauge\na{unit=\"usd\"} 3\na{unit=\"tokens\"} 4\nab 100\nb 5\n";
        assert_eq!(sum_of(text, "a"), Some(7));
        assert_eq!(sum_of(text, "b"), Some(5));
        assert_eq!(sum_of(text, "c"), None);
    }

    #[test]
    fn dollars_are_written_to_the_nanodollar() {
        assert_eq!(dollars(12_345_678_901), "$12.345678901");
        assert_eq!(dollars(5), "$0.000000005");
    }
}
