//! The only unsafe code of ours: each block says why it is safe. It decides nothing.

use libmimalloc_sys::mi_option_t;
use std::time::Duration;

/// `mi_option_purge_delay` of mimalloc's `mi_option_e`, milliseconds; the same number in versions 2 and 3.
const PURGE_DELAY: mi_option_t = 15;

/// Lets mimalloc give freed pages back to the system after this time; its own choice is a second in version 3.
///
/// Buffers of a run that are freed are soon needed again, mostly by another thread: what lies idle for a second is a
/// third of a busy run's memory. Touches the allocator's setting only, so it may be called at any time.
pub fn give_memory_back_after(delay: Duration) {
    let millis = i32::try_from(delay.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the function takes any option and any value; it stores the value in a static of its own, which it reads again
    // when pages are freed.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, millis.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delay() -> i64 {
        // SAFETY: as above; an option is only read.
        unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) }
    }

    #[test]
    fn the_option_is_the_delay() {
        // mimalloc 3's own default: if this is another number, so is the option.
        assert_eq!(delay(), 1000);
        give_memory_back_after(Duration::from_millis(10));
        assert_eq!(delay(), 10);
        give_memory_back_after(Duration::MAX);
        assert_eq!(delay(), i64::from(i32::MAX));
    }
}
