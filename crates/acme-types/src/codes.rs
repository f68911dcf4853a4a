//! Every code that a [`Diagnostic`](crate::Diagnostic) may carry, with the page that `acme error CODE` prints.
//!
//! A code is never reused and never changes its meaning.

use crate::diagnostic::Blame;

/// One documented kind of failure.
#[derive(Debug, PartialEq)]
pub struct Code {
    /// `A` and four digits: 01 configuration, 02 plan, 03 connectors, 04 running, 05 the machine.
    pub id: &'static str,
    /// Who can mend it, unless the diagnostic says otherwise.
    pub blame: Blame,
    /// The heading of its page.
    pub title: &'static str,
    /// What it means and what to do.
    pub page: &'static str,
}

macro_rules! codes {
    ($($name:ident $id:literal $blame:ident $title:literal $page:literal)*) => {
        $(#[doc = $title] pub static $name: Code = Code { id: $id, blame: Blame::$blame, title: $title, page: $page };)*
        /// All codes, in the order of their ids.
        pub static ALL: &[&Code] = &[$(&$name),*];
    };
}

codes! {
    YAML "A0101" User "The file is not valid YAML"
        "The pipeline file could not be read as one YAML document. The place is where the parser gave up; the fault is there or just above it. Tabs cannot indent, and a value that contains `: ` or ` #` needs quotes."
    UNKNOWN_KEY "A0102" User "Unknown key"
        "An item has a key that its type does not know. Keys are never ignored, so that a typing mistake cannot change what a pipeline does. `acme json-schema` lists every key for your editor."
    MISSING_KEY "A0103" User "A required key is missing"
        "The item cannot work without this key. Add it at the place shown."
    BAD_VALUE "A0104" User "A value is of the wrong kind or out of range"
        "The key exists but its value cannot be used: wrong type, unknown choice, or outside the limits named in the message. Durations are written like `500ms`, `10s`, `5m`, `1h`; sizes like `512KiB`, `64MiB`."
    UNKNOWN_TYPE "A0105" User "Unknown connector or transform type"
        "`type:` names a connector (sources, destinations) or a transform. The message suggests the nearest known name."
    UNKNOWN_NAME "A0106" User "A reference to a step that does not exist"
        "`from:` and `to:` name sources, transforms, their outputs, or destinations of the same file."
    DUPLICATE "A0107" User "A name or key is used twice"
        "Names of steps must be unique within a pipeline, and keys within a mapping."
    MISSING_VARIABLE "A0108" User "A variable is not set"
        "`${VAR}` takes its value from the environment. Set the variable, or give a default: `${VAR:-default}`. `${file:path}` takes the content of a file."
    CYCLE "A0109" User "Steps feed each other in a circle"
        "The steps of a pipeline form a graph without circles: a step cannot read, directly or through others, what it writes."
    UNUSED "A0110" User "Nothing reads this step"
        "A source or transform whose rows reach no destination does work for nothing. Add a destination that names it in `from:`, or remove it."
    FILE "A0111" User "The file cannot be read"
        "The pipeline file does not exist or may not be read by this user."
    SYNTAX "A0112" User "The file is not valid SQL"
        "A statement of the SQL file could not be read. The place is where reading gave up; the fault is there or just before it. Statements end with `;`, text stands in single quotes, names that are not plain words in backticks."
    UNKNOWN_TABLE "A0113" User "Unknown table"
        "A statement names a table or view that is not declared above it. `CREATE TABLE` and `CREATE VIEW` come before the statements that use what they declare; names are case-sensitive."
    TABLE_USE "A0114" User "A table cannot be used like this"
        "A table is read from or written to, by one pipeline never both, and its connector must be able to do it. Rows are inserted into tables only, with as many columns as the table has."
    IGNORED "A0115" User "An option has no meaning here"
        "The option exists in Flink and is accepted, so that the same file runs in both, but nothing here depends on it. The message says why."

    SQL "A0201" User "The expression is not valid SQL"
        "An expression of a transform could not be parsed or planned. Text is written in single quotes, names that are not plain words in double quotes."
    UNKNOWN_FIELD "A0202" User "Unknown field"
        "The expression names a field that the stream does not have at this step."
    FIELD_USE "A0203" User "A field is used as two different types"
        "A field of a source without a declared schema takes its type from its use. It is used here as text and there as a number. Declare it under `schema:` of the source, or cast it where it is used."
    CHANGE_MODE "A0204" User "The destination cannot take this kind of stream"
        "A stream of changes contains updates and deletes. The destination named can only append, or needs a key to apply them."
    COLUMNS "A0205" User "The destination needs to know its columns"
        "A file of CSV has the same columns in every row, and they must be known before the first. The rows come from documents whose members are not declared, or from steps whose fields differ. Put a `select` in front of the destination, or declare the fields under `schema:` of the source."

    EVENT_TIME_MISSING "A0206" User "The step needs event time"
        "Windows go by when things happened, not by when their rows arrived. A source says it under `event_time:`: the field that holds it, and how much older than the latest row a row may be and still be on time."

    CONNECT "A0301" Remote "A system cannot be reached"
        "The connection could not be opened, or broke and did not come back within the retries allowed."
    REMOTE "A0302" Remote "A system refused a request"
        "The system answered with an error that a retry does not mend. The message carries its own words."
    SOURCE_CHANGED "A0303" User "The source is not what it was at the last commit"
        "The position that the pipeline had committed does not exist in the source any more: a file became shorter, was replaced, or was removed. Acme never resumes at another place by itself. Restore the source, or start again without the old position by removing the pipeline's state."
    SCHEMA_CHANGED "A0304" User "A table has changed while the pipeline runs"
        "A column was added, dropped, renamed or given another type, or rows are identified by other columns. Everything before the change is committed. `acme run` plans the pipeline again for the table as it is now and goes on exactly there; it stops with this code where the new table does not fit the pipeline, for example because an expression uses a column that is gone. Correct the pipeline file and start it again: it goes on exactly there too."

    DECODE "A0401" User "A record cannot be decoded"
        "A record is not valid in its format, or a field has another type than the pipeline needs. What happens to it is set by `settings.errors`: `stop` (default), `skip`, or `dead_letter`."
    EVALUATE "A0402" User "A record fails in a transform"
        "An expression failed on this record: a cast that does not fit, a division by zero. What happens to it is set by `settings.errors`."
    DELIVER "A0403" User "The destination refused a record"
        "The destination accepted the request but refused this record. What happens to it is set by `settings.errors`."
    NAME_TAKEN "A0404" User "The pipeline is running already"
        "Another process on this machine runs a pipeline of this name with the same state. Stop it with `acme stop NAME`, or give this one another name."
    STATE "A0405" Acme "The pipeline's state cannot be read"
        "A checkpoint that was committed is missing, damaged, or of a version that this program does not know. The pipeline does not start with an empty state instead, because that would repeat or lose records."
    LOST_OWNERSHIP "A0406" User "Another process took the pipeline over"
        "A process that was believed dead came back after its successor had started. It stops without committing anything."
    NOT_RUNNING "A0407" User "No such pipeline is running"
        "No process of this user runs a pipeline of that name. `acme status` lists what runs."

    CONFIRM "A0408" User "Nothing was done, because nobody agreed"
        "The command removes something for good, so it asks first. Where there is no terminal to ask on, say that it shall be done with `--yes`."

    LOST_SPLITS "A0409" Remote "The partitions have gone to another worker"
        "The group took the partitions away, because this worker could not be reached for longer than `session.timeout.ms`, or because a member with the same `group.instance.id` has joined. Nothing that was not committed takes effect; `acme run` joins the group again and goes on with what it is given."

    EPOCH_TOO_LONG "A0410" Remote "An epoch took longer than its transaction may be open"
        "The brokers have aborted the transaction after `transaction.timeout.ms`, so nothing of the epoch takes effect; it is read again, in epochs of half the length. If it comes again and again, the destination takes less than arrives: raise `transaction.timeout.ms` in its `properties`."

    STATE_DIFFERS "A0411" User "The state is that of another computation"
        "A step that keeps state was changed in the pipeline file so that its state means something else: other keys, windows or aggregates. Undo the change, give the step another name so that it begins anew, or remove the pipeline's state to read the sources from their beginning."

    DISK "A0501" Remote "The disk refused an operation"
        "Reading or writing a local file failed. A full disk and missing permissions are the usual causes. Nothing committed is lost; the pipeline goes on from its last commit when it is started again."
    DATA_IN_USE "A0502" User "The data directory is in use"
        "A log belongs to one process at a time, and another one has this directory. Stop that one, or choose another directory."
    LISTEN "A0503" User "The address cannot be listened on"
        "Another program listens there already, the address is not one of this machine, or this user may not use the port."
    INTERNAL "A0599" Acme "An internal error"
        "Something that cannot happen did. Please report it with the message and the pipeline file."
}

/// The code with this id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Code> {
    ALL.iter().copied().find(|code| code.id.eq_ignore_ascii_case(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_in_order() {
        assert!(ALL.windows(2).all(|pair| pair[0].id < pair[1].id));
        assert_eq!(find("a0101").map(|code| code.title), Some("The file is not valid YAML"));
    }
}
