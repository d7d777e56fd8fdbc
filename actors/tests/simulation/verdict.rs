//! The first promise that was broken on this thread, if one was; and for whoever looks into one, what happened before.

use std::cell::{Cell, RefCell};

thread_local! {
    static STEP: Cell<u64> = const { Cell::new(0) };
    static IS_LOUD: bool = std::env::var_os("CHAPPE_LOUD").is_some();
    static VERDICT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A promise is broken.
pub(crate) fn broken(how: String) {
    VERDICT.with_borrow_mut(|verdict| {
        verdict.get_or_insert(how);
    });
}

/// A promise that has to hold.
pub(crate) fn holds(it: bool, how: impl FnOnce() -> String) {
    if !it {
        broken(how());
    }
}

/// Which promise was broken, if one was.
pub(crate) fn verdict() -> Option<String> {
    VERDICT.with_borrow(Clone::clone)
}

/// This is step `number`.
pub(crate) fn set_step(number: u64) {
    STEP.set(number);
}

/// Tells what happens, where `CHAPPE_LOUD` is set.
pub(crate) fn tell(what: impl FnOnce() -> String) {
    if IS_LOUD.with(|is_loud| *is_loud) {
        println!("{:>6} {}", STEP.get(), what());
    }
}
