//! A request to the admin API as the data plane relays it.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Asks as an admin; `None` if nobody answers.
pub(crate) fn get(socket: &Path, target: &str) -> Option<serde_json::Value> {
    let mut stream = UnixStream::connect(socket).ok()?;
    let request = format!(
        "GET {target} HTTP/1.1\r\nhost: x\r\nx-sluice-role: admin\r\nx-sluice-login: root\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
}
