//! Where `${…}` takes its values from, and how files are read that somebody else has written.

use acme_spec::Environment;
use std::fs::File;
use std::io::{self, ErrorKind, Read};

/// The most that `${file:…}` puts in.
const VALUE_MAX: u64 = 1 << 20;

/// The process's own environment and files.
pub(crate) struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &str) -> io::Result<String> {
        let bytes = read(path, VALUE_MAX)?;
        String::from_utf8(bytes).map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is not UTF-8 text"))
    }
}

/// A whole file, unless it has more than so many bytes: a device may never end.
pub(crate) fn read(path: &str, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(max + 1).read_to_end(&mut bytes)?;
    match u64::try_from(bytes.len()) {
        Ok(length) if length <= max => Ok(bytes),
        _ => Err(io::Error::new(ErrorKind::FileTooLarge, format!("it has more than {} MiB", max >> 20))),
    }
}
