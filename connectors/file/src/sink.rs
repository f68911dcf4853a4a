//! The destination: hidden files in progress, published by rename after the commit.
//!
//! What makes it exactly once: `prepare` syncs the file in progress, and the checkpoint holds its length; after a crash it
//! is cut back to that length. A finished file gets its name only after the commit that finished it, and a restart makes
//! up for a rename that the crash prevented.

use crate::{SINK_SPEC, format};
use acme_connect::{AnySink, Context, Fates, Format, Prepared, Rows, Sink, SinkParts, failpoint};
use acme_formats::csv;
use acme_types::{Clock, Config, Diagnostic, Disk, DiskFile, Epoch, codes, disk_fault};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) fn make(config: &Config, context: &Context) -> Result<SinkParts, Diagnostic> {
    let path = PathBuf::from(config.text("path").expect("required"));
    if path.file_name().is_none() || path.is_dir() {
        let message = format!("\"{}\" is a directory, not a file", path.display());
        return Err(config.blame("path", Diagnostic::new(&codes::BAD_VALUE, message).help("add a file name")));
    }
    let format = format::format(config)?;
    if matches!(&format, Format::Csv(dialect) if dialect.quote.is_none()) {
        let message = "a destination cannot write CSV without quotes: a text may hold a delimiter";
        return Err(config.blame("csv", Diagnostic::new(&codes::BAD_VALUE, message)));
    }
    let rotate = config.object("rotate");
    let limit = |key| rotate.and_then(|rotate| rotate.int(key)).and_then(|limit| u64::try_from(*limit).ok());
    let sink = FileSink::new(context.disk.clone(), context.clock.clone(), path, context.batch_mode)
        .rotate(limit("size"), limit("every"))
        .format(format.clone());
    let sink = AnySink::Plain(Box::new(sink));
    let (change, delivery) = (SINK_SPEC.change, SINK_SPEC.delivery);
    Ok(SinkParts {
        sink,
        format: Some(format),
        takes_documents: false,
        reads: Vec::new(),
        computed: Vec::new(),
        change,
        delivery,
    })
}

/// Writes one series of files.
pub struct FileSink {
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    path: PathBuf,
    /// A run of its own replaces what an earlier one published.
    replaces: bool,
    format: Format,
    size_max: Option<u64>,
    age_max_us: Option<u64>,
    state: State,
    open: Option<Box<dyn DiskFile>>,
    opened_us: u64,
}

/// What the checkpoint keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// The number of the part in progress, from 1; of the next one where none is.
    part: u64,
    /// The committed length of the part in progress; `None` where none is.
    length: Option<u64>,
    /// Finished parts that are to be published.
    finished: Vec<u64>,
}

impl FileSink {
    /// A sink for `path`. One that `replaces` begins with the first part and overwrites what stands there; the other
    /// begins with the first part whose name is free.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, clock: Arc<dyn Clock>, path: PathBuf, replaces: bool) -> Self {
        Self {
            disk,
            clock,
            path,
            replaces,
            format: Format::Json,
            size_max: None,
            age_max_us: None,
            state: State::default(),
            open: None,
            opened_us: 0,
        }
    }

    /// Finishes a part after so many bytes or microseconds.
    #[must_use]
    pub fn rotate(mut self, size_max: Option<u64>, age_max_us: Option<u64>) -> Self {
        self.size_max = size_max;
        self.age_max_us = age_max_us;
        self
    }

    /// Writes rows of this format; a header goes to the front of each part.
    #[must_use]
    pub fn format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    fn file_name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or("out")
    }

    fn hidden(&self, part: u64) -> PathBuf {
        self.directory().join(format!("{}{part}", self.hidden_prefix()))
    }

    fn hidden_prefix(&self) -> String {
        format!(".{}.in-progress-", self.file_name())
    }

    /// The first part has the plain name, unless the series is rotated; all others carry their number.
    fn published(&self, part: u64) -> PathBuf {
        if part == 1 && self.size_max.is_none() && self.age_max_us.is_none() {
            return self.path.clone();
        }
        let (stem, ending) = match self.file_name().split_once('.') {
            Some((stem, ending)) if !stem.is_empty() => (stem, format!(".{ending}")),
            _ => (self.file_name(), String::new()),
        };
        self.directory().join(format!("{stem}-{part:05}{ending}"))
    }

    fn restore(&mut self, prepared: Option<&Prepared>) -> io::Result<Result<(), String>> {
        self.disk.create_dirs(self.directory())?;
        match prepared {
            Some(prepared) => match serde_json::from_str(prepared) {
                Ok(state) => self.state = state,
                Err(error) => return Ok(Err(format!("what was prepared cannot be read: {error}"))),
            },
            None => self.state = State { part: self.first_part()?, ..State::default() },
        }
        self.publish()?;
        for path in self.disk.list(self.directory())? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let part = name.strip_prefix(&self.hidden_prefix()).and_then(|part| part.parse::<u64>().ok());
            // Parts of epochs that were never committed.
            if part.is_some_and(|part| self.state.length.is_none() || part != self.state.part) {
                self.disk.remove(&path)?;
            }
        }
        let Some(length) = self.state.length else { return Ok(Ok(())) };
        let hidden = self.hidden(self.state.part);
        match self.disk.len(&hidden)? {
            Some(found) if found >= length => {
                let mut file = self.disk.append(&hidden, false)?;
                file.truncate(length)?;
                file.sync()?;
                self.open = Some(file);
                self.opened_us = self.clock.monotonic_us();
                Ok(Ok(()))
            }
            found => Ok(Err(format!(
                "the file in progress {} has {} committed bytes, {} are there",
                hidden.display(),
                length,
                found.unwrap_or(0)
            ))),
        }
    }

    fn first_part(&self) -> io::Result<u64> {
        if self.replaces {
            return Ok(1);
        }
        let mut part = 1;
        while self.disk.len(&self.published(part))?.is_some() {
            part += 1;
        }
        Ok(part)
    }

    /// Gives finished parts their names. One that has no hidden file any more was published before.
    fn publish(&mut self) -> io::Result<()> {
        if self.state.finished.is_empty() {
            return Ok(());
        }
        for part in std::mem::take(&mut self.state.finished) {
            let hidden = self.hidden(part);
            failpoint("file.rename");
            if self.disk.len(&hidden)?.is_some() {
                self.disk.rename(&hidden, &self.published(part))?;
            }
        }
        self.disk.sync_dir(self.directory())
    }

    fn begin(&mut self) -> io::Result<()> {
        let mut file = self.disk.append(&self.hidden(self.state.part), true)?;
        file.truncate(0)?;
        self.disk.sync_dir(self.directory())?;
        self.open = Some(file);
        self.opened_us = self.clock.monotonic_us();
        self.state.length = Some(0);
        Ok(())
    }

    fn append(&mut self, rows: &Rows) -> io::Result<()> {
        let encoded = rows.encoded.as_ref().expect("this destination takes bytes");
        if self.open.is_none() {
            self.begin()?;
            if let Format::Csv(dialect) = &self.format
                && dialect.header
            {
                let names = rows.shape.columns.iter().map(|(name, _)| &**name);
                self.put(&csv::header(dialect, names))?;
            }
        }
        self.put(&encoded.bytes)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.open.as_mut().expect("it is open").write(bytes)?;
        *self.state.length.get_or_insert(0) += u64::try_from(bytes.len()).expect("usize is at most 64 bits");
        Ok(())
    }

    fn sync(&mut self, last: bool) -> io::Result<()> {
        if self.open.is_none() && last && self.replaces && self.state.part == 1 {
            // A run without rows leaves an empty file rather than an older run's.
            self.begin()?;
        }
        let Some(file) = &mut self.open else { return Ok(()) };
        failpoint("file.sync");
        file.sync()?;
        let length = self.state.length.unwrap_or(0);
        let age = self.clock.monotonic_us().saturating_sub(self.opened_us);
        let full =
            self.size_max.is_some_and(|max| length >= max) || self.age_max_us.is_some_and(|max| age >= max);
        if last || full {
            self.open = None;
            self.state.finished.push(self.state.part);
            self.state.part += 1;
            self.state.length = None;
        }
        Ok(())
    }

    fn fault(&self, what: &str, error: &io::Error) -> Diagnostic {
        disk_fault(&format!("{what} {}", self.path.display()), error)
    }
}

impl Sink for FileSink {
    async fn check(&mut self) -> Vec<Diagnostic> {
        // The nearest directory that exists must take new files; what is missing below it is created by `open`.
        let exists = |dir: &&Path| dir.as_os_str().is_empty() || dir.is_dir();
        let directory = self.directory().ancestors().find(exists).unwrap_or(Path::new("")).to_owned();
        let probe = directory.join(format!("{}check", self.hidden_prefix()));
        let outcome = self.disk.append(&probe, true).and_then(|_| self.disk.remove(&probe));
        outcome.err().map(|error| self.fault("write to", &error)).into_iter().collect()
    }

    async fn open(&mut self, prepared: Option<&Prepared>) -> Result<(), Diagnostic> {
        match self.restore(prepared) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(cause)) => Err(Diagnostic::new(&codes::STATE, cause)),
            Err(error) => Err(self.fault("open", &error)),
        }
    }

    async fn write(&mut self, rows: &Rows) -> Result<Fates, Diagnostic> {
        // A part of the bytes may be written: a repetition would double it, so the run ends instead.
        self.append(rows)
            .map_err(|error| Diagnostic { blame: acme_types::Blame::User, ..self.fault("write", &error) })?;
        Ok(Fates::new())
    }

    async fn prepare(&mut self, _: Epoch, last: bool) -> Result<Prepared, Diagnostic> {
        self.sync(last).map_err(|error| self.fault("sync", &error))?;
        Ok(serde_json::to_string(&self.state).expect("numbers are always valid JSON"))
    }

    async fn commit(&mut self, _: Epoch) -> Result<(), Diagnostic> {
        self.publish().map_err(|error| self.fault("publish", &error))
    }

    /// The hidden file is one worker's.
    fn is_shareable(&self) -> bool {
        false
    }
}
