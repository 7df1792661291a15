//! Panics of decoders that are about the file: caught, and not printed as if the program had failed.

use std::{
    cell::Cell,
    panic::{self, AssertUnwindSafe, catch_unwind},
    sync::Once,
};

thread_local! {
    /// Whether a panic of this thread is about to be caught here.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// The result of `work`, or `None` where it panicked. The panic hook in force stays in force for all other panics.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !CAUGHT.try_with(Cell::get).unwrap_or(false) {
                others(info);
            }
        }));
    });
    // Calls may nest; the outer one still catches what comes after the inner one.
    let outer = CAUGHT.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    CAUGHT.set(outer);
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caught_panic_leaves_the_flag_as_it_was() {
        assert_eq!(caught(|| 1), Some(1));
        let nested = caught(|| {
            let inner = caught(|| -> u8 { panic!("inner") });
            (inner, CAUGHT.get())
        });
        assert_eq!(nested, Some((None, true)));
        assert!(!CAUGHT.get());
    }
}
