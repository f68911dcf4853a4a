//! `acme json-schema`: the schema of pipeline files, for editors.

use super::print;
use acme_types::Diagnostic;

#[expect(clippy::unnecessary_wraps, reason = "the signature of every command")]
pub(super) fn execute() -> Result<(), Vec<Diagnostic>> {
    let schema = acme_spec::json_schema(&crate::specs());
    print(&format!("{schema:#}\n"));
    Ok(())
}
