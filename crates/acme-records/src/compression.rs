//! The four compressions of the protocol, as Kafka frames them.

use crate::Fault;
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};
use std::io::{Read, Write};

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// Deflate with a header.
    Gzip,
    /// Snappy in the framing of xerial.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// Zstandard frames.
    Zstd,
}

/// The framing of xerial's snappy-java: magic, version, lowest compatible version.
const XERIAL: [u8; 16] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];
/// What identifies it.
const XERIAL_MAGIC: &[u8] = &[0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// The block size that snappy-java writes.
const XERIAL_BLOCK: usize = 32 * 1024;
/// No valid snappy block grows more: three bytes make at most 64.
const SNAPPY_RATIO_MAX: usize = 22;

impl Compression {
    /// Its number in the attributes of a batch.
    pub fn id(self) -> u8 {
        self as u8
    }

    /// The compression of a number.
    pub fn of(id: u8) -> Result<Self, Fault> {
        Ok(match id {
            0 => Self::None,
            1 => Self::Gzip,
            2 => Self::Snappy,
            3 => Self::Lz4,
            4 => Self::Zstd,
            _ => return Err(Fault::UnknownCompression(id)),
        })
    }

    /// Its name in Kafka's settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The compression of a name in Kafka's settings.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];
        all.into_iter().find(|compression| compression.name() == name)
    }

    /// Appends what comes out of `bytes` to `out`, at most `max` bytes of it. Memory grows with what has come out,
    /// never by what a header announces.
    pub fn decompress(self, bytes: &[u8], out: &mut Vec<u8>, max: usize) -> Result<(), Fault> {
        let before = out.len();
        let bound = max.saturating_add(1) as u64;
        let read = match self {
            Self::None => bytes.take(bound).read_to_end(out),
            Self::Gzip => flate2::read::MultiGzDecoder::new(bytes).take(bound).read_to_end(out),
            Self::Snappy => return unsnappy(bytes, out, max),
            Self::Lz4 => FrameDecoder::new(bytes).take(bound).read_to_end(out),
            Self::Zstd => zstd::stream::read::Decoder::with_buffer(bytes)
                .and_then(|decoder| decoder.take(bound).read_to_end(out)),
        };
        read.map_err(|error| self.fault(&error))?;
        if out.len() - before > max { Err(Fault::TooLarge(max)) } else { Ok(()) }
    }

    fn fault(self, error: &dyn std::fmt::Display) -> Fault {
        Fault::Compressed(self.name(), error.to_string())
    }

    /// Appends `bytes` in compressed form to `out`.
    pub fn compress(self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        self.compress_at(None, bytes, out)
    }

    /// The same at a level of gzip (1 to 9) or zstd; `None` is its default, and the others have none.
    pub fn compress_at(self, level: Option<i32>, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let written = match self {
            Self::None => out.write_all(bytes),
            Self::Gzip => {
                let level = level.and_then(|level| u32::try_from(level).ok()).filter(|level| *level <= 9);
                let level = level.map_or_else(flate2::Compression::default, flate2::Compression::new);
                let mut encoder = flate2::write::GzEncoder::new(out, level);
                encoder.write_all(bytes).and_then(|()| encoder.finish().map(drop))
            }
            Self::Snappy => return snappy(bytes, out),
            Self::Lz4 => {
                // Java reads neither linked blocks nor frames without them being independent.
                let info = FrameInfo::new().block_mode(BlockMode::Independent).block_size(BlockSize::Max64KB);
                let mut encoder = FrameEncoder::with_frame_info(info, out);
                let written = encoder.write_all(bytes);
                written.and_then(|()| encoder.finish().map(drop).map_err(std::io::Error::other))
            }
            Self::Zstd => {
                zstd::stream::copy_encode(bytes, out, level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL))
            }
        };
        written.map_err(|error| self.fault(&error))
    }
}

fn snappy(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    out.extend_from_slice(&XERIAL);
    let mut encoder = snap::raw::Encoder::new();
    for block in bytes.chunks(XERIAL_BLOCK) {
        let at = out.len();
        out.resize(at + 4 + snap::raw::max_compress_len(block.len()), 0);
        let length =
            encoder.compress(block, &mut out[at + 4..]).map_err(|error| Compression::Snappy.fault(&error))?;
        let prefix = u32::try_from(length).expect("a block is small").to_be_bytes();
        out[at..at + 4].copy_from_slice(&prefix);
        out.truncate(at + 4 + length);
    }
    Ok(())
}

/// Snappy in xerial's framing, or one raw block as librdkafka and others write it.
fn unsnappy(bytes: &[u8], out: &mut Vec<u8>, max: usize) -> Result<(), Fault> {
    let short = || Compression::Snappy.fault(&"it ends early");
    if !bytes.starts_with(XERIAL_MAGIC) {
        return unsnappy_block(bytes, out, max);
    }
    let mut rest = bytes.get(XERIAL.len()..).ok_or_else(short)?;
    let before = out.len();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk().ok_or_else(short)?;
        let length = u32::from_be_bytes(*length) as usize;
        let block = after.get(..length).ok_or_else(short)?;
        let left = max - (out.len() - before);
        unsnappy_block(block, out, left).map_err(|fault| match fault {
            Fault::TooLarge(_) => Fault::TooLarge(max),
            other => other,
        })?;
        rest = &after[length..];
    }
    Ok(())
}

fn unsnappy_block(block: &[u8], out: &mut Vec<u8>, max: usize) -> Result<(), Fault> {
    let fault = |error: &dyn std::fmt::Display| Compression::Snappy.fault(error);
    let length = snap::raw::decompress_len(block).map_err(|error| fault(&error))?;
    if length > max {
        return Err(Fault::TooLarge(max));
    }
    if length > block.len().saturating_mul(SNAPPY_RATIO_MAX) {
        return Err(fault(&"it announces more than can come out of it"));
    }
    let at = out.len();
    out.resize(at + length, 0);
    let written =
        snap::raw::Decoder::new().decompress(block, &mut out[at..]).map_err(|error| fault(&error))?;
    out.truncate(at + written);
    Ok(())
}
