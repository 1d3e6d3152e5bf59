//! What is measured: nothing (direct), nginx, haproxy, a gateway given as a command line. Each with a configuration
//! written for the run, on a free port, pinned to its core.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use crate::process::{Spawned, on_path};

/// How long a target may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A proxy or gateway, not yet started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The mock itself: what the others are compared with.
    Direct,
    /// `buffered`: reads a request's body whole before it forwards it, nginx's default.
    Nginx {
        buffered: bool,
    },
    Haproxy,
    /// A labelled command line; `{config}`, `{listen}`, `{data}` and `{upstream}` are filled in.
    Command {
        label: String,
        line: String,
    },
}

/// A target that answers.
pub(crate) struct Running {
    pub(crate) label: String,
    pub(crate) address: SocketAddr,
    pub(crate) process: Option<Spawned>,
    /// Whether it may ask for usage by itself, so that the mock's checksum is not that of what arrives.
    pub(crate) rewrites: bool,
}

impl Target {
    /// `LABEL=COMMAND LINE`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let (label, line) = text.split_once('=').context("a target is LABEL=COMMAND LINE")?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if label.is_empty() || !label.chars().all(plain) {
            bail!("a target's label is made of letters, digits, `-`, `_`, `.`; got `{label}`");
        }
        Ok(Self::Command {
            label: label.to_owned(),
            line: line.to_owned(),
        })
    }

    /// The command line by which Sluice is measured.
    pub(crate) fn sluice(binary: &str) -> Self {
        let line = format!("{binary} up --config {{config}} --listen {{listen}} --data {{data}} --shards 1");
        Self::Command {
            label: "sluice".to_owned(),
            line,
        }
    }

    pub(crate) fn label(&self) -> &str {
        match self {
            Self::Direct => "direct",
            Self::Nginx { buffered: false } => "nginx",
            Self::Nginx { buffered: true } => "nginx-buffered",
            Self::Haproxy => "haproxy",
            Self::Command { label, .. } => label,
        }
    }

    /// Why it cannot run here, if it cannot.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        match self {
            Self::Nginx { .. } if !on_path("nginx") => {
                Some("nginx is not installed (apt-get install nginx-light)")
            }
            Self::Haproxy if !on_path("haproxy") => {
                Some("haproxy is not installed (apt-get install haproxy)")
            }
            _ => None,
        }
    }

    /// Starts it in front of `upstream` and waits until it answers.
    pub(crate) fn start(&self, upstream: SocketAddr, dir: &Path, core: Option<usize>) -> Result<Running> {
        let label = self.label().to_owned();
        if matches!(self, Self::Direct) {
            return Ok(Running {
                label,
                address: upstream,
                process: None,
                rewrites: false,
            });
        }
        let dir = dir.join(&label);
        fs::create_dir_all(&dir)?;
        let listen = free_port()?;
        let rewrites = matches!(self, Self::Command { .. });
        let command: Vec<String> = match self {
            Self::Direct => Vec::new(),
            Self::Nginx { buffered } => {
                let config = dir.join("nginx.conf");
                fs::write(&config, nginx(listen, upstream, &dir, *buffered))?;
                words(&format!("nginx -p {} -c {}", dir.display(), config.display()))
            }
            Self::Haproxy => {
                let config = dir.join("haproxy.cfg");
                fs::write(&config, haproxy(listen, upstream))?;
                words(&format!("haproxy -db -f {}", config.display()))
            }
            Self::Command { line, .. } => {
                let config = dir.join("sluice.hujson");
                let data = dir.join("data");
                let _fresh_each_time = fs::remove_dir_all(&data);
                fs::write(&config, sluice(upstream))?;
                let line = line
                    .replace("{config}", &config.display().to_string())
                    .replace("{listen}", &listen.to_string())
                    .replace("{data}", &data.display().to_string())
                    .replace("{upstream}", &upstream.to_string());
                words(&line)
            }
        };
        let process = Spawned::start(&command, core, &dir, &label)?;
        let mut running = Running {
            label,
            address: listen,
            process: Some(process),
            rewrites,
        };
        running
            .await_answer()
            .with_context(|| format!("its output is in {}", dir.display()))?;
        Ok(running)
    }
}

impl Running {
    /// Ids of the root process, for the meters; none for the mock itself.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.process.iter().map(Spawned::pid).collect()
    }

    /// Waits until a model call comes back with 200.
    pub(crate) fn await_answer(&mut self) -> Result<()> {
        let begin = Instant::now();
        let mut last = "no try yet".to_owned();
        while begin.elapsed() < START_LIMIT {
            if self.process.as_mut().is_some_and(Spawned::ended) {
                bail!("{} ended while starting", self.label);
            }
            match probe(self.address) {
                Ok(200) => return Ok(()),
                Ok(status) => last = format!("status {status}"),
                Err(error) => last = error.to_string(),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("{} did not answer within {START_LIMIT:?}: {last}", self.label)
    }
}

/// Status of a small chat call.
pub(crate) fn probe(address: SocketAddr) -> Result<u16> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(3)))?;
    let body = format!(r#"{{"model":"{}","messages":[]}}"#, crate::scenario::MODEL);
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(64 << 10).read_to_end(&mut answer)?;
    let text = String::from_utf8_lossy(&answer);
    text.get(9..12)
        .and_then(|digits| digits.parse().ok())
        .context("no HTTP answer")
}

/// A port that is free now. Another process could take it before the target does; the run then fails visibly.
pub(crate) fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

/// One worker, streams unbuffered in both directions, kept-alive upstream connections, no log: how nginx stands
/// before an LLM provider.
fn nginx(listen: SocketAddr, upstream: SocketAddr, dir: &Path, buffered: bool) -> String {
    let dir = dir.display();
    let request_buffering = if buffered { "on" } else { "off" };
    format!(
        "user root;\nworker_processes 1;\nworker_rlimit_nofile 20000;\ndaemon off;\npid {dir}/nginx.pid;\n\
         error_log {dir}/error.log warn;\nevents {{ worker_connections 16000; }}\nhttp {{\n\
         access_log off;\nclient_max_body_size 64m;\nclient_body_buffer_size 64k;\nkeepalive_timeout 75s;\n\
         keepalive_requests 1000000000;\ntcp_nodelay on;\nclient_body_temp_path {dir}/body;\nproxy_temp_path {dir}/proxy;\n\
         fastcgi_temp_path {dir}/fastcgi;\nuwsgi_temp_path {dir}/uwsgi;\nscgi_temp_path {dir}/scgi;\n\
         upstream provider {{ server {upstream}; keepalive 4096; keepalive_requests 1000000000; keepalive_timeout 60s; }}\n\
         server {{ listen {listen} backlog=4096;\nlocation / {{\nproxy_pass http://provider;\nproxy_http_version 1.1;\n\
         proxy_set_header Connection \"\";\nproxy_set_header Host $host;\nproxy_buffering off;\n\
         proxy_request_buffering {request_buffering};\nproxy_read_timeout 600s;\n}} }}\n}}\n"
    )
}

/// One thread, connections to the server shared by all clients.
fn haproxy(listen: SocketAddr, upstream: SocketAddr) -> String {
    format!(
        "global\n  nbthread 1\n  maxconn 9000\n\
         defaults\n  mode http\n  timeout connect 5s\n  timeout client 600s\n  timeout server 600s\n  \
         timeout http-keep-alive 75s\n  option http-keep-alive\n  option http-no-delay\n  http-reuse always\n\
         frontend clients\n  bind {listen} backlog 4096\n  default_backend provider\n\
         backend provider\n  server mock {upstream}\n"
    )
}

/// Loopback is admin and may call every model of the mock, which serves every API kind.
pub(crate) fn sluice(upstream: SocketAddr) -> String {
    let config = json!({
        "providers": {"mock": {
            "baseurl": format!("http://{upstream}"),
            "apikey": "mock-key",
            "models": ["mock-*", "mock-*/**"],
            "compatibility": {
                "openai_chat": true, "openai_responses": true, "anthropic_messages": true,
                "gemini_generate_content": true, "google_generate_content": true, "google_raw_predict": true,
                "bedrock_model_invoke": true, "bedrock_converse": true, "ollama": true,
            },
        }},
        "grants": [{"src": ["(loopback)"], "app": {"tailscale.com/cap/aperture": [
            {"role": "admin"}, {"models": "**"}, {"read_metrics": true},
        ]}}],
    });
    format!("// Written by loadtest.\n{config:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_labelled_command_lines() {
        let target = Target::parse("off=env A=b sluice up --x={config}").unwrap();
        assert_eq!(
            target,
            Target::Command {
                label: "off".into(),
                line: "env A=b sluice up --x={config}".into()
            }
        );
        assert!(Target::parse("no label").is_err());
        assert!(Target::parse("a/b=x").is_err(), "labels become directory names");
    }
}
