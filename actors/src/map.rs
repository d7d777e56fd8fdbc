//! Hash maps of the engine's own numbers: hashed in a few instructions instead of the standard library's forty.
//!
//! Some of the numbers are chosen by clients; the seed is the process's own, so nobody can construct collisions.

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// A map by ids, or by something as small.
pub type Map<K, V> = HashMap<K, V, RandomState>;
