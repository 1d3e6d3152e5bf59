//! A node's budgets without sockets and requests around them, for benchmarks and for tests that count what they cost:
//! shards on their own threads, the agent and a ledger of one bucket table in between.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sluice_shared::quota::ledger::{Account, Lease};
use sluice_shared::quota::{Charge, Terms, Unit};
use sluice_shared::units::{MonoMicros, UnixMicros};
use sluice_shared::wire::control::{Bucket as Named, BucketRef, LeaseAnswer, ToControl};

use super::agent::{Actions, Agent};
use super::buckets::{Attempt, Buckets, Step};
use super::{Message, Questions, Reservation, Short, Want, bucket::Bucket};
use crate::clock;
use crate::mailbox::{Mailbox, MailboxReceiver, Outbox, ShardMessage, mailbox};
use crate::wake::{Bell, Ear, wake_pair};

/// The thread of the control link and the ledger behind it.
pub struct Node {
    agent: Agent,
    questions: Questions,
    bell: Bell,
    ear: Ear,
    outbox: Outbox,
    accounts: Vec<(Account, Lease)>,
    numbers: HashMap<Named, usize>,
    /// Buckets are opened and forgotten.
    forgetful: bool,
    opened: u64,
    terms: Terms,
    mailboxes: Vec<Option<(Mailbox, MailboxReceiver)>>,
    actions: Actions,
}

impl Node {
    /// For this many shards; every bucket that is asked for is opened with these terms.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn new(shards: usize, terms: Terms) -> std::io::Result<Self> {
        let agent = Agent::default();
        let questions = Questions::new(agent.deals());
        let (bell, ear) = wake_pair()?;
        let mut mailboxes = Vec::with_capacity(shards);
        for _ in 0..shards {
            mailboxes.push(Some(mailbox(1_024)?));
        }
        let outbox = Outbox::new(
            mailboxes
                .iter()
                .flatten()
                .map(|(sender, _)| sender.clone())
                .collect(),
        );
        let mut node = Self {
            agent,
            questions,
            bell,
            ear,
            outbox,
            accounts: Vec::new(),
            numbers: HashMap::new(),
            forgetful: false,
            opened: 0,
            terms,
            mailboxes,
            actions: Actions::default(),
        };
        node.agent.connected(clock::mono_now(), &mut node.actions);
        Ok(node)
    }

    /// The ledger opens every bucket anew and remembers none, so that the memory of the node alone can be counted. Nothing
    /// but first questions may be asked from here on.
    pub fn forget_accounts(&mut self) {
        self.forgetful = true;
    }

    /// What a shard is made from, on its own thread; `None` if it was taken before.
    pub fn seed(&mut self, shard: usize) -> Option<ShardSeed> {
        let shards = self.mailboxes.len();
        let (_, mail) = self.mailboxes.get_mut(shard)?.take()?;
        let client = self.questions.client(shard, shards, &self.bell);
        Some(ShardSeed { client, mail })
    }

    /// Does what there is to do; whether there was anything.
    pub fn turn(&mut self) -> bool {
        self.ear.clear();
        let (now, mut busy) = (clock::mono_now(), false);
        while let Ok(question) = self.questions.receiver.try_recv() {
            self.agent.ask(question, now, &mut self.actions);
            busy = true;
        }
        while let Ok(round) = self.questions.rounds.try_recv() {
            self.agent.returned(round, now, &mut self.actions);
            busy = true;
        }
        self.agent.expire(now, &mut self.actions);
        while !self.actions.is_empty() {
            let actions = std::mem::take(&mut self.actions);
            for reply in actions.replies {
                self.outbox.post(reply.shard, ShardMessage::Quota(reply.message));
            }
            for (cell, id) in actions.rounds {
                let round = self.questions.round(cell, id, &self.bell);
                self.outbox
                    .post_all(|| ShardMessage::Quota(Message::Recall(Arc::clone(&round)).into()));
            }
            for question in actions.questions {
                self.answer(question, now);
            }
        }
        !self.outbox.flush() || busy
    }

    /// Looks at tight cells now, as it does once a second by itself.
    pub fn loosen(&mut self) {
        self.agent.loosen();
    }

    /// Waits until there may be something to do.
    pub fn wait(&self, patience: Duration) {
        let mut poll = libc::pollfd {
            fd: std::os::fd::AsRawFd::as_raw_fd(&self.ear.fd()),
            events: libc::POLLIN,
            revents: 0,
        };
        let timeout = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
        #[allow(unsafe_code, reason = "waits as the link's thread does")]
        // SAFETY: one valid pollfd lives for the whole call.
        unsafe {
            libc::poll(&raw mut poll, 1, timeout);
        }
    }

    fn answer(&mut self, question: ToControl, now: MonoMicros) {
        let ToControl::Lease { ticket, bucket, ask } = question else {
            return;
        };
        let time = UnixMicros(now.0);
        if self.forgetful {
            self.opened = self.opened.wrapping_add(1);
            let bucket = self.opened;
            let mut account = Account::open(self.terms, time);
            if let Some(grant) = account.answer(&mut Lease::new(1, time), &[], &ask, time) {
                let answer = LeaseAnswer::Granted { bucket, grant };
                self.agent.answered(ticket, &answer, now, &mut self.actions);
            }
            return;
        }
        let index = match bucket {
            BucketRef::Numbered(id) => usize::try_from(id).unwrap_or(0).wrapping_sub(1),
            BucketRef::Named(name) => *self.numbers.entry(name).or_insert_with(|| {
                self.accounts
                    .push((Account::open(self.terms, time), Lease::new(1, time)));
                self.accounts.len() - 1
            }),
        };
        let Some((account, lease)) = self.accounts.get_mut(index) else {
            return;
        };
        if let Some(grant) = account.answer(lease, &[], &ask, time) {
            let bucket = index as u64 + 1;
            let answer = LeaseAnswer::Granted { bucket, grant };
            self.agent.answered(ticket, &answer, now, &mut self.actions);
        }
    }

    /// Stores charges, as from a journal.
    pub fn ingest(&mut self, charges: &[Charge]) {
        let now = UnixMicros(clock::mono_now().0);
        for charge in charges {
            let index = usize::try_from(charge.bucket).unwrap_or(0).wrapping_sub(1);
            if let Some((account, lease)) = self.accounts.get_mut(index) {
                account.charge(charge.amount, now, now);
                lease.charge(charge.amount);
            }
        }
    }

    /// Balance of the ledger and what it has leased, of the bucket with this number.
    #[must_use]
    pub fn sums(&self, number: u64) -> Option<(i64, i64)> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        let (account, lease) = self.accounts.get(index)?;
        Some((account.balance, lease.outstanding(account.terms, account.as_of)))
    }

    /// Buckets, questions to the ledger, rounds through the shards.
    #[must_use]
    pub fn counts(&self) -> (usize, u64, u64) {
        let counts = self.agent.counts();
        (self.agent.len(), counts.asks, counts.recalls)
    }
}

/// What a shard is made from.
pub struct ShardSeed {
    client: super::QuotaClient,
    mail: MailboxReceiver,
}

impl ShardSeed {
    /// On the thread that calls.
    #[must_use]
    pub fn shard(self) -> Shard {
        Shard {
            buckets: Buckets::new(self.client),
            mail: self.mail,
        }
    }
}

/// A shard's budgets.
pub struct Shard {
    buckets: Buckets,
    mail: MailboxReceiver,
}

/// A bucket of a shard.
#[derive(Clone, Debug)]
pub struct Handle(std::rc::Rc<Bucket>);

impl Handle {
    pub(crate) const fn new(bucket: std::rc::Rc<Bucket>) -> Self {
        Self(bucket)
    }

    /// Whether it is the same bucket of the same shard.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        std::rc::Rc::ptr_eq(&self.0, &other.0)
    }

    /// The node's cell, for another thread to look at.
    #[must_use]
    pub fn cell(&self) -> CellView {
        CellView(Arc::clone(self.0.cell()))
    }
}

/// A node's cell.
#[derive(Clone, Debug)]
pub struct CellView(Arc<super::cell::NodeCell>);

impl CellView {
    /// Free in it.
    #[must_use]
    pub fn free(&self) -> i64 {
        self.0.free()
    }
}

/// Amounts that a request holds.
#[derive(Debug)]
pub struct Held(Reservation);

/// What came of an attempt to reserve.
#[derive(Debug)]
pub enum Outcome {
    /// It is reserved.
    Held(Held),
    /// It is refused.
    Refused {
        /// Seconds after which it may be tried again.
        retry_after_s: Option<u32>,
    },
    /// Nobody can say.
    Unavailable,
    /// It has to wait.
    Waiting(Waiting),
}

/// An attempt that waits.
#[derive(Debug)]
pub struct Waiting {
    wants: Vec<Want>,
    attempt: Attempt,
    wait: super::wait::Wait,
}

impl Shard {
    /// A bucket in dollars by its name.
    #[must_use]
    pub fn bucket(&self, name: &str) -> Handle {
        Handle(self.find("probe:<user>", name, Unit::Usd))
    }

    pub(crate) fn find(&self, quota: &str, name: &str, unit: Unit) -> std::rc::Rc<Bucket> {
        self.buckets.bucket(quota, name, unit)
    }

    /// Reserves of several.
    #[must_use]
    pub fn reserve(&self, wants: &Wants) -> Outcome {
        let mut attempt = Attempt::default();
        match self.buckets.step(&wants.0, &mut attempt) {
            Step::Done(done) => done.into(),
            Step::Wait(wait) => Outcome::Waiting(Waiting {
                wants: wants.0.clone(),
                attempt,
                wait,
            }),
        }
    }

    /// Goes on with an attempt once the agent has answered.
    #[must_use]
    pub fn resume(&self, mut waiting: Waiting) -> Outcome {
        let Some(answer) = waiting.wait.answer() else {
            return Outcome::Waiting(waiting);
        };
        if answer != super::Answer::TryAgain {
            return Outcome::Unavailable;
        }
        match self.buckets.step(&waiting.wants, &mut waiting.attempt) {
            Step::Done(done) => done.into(),
            Step::Wait(wait) => Outcome::Waiting(Waiting { wait, ..waiting }),
        }
    }

    /// Reads the mail.
    pub fn turn(&mut self) {
        self.mail.wakened();
        while let Some(message) = self.mail.next() {
            if let ShardMessage::Quota(message) = message {
                self.buckets.handle(message);
            }
        }
    }

    /// Gives back what lies idle.
    pub fn flush(&self) {
        self.buckets.flush_all();
    }

    /// The sweep at a time of the shard's clock.
    pub fn sweep(&self, now_ms: u64) {
        self.buckets.sweep(now_ms);
    }

    /// Leases that the shard has, and reservations.
    #[must_use]
    pub fn counts(&self) -> (usize, u64) {
        (self.buckets.len(), self.buckets.reservations())
    }
}

/// What a request wants.
#[derive(Clone, Debug)]
pub struct Wants(Vec<Want>);

impl Wants {
    /// So much of each.
    #[must_use]
    pub fn new(of: &[(Handle, u64)]) -> Self {
        let want = |(handle, need): &(Handle, u64)| Want {
            bucket: handle.0.clone(),
            need: *need,
        };
        Self(of.iter().map(want).collect())
    }
}

impl Held {
    /// Ends it; charges, in all.
    pub fn settle(self, used: &[u64]) -> u64 {
        self.0.settle(used).iter().map(|charge| charge.amount).sum()
    }

    /// Ends it; what is charged.
    pub fn settle_with(self, used: &[u64], charged: impl FnOnce(&[Charge])) {
        charged(&self.0.settle(used));
    }
}

impl From<Result<Reservation, Short>> for Outcome {
    fn from(done: Result<Reservation, Short>) -> Self {
        match done {
            Ok(reservation) => Self::Held(Held(reservation)),
            Err(Short::Exhausted { retry_after_s, .. }) => Self::Refused { retry_after_s },
            Err(Short::Unavailable { .. } | Short::Undefined { .. }) => Self::Unavailable,
        }
    }
}

macro_rules! opaque {
    ($($name:ident)*) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}

opaque!(Node ShardSeed Shard);
