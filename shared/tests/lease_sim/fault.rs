//! Mutants: each breaks one rule of the protocol or of the arithmetic, and must be found out.

macro_rules! faults {
    ($($(#[doc = $doc:literal])* $name:ident by $($invariant:ident)|+),+ $(,)?) => {
        /// A rule that is broken; its line says what the broken program does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault {
            /// All rules hold.
            None,
            $($(#[doc = $doc])* $name),+
        }

        impl Fault {
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The invariants that may fail first.
            pub fn found_by(self) -> &'static [Invariant] {
                match self {
                    Self::None => &[],
                    $(Self::$name => &[$(Invariant::$invariant),+]),+
                }
            }
        }
    };
}

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invariant {
    /// Settled and used by running requests ≤ capacity + refill + by hand + what went beyond reservations.
    Q1,
    /// With nothing running, nothing is reserved, and shards, cell, lease and balance add up.
    Q2,
    /// Nobody is refused while what is there would have sufficed.
    Q3,
    /// Balance = opening + refill − charges, each once, by a model that knows all of them in order.
    Q4,
    /// No holder has more than its lease says that it may have.
    Lease,
    /// Nothing is above the ceiling.
    Ceiling,
    /// Everything comes to rest once nothing new happens.
    Rest,
}

faults! {
    /// A grant that its holder has not seen when it asks again stays granted.
    UnseenGrantKept by Q1 | Q2 | Q3,
    /// A question that is older than the last is answered.
    OldQuestionAnswered by Lease | Q1 | Q2 | Q4,
    /// An answer to an older question is taken for the present one's.
    OldAnswerTaken by Lease | Q1 | Q2,
    /// What is free for others assumes that the last answer arrived.
    LostAnswerForgotten by Lease,
    /// The ledger answers first and stores afterwards.
    ToldBeforeStored by Lease | Q1 | Q2,
    /// Every holder is promised all of the refill.
    SharesOverlap by Q1,
    /// A holder is granted what it needs, there or not.
    GrantedBeyondFree by Q1,
    /// With one holder, it is granted what it needs and no more, and half of that if there is less.
    GrantedHalf by Q2 | Q3,
    /// A record that is read twice is charged twice.
    DuplicateCharged by Lease | Q2 | Q4,
    /// Refill goes on above the ceiling.
    RefilledAboveCeiling by Ceiling | Q3,
    /// An admin's refill goes on above the ceiling.
    AddedAboveCeiling by Ceiling,
    /// A lowered ceiling leaves the balance.
    LoweredKept by Ceiling,
    /// The part of an amount that a refill leaves is dropped.
    RemainderDropped by Q4 | Q3,
    /// Charges count at the moment at which they are stored.
    ChargedWhenStored by Q4 | Q3,
    /// What did not fit before a charge was known is gone.
    SpillForgotten by Q4 | Q3,
    /// A charge counts at the moment that its record bears, however long ago.
    StampBelieved by Q4,
    /// After the clock has been put back nothing is refilled until it is as late as before.
    ClockBackWaits by Lease | Q4 | Q3,
    /// After the clock has been put back, leases bear moments that have not come yet.
    LeaseNotSetBack by Lease,
    /// The lease of a finished holder stays.
    LeaseNotEnded by Q2 | Q3,
    /// A lease ends with its process, before the journal has been stored.
    LeaseEndedEarly by Lease | Q1 | Q2,
    /// What ran when a process died is not charged.
    AbortedForgotten by Q4 | Q1,
    /// The share of the refill is credited above the ceiling.
    AdvancedUncapped by Ceiling,
    /// The share of the refill is credited while the ledger may be granting it.
    AdvancedWhileAsking by Lease | Q1 | Q2 | Q4,
    /// What is above a lowered ceiling is kept by the holder.
    ExcessKept by Ceiling,
    /// A holder that forgets a bucket forgets that it owes.
    LeftOwing by Lease | Q1 | Q2,
    /// Charges of a former stint that come later free what was never granted in the present one.
    StintForgotten by Lease | Q1 | Q2,
    /// What is given back leaves the cell, but not the sum.
    ReturnNotReported by Q2,
    /// The end of a request leaves its reservation.
    SettledWithoutRelease by Q2 | Q3,
    /// A request that is cancelled before it was sent leaves its reservation.
    CancelKept by Q2 | Q3,
    /// Less is reserved than is needed, if there is less.
    ReservationCapped by Q1,
    /// A use beyond the reservation is not charged to the shard.
    OvershootForgotten by Lease | Q1 | Q2,
    /// A refused request keeps what it had reserved in other buckets.
    PartKept by Q2 | Q3,
    /// Shards keep what is idle when it is recalled.
    RecallIgnored by Q2 | Q3,
    /// Shards forget, at a recall, the charges that the cell does not know of.
    ChargesForgotten by Lease | Q2,
    /// Shards keep what is idle while a request waits.
    TightIgnored by Q3,
    /// A request is refused without asking the ledger.
    RefusedUnasked by Q3,
}
