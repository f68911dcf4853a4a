//! `acme error CODE`: what a code means and what to do.

use super::print;
use acme_types::{Diagnostic, codes};
use clap::Args;

#[derive(Args)]
pub(super) struct ErrorPage {
    /// The code, such as A0102; without it all codes are listed.
    code: Option<String>,
}

impl ErrorPage {
    pub(super) fn execute(self) -> Result<(), Vec<Diagnostic>> {
        let Some(id) = self.code else {
            codes::ALL.iter().for_each(|code| print(&format!("{}  {}\n", code.id, code.title)));
            return Ok(());
        };
        let code = codes::find(&id).ok_or_else(|| {
            let message = format!("there is no error code \"{id}\"");
            vec![Diagnostic::new(&codes::BAD_VALUE, message).help("`acme error` lists all codes")]
        })?;
        print(&format!("{}: {}\n\n{}\n", code.id, code.title, code.page));
        Ok(())
    }
}
