//! What crosses process borders: frames on the control socket, records in journal segments, slots of the
//! in-flight table. All are versioned, bounded and checksummed; nothing here trusts the other side.

pub mod capture;
pub mod control;
pub mod inflight;
pub mod journal;
