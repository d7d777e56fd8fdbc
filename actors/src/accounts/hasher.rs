//! Hashes passwords, one at a time, on a thread of its own: a revocation never waits behind it.
