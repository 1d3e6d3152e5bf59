//! A control plane: hands out a snapshot, answers who a peer is and whose a proof is, revokes; and an API behind it that
//! echoes.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fs, thread};

use sluice_shared::ids::Epoch;
use sluice_shared::quota::Unit;
use sluice_shared::snapshot::{Snapshot, seal};
use sluice_shared::wire::control::{
    HEADER_BYTES, Header, IdentityAnswer, Principal, Proof, Standing, ToControl, ToData, Whom,
};

use super::kernel::{sealed_memory_file, send_with_descriptor};
use super::ledger::{Ledger, Mood};
use super::wait_until;

/// What the control plane says about every peer.
#[derive(Clone, Debug)]
pub enum Who {
    /// Loopback's principal.
    Loopback,
    /// Somebody.
    Somebody(Principal),
    /// Nobody that is known.
    Unknown,
    /// A source is down.
    Unavailable { retry_after_s: u32 },
    /// Questions are not answered.
    Silence,
}

/// A person.
pub fn person(login: &str) -> Principal {
    Principal {
        source: "static".into(),
        login: login.into(),
        node: "node-1".into(),
        tags: Vec::new(),
        groups: vec!["group:eng".into()],
        ..Principal::default()
    }
}

/// The answer that names a principal, for a minute.
pub fn known(principal: Principal) -> IdentityAnswer {
    IdentityAnswer::Known {
        principal,
        whole_address: true,
        age_ms_max: 60_000,
    }
}

impl Who {
    pub fn somebody(login: &str) -> Self {
        Self::Somebody(person(login))
    }

    fn answer(&self) -> Option<IdentityAnswer> {
        match self {
            Self::Loopback => Some(known(Principal {
                source: "loopback".into(),
                login: "(loopback)".into(),
                node: "127.0.0.1".into(),
                ..Principal::default()
            })),
            Self::Somebody(principal) => Some(known(principal.clone())),
            Self::Unknown => Some(IdentityAnswer::Unknown { age_ms_max: 10 }),
            Self::Unavailable { retry_after_s } => Some(IdentityAnswer::Unavailable {
                retry_after_s: *retry_after_s,
            }),
            Self::Silence => None,
        }
    }
}

/// What stands for a proof in [`Control::set_proof`]: a token itself, the login of `tailscale serve` behind a mark.
fn proof_name(proof: &Proof) -> String {
    match proof {
        Proof::Bearer { token } => token.0.clone(),
        Proof::Served { login, .. } => format!("served:{login}"),
    }
}

/// What is said about a proof that nobody set: a gateway token is refused, any other is foreign, a served login is
/// nobody's.
fn unset(proof: &Proof) -> IdentityAnswer {
    let age_ms_max = 60_000;
    match proof {
        Proof::Bearer { token } if token.0.starts_with("slt_") => IdentityAnswer::Refused {
            reason: "no such token".into(),
            age_ms_max,
        },
        Proof::Bearer { .. } => IdentityAnswer::Foreign { age_ms_max },
        Proof::Served { .. } => IdentityAnswer::Unknown { age_ms_max },
    }
}

struct State {
    snapshot: Snapshot,
    who: Who,
    proofs: HashMap<String, Option<IdentityAnswer>>,
    proof_questions: u64,
    link: Option<UnixStream>,
    applied: Vec<Epoch>,
    refused: Vec<(Epoch, String)>,
    questions: u64,
    /// Addresses and ports that were asked about.
    asked: Vec<([u8; 16], u16)>,
    api: Vec<UnixStream>,
    /// What the data plane said last of what runs.
    standing: Option<Standing>,
    /// Streams of `/api/live` whose reader has gone.
    streams_left: usize,
    ledger: Ledger,
    ended: bool,
}

/// The fake control plane.
pub struct Control {
    dir: PathBuf,
    state: Arc<Mutex<State>>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Control {
    /// One that is not there yet.
    pub fn new(dir: &Path, snapshot: Snapshot, who: Who) -> Self {
        let state = Arc::new(Mutex::new(State {
            snapshot,
            who,
            proofs: HashMap::new(),
            proof_questions: 0,
            link: None,
            applied: Vec::new(),
            refused: Vec::new(),
            questions: 0,
            asked: Vec::new(),
            api: Vec::new(),
            standing: None,
            streams_left: 0,
            ledger: Ledger::default(),
            ended: false,
        }));
        Self {
            dir: dir.to_owned(),
            state,
        }
    }

    /// Listens (again).
    pub fn up(&self) {
        lock(&self.state).ended = false;
        for name in ["control.sock", "api.sock"] {
            let _ = fs::remove_file(self.dir.join(name));
        }
        let link = UnixListener::bind(self.dir.join("control.sock")).unwrap();
        let api = UnixListener::bind(self.dir.join("api.sock")).unwrap();
        let state = self.state.clone();
        thread::spawn(move || {
            for stream in link.incoming().map_while(Result::ok) {
                let mut locked = lock(&state);
                if locked.ended {
                    return;
                }
                locked.link = Some(stream.try_clone().unwrap());
                drop(locked);
                let state = state.clone();
                thread::spawn(move || serve_link(stream, &state));
            }
        });
        let state = self.state.clone();
        thread::spawn(move || {
            for stream in api.incoming().map_while(Result::ok) {
                let mut locked = lock(&state);
                if locked.ended {
                    return;
                }
                locked.api.push(stream.try_clone().unwrap());
                drop(locked);
                let state = state.clone();
                thread::spawn(move || {
                    if echo(stream) {
                        lock(&state).streams_left += 1;
                    }
                });
            }
        });
    }

    /// Goes away as a killed process does: sockets close, their names stay.
    pub fn down(&self) {
        let mut state = lock(&self.state);
        state.ended = true;
        state.applied.clear();
        if let Some(link) = state.link.take() {
            let _ = link.shutdown(Shutdown::Both);
        }
        for stream in state.api.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(state);
        // Wakes the accepting threads, which then drop their listeners.
        for name in ["control.sock", "api.sock"] {
            let path = self.dir.join(name);
            wait_until("the listener is gone", || UnixStream::connect(&path).is_err());
        }
    }

    /// From now on says something else about peers.
    pub fn set_who(&self, who: Who) {
        lock(&self.state).who = who;
    }

    /// From now on says this about a proof; with `None` nothing at all.
    pub fn set_proof(&self, proof: &str, answer: Option<IdentityAnswer>) {
        lock(&self.state).proofs.insert(proof.to_owned(), answer);
    }

    /// Questions about proofs so far.
    pub fn proof_questions(&self) -> u64 {
        lock(&self.state).proof_questions
    }

    /// Questions about peers and proofs so far.
    pub fn questions(&self) -> u64 {
        lock(&self.state).questions
    }

    /// Addresses and ports that were asked about so far.
    pub fn asked(&self) -> Vec<([u8; 16], u16)> {
        lock(&self.state).asked.clone()
    }

    /// Waits until the data plane is connected.
    pub fn wait_connected(&self) {
        wait_until("the data plane connects", || {
            !lock(&self.state).applied.is_empty()
        });
    }

    /// Hands out another snapshot with the next epoch, and waits until it is in use.
    pub fn publish(&self, change: impl FnOnce(&mut Snapshot)) -> Epoch {
        self.wait_connected();
        let mut state = lock(&self.state);
        change(&mut state.snapshot);
        state.snapshot.epoch = Epoch(state.snapshot.epoch.0 + 1);
        let epoch = state.snapshot.epoch;
        let link = state.link.as_ref().expect("the data plane is connected");
        send_snapshot(link, &state.snapshot).unwrap();
        drop(state);
        wait_until("the snapshot is applied", || {
            let state = lock(&self.state);
            assert!(
                state.refused.iter().all(|(refused, _)| *refused != epoch),
                "{:?}",
                state.refused
            );
            state.applied.contains(&epoch)
        });
        epoch
    }

    /// Hands out a snapshot that is not to be taken, and waits for the reason. It is not handed out again.
    pub fn publish_refused(&self, change: impl FnOnce(&mut Snapshot)) -> String {
        self.wait_connected();
        let mut state = lock(&self.state);
        let mut snapshot = state.snapshot.clone();
        change(&mut snapshot);
        snapshot.epoch = Epoch(snapshot.epoch.0 + 1);
        let epoch = snapshot.epoch;
        state.snapshot.epoch = epoch;
        let link = state.link.as_ref().expect("the data plane is connected");
        send_snapshot(link, &snapshot).unwrap();
        drop(state);
        let mut reason = None;
        wait_until("the snapshot is refused", || {
            let state = lock(&self.state);
            assert!(!state.applied.contains(&epoch));
            reason = state
                .refused
                .iter()
                .find(|(refused, _)| *refused == epoch)
                .cloned();
            reason.is_some()
        });
        reason.unwrap().1
    }

    /// Streams of `/api/live` whose reader has gone.
    pub fn streams_left(&self) -> usize {
        lock(&self.state).streams_left
    }

    /// Asks what runs, and waits for the answer.
    pub fn stand(&self) -> Standing {
        self.wait_connected();
        let mut state = lock(&self.state);
        state.standing = None;
        let mut link = state.link.as_ref().expect("the data plane is connected");
        link.write_all(&ToData::Stand.encode().unwrap()).unwrap();
        drop(state);
        let mut standing = None;
        wait_until("the data plane says what runs", || {
            standing = lock(&self.state).standing.take();
            standing.is_some()
        });
        standing.unwrap()
    }

    /// Takes back what was said about an address, or about all, and ends what runs.
    pub fn revoke(&self, address: Option<[u8; 16]>) {
        self.forget(address.map_or(Whom::Everyone, Whom::Address), true);
    }

    /// Looks into the ledger.
    pub fn ledger<T>(&self, look: impl FnOnce(&mut Ledger) -> T) -> T {
        look(&mut lock(&self.state).ledger)
    }

    /// From now on the ledger is like this.
    pub fn set_ledger(&self, mood: Mood) {
        self.ledger(|ledger| ledger.mood = mood);
    }

    /// Adds to a bucket by hand and says so.
    pub fn refill(&self, name: &str, unit: Unit, amount: u64) {
        self.wait_connected();
        let mut state = lock(&self.state);
        let bucket = state.ledger.add(name, unit, amount);
        let frame = ToData::BucketChanged { bucket }.encode().unwrap();
        let mut link = state.link.as_ref().expect("the data plane is connected");
        link.write_all(&frame).unwrap();
    }

    /// Takes back what was said about somebody.
    pub fn forget(&self, whom: Whom, cut: bool) {
        self.wait_connected();
        let state = lock(&self.state);
        let frame = ToData::Forget { whom, cut }.encode().unwrap();
        let mut link = state.link.as_ref().expect("the data plane is connected");
        link.write_all(&frame).unwrap();
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        lock(&self.state).ended = true;
        // One last connection each ends the threads.
        for name in ["control.sock", "api.sock"] {
            let _ = UnixStream::connect(self.dir.join(name));
        }
    }
}

fn send_snapshot(link: &UnixStream, snapshot: &Snapshot) -> std::io::Result<()> {
    let bytes = seal(snapshot).unwrap();
    let frame = ToData::Snapshot {
        epoch: snapshot.epoch,
        bytes: bytes.len() as u64,
    };
    send_with_descriptor(link, &frame.encode().unwrap(), &sealed_memory_file(&bytes))
}

fn serve_link(stream: UnixStream, state: &Mutex<State>) {
    let mut input = stream.try_clone().unwrap();
    loop {
        let mut head = [0; HEADER_BYTES];
        if input.read_exact(&mut head).is_err() {
            return;
        }
        let header = Header::parse(&head).unwrap();
        let mut payload = vec![0; header.payload_bytes];
        if input.read_exact(&mut payload).is_err() {
            return;
        }
        let frame = header.to_control(&payload).unwrap();
        let mut state = lock(state);
        // A peer that is gone shows at the next read.
        let _ = match &frame {
            ToControl::Hello { .. } => send_snapshot(&stream, &state.snapshot),
            ToControl::WhoIs { ticket, .. } | ToControl::Prove { ticket, .. } => {
                state.questions += 1;
                if let ToControl::WhoIs { address, port, .. } = &frame {
                    state.asked.push((*address, *port));
                }
                let answer = match &frame {
                    ToControl::Prove { proof, .. } => {
                        state.proof_questions += 1;
                        match state.proofs.get(&proof_name(proof)) {
                            Some(set) => set.clone(),
                            None => Some(unset(proof)),
                        }
                    }
                    _ => state.who.answer(),
                };
                match answer {
                    Some(answer) => {
                        let ticket = *ticket;
                        let frame = ToData::Identity { ticket, answer };
                        (&stream).write_all(&frame.encode().unwrap())
                    }
                    None => Ok(()),
                }
            }
            ToControl::Standing(standing) => {
                state.standing = Some(standing.clone());
                Ok(())
            }
            ToControl::SnapshotApplied { epoch } => {
                state.applied.push(*epoch);
                Ok(())
            }
            ToControl::SnapshotRefused { epoch, reason } => {
                state.refused.push((*epoch, reason.clone()));
                Ok(())
            }
            ToControl::Lease { ticket, bucket, ask } => {
                let State { ledger, snapshot, .. } = &mut *state;
                match ledger.answer(snapshot, bucket, ask) {
                    Some(answer) => {
                        let ticket = *ticket;
                        let frame = ToData::Leased { ticket, answer };
                        (&stream).write_all(&frame.encode().unwrap())
                    }
                    None => Ok(()),
                }
            }
        };
    }
}

/// Answers with the request itself, head and body; to `/api/live` with an event and no end. Whether such a stream was left.
fn echo(mut stream: UnixStream) -> bool {
    let mut request = Vec::new();
    let mut piece = [0; 4_096];
    loop {
        if let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |value| value.parse().unwrap());
            if request.len() >= end + 4 + length {
                break;
            }
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return false,
            Ok(n) => request.extend_from_slice(&piece[..n]),
        }
    }
    if request.starts_with(b"GET /api/live") {
        let begun = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\nb\r\nevent: one\n\r\n";
        let _ = stream.write_all(begun.as_bytes());
        return matches!(stream.read(&mut piece), Ok(0) | Err(_));
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nx-frame-options: DENY\r\n\r\n",
        request.len()
    );
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(&request);
    false
}
