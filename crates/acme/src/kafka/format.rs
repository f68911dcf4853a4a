//! How a record is printed: as Kafka's `DefaultMessageFormatter` does, or as a line of JSON.

use super::failure::Failure;
use acme_kafka::Fetched;
use acme_kafka::records::Record;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use std::fmt::Write as _;
use std::io::{self, Write};

/// The properties of Kafka's formatter.
const NAMES: [&str; 15] = [
    "print.timestamp",
    "print.key",
    "print.offset",
    "print.epoch",
    "print.partition",
    "print.delivery",
    "print.headers",
    "print.value",
    "key.separator",
    "line.separator",
    "headers.separator",
    "null.literal",
    "key.deserializer",
    "value.deserializer",
    "headers.deserializer",
];

/// What the bytes of a key or value are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Decode {
    /// Text, or whatever: printed as it is.
    #[default]
    Plain,
    Short,
    Integer,
    Long,
    Float,
    Double,
    Boolean,
    Uuid,
}

impl Decode {
    /// By the name of Kafka's class.
    pub(crate) fn named(class: &str) -> Result<Self, Failure> {
        let name = class.strip_prefix("org.apache.kafka.common.serialization.").unwrap_or(class);
        let found = match name.strip_suffix("Deserializer").unwrap_or(name) {
            "String" | "ByteArray" | "ByteBuffer" | "Bytes" => Self::Plain,
            "Short" => Self::Short,
            "Integer" => Self::Integer,
            "Long" => Self::Long,
            "Float" => Self::Float,
            "Double" => Self::Double,
            "Boolean" => Self::Boolean,
            "UUID" => Self::Uuid,
            _ => {
                let help = "use one of Kafka's own: String, Short, Integer, Long, Float, Double, Boolean, UUID, ByteArray";
                return Err(Failure::user(format!("{class} is a class that only Java can load"), help));
            }
        };
        Ok(found)
    }

    fn write(self, bytes: &[u8], to: &mut impl Write) -> io::Result<()> {
        fn number<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
            bytes.try_into().ok()
        }
        let text = match self {
            Self::Plain => return to.write_all(bytes),
            Self::Short => number(bytes).map(|it| i16::from_be_bytes(it).to_string()),
            Self::Integer => number(bytes).map(|it| i32::from_be_bytes(it).to_string()),
            Self::Long => number(bytes).map(|it| i64::from_be_bytes(it).to_string()),
            Self::Float => number(bytes).map(|it| format!("{:?}", f32::from_be_bytes(it))),
            Self::Double => number(bytes).map(|it| format!("{:?}", f64::from_be_bytes(it))),
            Self::Boolean => number(bytes).map(|[it]: [u8; 1]| (it != 0).to_string()),
            Self::Uuid => return to.write_all(bytes),
        };
        match text {
            Some(text) => to.write_all(text.as_bytes()),
            None => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} bytes are no {self:?}", bytes.len()),
            )),
        }
    }
}

/// What is printed of each record.
#[derive(Clone, Debug)]
pub(crate) struct Format {
    timestamp: bool,
    partition: bool,
    offset: bool,
    delivery: bool,
    epoch: bool,
    headers: bool,
    key: bool,
    value: bool,
    separator: String,
    line: String,
    between_headers: String,
    null: String,
    decode_key: Decode,
    decode_value: Decode,
    decode_headers: Decode,
    /// Nothing at all is printed.
    pub(crate) silent: bool,
    /// Lines of JSON instead.
    json: bool,
}

impl Default for Format {
    fn default() -> Self {
        Self {
            timestamp: false,
            partition: false,
            offset: false,
            delivery: false,
            epoch: false,
            headers: false,
            key: false,
            value: true,
            separator: "\t".to_owned(),
            line: "\n".to_owned(),
            between_headers: ",".to_owned(),
            null: "null".to_owned(),
            decode_key: Decode::Plain,
            decode_value: Decode::Plain,
            decode_headers: Decode::Plain,
            silent: false,
            json: false,
        }
    }
}

impl Format {
    /// What Kafka's tool prints by default, or lines of JSON.
    pub(crate) fn new(json: bool) -> Self {
        Self { json, ..Self::default() }
    }

    /// Sets a property of Kafka's formatter. The result is a note about one that means nothing.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<Option<String>, Failure> {
        let on = value.trim().eq_ignore_ascii_case("true");
        match name {
            "print.timestamp" => self.timestamp = on,
            "print.partition" => self.partition = on,
            "print.offset" => self.offset = on,
            "print.delivery" => self.delivery = on,
            "print.epoch" => self.epoch = on,
            "print.headers" => self.headers = on,
            "print.key" => self.key = on,
            "print.value" => self.value = on,
            "key.separator" => value.clone_into(&mut self.separator),
            "line.separator" => value.clone_into(&mut self.line),
            "headers.separator" => value.clone_into(&mut self.between_headers),
            "null.literal" => value.clone_into(&mut self.null),
            "key.deserializer" => self.decode_key = Decode::named(value)?,
            "value.deserializer" => self.decode_value = Decode::named(value)?,
            "headers.deserializer" | "header.deserializer" => self.decode_headers = Decode::named(value)?,
            _ => {
                let near = acme_spec::nearest(name, NAMES);
                let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                return Ok(Some(format!("the formatter does not know {name}{near}")));
            }
        }
        Ok(None)
    }

    pub(crate) fn shows_timestamps(&self) -> bool {
        self.timestamp || self.json
    }

    /// Writes one record. `clock` is what the topic's timestamps are: `CreateTime` or `LogAppendTime`.
    pub(crate) fn write(
        &self,
        fetched: &Fetched,
        record: &Record,
        clock: &str,
        to: &mut impl Write,
    ) -> io::Result<()> {
        if self.silent {
            return Ok(());
        }
        if self.json {
            return json_line(fetched, record, to);
        }
        let mut columns = String::new();
        let separator = &self.separator;
        let mut column = |shown: bool, text: std::fmt::Arguments<'_>| {
            if shown {
                let _ = write!(columns, "{text}{separator}");
            }
        };
        if record.timestamp >= 0 {
            column(self.timestamp, format_args!("{clock}:{}", record.timestamp));
        } else {
            column(self.timestamp, format_args!("NO_TIMESTAMP"));
        }
        column(self.partition, format_args!("Partition:{}", fetched.partition));
        column(self.offset, format_args!("Offset:{}", record.offset));
        column(self.delivery, format_args!("Delivery:NOT_PRESENT"));
        column(self.epoch, format_args!("Epoch:NOT_PRESENT"));
        if !(self.headers || self.key || self.value) {
            // What ends the columns is the end of the line.
            let end = columns.len().saturating_sub(separator.len());
            columns.truncate(end);
            to.write_all(columns.as_bytes())?;
            return if end > 0 { to.write_all(self.line.as_bytes()) } else { Ok(()) };
        }
        to.write_all(columns.as_bytes())?;
        if self.headers {
            self.write_headers(fetched, record, to)?;
            self.end(self.key || self.value, to)?;
        }
        if self.key {
            self.field(record.key(&fetched.buffer), self.decode_key, to)?;
            self.end(self.value, to)?;
        }
        if self.value {
            self.field(record.value(&fetched.buffer), self.decode_value, to)?;
            self.end(false, to)?;
        }
        Ok(())
    }

    fn write_headers(&self, fetched: &Fetched, record: &Record, to: &mut impl Write) -> io::Result<()> {
        if record.header_count() == 0 {
            return to.write_all(b"NO_HEADERS");
        }
        for (number, (name, value)) in record.headers(&fetched.buffer).enumerate() {
            if number > 0 {
                to.write_all(self.between_headers.as_bytes())?;
            }
            write!(to, "{name}:")?;
            self.field(value, self.decode_headers, to)?;
        }
        Ok(())
    }

    fn field(&self, bytes: Option<&[u8]>, decode: Decode, to: &mut impl Write) -> io::Result<()> {
        match bytes {
            Some(bytes) => decode.write(bytes, to),
            None => to.write_all(self.null.as_bytes()),
        }
    }

    fn end(&self, more: bool, to: &mut impl Write) -> io::Result<()> {
        to.write_all(if more { &self.separator } else { &self.line }.as_bytes())
    }
}

/// Text where it is text, else `{"base64": …}`.
fn shown(bytes: Option<&[u8]>) -> serde_json::Value {
    match bytes.map(std::str::from_utf8) {
        None => serde_json::Value::Null,
        Some(Ok(text)) => text.into(),
        Some(Err(_)) => json!({ "base64": STANDARD.encode(bytes.unwrap_or_default()) }),
    }
}

fn json_line(fetched: &Fetched, record: &Record, to: &mut impl Write) -> io::Result<()> {
    let headers: Vec<_> = record
        .headers(&fetched.buffer)
        .map(|(name, value)| json!({ "key": name, "value": shown(value) }))
        .collect();
    let line = json!({
        "topic": &*fetched.topic,
        "partition": fetched.partition,
        "offset": record.offset,
        "timestamp_ms": Some(record.timestamp).filter(|ms| *ms >= 0),
        "key": shown(record.key(&fetched.buffer)),
        "value": shown(record.value(&fetched.buffer)),
        "headers": headers,
    });
    writeln!(to, "{line}")
}
