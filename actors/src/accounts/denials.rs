//! What is not believed, as plain data.
