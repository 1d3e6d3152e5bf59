//! From what was proven to one principal, or to the reason why there is none: a function of plain values.
//!
//! A proof of the connection comes first. A credential beside it may take away but not add, unless the document says
//! that it replaces; a credential that claims to be ours and does not hold is refused whatever the connection proves.

use sluice_shared::snapshot::BearerMode;

/// What the connection proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection<'a> {
    /// A principal with this login.
    Known(&'a str),
    /// Nobody that any source knows.
    Unknown,
    /// Nobody, and no credential changes that: it came from the internet, or with headers that cannot be believed.
    Refused,
    /// A source that would have to be asked is down; seconds after which to try again.
    Unavailable(u32),
}

/// What the credential in the request proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bearer<'a> {
    /// There is none of our shape.
    Absent,
    /// A principal with this login.
    Known(&'a str),
    /// It is none of ours.
    Foreign,
    /// It holds, and nobody knows its owner.
    Unknown,
    /// It claims to be ours and does not hold.
    Refused,
    /// Nobody can say; seconds after which to try again.
    Unavailable(u32),
}

/// Who the caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The connection's principal.
    Connection,
    /// The connection's principal within the scope of the credential.
    Narrowed,
    /// The credential's principal within its scope.
    Bearer,
    /// 403: nobody.
    Unknown,
    /// 403: nobody, for a reason of the connection's own.
    ConnectionRefused,
    /// 401.
    CredentialRefused,
    /// 403: two different principals.
    Conflict,
    /// 503, with the seconds after which to try again.
    Unavailable(u32),
}

/// Whose word counts for the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// There is none, or it is not believed.
    Absent,
    /// It stands before the sources that go by the address.
    First,
    /// It counts where these know nobody.
    Last,
}

impl Certificate {
    /// Whether the certificate's principal is the connection's. `by_address` is only looked at where it matters, so it
    /// need not be known for [`Self::First`].
    #[must_use]
    pub fn counts(self, by_address: impl FnOnce() -> bool) -> bool {
        match self {
            Self::Absent => false,
            Self::First => true,
            // A source that is down may know the caller: only one that knows nobody lets the next one speak.
            Self::Last => by_address(),
        }
    }
}

/// See the module.
#[must_use]
pub fn combine(connection: Connection<'_>, bearer: Bearer<'_>, mode: BearerMode) -> Outcome {
    match (connection, bearer) {
        (_, Bearer::Refused) => Outcome::CredentialRefused,
        (Connection::Refused, _) => Outcome::ConnectionRefused,
        (_, Bearer::Known(_)) if mode == BearerMode::Replace => Outcome::Bearer,
        (Connection::Unavailable(one), Bearer::Unavailable(other)) => Outcome::Unavailable(one.max(other)),
        (Connection::Unavailable(seconds), _) | (_, Bearer::Unavailable(seconds)) => {
            Outcome::Unavailable(seconds)
        }
        (Connection::Known(one), Bearer::Known(other)) if one == other => Outcome::Narrowed,
        (Connection::Known(_), Bearer::Known(_)) => Outcome::Conflict,
        (Connection::Unknown, Bearer::Known(_)) => Outcome::Bearer,
        (Connection::Known(_), Bearer::Absent | Bearer::Foreign | Bearer::Unknown) => Outcome::Connection,
        (Connection::Unknown, Bearer::Absent | Bearer::Foreign | Bearer::Unknown) => Outcome::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use BearerMode::{Narrow, Replace};

    /// Every combination, written out.
    #[test]
    fn every_combination_has_its_outcome() {
        use Outcome::{
            Bearer as Theirs, Conflict, Connection as Ours, ConnectionRefused, CredentialRefused, Narrowed,
            Unavailable, Unknown,
        };
        let bearers = [
            Bearer::Absent,
            Bearer::Foreign,
            Bearer::Unknown,
            Bearer::Known("alice"),
            Bearer::Known("bob"),
            Bearer::Refused,
            Bearer::Unavailable(7),
        ];
        let table = [
            (
                Connection::Known("alice"),
                Narrow,
                [
                    Ours,
                    Ours,
                    Ours,
                    Narrowed,
                    Conflict,
                    CredentialRefused,
                    Unavailable(7),
                ],
            ),
            (
                Connection::Unknown,
                Narrow,
                [
                    Unknown,
                    Unknown,
                    Unknown,
                    Theirs,
                    Theirs,
                    CredentialRefused,
                    Unavailable(7),
                ],
            ),
            (
                Connection::Refused,
                Narrow,
                [
                    ConnectionRefused,
                    ConnectionRefused,
                    ConnectionRefused,
                    ConnectionRefused,
                    ConnectionRefused,
                    CredentialRefused,
                    ConnectionRefused,
                ],
            ),
            (
                Connection::Unavailable(9),
                Narrow,
                [
                    Unavailable(9),
                    Unavailable(9),
                    Unavailable(9),
                    Unavailable(9),
                    Unavailable(9),
                    CredentialRefused,
                    Unavailable(9),
                ],
            ),
            (
                Connection::Known("alice"),
                Replace,
                [
                    Ours,
                    Ours,
                    Ours,
                    Theirs,
                    Theirs,
                    CredentialRefused,
                    Unavailable(7),
                ],
            ),
            (
                Connection::Unknown,
                Replace,
                [
                    Unknown,
                    Unknown,
                    Unknown,
                    Theirs,
                    Theirs,
                    CredentialRefused,
                    Unavailable(7),
                ],
            ),
            (
                Connection::Refused,
                Replace,
                [
                    ConnectionRefused,
                    ConnectionRefused,
                    ConnectionRefused,
                    ConnectionRefused,
                    ConnectionRefused,
                    CredentialRefused,
                    ConnectionRefused,
                ],
            ),
            (
                Connection::Unavailable(5),
                Replace,
                [
                    Unavailable(5),
                    Unavailable(5),
                    Unavailable(5),
                    Theirs,
                    Theirs,
                    CredentialRefused,
                    Unavailable(7),
                ],
            ),
        ];
        let mut cells = 0;
        for (connection, mode, expected) in table {
            for (bearer, expected) in bearers.into_iter().zip(expected) {
                assert_eq!(
                    combine(connection, bearer, mode),
                    expected,
                    "{connection:?} {bearer:?} {mode:?}"
                );
                cells += 1;
            }
        }
        assert_eq!(cells, 4 * 2 * 7);
    }

    /// Red if a source that is down lets a later one speak, or a first one waits for it.
    #[test]
    fn a_certificate_counts_by_its_place() {
        assert!(!Certificate::Absent.counts(|| true));
        assert!(Certificate::First.counts(|| unreachable!("nobody is asked")));
        assert!(Certificate::Last.counts(|| true));
        assert!(!Certificate::Last.counts(|| false));
    }
}
