//! `${VAR}`, `${VAR:-default}`, `${env:VAR}` and `${file:path}` inside a value.
//!
//! What is put in is text and stays text: it is not looked at again, neither as YAML nor for further `${`.

use acme_types::{Diagnostic, Place, codes};

/// Where values come from that are not in the file.
pub trait Environment {
    /// The value of an environment variable.
    fn variable(&self, name: &str) -> Option<String>;
    /// The content of a file.
    fn file(&self, path: &str) -> std::io::Result<String>;
}

/// Puts in all references; `$${` stands for a plain `${`. Each failure names the reference, never a value.
pub(crate) fn interpolate(
    text: &str,
    at: &Place,
    environment: &dyn Environment,
    found: &mut Vec<Diagnostic>,
) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        if rest[..start].ends_with('$') {
            result.push_str(&rest[..start - 1]);
            result.push_str("${");
            rest = &rest[start + 2..];
            continue;
        }
        result.push_str(&rest[..start]);
        let inner = &rest[start + 2..];
        let Some(end) = inner.find('}') else {
            let help = "close it with `}`, or write `$${` for a plain `${`";
            found.push(Diagnostic::new(&codes::BAD_VALUE, "a `${` is never closed").at(at).help(help));
            return result;
        };
        match value(&inner[..end], environment) {
            Ok(value) => result.push_str(&value),
            Err(diagnostic) => found.push(diagnostic.at(at)),
        }
        rest = &inner[end + 1..];
    }
    result.push_str(rest);
    result
}

fn value(reference: &str, environment: &dyn Environment) -> Result<String, Diagnostic> {
    if let Some(path) = reference.strip_prefix("file:") {
        return environment
            .file(path)
            .map(|content| content.trim_end_matches(['\n', '\r']).to_owned())
            .map_err(|error| {
                Diagnostic::new(&codes::MISSING_VARIABLE, format!("file \"{path}\" cannot be read: {error}"))
            });
    }
    let reference = reference.strip_prefix("env:").unwrap_or(reference);
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    // It is not shown: a password may contain `${`.
    const HELP: &str =
        "write ${VAR}, ${VAR:-default}, ${env:VAR} or ${file:path}, and `$${` for a plain `${`";
    let valid = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !valid {
        return Err(Diagnostic::new(&codes::BAD_VALUE, "a `${…}` names no variable").help(HELP));
    }
    // As in a shell, `:-` also covers a variable that is set but empty.
    match (environment.variable(name).filter(|value| default.is_none() || !value.is_empty()), default) {
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(Diagnostic::new(&codes::MISSING_VARIABLE, format!("variable {name} is not set"))
            .help(format!("set {name} in the environment, or give a default: ${{{name}:-value}}"))),
    }
}
