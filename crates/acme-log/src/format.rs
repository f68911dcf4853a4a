//! Small files of ours: a mark of four bytes, a version, content, a checksum over all of it. And numbers out of bytes.

use crate::disk::{self, LogDisk};
use std::io;
use std::path::Path;

/// Takes numbers off the front; `None` at the end.
pub(crate) struct Reader<'b>(pub(crate) &'b [u8]);

impl<'b> Reader<'b> {
    pub(crate) fn bytes(&mut self, count: usize) -> Option<&'b [u8]> {
        let (front, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(front)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (front, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*front)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn i16(&mut self) -> Option<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_be_bytes)
    }

    /// Text with its length in front.
    pub(crate) fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.u32()?).ok()?;
        String::from_utf8(self.bytes(length)?.to_vec()).ok()
    }
}

/// Text with its length in front.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    let length = u32::try_from(text.len()).expect("names and settings are far below 4 GiB");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// What kind of file it is, and the version of its content.
#[derive(Clone, Copy)]
pub(crate) struct Mark(pub(crate) &'static [u8; 4], pub(crate) u8);

/// What is wrong with a small file.
pub(crate) enum Unreadable {
    /// There is none.
    Missing,
    /// It is not what was written.
    Damaged(&'static str),
    /// The disk refuses.
    Disk(io::Error),
}

/// Replaces a small file as a whole; see [`disk::replace`].
pub(crate) fn write(disk: &dyn LogDisk, path: &Path, mark: Mark, content: &[u8]) -> io::Result<()> {
    let mut file = Vec::with_capacity(content.len() + 9);
    file.extend_from_slice(mark.0);
    file.push(mark.1);
    file.extend_from_slice(content);
    let crc = crc32c::crc32c(&file);
    file.extend_from_slice(&crc.to_be_bytes());
    disk::replace(disk, path, &file)
}

/// The content of a small file.
pub(crate) fn read(disk: &dyn LogDisk, path: &Path, mark: Mark) -> Result<Vec<u8>, Unreadable> {
    let mut file = disk::read(disk, path).map_err(Unreadable::Disk)?.ok_or(Unreadable::Missing)?;
    let Some(end) = file.len().checked_sub(4).filter(|end| *end >= 5) else {
        return Err(Unreadable::Damaged("it is too short"));
    };
    if crc32c::crc32c(&file[..end]).to_be_bytes() != file[end..] {
        return Err(Unreadable::Damaged("its checksum is wrong"));
    }
    if file[..4] != *mark.0 {
        return Err(Unreadable::Damaged("it is another kind of file"));
    }
    if file[4] != mark.1 {
        return Err(Unreadable::Damaged("it was written by another version"));
    }
    file.truncate(end);
    file.drain(..5);
    Ok(file)
}
