//! Plots, as SVG of our own making.

mod axis;
mod figure;

pub use self::axis::short;
pub use self::figure::{Figure, Series};
