//! An organisation that uses models: who asks for what and when, for stores that look like real ones.
//!
//! The model: people and devices with activity that follows Zipf's law, in three regions whose working hours and weekends
//! shape the day; each asks in sessions of the client that he prefers, with agents beside the main one, or in single
//! calls; models of five providers answer, with errors, answers that say no usage, and models that have no price. All of
//! it follows from a seed, and comes in the order of time.

mod draw;
mod hours;
mod models;
mod people;
mod talk;
mod work;

pub use draw::Draw;
pub use models::{CATALOGUE, Model};
pub use people::{Organisation, Person};
pub use talk::{Exchange, Told, exchange};
pub use work::{Asked, Work};

/// What is to be made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Requests in all.
    pub requests: u64,
    /// People and devices.
    pub users: u32,
    /// Days up to the end.
    pub days: u32,
    /// Requests whose conversation is told, towards the end.
    pub captures: u64,
    /// What everything follows from.
    pub seed: u64,
    /// When it ends, in Unix microseconds.
    pub end: u64,
}
