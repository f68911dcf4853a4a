//! The functions behind `payload.user.id` where `payload` is a column of JSON: one for each way to read a member.

use acme_formats::json::{As, WIDE_NUMBER, read_member};
use acme_types::{DocumentPath, PathStep};
use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue, exec_err, internal_err};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use std::sync::Arc;

/// How each function is called: its name begins so.
const PREFIX: &str = "acme_json_";

/// The functions, to be registered.
pub(crate) fn functions() -> impl Iterator<Item = Arc<ScalarUDF>> {
    [As::Text, As::Number, As::Double, As::Bool, As::Scalar, As::Json]
        .into_iter()
        .map(|kind| Arc::new(ScalarUDF::new_from_impl(Member::new(kind))))
}

/// The call that reads a member of a column, as SQL.
pub(crate) fn call(column: &str, path: &[PathStep], kind: As) -> String {
    let mut text = format!("{}({column}", name(kind));
    for step in path {
        text += &match step {
            PathStep::Key(key) => format!(", '{}'", key.replace('\'', "''")),
            PathStep::Index(at) => format!(", {at}"),
        };
    }
    text + ")"
}

fn name(kind: As) -> String {
    format!("{PREFIX}{kind:?}").to_lowercase()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Member {
    name: String,
    kind: As,
    signature: Signature,
}

impl Member {
    fn new(kind: As) -> Self {
        Self { name: name(kind), kind, signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Member {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.kind {
            // Whether a value needs it is known only when it is read; the type is needed before.
            As::Number => WIDE_NUMBER,
            kind => kind.field("").data_type().clone(),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some((documents, steps)) = args.args.split_first() else {
            return internal_err!("{} is called without a column", self.name);
        };
        let steps = steps.iter().map(step).collect::<Result<Vec<_>>>()?;
        let documents = cast(&documents.to_array(args.number_rows)?, &DataType::Utf8View)?;
        let values = match read_member(documents.as_string_view(), &DocumentPath(steps), self.kind) {
            Ok(values) => values,
            Err(cause) => return exec_err!("{cause}"),
        };
        let values: ArrayRef = match self.kind {
            As::Number => cast(&values, &WIDE_NUMBER)?,
            _ => values,
        };
        Ok(ColumnarValue::Array(values))
    }
}

fn step(value: &ColumnarValue) -> Result<PathStep> {
    match value {
        ColumnarValue::Scalar(ScalarValue::Utf8(Some(key)) | ScalarValue::Utf8View(Some(key))) => {
            Ok(PathStep::Key(key.clone()))
        }
        ColumnarValue::Scalar(ScalarValue::Int64(Some(at))) => match usize::try_from(*at) {
            Ok(at) => Ok(PathStep::Index(at)),
            Err(_) => exec_err!("an index cannot be negative"),
        },
        other => internal_err!("{other:?} is no step of a path"),
    }
}
