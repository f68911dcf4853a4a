//! The memory of large responses, used again: a fetch is megabytes, and one follows the other.

use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};

/// What is reserved at most for a response before any of it has arrived; the rest as it comes. A full fetch of the usual size is
/// somewhat more than a power of two, and must not be moved for that.
const RESERVE: usize = 8 * 1024 * 1024;
/// Smaller responses are not worth it.
const LARGE: usize = 256 * 1024;
/// Buffers that wait to be used again, at most.
const FREE_MAX: usize = 2;

/// Buffers that nobody reads any more. Each is as large as a response that has come.
#[derive(Clone, Default)]
pub(super) struct Room {
    free: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Room {
    /// An empty buffer for a response of this length.
    pub(super) fn take(&self, length: usize) -> Vec<u8> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if length < LARGE {
            // Where small ones come, the large ones are over.
            free.clear();
        }
        let fits = free.iter().position(|buffer| buffer.capacity() >= length);
        fits.map(|at| free.swap_remove(at)).unwrap_or_else(|| Vec::with_capacity(length.min(RESERVE)))
    }

    /// What was read. The buffer comes back when the last part of it is dropped.
    pub(super) fn lend(&self, buffer: Vec<u8>) -> Bytes {
        match buffer.capacity() {
            LARGE..=RESERVE => Bytes::from_owner(Lent { buffer, room: self.clone() }),
            _ => buffer.into(),
        }
    }
}

/// A response that somebody reads.
struct Lent {
    buffer: Vec<u8>,
    room: Room,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut free = self.room.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < FREE_MAX {
            buffer.clear();
            free.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(room: &Room, length: usize) -> Bytes {
        let mut buffer = room.take(length);
        assert!(buffer.is_empty());
        buffer.resize(length, 7);
        room.lend(buffer)
    }

    #[test]
    fn a_buffer_is_used_again_when_nobody_reads_it_any_more_and_not_before() {
        let room = Room::default();
        let first = response(&room, LARGE);
        let (place, part) = (first.as_ptr(), first.slice(5..10));
        drop(first);
        let second = response(&room, LARGE);
        assert_ne!(second.as_ptr(), place);
        assert_eq!(part[..], [7; 5]);
        drop(part);
        assert_eq!(response(&room, LARGE).as_ptr(), place);
        drop(second);
        // No more are kept than may be, and none once responses are small.
        drop((0..5).map(|_| response(&room, LARGE)).collect::<Vec<_>>());
        assert_eq!(room.free.lock().unwrap().len(), FREE_MAX);
        drop(response(&room, 10));
        assert_eq!(room.free.lock().unwrap().len(), 0);
    }

    #[test]
    fn what_is_larger_than_may_be_reserved_grows_as_it_comes() {
        let room = Room::default();
        assert_eq!(room.take(RESERVE + 1).capacity(), RESERVE);
        assert_eq!(room.lend(vec![1; RESERVE + 1]).len(), RESERVE + 1);
        assert_eq!(room.free.lock().unwrap().len(), 0);
    }
}
