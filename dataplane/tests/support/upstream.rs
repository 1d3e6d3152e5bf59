//! A provider: records every byte of every connection and answers as its script says.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use super::client::show;
use super::{PATIENCE, kernel, wait_until};

/// A request as it came, body decoded.
#[derive(Clone, Debug)]
pub struct Received {
    /// Request line and fields, without the blank line.
    pub head: String,
    pub body: Vec<u8>,
    /// Number of its connection.
    pub connection: usize,
}

impl Received {
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// Values of a field, in order.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        self.pairs()
            .into_iter()
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }

    /// Names and values as they came.
    pub fn pairs(&self) -> Vec<(&str, &str)> {
        let lines = self.head.lines().skip(1);
        lines
            .map(|line| line.split_once(": ").unwrap_or((line, "")))
            .collect()
    }
}

#[derive(Default)]
struct Log {
    received: Vec<u8>,
    /// When and whether the peer ended it, and how: `true` for a reset.
    closed: Option<(Instant, bool)>,
}

struct Connection {
    number: usize,
    stream: TcpStream,
    log: Mutex<Log>,
    changed: Condvar,
}

impl Connection {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the log shows what is looked for, or the peer has closed.
    fn until<T>(&self, mut found: impl FnMut(&Log) -> Option<T>) -> Option<T> {
        let mut log = self.log();
        loop {
            if let Some(value) = found(&log) {
                return Some(value);
            }
            if log.closed.is_some() {
                return None;
            }
            log = self.changed.wait(log).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[derive(Default)]
struct Shared {
    connections: Mutex<Vec<Arc<Connection>>>,
    requests: Mutex<Vec<Received>>,
    /// While set, nothing is read after the first piece of a connection.
    deaf: AtomicBool,
    ended: AtomicBool,
}

/// One request in the hands of a script; its head has come, its body perhaps not yet.
pub struct Exchange<'a> {
    connection: &'a Connection,
    shared: &'a Shared,
    pub head: String,
    /// Requests on this connection before this one.
    pub index: usize,
    body_at: usize,
    taken: Option<usize>,
}

impl Exchange<'_> {
    /// The request line's target.
    pub fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// Number of the connection.
    pub fn connection(&self) -> usize {
        self.connection.number
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Waits for the whole body and records the request. `None`: the gateway closed before its end.
    pub fn body(&mut self) -> Option<Vec<u8>> {
        assert!(
            self.field("transfer-encoding").is_none(),
            "the gateway sends requests with a length: {}",
            self.head
        );
        let length: usize = self.field("content-length").map_or(0, |v| v.parse().unwrap());
        let end = self.body_at + length;
        let body = self
            .connection
            .until(|log| log.received.get(self.body_at..end).map(<[u8]>::to_vec))?;
        if self.taken.is_none() {
            self.taken = Some(end);
            let received = Received {
                head: self.head.clone(),
                body: body.clone(),
                connection: self.connection.number,
            };
            self.shared
                .requests
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(received);
        }
        Some(body)
    }

    /// Body bytes that have come so far.
    pub fn body_so_far(&self) -> usize {
        self.connection.log().received.len().saturating_sub(self.body_at)
    }

    /// Sends; `false` if the gateway has closed.
    pub fn send(&self, bytes: impl AsRef<[u8]>) -> bool {
        (&self.connection.stream).write_all(bytes.as_ref()).is_ok()
    }

    /// Sends a JSON answer.
    pub fn json(&self, body: &str) -> bool {
        self.send(json(body))
    }

    /// Sends the head of a chunked stream of events.
    pub fn begin_events(&self) -> bool {
        self.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    }

    /// Sends bytes as one chunk.
    pub fn chunk(&self, data: &str) -> bool {
        self.send(format!("{:x}\r\n{data}\r\n", data.len()))
    }

    /// Ends the connection with FIN.
    pub fn fin(&self) {
        let _ = self.connection.stream.shutdown(Shutdown::Write);
    }

    /// Ends the connection in both directions, as a process that closes it: what comes later is answered by a reset.
    pub fn close(&self) {
        let _ = self.connection.stream.shutdown(Shutdown::Both);
    }

    /// Waits until what was sent lies unread in the gateway's socket.
    pub fn until_unread(&self) {
        let stream = &self.connection.stream;
        kernel::wait_unread(stream.peer_addr().unwrap(), stream.local_addr().unwrap());
    }

    /// Ends the connection with RST.
    pub fn reset(&self) {
        kernel::reset(&self.connection.stream);
    }

    /// Waits until the gateway has closed.
    pub fn until_closed(&self) {
        let _ = self.connection.until(|_| None::<()>);
    }

    pub fn is_closed(&self) -> bool {
        self.connection.log().closed.is_some()
    }
}

/// A whole JSON answer.
pub fn json(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A chat completion that used 3 + 5 tokens.
pub const COMPLETION: &str = r#"{"id":"c1","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}"#;

type Script = dyn Fn(&mut Exchange<'_>) + Send + Sync;

/// The provider. Its threads end with the process.
pub struct Upstream {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl Upstream {
    /// Answers every request with [`COMPLETION`].
    pub fn plain() -> Self {
        Self::scripted(|exchange| {
            if exchange.body().is_some() {
                exchange.json(COMPLETION);
            }
        })
    }

    /// Answers every whole request with these bytes.
    pub fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::scripted(move |exchange| {
            if exchange.body().is_some() {
                exchange.send(&answer);
            }
        })
    }

    /// Runs a script for every request, called when its head is there.
    pub fn scripted(script: impl Fn(&mut Exchange<'_>) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let script: Arc<Script> = Arc::new(script);
        let accepting = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if accepting.ended.load(Ordering::Relaxed) {
                    return;
                }
                accept(stream, &accepting, &script);
            }
        });
        Self { address, shared }
    }

    /// Stops (or begins again) to read on every connection, after the first piece, which holds a request's head.
    pub fn set_deaf(&self, deaf: bool) {
        self.shared.deaf.store(deaf, Ordering::Relaxed);
    }

    fn connections_list(&self) -> Vec<Arc<Connection>> {
        self.shared
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.connections_list().len()
    }

    /// Whole requests so far.
    pub fn requests(&self) -> Vec<Received> {
        self.shared
            .requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The latest whole request.
    pub fn last(&self) -> Received {
        self.requests().pop().expect("a request came")
    }

    /// Bytes received so far, over all connections.
    pub fn bytes(&self) -> usize {
        self.connections_list()
            .iter()
            .map(|c| c.log().received.len())
            .sum()
    }

    /// Everything received on a connection.
    pub fn received(&self, connection: usize) -> Vec<u8> {
        self.connections_list()[connection].log().received.clone()
    }

    /// When the gateway closed a connection; waits for it.
    pub fn closed_at(&self, connection: usize) -> Instant {
        wait_until("a connection at the provider", || self.connections() > connection);
        let connection = self.connections_list()[connection].clone();
        wait_until("the gateway closes its connection to the provider", || {
            connection.log().closed.is_some()
        });
        let closed = connection.log().closed;
        closed.unwrap().0
    }

    /// Whether the gateway has closed a connection.
    pub fn is_closed(&self, connection: usize) -> bool {
        self.connections_list()[connection].log().closed.is_some()
    }

    /// Ends every open connection from this side.
    pub fn close_all(&self) {
        for connection in self.connections_list() {
            let _ = connection.stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        self.close_all();
        let _ = TcpStream::connect(self.address);
    }
}

fn accept(stream: TcpStream, shared: &Arc<Shared>, script: &Arc<Script>) {
    let _ = stream.set_nodelay(true);
    // Bounds what a provider that does not read can be sent.
    kernel::receive_buffer(&stream, 256 << 10);
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let mut connections = shared.connections.lock().unwrap_or_else(PoisonError::into_inner);
    let connection = Arc::new(Connection {
        number: connections.len(),
        stream,
        log: Mutex::default(),
        changed: Condvar::new(),
    });
    connections.push(connection.clone());
    drop(connections);
    let (reading, reading_shared) = (connection.clone(), shared.clone());
    thread::spawn(move || read(&reading, &reading_shared));
    let (shared, script) = (shared.clone(), script.clone());
    thread::spawn(move || serve(&connection, &shared, &*script));
}

/// Puts everything that comes into the log.
fn read(connection: &Connection, shared: &Shared) {
    let mut piece = vec![0; 64 << 10];
    loop {
        wait_until("reading goes on", || {
            !shared.deaf.load(Ordering::Relaxed) || connection.log().received.is_empty()
        });
        let closed = match (&connection.stream).read(&mut piece) {
            Ok(0) => Some(false),
            Ok(n) => {
                connection.log().received.extend_from_slice(&piece[..n]);
                None
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => None,
            Err(_) => Some(true),
        };
        if let Some(reset) = closed {
            connection.log().closed = Some((Instant::now(), reset));
        }
        connection.changed.notify_all();
        if closed.is_some() {
            return;
        }
    }
}

fn serve(connection: &Connection, shared: &Shared, script: &Script) {
    let mut at = 0;
    for index in 0.. {
        let Some(end) = connection.until(|log| {
            let rest = log.received.get(at..)?;
            rest.windows(4).position(|four| four == b"\r\n\r\n")
        }) else {
            return;
        };
        let head = connection.log().received[at..at + end].to_vec();
        let mut exchange = Exchange {
            connection,
            shared,
            head: String::from_utf8(head).unwrap_or_else(|bad| panic!("head: {}", show(bad.as_bytes()))),
            index,
            body_at: at + end + 4,
            taken: None,
        };
        script(&mut exchange);
        if exchange.body().is_none() {
            return;
        }
        at = exchange.taken.unwrap_or(at);
    }
}
