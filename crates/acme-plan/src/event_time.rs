//! The event time of a source's rows: from a column, or from the record itself.

use crate::planner::Planner;
use crate::stream::{Column, Found, Origin, Stream};
use acme_flow::{EVENT_TIME, EvalError, Expr, time_type};
use acme_spec::Item;
use acme_types::codes::{BAD_VALUE, UNKNOWN_FIELD};
use acme_types::{Batch, Diagnostic};
use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};
use std::sync::Arc;

/// The hidden column that it becomes.
pub(crate) fn column() -> Column {
    Column {
        name: "event_time".to_owned(),
        internal: EVENT_TIME.to_owned(),
        data_type: time_type(),
        json: false,
        number: false,
        origin: Origin::Fixed,
    }
}

/// How far a source's rows may be out of order, microseconds.
pub(crate) fn disorder(item: &Item) -> i64 {
    let config = item.event_time.as_ref();
    config.and_then(|config| config.int("max_out_of_orderness")).copied().unwrap_or(0)
}

/// How long its splits are at their ends before they are idle, microseconds.
pub(crate) fn idle_after(item: &Item) -> i64 {
    item.event_time.as_ref().and_then(|config| config.int("idle_after")).copied().unwrap_or(0)
}

impl Planner<'_> {
    /// What computes the event time of a source's rows, where it has one; the stream gets the hidden column.
    pub(crate) fn event_time(&mut self, item: &Item, stream: &mut Stream) -> Option<Arc<dyn Expr>> {
        let config = item.event_time.as_ref()?;
        let unit = config.text("unit").map(|unit| match unit.as_str() {
            "s" => 1_000_000,
            "ms" => 1_000,
            "us" => 1,
            _ => 0,
        });
        let (name, at) = match config.text("column") {
            Some(name) => (name.clone(), config.place("column").clone()),
            None => ("_meta.timestamp".to_owned(), config.at.clone()),
        };
        if config.text("column").is_none() && matches!(stream.find_meta("timestamp"), Found::Nothing(_)) {
            let message = format!("the records of \"{}\" have no time of their own", item.name);
            let help = "name the field that says when it happened: `event_time: {column: …}`";
            self.found.push(Diagnostic::new(&UNKNOWN_FIELD, message).at(&at).help(help));
            return None;
        }
        let expected = if unit.is_some() { DataType::Int64 } else { DataType::Utf8View };
        let quoted = if config.text("column").is_some() {
            format!("\"{}\"", name.replace('"', "\"\""))
        } else {
            name.clone()
        };
        // A field that is declared is what it is.
        let is_open = match stream.find(&name) {
            Found::Column(column) => matches!(column.origin, Origin::Open(_)),
            found => matches!(found, Found::Member(_)),
        };
        let expected = is_open.then_some(&expected);
        let resolved = self.resolve(&quoted, stream, expected, &at)?;
        let kind = resolved.data_type.clone();
        let fits = match (&kind, unit) {
            (DataType::Timestamp(_, _) | DataType::Date32, _) => Ok(()),
            (kind, Some(_)) if kind.is_integer() || matches!(kind, DataType::Decimal256(_, _)) => Ok(()),
            (DataType::Utf8View | DataType::Utf8, None) => Ok(()),
            (kind, None) if kind.is_numeric() => Err("add `unit:` with s, ms, us or ns"),
            _ => Err(
                "it must be a timestamp, a text such as 2026-01-31T12:00:00Z, or a whole number with `unit:`",
            ),
        };
        if let Err(help) = fits {
            let message = format!("the field \"{name}\" cannot be the event time: it is {kind}");
            self.found.push(Diagnostic::new(&BAD_VALUE, message).at(&at).help(help));
            return None;
        }
        let inner = self.compile(resolved, &at)?;
        stream.meta.retain(|column| column.name != "event_time");
        stream.meta.push(column());
        Some(Arc::new(Moment { inner, unit, name }))
    }
}

/// A value as microseconds since 1970.
struct Moment {
    inner: Arc<dyn Expr>,
    /// Microseconds of one, 0 for nanoseconds; of numbers.
    unit: Option<i64>,
    name: String,
}

impl Expr for Moment {
    fn eval(&self, batch: &Batch) -> Result<ArrayRef, EvalError> {
        let values = self.inner.eval(batch)?;
        if values.null_count() > 0 {
            return Err(EvalError(format!("it has no event time: \"{}\" is missing or null", self.name)));
        }
        let times: TimestampMicrosecondArray = match values.data_type() {
            DataType::Timestamp(_, _) | DataType::Date32 => {
                let plain = DataType::Timestamp(TimeUnit::Microsecond, None);
                let cast = cast(&values, &plain).map_err(|error| EvalError(error.to_string()))?;
                cast.as_primitive::<TimestampMicrosecondType>().clone()
            }
            DataType::Utf8View => parsed(values.as_string_view().iter().flatten())?,
            DataType::Utf8 => parsed(values.as_string::<i32>().iter().flatten())?,
            _ => {
                let whole = cast(&values, &DataType::Int64).map_err(|error| EvalError(error.to_string()))?;
                let numbers: &PrimitiveArray<Int64Type> = whole.as_primitive();
                if numbers.null_count() > 0 {
                    return Err(EvalError(format!("\"{}\" is no time: the number is too large", self.name)));
                }
                let unit = self.unit.unwrap_or(1);
                let moment = |number: i64| match unit {
                    0 => Ok(number.div_euclid(1000)),
                    unit => number.checked_mul(unit).ok_or_else(|| {
                        EvalError(format!("\"{}\" is no time: {number} is too large", self.name))
                    }),
                };
                numbers.try_unary(moment)?
            }
        };
        Ok(Arc::new(times.with_timezone("+00:00")))
    }

    fn reads(&self, column: &str) -> bool {
        self.inner.reads(column)
    }
}

fn parsed<'a>(texts: impl Iterator<Item = &'a str>) -> Result<TimestampMicrosecondArray, EvalError> {
    let parse = |text: &str| {
        let nanos = string_to_timestamp_nanos(text);
        nanos.map(|nanos| nanos.div_euclid(1000)).map_err(|_| EvalError(format!("\"{text}\" is no time")))
    };
    Ok(TimestampMicrosecondArray::from_iter_values(texts.map(parse).collect::<Result<Vec<_>, _>>()?))
}
