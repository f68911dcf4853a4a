//! `filesystem`, `print` and `blackhole`.

use super::Translation;
use super::rules::{Flink, Meaning, PARALLELISM, both, formats, sink, source};

pub(super) static FILESYSTEM: Flink = Flink {
    name: "filesystem",
    item: "file",
    only: None,
    required: &[("path", &["path"]), ("format", &["format"])],
    rules: &[
        both("path", Meaning::Together),
        both("format", Meaning::Key("format")),
        source("source.monitor-interval", Meaning::Together),
        source("source.report-statistics", Meaning::Ignored("nothing is planned by statistics")),
        source(
            "source.path.regex-pattern",
            Meaning::Only(&[], "files are chosen by `*` and `?` in the path"),
        ),
        source("scan.parallelism", PARALLELISM),
        sink("sink.parallelism", PARALLELISM),
        sink("sink.rolling-policy.file-size", Meaning::Size("rotate.size")),
        sink("sink.rolling-policy.rollover-interval", Meaning::Duration("rotate.every")),
        sink(
            "sink.rolling-policy.*",
            Meaning::Ignored("files are finished by their size and age, at a commit"),
        ),
        sink("sink.partition-commit.*", Meaning::Ignored("files appear when they are committed")),
        sink("partition.*", Meaning::Ignored("rows are not sorted into folders")),
        sink("auto-compaction", Meaning::Ignored("files are as large as they are meant to be")),
        sink("compaction.*", Meaning::Ignored("files are as large as they are meant to be")),
    ],
    has_format: true,
    together: filesystem,
};

pub(super) static PRINT: Flink = Flink {
    name: "print",
    item: "stdout",
    only: None,
    required: &[],
    rules: &[
        both("print-identifier", Meaning::Ignored("rows are printed as JSON, without a name in front")),
        both("standard-error", Meaning::Only(&["false"], "rows go to standard output")),
        both("sink.parallelism", PARALLELISM),
    ],
    has_format: false,
    together: |_| {},
};

pub(super) static BLACKHOLE: Flink = Flink {
    name: "blackhole",
    item: "null",
    only: None,
    required: &[],
    rules: &[both("sink.parallelism", PARALLELISM)],
    has_format: false,
    together: |_| {},
};

fn filesystem(translation: &mut Translation<'_, '_>) {
    formats(translation);
    let is_source = translation.is_source();
    translation.bounded = is_source && translation.get("source.monitor-interval").is_none();
    // The interval itself says nothing here: files are watched all the time.
    if let Some(option) = translation.get("source.monitor-interval").filter(|_| is_source)
        && let Some(value) = translation.resolve(option)
        && crate::sql::interval::flink_duration_us(&value).is_none()
    {
        translation.refuse(option, "a duration such as '10 s'");
    }
    let is_csv = translation.word("format").is_some_and(|(format, _)| format == "csv");
    if is_csv && translation.get("csv.header").is_none() {
        // Flink's CSV has no names in front.
        translation.put_default("csv.header", "false");
    }
    let Some(option) = translation.get("path") else { return };
    let text = option.value.reveal();
    let path = text.strip_prefix("file://").or_else(|| text.strip_prefix("file:")).unwrap_or(text);
    if let Some((scheme, _)) = path.split_once("://").filter(|(scheme, _)| !scheme.contains("${")) {
        let message =
            format!("the path begins with \"{scheme}://\", and files are read and written here only");
        translation.report(option, message, "give a path of this machine, or file:///…");
        return;
    }
    // A folder holds any number of files.
    let rest = match (path.ends_with('/'), is_source, is_csv) {
        (false, ..) => "",
        (true, true, _) => "*",
        (true, false, true) => "part.csv",
        (true, false, false) => "part.json",
    };
    translation.put("path", option, format!("{path}{rest}"));
}
