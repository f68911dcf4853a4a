//! Foreign judges: the test suites of other projects' clients, built from their own sources and run against whatever listens.
//!
//! A suite is a list of names, each run in a process of its own, so that one that dies or hangs costs itself alone. Which
//! names there are, and what each is known to pass on, is kept in a file of `compat/`: see [`List`].

pub mod franz;
pub mod librdkafka;
mod list;

pub use list::{Entry, List};

use anyhow::{Context, Result};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Builds both suites where they are absent.
pub fn install() -> Result<()> {
    librdkafka::install()?;
    franz::install().map(drop)
}

/// How one name of a suite ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It ran and found nothing wrong.
    Passed,
    /// It ran and says what is wrong, or it died.
    Failed,
    /// It found nothing here that it could test.
    Skipped,
    /// It was ended after its time.
    Late,
}

/// One name of a suite, how it ended, and what it printed.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The name in the list.
    pub name: String,
    /// How it ended.
    pub end: End,
    /// How long it ran.
    pub took: Duration,
    /// A file with everything that it printed.
    pub output: PathBuf,
}

/// A suite that is built.
pub trait Suite: Sync {
    /// A command that runs one name against the broker at `bootstrap`, in a folder of its own.
    fn command(&self, name: &str, bootstrap: &str, folder: &Path) -> Result<Command>;
    /// How it ended, by its exit and by what it left in its folder.
    fn judge(&self, success: bool, folder: &Path) -> End;
    /// How long one name may take.
    fn patience(&self) -> Duration;
}

/// What one name prints goes there, in its folder.
const OUTPUT: &str = "output";

/// Runs these names against a broker, so many at once, and keeps what they print in a folder. The verdicts are in the order of
/// the names.
#[expect(clippy::print_stdout, reason = "whoever waits for a whole suite sees how far it is")]
pub fn run<S: Suite>(
    suite: &S,
    names: &[String],
    bootstrap: &str,
    folder: &Path,
    at_once: usize,
) -> Result<Vec<Verdict>> {
    let next = AtomicUsize::new(0);
    let verdicts = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let work = || -> Result<()> {
            while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                let verdict = one(suite, name, bootstrap, &folder.join(name.replace('/', ".")))?;
                println!("{:?} {name} ({:.1} s)", verdict.end, verdict.took.as_secs_f32());
                verdicts.lock().expect("nobody panics with it").push(verdict);
            }
            Ok(())
        };
        let workers: Vec<_> = (0..at_once.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker returns its error"))
    })?;
    let mut verdicts = verdicts.into_inner().expect("nobody panics with it");
    verdicts.sort_by_key(|verdict| names.iter().position(|name| *name == verdict.name));
    Ok(verdicts)
}

#[expect(clippy::disallowed_methods, reason = "tests wait for real processes")]
fn one<S: Suite>(suite: &S, name: &str, bootstrap: &str, folder: &Path) -> Result<Verdict> {
    fs::create_dir_all(folder)?;
    let output = folder.join(OUTPUT);
    let file = File::create(&output).with_context(|| format!("cannot write {}", output.display()))?;
    let mut command = suite.command(name, bootstrap, folder)?;
    command.current_dir(folder).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let begin = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if begin.elapsed() > suite.patience() {
            child.kill()?;
            child.wait()?;
            break None;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let took = begin.elapsed();
    let end = status.map_or(End::Late, |status| suite.judge(status.success(), folder));
    Ok(Verdict { name: name.to_owned(), end, took, output })
}

/// What a name printed.
fn printed(folder: &Path) -> String {
    fs::read(folder.join(OUTPUT))
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}
