//! A data plane's side of the control socket, well-behaved and not.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream as StdStream;
use std::path::PathBuf;

use sluice_shared::quota::ledger::Ask;
use sluice_shared::snapshot::{Sealed, Snapshot, address_bits};
use sluice_shared::wire::control::{Bucket, BucketRef, IdentityAnswer, PAYLOAD_BYTES_MAX, PoolStanding};

use super::*;
use sluice_shared::snapshot::SourceKind;

use crate::config::domain::{self, Document, Network};

struct Plane {
    folder: tempfile::TempDir,
    publisher: Arc<Publisher>,
    identities: Arc<Identities>,
    ledger: Arc<Ledger>,
    link: Arc<Link>,
}

fn document(static_login: &str) -> Document {
    let (address, prefix) = domain::network("10.0.0.0/8").unwrap();
    let network = Network {
        address,
        prefix,
        login: static_login.into(),
        tags: vec![],
        groups: vec![],
    };
    Document {
        identity: domain::Identity {
            sources: vec![SourceKind::Loopback, SourceKind::Static],
            networks: vec![network],
            age_ms_max: 60_000,
            ..domain::Identity::default()
        },
        ..Document::default()
    }
}

impl Plane {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let publisher = Arc::new(Publisher::open(folder.path()));
        let document = document("alice");
        let identities = Arc::new(Identities::new(&document.identity));
        publisher.publish(Arc::new(document)).unwrap();
        let quotas = [crate::ledger::tests::quota("q", 100)];
        let store = crate::ledger::tests::store(folder.path());
        let ledger = Ledger::new(store, crate::ledger::Clock::start(), &quotas);
        let link = Link::new(publisher.clone(), identities.clone(), ledger.clone());
        tokio::spawn(
            link.clone()
                .serve(OwnListener::bind(&folder.path().join("control.sock")).unwrap()),
        );
        Self {
            folder,
            publisher,
            identities,
            ledger,
            link,
        }
    }

    fn connect(&self) -> Data {
        let path: PathBuf = self.folder.path().join("control.sock");
        let stream = StdStream::connect(path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Data {
            stream,
            bytes: Vec::new(),
            descriptor: None,
        }
    }

    fn hello(&self, epoch: u64) -> Data {
        self.hello_of(2, epoch)
    }

    fn hello_of(&self, incarnation: u64, epoch: u64) -> Data {
        let mut data = self.connect();
        data.say(&ToControl::Hello {
            pid: 1,
            incarnation,
            epoch: Epoch(epoch),
        });
        data
    }
}

struct Data {
    stream: StdStream,
    bytes: Vec<u8>,
    descriptor: Option<std::os::fd::OwnedFd>,
}

impl Data {
    fn say(&mut self, frame: &ToControl) {
        self.stream.write_all(&frame.encode().unwrap()).unwrap();
    }

    fn hear(&mut self) -> ToData {
        loop {
            if let Some((head, rest)) = self.bytes.split_first_chunk::<HEADER_BYTES>() {
                let header = Header::parse(head).unwrap();
                if let Some(payload) = rest.get(..header.payload_bytes) {
                    let frame = header.to_data(payload).unwrap();
                    self.bytes.drain(..HEADER_BYTES + header.payload_bytes);
                    return frame;
                }
            }
            let mut buffer = [0; 4096];
            let (read, descriptor) =
                sys::receive_with_descriptor(self.stream.as_raw_fd(), &mut buffer).unwrap();
            assert!(read > 0, "the control plane closed");
            self.bytes.extend_from_slice(&buffer[..read]);
            self.descriptor = descriptor.or_else(|| self.descriptor.take());
        }
    }

    fn snapshot(&mut self) -> Snapshot {
        let ToData::Snapshot { epoch, bytes } = self.hear() else {
            panic!("no snapshot")
        };
        let file = File::from(self.descriptor.take().expect("a descriptor comes with it"));
        let mut sealed = vec![0; usize::try_from(bytes).unwrap()];
        file.read_exact_at(&mut sealed, 0).unwrap();
        assert_eq!(file.metadata().unwrap().len(), bytes);
        assert!(file.set_len(0).is_err(), "sealed");
        let snapshot = Sealed::open(&sealed).unwrap().to_owned().unwrap();
        assert_eq!(snapshot.epoch, epoch);
        snapshot
    }

    fn ask(&mut self, ticket: u64, address: &str) -> IdentityAnswer {
        let address = address_bits(address.parse().unwrap());
        self.say(&ToControl::WhoIs {
            ticket,
            address,
            port: 5,
        });
        let ToData::Identity {
            ticket: answered,
            answer,
        } = self.hear()
        else {
            panic!("no answer")
        };
        assert_eq!(answered, ticket);
        answer
    }

    fn lease(&mut self, ticket: u64, bucket: BucketRef, ask: Ask) {
        self.say(&ToControl::Lease { ticket, bucket, ask });
    }

    /// Ticket, bucket and what was ever granted.
    fn granted(&mut self) -> (u64, u64, u64) {
        match self.hear() {
            ToData::Leased {
                ticket,
                answer: LeaseAnswer::Granted { bucket, grant },
            } => (ticket, bucket, grant.granted),
            other => panic!("{other:?}"),
        }
    }

    /// Whether the control plane has closed, or closes now.
    fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }
}

fn login(answer: &IdentityAnswer) -> Option<&str> {
    match answer {
        IdentityAnswer::Known { principal, .. } => Some(&principal.login),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_brings_the_snapshot_and_questions_are_answered() {
    let plane = Plane::start();
    let mut data = plane.hello(0);
    let snapshot = data.snapshot();
    assert_eq!(snapshot, *plane.publisher.current().unwrap().snapshot);
    assert_eq!(login(&data.ask(1, "127.0.0.1")), Some("(loopback)"));
    assert_eq!(login(&data.ask(2, "10.9.9.9")), Some("alice"));
    assert!(matches!(
        data.ask(3, "fd7a::1"),
        IdentityAnswer::Unknown { age_ms_max: 10_000 }
    ));
    assert_eq!(plane.link.connected(), 1);
    data.say(&ToControl::SnapshotApplied {
        epoch: snapshot.epoch,
    });
    data.say(&ToControl::SnapshotRefused {
        epoch: Epoch(9),
        reason: "\u{1b}[31m".into(),
    });
    assert_eq!(login(&data.ask(4, "::1")), Some("(loopback)"));

    let mut second = plane.hello(1);
    assert_eq!(second.snapshot(), snapshot, "every data plane gets it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_comes_as_snapshot_then_revocation() {
    let plane = Plane::start();
    let mut data = plane.hello(0);
    let first = data.snapshot();
    for (ticket, address) in [(1, "127.0.0.1"), (2, "10.0.0.1")] {
        data.ask(ticket, address);
    }
    let next = document("bob");
    let changed = plane.identities.replace(&next.identity);
    plane.publisher.publish(Arc::new(next)).unwrap();
    plane.link.revoke(changed);
    assert!(data.snapshot().epoch > first.epoch);
    let address = address_bits("10.0.0.1".parse().unwrap());
    assert_eq!(
        data.hear(),
        ToData::Forget {
            whom: Whom::Address(address),
            cut: true
        }
    );
    assert_eq!(login(&data.ask(3, "10.0.0.1")), Some("bob"));

    let many = (0..600u16).map(|n| address_bits(std::net::Ipv4Addr::from(0x0a00_0000 + u32::from(n)).into()));
    plane.link.revoke(Changed::Addresses {
        cut: many.collect(),
        forget: vec![],
        proofs: vec![],
    });
    assert_eq!(
        data.hear(),
        ToData::Forget {
            whom: Whom::Everyone,
            cut: true
        },
        "more than the queue holds is one message"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_plane_ahead_of_us_is_overtaken() {
    let plane = Plane::start();
    let mut data = plane.hello(40);
    assert_eq!(data.snapshot().epoch, Epoch(41));
    let mut beyond = plane.hello(u64::MAX);
    assert_eq!(
        beyond.snapshot().epoch,
        Epoch(41),
        "what cannot be exceeded gets what there is"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_hold_ends_the_connection_and_nothing_else() {
    let plane = Plane::start();
    let hello = ToControl::Hello {
        pid: 1,
        incarnation: 2,
        epoch: Epoch(0),
    }
    .encode()
    .unwrap();
    let who = ToControl::WhoIs {
        ticket: 1,
        address: [0; 16],
        port: 1,
    }
    .encode()
    .unwrap();
    let changed = |at: usize, with: &[u8]| {
        let mut bytes = hello.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        bytes
    };
    let refused: Vec<Vec<u8>> = vec![
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        vec![0; 64],
        vec![0xff; 64],
        changed(4, &[9, 0]),
        changed(6, &[1, 0]),
        changed(8, &u32::try_from(PAYLOAD_BYTES_MAX + 1).unwrap().to_le_bytes()),
        changed(8, &u32::MAX.to_le_bytes()),
        changed(12, &[0; 4]),
        changed(hello.len() - 1, &[0xaa]),
        who.clone(),
        [hello.clone(), hello.clone()].concat(),
        [hello.clone(), changed(12, &[0; 4])].concat(),
    ];
    for bytes in refused {
        let mut data = plane.connect();
        // The other side may close before everything is written.
        let _ = data.stream.write_all(&bytes);
        assert!(data.is_closed(), "{bytes:?}");
    }
    for cut in 1..hello.len() {
        let mut data = plane.connect();
        data.stream.write_all(&hello[..cut]).unwrap();
        data.stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(data.is_closed(), "cut at {cut}");
    }
    let mut data = plane.hello(0);
    data.snapshot();
    assert_eq!(login(&data.ask(1, "127.0.0.1")), Some("(loopback)"));
    // Byte by byte is a frame like any other.
    for byte in &who {
        data.stream.write_all(&[*byte]).unwrap();
    }
    assert!(matches!(data.hear(), ToData::Identity { ticket: 1, .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_questions_at_once_are_all_answered() {
    let plane = Plane::start();
    let mut data = plane.hello(0);
    data.snapshot();
    let mut asking = data.stream.try_clone().unwrap();
    let asker = std::thread::spawn(move || {
        for ticket in 0..5_000u64 {
            let address =
                address_bits(std::net::Ipv4Addr::from(0x0a00_0000 + u32::try_from(ticket).unwrap()).into());
            asking
                .write_all(
                    &ToControl::WhoIs {
                        ticket,
                        address,
                        port: 1,
                    }
                    .encode()
                    .unwrap(),
                )
                .unwrap();
        }
    });
    let mut seen = std::collections::HashSet::new();
    while seen.len() < 5_000 {
        let ToData::Identity { ticket, answer } = data.hear() else {
            panic!("no answer")
        };
        assert_eq!(login(&answer), Some("alice"));
        assert!(seen.insert(ticket));
    }
    asker.join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_is_cut_at_once_and_forgotten_after_a_gap() {
    use crate::identity::proof::Proofs;
    use crate::identity::token::{Author, NewToken, Tokens};
    use sluice_shared::snapshot::{Role, Secret};
    use sluice_shared::wire::control::Proof;

    let plane = Plane::start();
    let store = crate::store::Sqlite::open(plane.folder.path()).await.unwrap();
    let tokens = Tokens::open(Arc::new(store)).await.unwrap();
    let mut identity = document("alice").identity;
    identity.sources.push(SourceKind::Token);
    let proofs = Proofs::new(&identity, plane.folder.path(), tokens.clone());
    plane.identities.attach(&proofs);
    let admin = Author {
        login: "root".into(),
        role: Role::Admin,
        scoped: false,
    };
    let new = NewToken {
        name: "ci".into(),
        login: Some("carol".into()),
        ..NewToken::default()
    };
    let (info, secret) = tokens.create(new, &admin).await.unwrap();
    let ask = |data: &mut Data, ticket: u64| {
        let token = Secret(secret.0.clone());
        data.say(&ToControl::Prove {
            ticket,
            proof: Proof::Bearer { token },
        });
        match data.hear() {
            ToData::Identity { ticket: same, answer } if same == ticket => answer,
            other => panic!("{other:?}"),
        }
    };
    let everyone = ToData::Forget {
        whom: Whom::Everyone,
        cut: false,
    };
    let mut data = plane.hello(0);
    data.snapshot();
    // What another control plane said may have been revoked since.
    assert_eq!(data.hear(), everyone);
    assert_eq!(login(&ask(&mut data, 1)), Some("carol"));
    tokens.revoke(&info.id, &admin).await.unwrap();
    let hash = crate::identity::token::hash(secret.0.as_bytes());
    assert_eq!(
        data.hear(),
        ToData::Forget {
            whom: Whom::Proof(hash),
            cut: true
        }
    );
    assert!(matches!(ask(&mut data, 2), IdentityAnswer::Refused { .. }));
    // So may what was revoked while nobody was connected.
    drop(data);
    let mut data = plane.hello(0);
    data.snapshot();
    assert_eq!(data.hear(), everyone);
    assert!(matches!(ask(&mut data, 3), IdentityAnswer::Refused { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_data_planes_share_a_budget() {
    let plane = Plane::start();
    let (mut one, mut two) = (plane.hello_of(1, 0), plane.hello_of(2, 0));
    one.snapshot();
    two.snapshot();
    let named = |quota: &str| {
        BucketRef::Named(Bucket {
            quota: quota.into(),
            ..crate::ledger::tests::bucket("q")
        })
    };
    let ask = |seq: u64, need: u64| Ask {
        seq,
        first: 1,
        answered: seq - 1,
        need,
        ..Ask::default()
    };
    one.lease(7, named("q"), ask(1, 10));
    let (ticket, id, granted) = one.granted();
    assert_eq!((ticket, granted), (7, 100), "the only one gets all");
    // The other is short: the first is asked to give back.
    two.lease(8, named("q"), ask(1, 40));
    assert_eq!(one.hear(), ToData::RecallBucket { bucket: id });
    assert_eq!(
        login(&two.ask(9, "10.9.9.9")),
        Some("alice"),
        "who waits holds nobody up"
    );
    let report = Ask {
        seen: 100,
        returned: 70,
        ..ask(2, 0)
    };
    one.lease(7, BucketRef::Numbered(id), report);
    let (_, _, mine) = one.granted();
    let (ticket, same, theirs) = two.granted();
    assert_eq!((ticket, same), (8, id));
    assert!(theirs >= 40 && mine - 70 + theirs <= 100, "{mine} {theirs}");
    // What is not defined, and what is no bucket of theirs.
    for bucket in [named("nothing"), BucketRef::Numbered(id + 1)] {
        two.lease(3, bucket, ask(1, 1));
        let answer = LeaseAnswer::Undefined { seq: 1 };
        assert_eq!(two.hear(), ToData::Leased { ticket: 3, answer });
    }
    // A refill concerns both.
    plane
        .ledger
        .refill(&crate::ledger::tests::bucket("q"), None, "root")
        .await
        .unwrap()
        .unwrap();
    for data in [&mut one, &mut two] {
        assert_eq!(data.hear(), ToData::BucketChanged { bucket: id });
    }
    // A mark is everybody's.
    let event = crate::store::QuotaEvent {
        id: 1,
        time: plane.ledger.now(),
        bucket: crate::ledger::tests::bucket("q"),
        percent: 80,
        balance: 20,
        capacity: 100,
    };
    plane.ledger.ingested(&crate::store::Ingested {
        events: vec![event],
        ..crate::store::Ingested::default()
    });
    for data in [&mut one, &mut two] {
        let quota = "q".to_owned();
        assert_eq!(data.hear(), ToData::QuotaMark { quota, percent: 80 });
    }
    // A question that is older than the last is not answered, the next one is.
    two.lease(8, named("q"), ask(1, 0));
    two.lease(
        8,
        named("q"),
        Ask {
            seen: theirs,
            ..ask(2, 0)
        },
    );
    let (_, _, again) = two.granted();
    assert!(again >= theirs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_is_the_sum_of_what_data_planes_say() {
    let plane = Plane::start();
    assert_eq!(plane.link.standing().await, None, "nobody is there");
    let mut first = plane.hello_of(2, 0);
    let mut second = plane.hello_of(3, 0);
    first.snapshot();
    second.snapshot();
    let said = |running| Standing {
        running,
        streams: 1,
        pools: vec![PoolStanding {
            provider: "p".into(),
            open: running,
            idle: 0,
        }],
    };
    let link = plane.link.clone();
    let asked = tokio::spawn(async move { link.standing().await });
    for (data, running) in [(&mut first, 4), (&mut second, 5)] {
        while data.hear() != ToData::Stand {}
        data.say(&ToControl::Standing(said(running)));
    }
    let sum = asked.await.unwrap().unwrap();
    assert_eq!((sum.running, sum.streams), (9, 2));
    assert_eq!((sum.pools.len(), sum.pools[0].open), (1, 9));
    // One that does not answer counts with what it said, one that is gone does not.
    drop(second);
    let link = plane.link.clone();
    let gone = async {
        while link.connected() > 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.unwrap();
    assert_eq!(plane.link.standing().await.map(|sum| sum.running), Some(4));
}
