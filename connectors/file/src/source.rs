//! The source: whole records in blocks of about 1 MiB, file after file.

use crate::follow::{FileId, identity, metadata};
use crate::format::{self, Cut, Layout};
use crate::header::Begin;

use acme_connect::{Context, Extent, Format, Read, Source, SourceParts, StreamInfo, Unit};
use acme_types::{Chunk, Config, Diagnostic, Origin, Payload, Position, Positions, SplitId, codes};
use arrow::buffer::Buffer;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What is read at once. It fits into a core's second-level cache, so that decoding finds it there.
const BLOCK: usize = 1 << 20;
/// The longest record.
const LINE_MAX: usize = 64 << 20;
/// How often a streaming source looks for more.
const POLL: Duration = Duration::from_millis(100);

pub(crate) fn make(config: &Config, context: &Context) -> Result<SourceParts, Diagnostic> {
    let mut patterns = Vec::new();
    for text in config.texts("path") {
        patterns.push(glob::Pattern::new(text).map(|_| text.to_owned()).map_err(|error| {
            let message = format!("\"{text}\" is not a valid pattern: {error}");
            config.blame("path", Diagnostic::new(&codes::BAD_VALUE, message))
        })?);
    }
    let format = format::format(config)?;
    let mut source = FileSource {
        item: context.item.clone(),
        cut: match &format {
            Format::Json => Cut::Lines,
            Format::Csv(dialect) => Cut::Records(dialect.clone()),
        },
        format,
        declared: config.map("schema").into_iter().flatten().map(|(name, _)| name.clone()).collect(),
        layout: None,
        patterns,
        tail: !context.batch_mode,
        tells_ends: context.tells_ends,
        at: config.place("path").clone(),
        files: BTreeMap::new(),
        current: None,
        extent: Arc::new(Extent::new(Unit::Bytes)),
    };
    let streams = source.known()?.map(|stream| vec![stream]);
    Ok(SourceParts { source: Box::new(source), streams })
}

/// How far a file has been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Bytes, up to the end of a record.
    pub(crate) offset: u64,
    /// Which file it is, whatever its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<FileId>,
    /// It had another name when reading began.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) renamed: bool,
}

pub(crate) struct FileSource {
    pub(crate) item: Arc<str>,
    pub(crate) format: Format,
    cut: Cut,
    /// The names under `schema:`.
    pub(crate) declared: Vec<String>,
    /// For CSV, once it is known.
    pub(crate) layout: Option<Layout>,
    patterns: Vec<String>,
    pub(crate) tail: bool,
    pub(crate) at: acme_types::Place,
    pub(crate) files: BTreeMap<PathBuf, Progress>,
    current: Option<Reader>,
    /// The engine wants to know when there is nothing to be read.
    tells_ends: bool,
    /// How far it is in what was there when it was opened.
    extent: Arc<Extent>,
}

impl Source for FileSource {
    async fn describe(&mut self) -> Result<Vec<StreamInfo>, Diagnostic> {
        match self.known()? {
            Some(stream) => Ok(vec![stream]),
            None => {
                let message =
                    format!("the fields are not known: no file matches {} yet", self.patterns.join(", "));
                let help = "name them under `schema:`, or start when the first file is there";
                Err(Diagnostic::new(&codes::FILE, message).at(&self.at).help(help))
            }
        }
    }

    async fn sample(&mut self, rows: usize) -> Result<Vec<Chunk>, Diagnostic> {
        self.tail = false;
        self.open(&Positions::new()).await?;
        let Read::Rows(mut chunk) = self.read().await? else { return Ok(Vec::new()) };
        if let Payload::Bytes(block) = &mut chunk.payload {
            let end = self.cut.first(block, rows);
            *block = block.slice_with_length(0, end);
        }
        Ok(vec![chunk])
    }

    async fn open(&mut self, from: &Positions) -> Result<Positions, Diagnostic> {
        for (SplitId(name), position) in from {
            let progress: Progress = serde_json::from_str(&position.0).map_err(|error| {
                Diagnostic::new(&codes::STATE, format!("the position in {name} cannot be read: {error}"))
            })?;
            self.files.insert(name.into(), progress);
        }
        self.follow(true)?;
        for (path, progress) in &self.files {
            if let Some(changed) = self.changed(path, *progress, metadata(path)?.as_ref()) {
                return Err(changed);
            }
        }
        self.discover()?;
        if self.files.is_empty() && !self.tail {
            let message = format!("no file matches {}", self.patterns.join(", "));
            return Err(Diagnostic::new(&codes::FILE, message).at(&self.at));
        }
        // Headers that differ are found before the first record moves.
        let paths: Vec<PathBuf> = self.files.keys().cloned().collect();
        for path in paths {
            match self.begin(&path) {
                Err(Begin::Io(error)) if error.kind() == ErrorKind::NotFound && self.tail => {}
                Err(error) => return Err(error.diagnostic(&path)),
                Ok(_) => {}
            }
        }
        self.extent.begin(self.files.iter().map(|(path, progress)| left(path, *progress)).sum());
        Ok(self.files.iter().map(|(path, progress)| position(path, *progress)).collect())
    }

    fn extent(&self) -> Option<Arc<Extent>> {
        Some(self.extent.clone())
    }

    async fn read(&mut self) -> Result<Read, Diagnostic> {
        loop {
            if let Some(chunk) = self.next_block()? {
                self.extent.add(chunk.payload.size());
                return Ok(Read::Rows(chunk));
            }
            self.extent.end();
            if !self.tail {
                return Ok(Read::End);
            }
            tokio::time::sleep(POLL).await;
            self.discover()?;
            if self.tells_ends {
                // All were looked at just now, and none had anything; a name that is new comes first.
                if let Some(chunk) = self.next_block()? {
                    self.extent.add(chunk.payload.size());
                    return Ok(Read::Rows(chunk));
                }
                let there = self.files.iter().map(|(path, progress)| position(path, *progress).0);
                return Ok(Read::AtEnd(there.collect()));
            }
        }
    }

    async fn release(&mut self, _: &Positions) -> Result<(), Diagnostic> {
        Ok(())
    }
}

impl FileSource {
    /// The files that match now, in the order of their names.
    pub(crate) fn matches(&self) -> Result<BTreeMap<PathBuf, FileId>, Diagnostic> {
        let mut found = BTreeMap::new();
        for pattern in &self.patterns {
            let paths = glob::glob(pattern).expect("the pattern was checked");
            for path in paths {
                let path = path.map_err(|error| fault(error.path(), error.error()))?;
                if let Ok(metadata) = std::fs::metadata(&path)
                    && metadata.is_file()
                {
                    found.insert(path, identity(&metadata));
                }
            }
        }
        Ok(found)
    }

    /// The next block of any file that has one; files are read one after the other, in the order of their names.
    fn next_block(&mut self) -> Result<Option<Chunk>, Diagnostic> {
        if let Some(mut reader) = self.current.take()
            && let Some(chunk) = self.advance(&mut reader)?
        {
            self.current = Some(reader);
            return Ok(Some(chunk));
        }
        for path in self.in_order() {
            let mut reader = match self.begin(&path) {
                // A file that was matched and is gone: what had been read of it stays read.
                Err(Begin::Io(error)) if error.kind() == ErrorKind::NotFound && self.tail => continue,
                // It has another name now, which is looked for when nothing else is to be read.
                Err(Begin::Renamed) if self.tail => continue,
                reader => reader.map_err(|error| error.diagnostic(&path))?,
            };
            if let Some(chunk) = self.advance(&mut reader)? {
                self.current = Some(reader);
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    fn advance(&mut self, reader: &mut Reader) -> Result<Option<Chunk>, Diagnostic> {
        let offset = reader.offset;
        let Some(block) = reader.next(&self.cut, !self.tail).map_err(|error| fault(&reader.path, &error))?
        else {
            return Ok(None);
        };
        let progress = Progress { offset: reader.offset, ..self.files[&reader.path] };
        self.files.insert(reader.path.clone(), progress);
        let (split, position) = position(&reader.path, progress);
        let origin = Origin { name: reader.name.clone(), offset };
        Ok(Some(Chunk { payload: Payload::Bytes(block), stream: 0, split, position, origin }))
    }
}

/// Bytes of a file that are not read yet.
fn left(path: &Path, progress: Progress) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len().saturating_sub(progress.offset))
}

fn position(path: &Path, progress: Progress) -> (SplitId, Position) {
    let text = serde_json::to_string(&progress).expect("numbers are always valid JSON");
    (SplitId(path.to_string_lossy().into_owned()), Position(text))
}

pub(crate) fn fault(path: &Path, error: &io::Error) -> Diagnostic {
    Diagnostic::new(&codes::DISK, format!("cannot read {}: {error}", path.display()))
}

/// One open file.
pub(crate) struct Reader {
    path: PathBuf,
    name: Arc<str>,
    pub(crate) file: File,
    /// Where the next block begins.
    pub(crate) offset: u64,
    /// The header is not there yet, and nothing is read before it.
    pub(crate) waits: bool,
}

impl Reader {
    pub(crate) fn new(path: &Path, file: File, offset: u64) -> Self {
        Self { path: path.to_owned(), name: path.to_string_lossy().into(), file, offset, waits: false }
    }

    /// The next whole records. At the end of the file a last one without its end counts only if `to_the_end`.
    fn next(&mut self, cut: &Cut, to_the_end: bool) -> io::Result<Option<Buffer>> {
        if self.waits {
            return Ok(None);
        }
        let mut size = BLOCK;
        loop {
            let mut block = vec![0; size];
            let filled = read_full(&self.file, &mut block, self.offset)?;
            let whole = match cut.whole(&block[..filled]) {
                0 if filled < size && to_the_end => filled,
                0 if filled < size => 0,
                0 if size >= LINE_MAX => {
                    let message =
                        format!("the record at byte {} is longer than {LINE_MAX} bytes", self.offset);
                    return Err(io::Error::new(ErrorKind::InvalidData, message));
                }
                0 => {
                    size *= 4;
                    continue;
                }
                whole => whole,
            };
            // What follows the last record is read again with the next block, unless the file ends here.
            let whole = if to_the_end && filled < size { filled } else { whole };
            if whole == 0 {
                return Ok(None);
            }
            self.offset += u64::try_from(whole).expect("usize is at most 64 bits");
            return Ok(Some(Buffer::from_vec(block).slice_with_length(0, whole)));
        }
    }
}

/// Reads until the buffer is full or the file ends.
pub(crate) fn read_full(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        let at = offset + u64::try_from(filled).expect("usize is at most 64 bits");
        match file.read_at(&mut buffer[filled..], at) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
