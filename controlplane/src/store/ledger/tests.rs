//! Buckets, leases and charges in a store.
