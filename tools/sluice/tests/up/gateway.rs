//! A running `sluice up` on a free port, with a data directory that goes with it, and what tests ask it.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Far more than anything takes: a test that waits so long hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a finished run of the program printed.
pub(crate) struct Printed {
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the program to its end in a folder of its own.
pub(crate) fn output<S: AsRef<OsStr>>(args: &[S]) -> Printed {
    let folder = TempDir::new().expect("a folder");
    let done = program(&folder)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the program");
    Printed {
        status: done.status.code(),
        out: String::from_utf8_lossy(&done.stdout).into_owned(),
        err: String::from_utf8_lossy(&done.stderr).into_owned(),
    }
}

/// As [`output`], of a run that prints nothing but its result.
pub(crate) fn run(args: &[&str]) -> Printed {
    let printed = output(args);
    assert_eq!(printed.err, "", "{args:?}");
    printed
}

/// As [`output`], of a start that is refused: nothing on stdout, a failure.
pub(crate) fn once(args: &[&str]) -> Printed {
    let printed = output(args);
    assert_eq!(printed.out, "", "{args:?}");
    assert_ne!(printed.status, Some(0), "{args:?}");
    printed
}

/// Waits for something to be there.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::yield_now();
    }
}

/// The program with an environment that holds no key and no setting.
fn program(folder: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.current_dir(folder.path()).env_clear();
    for name in ["PATH", "LLVM_PROFILE_FILE", "MONOIO_FORCE_LEGACY_DRIVER"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// A folder that other users can reach, or cannot.
pub(crate) fn folder(reachable: bool) -> TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().expect("a folder");
    let mode = if reachable { 0o755 } else { 0o700 };
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).expect("a mode");
    folder
}

/// A gateway. It is stopped, and has to end well, by [`Gateway::stop`]; a test that fails kills it.
pub(crate) struct Gateway {
    folder: TempDir,
    child: RefCell<Child>,
    printed: Arc<Mutex<String>>,
    address: String,
}

impl Gateway {
    /// Starts one shard with further options and waits until it is ready.
    pub(crate) fn start(options: &[&str]) -> Self {
        Self::start_with(options, &[])
    }

    /// The same with variables.
    pub(crate) fn start_with(options: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::start_in(TempDir::new().expect("a folder"), options, variables)
    }

    /// The same in a folder that other users can reach, or cannot.
    pub(crate) fn start_reachable(reachable: bool, options: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::start_in(folder(reachable), options, variables)
    }

    /// The same in this folder.
    pub(crate) fn start_in(folder: TempDir, options: &[&str], variables: &[(&str, &str)]) -> Self {
        let log = fs::File::create(folder.path().join("log")).expect("a log");
        let mut child = program(&folder)
            .args(["up", "--listen", "127.0.0.1:0", "--data", "data", "--shards", "1"])
            .args(options)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the program");
        let printed = Arc::new(Mutex::new(String::new()));
        let (sender, ready) = mpsc::channel();
        let lines = BufReader::new(child.stdout.take().expect("its output"));
        let kept = Arc::clone(&printed);
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                kept.lock().expect("lines").push_str(&format!("{line}\n"));
                if line == "ready" {
                    sender.send(()).ok();
                }
            }
        });
        let mut gateway = Self {
            folder,
            child: RefCell::new(child),
            printed,
            address: String::new(),
        };
        let is_ready = ready.recv_timeout(PATIENCE).is_ok();
        assert!(
            is_ready,
            "it did not become ready:\n{}\n{}",
            gateway.printed(),
            gateway.log()
        );
        let listen = fs::read_to_string(gateway.folder.path().join("data/listen")).expect("DATA/listen");
        listen.trim().clone_into(&mut gateway.address);
        gateway
    }

    /// Everything it wrote to stdout.
    pub(crate) fn printed(&self) -> String {
        self.printed.lock().expect("lines").clone()
    }

    /// Everything it logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// `IP:PORT` that it listens on.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    /// Base URL of its mock provider.
    pub(crate) fn mock_url(&self) -> String {
        let printed = self.printed();
        let line = printed
            .lines()
            .find(|line| line.trim_start().starts_with("mock "))
            .expect("a mock provider");
        line.split_whitespace().nth(1).expect("its URL").to_owned()
    }

    /// Process id, from `DATA/NAME.pid`.
    pub(crate) fn pid(&self, name: &str) -> i32 {
        until("a pid file", || self.try_pid(name))
    }

    /// The same, if the file is there.
    pub(crate) fn try_pid(&self, name: &str) -> Option<i32> {
        fs::read_to_string(self.folder.path().join(format!("data/{name}.pid")))
            .ok()?
            .trim()
            .parse()
            .ok()
    }

    /// SIGKILL.
    pub(crate) fn kill(&self, pid: i32) {
        let _ = self;
        signal(pid, libc::SIGKILL);
    }

    /// SIGTERM to the supervisor.
    pub(crate) fn terminate(&self) {
        signal(self.pid("supervisor"), libc::SIGTERM);
    }

    /// Waits for its end.
    pub(crate) fn end(&self) -> ExitStatus {
        until("the end of sluice up", || {
            self.child.borrow_mut().try_wait().expect("a child")
        })
    }

    /// Waits for its end, which has to be a good one.
    pub(crate) fn wait(&self) {
        let status = self.end();
        assert!(status.success(), "sluice up ended with {status}:\n{}", self.log());
    }

    /// Both.
    pub(crate) fn stop(self) {
        self.terminate();
        self.wait();
    }

    /// Sends a request on a connection of its own, with further header lines.
    pub(crate) fn send(&self, path: &str, body: &Value, lines: &str) -> TcpStream {
        let body = body.to_string();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\nauthorization: Bearer invented\r\n\
             content-length: {}\r\nconnection: close\r\n{lines}\r\n{body}",
            self.address,
            body.len()
        );
        self.exchange(&request)
    }

    /// Sends a request and reads the whole answer.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::read(self.send(path, body, ""))
    }

    /// Reads something.
    pub(crate) fn get(&self, path: &str) -> Answer {
        Answer::read(self.exchange(&format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
            self.address
        )))
    }

    /// Sends a request as it stands.
    pub(crate) fn exchange(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        stream.write_all(request.as_bytes()).expect("a request sent");
        stream
    }

    /// The records of all requests, once there are so many.
    pub(crate) fn records(&self, at_least: usize) -> Vec<Value> {
        until("the records", || {
            let answer = self.get("/api/requests?limit=1000");
            let records = answer.json()["requests"].as_array().cloned().unwrap_or_default();
            (records.len() >= at_least).then_some(records)
        })
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let mut child = self.child.borrow_mut();
        child.kill().ok();
        child.wait().ok();
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
        }
    }
}

#[allow(unsafe_code, reason = "there is no safe call that sends a signal")]
fn signal(pid: i32, signal: i32) {
    assert!(pid > 1, "{pid} is no process of ours");
    // SAFETY: `kill` takes two integers.
    unsafe { libc::kill(pid, signal) };
}

/// An answer, its framing undone.
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    /// Reads it whole.
    pub(crate) fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("an answer");
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .expect("a status");
        let mut body = bytes.split_off(end);
        if head.contains("\r\ntransfer-encoding: chunked\r\n") {
            body = unchunked(&body);
        }
        Self { status, head, body }
    }

    /// The first value of a field, in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// The body.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n").expect("a chunk size");
        let size = std::str::from_utf8(&rest[..end]).expect("digits");
        let size = usize::from_str_radix(size, 16).expect("digits");
        let data = end + 2;
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&rest[data..data + size]);
        rest = &rest[data + size + 2..];
    }
}
