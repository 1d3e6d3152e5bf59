//! A data plane's side of the control socket, as far as identity goes.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use sluice_shared::ids::Epoch;
use sluice_shared::snapshot::address_bits;
use sluice_shared::wire::control::{HEADER_BYTES, Header, IdentityAnswer, ToControl, ToData};

/// A connection that has said hello.
pub(crate) struct Data {
    stream: UnixStream,
    ticket: u64,
    /// What came beside the answers.
    pub(crate) told: Vec<ToData>,
}

impl Data {
    /// Connects to the control plane in a data directory; `None` if it does not listen yet.
    pub(crate) fn connect(data: &Path) -> Option<Self> {
        let stream = UnixStream::connect(data.join("control.sock")).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut connected = Self {
            stream,
            ticket: 0,
            told: Vec::new(),
        };
        connected.say(&ToControl::Hello {
            pid: 1,
            incarnation: 1,
            epoch: Epoch(0),
        });
        Some(connected)
    }

    pub(crate) fn say(&mut self, frame: &ToControl) {
        self.stream.write_all(&frame.encode().unwrap()).unwrap();
    }

    /// The next frame; a descriptor that came with it is lost.
    pub(crate) fn hear(&mut self) -> ToData {
        let mut head = [0; HEADER_BYTES];
        self.stream.read_exact(&mut head).unwrap();
        let header = Header::parse(&head).unwrap();
        let mut payload = vec![0; header.payload_bytes];
        self.stream.read_exact(&mut payload).unwrap();
        header.to_data(&payload).unwrap()
    }

    /// Asks who is at an address, and waits for the answer.
    pub(crate) fn ask(&mut self, address: &str, port: u16) -> IdentityAnswer {
        self.ticket += 1;
        self.say(&ToControl::WhoIs {
            ticket: self.ticket,
            address: address_bits(address.parse().unwrap()),
            port,
        });
        loop {
            match self.hear() {
                ToData::Identity { ticket, answer } if ticket == self.ticket => return answer,
                other => self.told.push(other),
            }
        }
    }
}
