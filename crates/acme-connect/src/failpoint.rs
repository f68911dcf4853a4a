//! Named places at which a test can hold a run open, to kill or replace it exactly there, in the binary that ships.
//!
//! `ACME_FAILPOINTS=DIRECTORY:NAME[@N][,NAME[@N]…]` arms them. A run that comes to an armed place, for the N-th time if N is
//! given, creates the file `DIRECTORY/NAME` and waits until somebody removes it. Without the variable a place costs one load.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

struct Place {
    name: String,
    /// Passes that are still let through.
    before: AtomicU32,
    mark: PathBuf,
}

static ARMED: OnceLock<Vec<Place>> = OnceLock::new();

/// Passes the place, or waits there where a test has armed it.
///
/// It blocks its thread: what a test holds open is about to be killed.
pub fn failpoint(name: &str) {
    let armed = ARMED.get_or_init(|| {
        let text = std::env::var("ACME_FAILPOINTS").unwrap_or_default();
        parse(&text)
    });
    if let Some(place) = armed.iter().find(|place| place.name == name) {
        place.reach();
    }
}

fn parse(text: &str) -> Vec<Place> {
    let Some((directory, names)) = text.split_once(':') else { return Vec::new() };
    let place = |word: &str| {
        let (name, number) = word.split_once('@').unwrap_or((word, "1"));
        let before = number.parse::<u32>().unwrap_or(1).saturating_sub(1);
        Place { name: name.to_owned(), before: before.into(), mark: PathBuf::from(directory).join(name) }
    };
    names.split(',').filter(|word| !word.is_empty()).map(place).collect()
}

impl Place {
    fn reach(&self) {
        const LOOK: Duration = Duration::from_millis(5);
        let pass = |left: u32| Some(left.saturating_sub(1)).filter(|_| left != u32::MAX);
        match self.before.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pass) {
            Ok(0) => self.before.store(u32::MAX, Ordering::Relaxed),
            // Not yet, or it was held already: a place holds once.
            Ok(_) | Err(_) => return,
        }
        if std::fs::write(&self.mark, std::process::id().to_string()).is_err() {
            return;
        }
        while self.mark.exists() {
            #[expect(clippy::disallowed_methods, reason = "a test looks at a process that stands still")]
            std::thread::sleep(LOOK);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_holds_once_at_the_pass_that_was_named() {
        let directory = tempfile::tempdir().unwrap();
        let mut places = parse(&format!("{}:copy.end,flow.link@3", directory.path().display()));
        let link = places.pop().unwrap();
        let mark = link.mark.clone();
        link.reach();
        link.reach();
        assert!(!mark.exists(), "the first two pass");
        let held = std::thread::spawn(move || {
            link.reach();
            link.reach();
        });
        while !mark.exists() {
            std::thread::yield_now();
        }
        assert!(!held.is_finished());
        std::fs::remove_file(&mark).unwrap();
        held.join().unwrap();
        assert!(!mark.exists(), "it holds once");
        assert!(parse("").is_empty() && parse("nothing").is_empty());
    }
}
