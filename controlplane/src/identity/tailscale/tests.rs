//! The source against a stand-in for the daemon, in memory and in virtual time.

use std::net::IpAddr;

use serde_json::json;
use sluice_loadtest::tailscaled::{Fault, Node, Tailscaled, User, state};
use sluice_shared::snapshot::address_bits;
use sluice_shared::wire::control::{IdentityAnswer, Principal};
use tokio::sync::broadcast;

use super::*;
use crate::identity::revocations::Revocation;
use crate::identity::{Source, Sources, StaticTable};

const A: &str = "100.64.0.1";
const B: &str = "100.64.0.2";

struct Net {
    daemon: Tailscaled,
    source: Arc<Tailscale>,
    revoked: broadcast::Receiver<Revocation>,
}

fn ip(text: &str) -> [u8; 16] {
    address_bits(text.parse::<IpAddr>().unwrap())
}

fn alice() -> User {
    User::new(45, "alice@example.com")
}

/// Alice's machine at A, Bob's at B.
fn two() -> Tailscaled {
    let daemon = Tailscaled::new();
    daemon.put(Node::person(1, A, alice()));
    daemon.put(Node::person(2, B, User::new(46, "bob@example.com")));
    daemon
}

fn unheard(daemon: &Tailscaled, settings: &domain::Tailscale) -> Net {
    let revocations = Arc::new(Revocations::default());
    Net {
        daemon: daemon.clone(),
        revoked: revocations.subscribe(),
        source: Arc::new(Tailscale::start_at(
            Dial::Memory(daemon.clone()),
            settings,
            revocations,
            None,
        )),
    }
}

async fn listening_with(daemon: &Tailscaled, settings: &domain::Tailscale) -> Net {
    let net = unheard(daemon, settings);
    net.stands().await;
    net
}

async fn listening(daemon: &Tailscaled) -> Net {
    listening_with(daemon, &domain::Tailscale::default()).await
}

impl Net {
    /// Waits until the bus stands.
    async fn stands(&self) {
        while self.source.inner.lock().blind_since.is_some() {
            tokio::task::yield_now().await;
        }
    }

    async fn ask(&self, address: &str) -> Verdict {
        self.ask_port(address, 4000).await
    }

    async fn ask_port(&self, address: &str, port: u16) -> Verdict {
        self.source.whois(ip(address), port).await
    }

    async fn who(&self, address: &str) -> String {
        shown(&self.ask(address).await)
    }

    async fn principal(&self, address: &str) -> Principal {
        match self.ask(address).await {
            Verdict::Known { principal, .. } => principal,
            other => panic!("{address}: {}", shown(&other)),
        }
    }

    /// The next revocation: whom, and whether it cuts.
    async fn revoked(&mut self) -> (Whom, bool) {
        let revocation = self.revoked.recv().await.unwrap();
        (revocation.whom, revocation.cut)
    }

    fn nothing_revoked(&mut self) {
        assert_eq!(
            self.revoked.try_recv(),
            Err(broadcast::error::TryRecvError::Empty)
        );
    }

    /// Waits until nothing is left to be asked for again.
    async fn settled(&self) {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        while !self.source.inner.lock().flights.is_empty() {
            tokio::task::yield_now().await;
        }
    }
}

fn shown(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Known { principal, .. } => principal.login.clone(),
        Verdict::Denied { .. } => "denied".into(),
        Verdict::Pass { .. } => "pass".into(),
        Verdict::Unavailable => "unavailable".into(),
    }
}

fn age(verdict: &Verdict) -> u64 {
    match verdict {
        Verdict::Known { age_ms, .. } | Verdict::Denied { age_ms, .. } | Verdict::Pass { age_ms, .. } => {
            *age_ms
        }
        Verdict::Unavailable => panic!("unavailable"),
    }
}

async fn pass(seconds: f64) {
    tokio::time::advance(Duration::from_secs_f64(seconds)).await;
}

const fn cut(address: [u8; 16]) -> (Whom, bool) {
    (Whom::Address(address), true)
}

const fn forgotten(address: [u8; 16]) -> (Whom, bool) {
    (Whom::Address(address), false)
}

#[tokio::test(start_paused = true)]
async fn a_miss_asks_by_bare_address_and_a_hit_asks_nothing() {
    let net = listening(&two()).await;
    let first = net.ask(A).await;
    assert_eq!(
        (shown(&first).as_str(), age(&first)),
        ("alice@example.com", 30_000)
    );
    let Verdict::Known {
        principal,
        whole_address,
        ..
    } = first
    else {
        panic!()
    };
    assert!(whole_address);
    assert_eq!(
        (principal.source.as_str(), principal.node.as_str()),
        ("tailscale", "45/n1")
    );
    let asked: Vec<String> = net
        .daemon
        .calls()
        .iter()
        .map(|call| call.target.clone())
        .collect();
    assert!(
        asked.contains(&"/localapi/v0/whois?addr=100.64.0.1&proto=tcp".to_owned()),
        "{asked:?}"
    );
    // Another port, and the same address spelled as mapped: hits.
    for port in [1, 4000, u16::MAX] {
        assert_eq!(shown(&net.ask_port(A, port).await), "alice@example.com");
    }
    assert_eq!(net.who("::ffff:100.64.0.1").await, "alice@example.com");
    assert_eq!(net.daemon.whois_count(), 1);
    // What is left of the age, never more than it.
    pass(20.0).await;
    assert_eq!(age(&net.ask(A).await), 10_000);
    pass(9.9).await;
    assert_eq!((age(&net.ask(A).await), net.daemon.whois_count()), (100, 1));
    pass(0.2).await;
    assert_eq!((age(&net.ask(A).await), net.daemon.whois_count()), (30_000, 2));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_who_ask_about_one_address_are_one_call() {
    let net = listening(&two()).await;
    net.daemon
        .set_fault(Some(Fault::Slow(Duration::from_millis(100))));
    let asking: Vec<_> = (0..1_000)
        .map(|port| {
            let source = net.source.clone();
            tokio::spawn(async move { shown(&source.whois(ip(A), port).await) })
        })
        .collect();
    for answer in asking {
        assert_eq!(answer.await.unwrap(), "alice@example.com");
    }
    assert_eq!(net.daemon.whois_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn of_a_thousand_addresses_four_are_asked_about_at_a_time() {
    let daemon = Tailscaled::new();
    let address = |n: i64| format!("100.65.{}.{}", n / 250, n % 250);
    for n in 0..1_000 {
        let user = User::new(n, &format!("user{n}@example.com"));
        daemon.put(Node::person(n, &address(n), user));
    }
    let net = listening(&daemon).await;
    daemon.set_fault(Some(Fault::Slow(Duration::from_millis(1))));
    let asking: Vec<_> = (0..1_000)
        .map(|n| {
            let (source, address) = (net.source.clone(), address(n));
            tokio::spawn(async move { shown(&source.whois(ip(&address), 1).await) })
        })
        .collect();
    for (n, answer) in asking.into_iter().enumerate() {
        assert_eq!(answer.await.unwrap(), format!("user{n}@example.com"));
    }
    assert_eq!((daemon.whois_count(), daemon.whois_running_max()), (1_000, 4));
    // The bus, two that are kept, and those that were not kept.
    assert!(daemon.connections() <= 5 + 1_000 / 2, "{}", daemon.connections());
}

#[tokio::test(start_paused = true)]
async fn connections_are_kept() {
    let daemon = two();
    let net = listening(&daemon).await;
    for _ in 0..20 {
        assert_eq!(net.who(A).await, "alice@example.com");
        pass(31.0).await;
    }
    assert_eq!(
        (daemon.whois_count(), daemon.connections()),
        (20, 2),
        "the bus and one more"
    );
    // A kept connection that the daemon has closed is replaced.
    daemon.stop();
    daemon.start();
    assert_eq!(net.who(B).await, "bob@example.com");
}

#[tokio::test(start_paused = true)]
async fn whom_no_tailnet_names_is_not_asked_about() {
    let net = listening(&two()).await;
    for address in [
        "10.0.0.1",
        "127.0.0.1",
        "::1",
        "100.115.92.7",
        "100.128.0.1",
        "8.8.8.8",
        "fd00::1",
    ] {
        assert_eq!(net.who(address).await, "pass", "{address}");
    }
    assert_eq!(net.daemon.whois_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_stays_nobody_for_ten_seconds() {
    let mut net = listening(&two()).await;
    assert_eq!(age(&net.ask("100.64.9.9").await), 10_000);
    pass(9.0).await;
    assert_eq!(
        (age(&net.ask("100.64.9.9").await), net.daemon.whois_count()),
        (1_000, 1)
    );
    pass(1.1).await;
    assert_eq!(
        (net.who("100.64.9.9").await.as_str(), net.daemon.whois_count()),
        ("pass", 2)
    );
    // A node that comes is let in at once.
    net.daemon
        .put(Node::person(9, "100.64.9.9", User::new(49, "new@example.com")));
    assert_eq!(net.revoked().await, forgotten(ip("100.64.9.9")));
    assert_eq!(net.who("100.64.9.9").await, "new@example.com");
}

#[tokio::test(start_paused = true)]
async fn both_framings_are_read() {
    let daemon = two();
    let net = listening(&daemon).await;
    let short = net.principal(A).await;
    pass(31.0).await;
    daemon.set_fault(Some(Fault::Chunked));
    assert_eq!(net.principal(A).await, short);
    daemon.set_fault(None);
    // Long enough for the daemon to send it in chunks by itself.
    let groups: Vec<String> = (0..200).map(|n| format!("group:g{n:03}")).collect();
    daemon.change("n1", |node| node.user.groups = groups.clone());
    pass(31.0).await;
    assert_eq!(net.principal(A).await.groups, groups);
}

#[tokio::test(start_paused = true)]
async fn whatever_goes_wrong_is_unavailable_and_over_when_it_is_over() {
    let daemon = two();
    let net = listening(&daemon).await;
    let wire = |text: &str| Fault::Wire(text.as_bytes().to_vec());
    let faults = [
        Fault::CutBody,
        Fault::Close,
        Fault::Body(b"not JSON".to_vec()),
        Fault::Body(Vec::new()),
        Fault::Body(b"null".to_vec()),
        Fault::Body(b"{}".to_vec()),
        Fault::Body(br#"{"Node":null,"UserProfile":null}"#.to_vec()),
        Fault::Body(vec![b'['; 100_000]),
        Fault::Oversize((1 << 20) + 1, false),
        Fault::Oversize((1 << 20) + 1, true),
        Fault::Oversize(2 << 20, true),
        Fault::Status(400),
        Fault::Status(403),
        Fault::Status(500),
        Fault::Status(204),
        Fault::Status(301),
        Fault::Slow(Duration::from_millis(500)),
        Fault::Slow(Duration::from_secs(3600)),
        wire("\0\0\0\0\r\n\r\n"),
        wire("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n"),
        wire("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{}"),
        wire("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
        wire("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n"),
    ];
    for (n, fault) in faults.into_iter().enumerate() {
        let address = format!("100.66.0.{n}");
        daemon.put(Node::person(100, &address, User::new(100, "x@example.com")));
        daemon.set_fault(Some(fault.clone()));
        let began = Instant::now();
        assert_eq!(net.who(&address).await, "unavailable", "{fault:?}");
        assert!(
            began.elapsed() <= localapi::CALL_MAX,
            "{fault:?}: {:?}",
            began.elapsed()
        );
        daemon.set_fault(None);
        // A flight that nobody waits for any more still holds the address.
        pass(0.6).await;
        net.settled().await;
        assert_eq!(net.who(&address).await, "x@example.com", "after {fault:?}");
    }
    // Just within the bound.
    daemon.set_fault(Some(Fault::Oversize(1 << 20, true)));
    assert_eq!(net.who(A).await, "alice@example.com");
}

#[tokio::test(start_paused = true)]
async fn a_removed_peer_is_cut_by_the_event() {
    let mut net = listening(&two()).await;
    assert_eq!(net.who(A).await, "alice@example.com");
    assert_eq!(net.who(B).await, "bob@example.com");
    let began = Instant::now();
    net.daemon.remove("n1");
    assert_eq!(net.revoked().await, cut(ip(A)));
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(net.who(A).await, "pass");
    assert_eq!(net.who(B).await, "bob@example.com");
    net.nothing_revoked();
}

#[tokio::test(start_paused = true)]
async fn a_removed_peer_is_cut_although_the_daemon_does_not_answer() {
    let mut net = listening(&two()).await;
    assert_eq!(net.who(A).await, "alice@example.com");
    net.daemon.set_fault(Some(Fault::Close));
    let began = Instant::now();
    net.daemon.remove("n1");
    assert_eq!(net.revoked().await, cut(ip(A)));
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(net.who(A).await, "unavailable", "not the last answer");
}

#[tokio::test(start_paused = true)]
async fn a_retagged_peer_is_cut_and_is_no_person_any_more() {
    let mut net = listening(&two()).await;
    assert_eq!(net.who(A).await, "alice@example.com");
    net.daemon
        .change("n1", |node| node.tags = vec!["tag:web".into(), "tag:ci".into()]);
    assert_eq!(net.revoked().await, cut(ip(A)));
    let principal = net.principal(A).await;
    assert_eq!(
        (principal.login.as_str(), principal.node.as_str()),
        ("tag:ci,tag:web", "n1"),
        "never the profile"
    );
    assert_eq!(principal.tags, ["tag:ci", "tag:web"]);
    net.daemon.change("n1", |node| node.tags = vec!["tag:ci".into()]);
    assert_eq!(net.revoked().await, cut(ip(A)));
    assert_eq!(net.who(A).await, "tag:ci");
}

#[tokio::test(start_paused = true)]
async fn what_concerns_nobody_here_revokes_nothing() {
    let mut net = listening(&two()).await;
    net.principal(A).await;
    net.daemon
        .change("n1", |node| node.key = "nodekey:rotated".into());
    net.daemon.remove("n2");
    net.daemon
        .put(Node::person(3, "100.64.0.3", User::new(47, "carol@example.com")));
    net.settled().await;
    net.nothing_revoked();
    assert_eq!(net.who(A).await, "alice@example.com");
}

#[tokio::test(start_paused = true)]
async fn a_new_login_cuts_and_new_groups_are_asked_for() {
    let mut net = listening(&two()).await;
    net.principal(A).await;
    let grouped = User {
        groups: vec!["eng".into(), "group:admins".into(), "eng".into(), String::new()],
        ..alice()
    };
    net.daemon.set_user(&grouped);
    assert_eq!(net.revoked().await, forgotten(ip(A)));
    assert_eq!(net.principal(A).await.groups, ["group:admins", "group:eng"]);
    let renamed = User {
        login: "alice@new.example.com".into(),
        ..grouped
    };
    net.daemon.set_user(&renamed);
    assert_eq!(net.revoked().await, cut(ip(A)));
    let principal = net.principal(A).await;
    assert_eq!(
        (principal.login.as_str(), principal.node.as_str()),
        ("alice@new.example.com", "45/n1"),
        "the key of the ledger stays"
    );
}

#[tokio::test(start_paused = true)]
async fn grants_count_within_thirty_seconds_without_an_event() {
    let mut net = listening(&two()).await;
    assert!(net.principal(A).await.capabilities.is_empty());
    net.daemon
        .grant("n1", json!({"tailscale.com/cap/aperture": [{"role": "user"}]}));
    pass(29.0).await;
    assert!(net.principal(A).await.capabilities.is_empty());
    net.nothing_revoked();
    pass(1.5).await;
    assert_eq!(net.principal(A).await.capabilities.len(), 1);
    assert_eq!(
        net.revoked().await,
        forgotten(ip(A)),
        "other shards ask again, nothing is cut"
    );
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_used_again_is_somebody_else() {
    let mut net = listening(&two()).await;
    assert_eq!(net.principal(A).await.node, "45/n1");
    net.daemon.remove("n1");
    net.daemon
        .put(Node::person(7, A, User::new(50, "eve@example.com")));
    assert_eq!(net.revoked().await, cut(ip(A)));
    assert_eq!(net.who(A).await, "eve@example.com");
    // The same login on another node is another key, too.
    net.daemon.remove("n7");
    assert_eq!(net.revoked().await, cut(ip(A)));
    net.daemon
        .put(Node::person(8, A, User::new(50, "eve@example.com")));
    net.settled().await;
    assert_eq!(net.principal(A).await.node, "50/n8");
}

#[tokio::test(start_paused = true)]
async fn an_event_during_a_question_makes_it_be_put_again() {
    let net = listening(&two()).await;
    net.daemon.set_fault(Some(Fault::Slow(Duration::from_millis(50))));
    let source = net.source.clone();
    let asking = tokio::spawn(async move { shown(&source.whois(ip(A), 1).await) });
    net.daemon.until_asked(1).await;
    net.daemon.change("n1", |node| node.tags = vec!["tag:ci".into()]);
    assert_eq!(asking.await.unwrap(), "tag:ci");
    assert_eq!(net.daemon.whois_count(), 2);
}

#[tokio::test(start_paused = true)]
async fn shared_expired_and_routing_nodes_are_not_let_in() {
    let check = async |allow_shared: bool, expected: &str, change: fn(&mut Node)| {
        let daemon = two();
        daemon.change("n1", change);
        let settings = domain::Tailscale {
            allow_shared,
            ..domain::Tailscale::default()
        };
        let net = listening_with(&daemon, &settings).await;
        assert_eq!(net.who(A).await, expected);
    };
    check(false, "denied", |node| node.shared = true).await;
    check(true, "alice@example.com", |node| node.shared = true).await;
    check(true, "denied", |node| (node.shared, node.expired) = (true, true)).await;
    check(true, "denied", |node| node.expired = true).await;
    check(false, "denied", |node| {
        node.key_expiry = "2001-01-01T00:00:00Z".into();
    })
    .await;
    check(false, "alice@example.com", |node| {
        node.key_expiry = "2999-01-01T00:00:00Z".into();
    })
    .await;
    check(false, "alice@example.com", |node| {
        node.key_expiry = "0001-01-01T00:00:00Z".into();
    })
    .await;
    check(false, "unavailable", |node| node.key_expiry = "soon".into()).await;
    check(false, "denied", |node| {
        node.primary_routes = vec!["10.0.0.0/8".into()];
    })
    .await;
    check(false, "tag:router", |node| {
        node.primary_routes = vec!["10.0.0.0/8".into()];
        node.tags = vec!["tag:router".into()];
    })
    .await;
    check(false, "denied", |node| {
        node.shared = true;
        node.tags = vec!["tag:ci".into()];
    })
    .await;
    check(false, "unavailable", |node| node.tags = vec!["ci".into()]).await;
    check(false, "unavailable", |node| {
        node.tags = vec!["tag:a,tag:admin".into()];
    })
    .await;
    check(false, "unavailable", |node| node.user.login = "tag:admin".into()).await;
    check(false, "unavailable", |node| node.user.login = "(loopback)".into()).await;
    check(false, "unavailable", |node| node.user.login = String::new()).await;
    check(false, "unavailable", |node| node.stable_id_is("")).await;
}

/// Lets a row of the table above say in a word what it changes.
trait Changes {
    fn stable_id_is(&mut self, stable_id: &str);
}

impl Changes for Node {
    fn stable_id_is(&mut self, stable_id: &str) {
        self.stable_id = stable_id.into();
    }
}

#[tokio::test(start_paused = true)]
async fn an_expiring_peer_is_cut_by_the_event() {
    let mut net = listening(&two()).await;
    net.principal(A).await;
    net.daemon.change("n1", |node| node.expired = true);
    assert_eq!(net.revoked().await, cut(ip(A)));
    assert_eq!(net.who(A).await, "denied");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_runs_out_ends_the_answer() {
    let daemon = two();
    let soon = time::OffsetDateTime::now_utc() + Duration::from_secs(20);
    let text = soon
        .format(&time::format_description::well_known::Rfc3339)
        .unwrap();
    daemon.change("n1", |node| node.key_expiry.clone_from(&text));
    let net = listening(&daemon).await;
    let age = age(&net.ask(A).await);
    assert!(age <= 20_000, "{age}");
}

#[tokio::test(start_paused = true)]
async fn in_userspace_the_exact_port_says_who() {
    let userspace = domain::Tailscale {
        userspace: true,
        ..domain::Tailscale::default()
    };
    let daemon = two();
    let from = |port| std::net::SocketAddr::from(([127, 0, 0, 1], port));
    daemon.flow(from(4000), "n1");
    daemon.flow(from(4001), "n2");
    let mut net = listening_with(&daemon, &userspace).await;
    let first = net.ask_port("127.0.0.1", 4000).await;
    assert!(
        matches!(
            first,
            Verdict::Known {
                whole_address: false,
                age_ms: 0,
                ..
            }
        ),
        "{}",
        shown(&first)
    );
    assert_eq!(shown(&first), "alice@example.com");
    assert_eq!(shown(&net.ask_port("127.0.0.1", 4001).await), "bob@example.com");
    let asked: Vec<String> = daemon.calls().iter().map(|call| call.target.clone()).collect();
    assert!(
        asked.contains(&"/localapi/v0/whois?addr=127.0.0.1%3A4000&proto=tcp".to_owned()),
        "{asked:?}"
    );
    // A local process: nobody, at this port only.
    let local = net.ask_port("127.0.0.1", 5000).await;
    assert!(
        matches!(
            local,
            Verdict::Pass {
                whole_address: false,
                ..
            }
        ),
        "{}",
        shown(&local)
    );
    // The next connection from the same port is another peer's, at once and without harm to anybody.
    daemon.end_flow(from(4000));
    daemon.flow(from(4000), "n2");
    assert_eq!(shown(&net.ask_port("127.0.0.1", 4000).await), "bob@example.com");
    net.nothing_revoked();
    // The tailnet's own addresses are asked about as ever.
    assert_eq!(net.who(A).await, "alice@example.com");
    // A removed peer is cut, with everybody at that address: revocations name no port.
    daemon.remove("n2");
    assert_eq!(net.revoked().await, cut(ip("127.0.0.1")));
    // Who is at a loopback port is not known from before.
    daemon.flow(from(4002), "n1");
    assert_eq!(shown(&net.ask_port("127.0.0.1", 4002).await), "alice@example.com");
    daemon.stop();
    assert_eq!(shown(&net.ask_port("127.0.0.1", 4002).await), "unavailable");
}

#[tokio::test(start_paused = true)]
async fn while_the_daemon_is_away_the_known_go_on_for_a_minute() {
    let daemon = two();
    let mut net = listening(&daemon).await;
    net.principal(A).await;
    daemon.stop();
    daemon.until_unwatched().await;
    let answer = net.ask(A).await;
    assert_eq!(
        (shown(&answer).as_str(), age(&answer)),
        ("alice@example.com", 5_000)
    );
    assert_eq!(net.who(B).await, "unavailable", "nobody new");
    pass(58.0).await;
    let answer = net.ask(A).await;
    assert_eq!(shown(&answer), "alice@example.com");
    assert!(age(&answer) <= 2_000, "not beyond the minute: {}", age(&answer));
    pass(3.0).await;
    assert_eq!(net.who(A).await, "unavailable");
    // Back with the same nodes: nobody is cut.
    daemon.start();
    daemon.until_watched(1).await;
    net.stands().await;
    assert_eq!(net.who(A).await, "alice@example.com");
    net.settled().await;
    assert_eq!(net.revoked().await, (Whom::Everyone, false));
    net.nothing_revoked();
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_hangs_does_not_keep_the_known_waiting() {
    let daemon = two();
    let net = listening(&daemon).await;
    net.principal(A).await;
    daemon.set_fault(Some(Fault::Slow(Duration::from_secs(3600))));
    pass(31.0).await;
    let began = Instant::now();
    assert_eq!(net.who(A).await, "alice@example.com");
    assert!(
        began.elapsed() <= Duration::from_millis(200),
        "{:?}",
        began.elapsed()
    );
    pass(30.0).await;
    assert_eq!(net.who(A).await, "unavailable");
}

#[tokio::test(start_paused = true)]
async fn no_other_source_answers_for_a_daemon_that_is_away() {
    let daemon = two();
    let net = listening(&daemon).await;
    let (address, prefix) = domain::network("0.0.0.0/0").unwrap();
    let everybody = domain::Network {
        address,
        prefix,
        login: "net".into(),
        tags: vec![],
        groups: vec![],
    };
    let sources = Sources {
        list: vec![
            Source::Tailscale(net.source.clone()),
            Source::Static(StaticTable::new(&[everybody])),
        ],
        serve_headers: false,
        age_ms_max: 300_000,
    };
    let ask = async |address: &str| match sources.ask(ip(address), 1).await.0 {
        IdentityAnswer::Known {
            principal,
            age_ms_max,
            ..
        } => format!("{} {age_ms_max}", principal.login),
        other => format!("{other:?}"),
    };
    assert_eq!(ask(A).await, "alice@example.com 30000");
    assert_eq!(
        ask("100.64.9.9").await,
        "net 10000",
        "no longer than the daemon's word"
    );
    assert_eq!(ask("10.0.0.1").await, "net 300000");
    daemon.stop();
    pass(61.0).await;
    assert_eq!(ask(A).await, "Unavailable { retry_after_s: 1 }");
    assert_eq!(ask("100.64.9.9").await, "Unavailable { retry_after_s: 1 }");
    assert_eq!(ask("10.0.0.1").await, "net 300000", "not the daemon's");
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_has_just_started_knows_nobody_and_cuts_nobody() {
    let daemon = two();
    let mut net = listening(&daemon).await;
    net.principal(A).await;
    daemon.stop();
    daemon.until_unwatched().await;
    daemon.set_state(state::STARTING);
    daemon.remove("n1");
    daemon.start();
    daemon.until_watched(1).await;
    net.stands().await;
    net.settled().await;
    assert_eq!(net.revoked().await, (Whom::Everyone, false));
    assert_eq!(net.who(A).await, "alice@example.com");
    assert_eq!(net.who("100.64.9.9").await, "unavailable", "not: nobody");
    net.nothing_revoked();
    daemon.put(Node::person(1, A, alice()));
    daemon.set_state(state::RUNNING);
    assert_eq!(net.revoked().await, (Whom::Everyone, false));
    net.settled().await;
    net.nothing_revoked();
    assert_eq!(net.who("100.64.9.9").await, "pass");
}

#[tokio::test(start_paused = true)]
async fn off_the_tailnet_nobody_new_is_let_in_after_a_grace() {
    let daemon = two();
    let net = listening(&daemon).await;
    net.principal(A).await;
    daemon.set_state(state::STOPPED);
    net.settled().await;
    assert_eq!(net.who(B).await, "bob@example.com", "within the grace");
    pass(9.0).await;
    daemon.put(Node::person(3, "100.64.0.3", alice()));
    assert_eq!(net.who("100.64.0.3").await, "alice@example.com");
    pass(2.0).await;
    daemon.put(Node::person(4, "100.64.0.4", alice()));
    assert_eq!(net.who("100.64.0.4").await, "unavailable");
    pass(40.0).await;
    assert_eq!(net.who(A).await, "alice@example.com");
    pass(20.0).await;
    assert_eq!(net.who(A).await, "unavailable");
    daemon.set_state(state::RUNNING);
    net.settled().await;
    assert_eq!(net.who("100.64.0.4").await, "alice@example.com");
}

#[tokio::test(start_paused = true)]
async fn after_a_gap_everybody_is_asked_for_and_only_what_changed_is_cut() {
    let daemon = two();
    let mut net = listening(&daemon).await;
    net.principal(A).await;
    net.principal(B).await;
    daemon.cut_bus();
    daemon.until_unwatched().await;
    // Told to nobody.
    daemon.change("n1", |node| node.tags = vec!["tag:ci".into()]);
    let mut seen = vec![net.revoked().await, net.revoked().await];
    net.stands().await;
    net.settled().await;
    while let Ok(revocation) = net.revoked.try_recv() {
        seen.push((revocation.whom, revocation.cut));
    }
    assert!(seen.contains(&(Whom::Everyone, false)), "{seen:?}");
    let cuts: Vec<_> = seen.iter().filter(|(_, cut)| *cut).collect();
    assert_eq!(cuts, [&cut(ip(A))]);
    assert_eq!(
        (net.who(A).await.as_str(), net.who(B).await.as_str()),
        ("tag:ci", "bob@example.com")
    );
}

#[tokio::test(start_paused = true)]
async fn lines_that_cannot_be_read_mean_that_anything_changed() {
    let daemon = two();
    let mut net = listening(&daemon).await;
    net.principal(A).await;
    daemon.grant("n1", json!({"x": [1]}));
    daemon.say("{\"PeersChanged\": 7}");
    assert_eq!(net.revoked().await, forgotten(ip(A)));
    daemon.grant("n1", json!({"x": [2]}));
    daemon.say(&format!("{{\"Version\": \"{}\"}}", "x".repeat(5 << 20)));
    assert_eq!(net.revoked().await, forgotten(ip(A)), "longer than is read");
    // The bus goes on after it.
    daemon.remove("n1");
    assert_eq!(net.revoked().await, cut(ip(A)));
    assert_eq!(daemon.connections(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_late_bus_is_still_heard() {
    let mut net = listening(&two()).await;
    net.principal(A).await;
    net.daemon.delay_bus(Duration::from_millis(900));
    let began = Instant::now();
    net.daemon.remove("n1");
    assert_eq!(net.revoked().await, cut(ip(A)));
    assert!(began.elapsed() >= Duration::from_millis(900));
}

#[tokio::test(start_paused = true)]
async fn an_old_daemon_is_listened_to_in_the_old_way() {
    let daemon = two();
    daemon.set_old(true);
    let mut net = listening(&daemon).await;
    let masks: Vec<String> = daemon.calls().iter().map(|call| call.target.clone()).collect();
    assert_eq!(
        masks,
        [
            "/localapi/v0/watch-ipn-bus?mask=20482",
            "/localapi/v0/watch-ipn-bus?mask=10"
        ]
    );
    net.principal(A).await;
    net.settled().await;
    daemon.remove("n1");
    assert_eq!(net.revoked().await, cut(ip(A)));
}

#[tokio::test(start_paused = true)]
async fn without_a_bus_everybody_is_asked_for_every_thirty_seconds() {
    let daemon = two();
    daemon.refuse_bus(Some(400));
    let mut net = unheard(&daemon, &domain::Tailscale::default());
    net.principal(A).await;
    net.settled().await;
    assert_eq!(
        net.who("100.64.9.9").await,
        "pass",
        "a daemon without a bus may say nobody"
    );
    let masks: Vec<String> = daemon.calls().iter().map(|call| call.target.clone()).collect();
    assert!(
        masks.contains(&"/localapi/v0/watch-ipn-bus?mask=10".to_owned()),
        "{masks:?}"
    );
    daemon.remove("n1");
    let began = Instant::now();
    assert_eq!(net.revoked().await, cut(ip(A)));
    assert!(
        began.elapsed() <= Duration::from_secs(32),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn grants_of_the_flow_are_united_and_a_bad_one_adds_nothing() {
    let daemon = two();
    let net = listening(&daemon).await;
    let check = async |cap_map: serde_json::Value, capabilities: usize, app: &[&str]| {
        daemon.grant("n1", cap_map.clone());
        pass(31.0).await;
        let principal = net.principal(A).await;
        let keys: Vec<&str> = principal.app.iter().map(|value| value.key.as_str()).collect();
        assert_eq!(
            (principal.capabilities.len(), &keys[..]),
            (capabilities, app),
            "{cap_map}"
        );
    };
    let ours = "tailscale.com/cap/aperture";
    check(json!(null), 0, &[]).await;
    check(json!({}), 0, &[]).await;
    check(json!({ours: null}), 0, &[]).await;
    check(json!({ours: []}), 0, &[]).await;
    check(
        json!({ours: [{"role": "user"}, {"models": "anthropic/**"}]}),
        2,
        &[],
    )
    .await;
    check(
        json!({ours: [{"role": "user"}, 7, "admin", {"role": "root"}, null, []]}),
        1,
        &[],
    )
    .await;
    check(json!({ours: {"role": "admin"}}), 0, &[]).await;
    check(json!({ours: "admin"}), 0, &[]).await;
    check(json!([{"role": "admin"}]), 0, &[]).await;
    check(
        json!({"Tailscale.com/cap/aperture": [{"role": "admin"}]}),
        0,
        &["Tailscale.com/cap/aperture"],
    )
    .await;
    check(
        json!({"b.example/cap": [2], "a.example/cap": [{"x": 1}], ours: [{"role": "admin"}]}),
        1,
        &["a.example/cap", "b.example/cap"],
    )
    .await;
    // Attributes of the node are no grants.
    daemon.change("n1", |node| {
        node.cap_map = json!(null);
        node.node_cap_map = json!({ours: [{"role": "admin"}]});
    });
    pass(31.0).await;
    assert!(net.principal(A).await.capabilities.is_empty());
    // The order of values says nothing.
    let mut net = listening(&daemon).await;
    daemon.grant(
        "n1",
        json!({"x": [1, 2], ours: [{"role": "user"}, {"models": "a/*"}]}),
    );
    net.principal(A).await;
    daemon.grant(
        "n1",
        json!({"x": [2, 1], ours: [{"models": "a/*"}, {"role": "user"}]}),
    );
    pass(31.0).await;
    net.principal(A).await;
    net.nothing_revoked();
}

#[test]
fn an_answer_holds_whole_or_not_at_all() {
    let node = Node {
        cap_map: json!({"tailscale.com/cap/aperture": [{"role": "user"}]}),
        ..Node::person(1, A, alice())
    };
    let body = json!({
        "Node": node.to_json(), "CapMap": node.cap_map,
        "UserProfile": {"ID": 45, "LoginName": "alice@example.com", "Groups": ["group:eng"]},
    })
    .to_string();
    let read = |body: &[u8]| answer::read(body, false, SystemTime::UNIX_EPOCH);
    assert_eq!(
        read(body.as_bytes()).unwrap().who.unwrap().login,
        "alice@example.com"
    );
    for end in 0..body.len() {
        assert!(read(&body.as_bytes()[..end]).is_err(), "cut at {end}");
    }
    let mut bytes = body.clone().into_bytes();
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        fuzz(&bytes);
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    // A field that decides and stands twice could be read in two ways.
    for (field, twice) in [
        ("\"StableID\":\"n1\"", "\"StableID\":\"n1\",\"StableID\":\"n2\""),
        (
            "\"LoginName\":\"alice@example.com\"",
            "\"LoginName\":\"alice@example.com\",\"LoginName\":\"root\"",
        ),
    ] {
        assert!(body.contains(field), "{body}");
        assert!(
            read(body.replacen(field, twice, 1).as_bytes()).is_err(),
            "{twice}"
        );
    }
}
