//! A client made of a socket: sends what it is told, reads answers with a reader of its own.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection};

use super::{PATIENCE, kernel};

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With FIN; over TLS only behind `close_notify`.
    Fin,
    /// With RST.
    Reset,
    /// Over TLS, with FIN and no `close_notify`.
    Truncated,
    /// Over TLS, with an alert.
    Alert,
}

/// How the end of an answer's body was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framed {
    Nothing,
    Length,
    Chunked,
    Close,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Status line and fields, without the blank line.
    pub head: String,
    pub body: Vec<u8>,
    pub framed: Framed,
}

impl Answer {
    /// The value of the one field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields(name);
        assert!(found.len() < 2, "{name} is repeated: {}", self.head);
        found.first().copied()
    }

    pub fn fields(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().skip(1);
        lines
            .filter_map(|line| line.split_once(':'))
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the connection ends with this answer, as it says.
    pub fn says_close(&self) -> bool {
        self.field("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// An answer that never became whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    pub end: End,
    /// What had come of it.
    pub received: Vec<u8>,
}

/// A client's connection.
pub struct Client {
    pub stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    buf: Vec<u8>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            tls: None,
            buf: Vec::new(),
        }
    }

    /// Begins TLS; the handshake is done by the first send or read.
    pub fn secure(mut self, config: &Arc<ClientConfig>) -> Self {
        let name = ServerName::try_from("gateway.test").unwrap();
        self.tls = Some(Box::new(ClientConnection::new(Arc::clone(config), name).unwrap()));
        self
    }

    /// Finishes the handshake as far as the client can see it, and returns the certificates that the gateway showed.
    pub fn shake(&mut self) -> Vec<CertificateDer<'static>> {
        let tls = self.tls.as_mut().unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut self.stream).unwrap();
        }
        tls.peer_certificates().unwrap().to_vec()
    }

    /// The TLS side.
    pub fn tls(&mut self) -> &mut ClientConnection {
        self.tls.as_mut().unwrap()
    }

    /// Sends what TLS has ready, `close_notify` or a key update for instance.
    pub fn flush_tls(&mut self) {
        let tls = self.tls.as_mut().unwrap();
        while tls.wants_write() {
            tls.write_tls(&mut self.stream).unwrap();
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            None => self.stream.write_all(bytes),
            Some(tls) => {
                let mut stream = rustls::Stream::new(&mut **tls, &mut self.stream);
                stream.write_all(bytes).and_then(|()| stream.flush())
            }
        }
    }

    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.stream.read(piece),
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.stream).read(piece),
        }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.write(bytes.as_ref()).unwrap();
    }

    /// Sends; a connection that the gateway has ended meanwhile is no fault of the test.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.write(bytes.as_ref()).is_ok()
    }

    /// Sends in two pieces, the second only when the gateway has read the first.
    pub fn send_split(&mut self, bytes: &[u8], at: usize) {
        let (first, second) = bytes.split_at(at);
        if !first.is_empty() {
            self.send(first);
            self.wait_read();
        }
        self.try_send(second);
    }

    /// Waits until the gateway has read everything that was sent.
    pub fn wait_read(&self) {
        kernel::wait_all_read(
            self.stream.local_addr().unwrap(),
            self.stream.peer_addr().unwrap(),
        );
    }

    /// Closes this direction.
    pub fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    pub fn reset(self) {
        kernel::reset(&self.stream);
    }

    /// Reads some bytes into the buffer.
    fn fill(&mut self) -> Result<(), End> {
        let mut piece = [0; 64 << 10];
        loop {
            match self.read(&mut piece) {
                Ok(0) => return Err(End::Fin),
                Ok(n) => {
                    self.buf.extend_from_slice(&piece[..n]);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Err(End::Reset),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(End::Truncated),
                Err(error) if error.kind() == ErrorKind::InvalidData => return Err(End::Alert),
                Err(error) => panic!("nothing came: {error}; so far: {:?}", show(&self.buf)),
            }
        }
    }

    /// Reads one whole answer to anything but HEAD.
    pub fn answer(&mut self) -> Answer {
        self.try_answer(false)
            .unwrap_or_else(|cut| panic!("cut by {:?} after {:?}", cut.end, show(&cut.received)))
    }

    /// Reads one answer to HEAD.
    pub fn answer_to_head(&mut self) -> Answer {
        self.try_answer(true)
            .unwrap_or_else(|cut| panic!("cut by {:?} after {:?}", cut.end, show(&cut.received)))
    }

    /// Reads one answer. Any 1xx counts as one.
    pub fn try_answer(&mut self, to_head: bool) -> Result<Answer, Cut> {
        let end = self.until(|buf| buf.windows(4).position(|four| four == b"\r\n\r\n"))?;
        let head = String::from_utf8(self.buf[..end].to_vec()).unwrap();
        let mut answer = Answer {
            status: head[9..12].parse().unwrap(),
            head,
            body: Vec::new(),
            framed: Framed::Nothing,
        };
        assert!(answer.head.starts_with("HTTP/1.1 "), "{}", answer.head);
        let start = end + 4;
        let length: Option<usize> = answer.field("content-length").map(|v| v.parse().unwrap());
        let chunked = answer
            .field("transfer-encoding")
            .map(|v| assert_eq!(v, "chunked"));
        assert!(
            length.is_none() || chunked.is_none(),
            "two framings: {}",
            answer.head
        );
        if to_head || answer.status < 200 || matches!(answer.status, 204 | 304) {
            self.buf.drain(..start);
            return Ok(answer);
        }
        let taken = if let Some(length) = length {
            answer.framed = Framed::Length;
            self.until(|buf| (buf.len() >= start + length).then_some(()))?;
            answer.body = self.buf[start..start + length].to_vec();
            start + length
        } else if chunked.is_some() {
            answer.framed = Framed::Chunked;
            let mut at = start;
            loop {
                let line = self.until(|buf| find(buf, at, b"\r\n"))?;
                let digits = std::str::from_utf8(&self.buf[at..line]).unwrap().to_owned();
                let size =
                    usize::from_str_radix(&digits, 16).unwrap_or_else(|_| panic!("chunk size {digits:?}"));
                let data = line + 2;
                self.until(|buf| (buf.len() >= data + size + 2).then_some(()))?;
                answer.body.extend_from_slice(&self.buf[data..data + size]);
                assert_eq!(&self.buf[data + size..data + size + 2], b"\r\n");
                at = data + size + 2;
                if size == 0 {
                    break at;
                }
            }
        } else {
            answer.framed = Framed::Close;
            loop {
                match self.fill() {
                    Ok(()) => {}
                    Err(End::Fin) => break,
                    Err(end) => {
                        return Err(Cut {
                            end,
                            received: std::mem::take(&mut self.buf),
                        });
                    }
                }
            }
            answer.body = self.buf[start..].to_vec();
            self.buf.len()
        };
        self.buf.drain(..taken);
        Ok(answer)
    }

    fn until<T>(&mut self, found: impl Fn(&[u8]) -> Option<T>) -> Result<T, Cut> {
        loop {
            if let Some(value) = found(&self.buf) {
                return Ok(value);
            }
            self.fill().map_err(|end| Cut {
                end,
                received: std::mem::take(&mut self.buf),
            })?;
        }
    }

    /// Waits until these bytes have come.
    pub fn wait_for(&mut self, bytes: &[u8]) {
        let cut = self.until(|buf| find(buf, 0, bytes));
        cut.unwrap_or_else(|cut| {
            panic!(
                "{:?} before {:?}: {:?}",
                cut.end,
                show(bytes),
                show(&cut.received)
            )
        });
    }

    /// Reads to the end: what is left, and how it ended.
    pub fn rest(&mut self) -> (Vec<u8>, End) {
        loop {
            if let Err(end) = self.fill() {
                return (std::mem::take(&mut self.buf), end);
            }
        }
    }

    /// Reads every answer up to the end of the connection.
    pub fn answers(&mut self) -> (Vec<Answer>, End) {
        let mut out = Vec::new();
        loop {
            match self.try_answer(false) {
                Ok(answer) => out.push(answer),
                Err(cut) => {
                    assert!(
                        cut.received.is_empty(),
                        "half an answer: {:?}",
                        show(&cut.received)
                    );
                    return (out, cut.end);
                }
            }
        }
    }

    /// Asserts that the gateway closes the connection and sends nothing more.
    pub fn expect_end(&mut self) -> End {
        let (rest, end) = self.rest();
        assert!(rest.is_empty(), "more bytes: {:?}", show(&rest));
        end
    }
}

fn find(buf: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    let at = buf
        .get(from..)?
        .windows(what.len())
        .position(|window| window == what)?;
    Some(from + at)
}

/// Bytes for a message.
pub fn show(bytes: &[u8]) -> String {
    let start = bytes.get(..bytes.len().min(400)).unwrap_or_default();
    format!("{} bytes: {}", bytes.len(), start.escape_ascii())
}

/// A POST with a JSON body.
pub fn post(path: &str, body: &str) -> Vec<u8> {
    post_with(path, "", body.as_bytes())
}

/// A POST with further fields, each ended by CRLF.
pub fn post_with(path: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let mut out = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{fields}Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    out.extend_from_slice(body);
    out
}

/// A GET.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

/// A chat call that every test provider answers.
pub fn chat(model: &str) -> Vec<u8> {
    post(
        "/v1/chat/completions",
        &format!(r#"{{"model":"{model}","messages":[]}}"#),
    )
}

/// A chat call that asks for a stream, usage included.
pub fn chat_stream(model: &str) -> Vec<u8> {
    post(
        "/v1/chat/completions",
        &format!(
            r#"{{"model":"{model}","stream":true,"stream_options":{{"include_usage":true}},"messages":[]}}"#
        ),
    )
}
