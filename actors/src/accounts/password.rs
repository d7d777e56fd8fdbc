//! Passwords and what is kept of them.
