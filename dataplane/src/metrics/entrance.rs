//! What happens before a connection's first request: TLS handshakes and PROXY headers, counted by a fixed set of
//! reasons.

/// Declares reasons: variants, their label values, and the list of all of them.
macro_rules! reasons {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $label:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The value of the label `reason`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $label,)* }
            }
        }
    };
}

reasons! {
    /// Why a client's TLS handshake was not finished.
    TlsFailure {
        /// The listener's certificate or key cannot be used: nobody is let in.
        Unavailable = "unavailable",
        /// It took too long.
        Timeout = "timeout",
        /// The client ended it, with an alert or without.
        Closed = "closed",
        /// What came was not TLS.
        NotTls = "not_tls",
        /// Anything else that TLS forbids, no common version or cipher among it.
        Protocol = "protocol",
        /// A client certificate is required and none was shown.
        NoCertificate = "no_certificate",
        /// The certificate, or its signature over the handshake, cannot be read or does not hold.
        Malformed = "malformed",
        /// The certificate, or one that it hangs on, is past its time.
        Expired = "expired",
        /// The certificate's time has not come.
        NotYetValid = "not_yet_valid",
        /// No authority that is trusted for such names has signed it.
        UnknownCa = "unknown_ca",
        /// It is not meant for clients.
        WrongUsage = "wrong_usage",
        /// It is an authority's own.
        CaLeaf = "ca_leaf",
        /// Its authority must not sign such names.
        NameConstraints = "name_constraints",
        /// It was revoked, or one that it hangs on was.
        Revoked = "revoked",
        /// More than one URI name, or one that is no SPIFFE id.
        UriName = "uri_name",
        /// No bundle is configured for its trust domain, or for certificates without one.
        UnknownDomain = "unknown_domain",
        /// It has no name that may be a login, or more than one.
        NoLogin = "no_login",
        /// The chain has too many certificates.
        ChainTooLong = "chain_too_long",
        /// A certificate, or all of them together, have too many bytes.
        TooLarge = "too_large",
    }
}

reasons! {
    /// Why a connection from a configured PROXY sender was closed.
    ProxyRefusal {
        /// It does not begin with a header.
        Missing = "missing",
        /// The header is not one that can be meant.
        Malformed = "malformed",
        /// The header is too long.
        TooLong = "too_long",
        /// The header did not come in time.
        Timeout = "timeout",
        /// The sender closed before the header was whole.
        Closed = "closed",
    }
}

/// Counts of one shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntranceCounts {
    /// TLS handshakes that were finished.
    pub handshakes: u64,
    /// Client certificates that were accepted.
    pub certificates: u64,
    /// Connections that were cut because their certificate is not believed any more.
    pub withdrawn: u64,
    /// PROXY headers that were accepted.
    pub proxied: u64,
    failures: [u64; TlsFailure::ALL.len()],
    refusals: [u64; ProxyRefusal::ALL.len()],
}

impl EntranceCounts {
    /// Counts a handshake that was not finished.
    pub fn fail(&mut self, reason: TlsFailure) {
        if let Some(count) = self.failures.get_mut(reason as usize) {
            *count += 1;
        }
    }

    /// Counts a connection of a PROXY sender that was closed.
    pub fn refuse(&mut self, reason: ProxyRefusal) {
        if let Some(count) = self.refusals.get_mut(reason as usize) {
            *count += 1;
        }
    }

    /// Handshakes that were not finished, by reason.
    pub fn failures(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let names = TlsFailure::ALL.iter().map(|reason| reason.name());
        names.zip(self.failures.iter().copied())
    }

    /// Connections of PROXY senders that were closed, by reason.
    pub fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let names = ProxyRefusal::ALL.iter().map(|reason| reason.name());
        names.zip(self.refusals.iter().copied())
    }

    pub(super) fn merge(&mut self, other: &Self) {
        let Self {
            handshakes,
            certificates,
            withdrawn,
            proxied,
            failures,
            refusals,
        } = other;
        self.handshakes += handshakes;
        self.certificates += certificates;
        self.withdrawn += withdrawn;
        self.proxied += proxied;
        let pairs = self.failures.iter_mut().zip(failures);
        for (sum, more) in pairs.chain(self.refusals.iter_mut().zip(refusals)) {
            *sum += more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_counter_and_a_name_of_its_own() {
        let mut counts = EntranceCounts::default();
        for (index, reason) in TlsFailure::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
            counts.fail(*reason);
        }
        for (index, reason) in ProxyRefusal::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
            counts.refuse(*reason);
        }
        let mut sum = counts;
        sum.merge(&counts);
        assert!(sum.failures().chain(sum.refusals()).all(|(_, count)| count == 2));
        let mut names: Vec<_> = sum.failures().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TlsFailure::ALL.len());
    }
}
