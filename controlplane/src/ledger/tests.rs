//! The ledger as data planes see it.
