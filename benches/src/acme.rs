//! The shipped binary as a process: built first, run on a pipeline file, asked through its control socket.

use crate::measure::{Guard, Memory, Taken, process, wait};
use acme_lab::without_cargo;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How often a run is asked how far it is. Each time costs it one small reply.
const ASK_EVERY: Duration = Duration::from_millis(4);
/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The binary, and a folder for its pipelines, its state and what it writes; the folder goes with its handle.
pub(crate) struct Acme {
    binary: PathBuf,
    folder: PathBuf,
}

impl Acme {
    /// Takes the binary that lies beside this one; builds it before.
    pub(crate) fn new(build: bool) -> Result<Self> {
        let binary = std::env::current_exe()?.with_file_name("acme");
        if build {
            let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            // The whole workspace, so that its features are those of every other build.
            cargo.args(["build", "--release", "--workspace", "--locked", "--bin", "acme"]);
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("a workspace has a root")?;
            if !without_cargo(&mut cargo).current_dir(root).status()?.success() {
                bail!("acme cannot be built");
            }
        }
        if !binary.exists() {
            bail!("{} is missing: run without --no-build", binary.display());
        }
        let folder = std::env::temp_dir().join(format!("acme-bench-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Self { binary, folder })
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Runs a pipeline that ends, from its beginning.
    pub(crate) fn run(&self, pipeline: &str) -> Result<Taken> {
        self.forget()?;
        let mut command = self.command(pipeline)?;
        command.stdout(Stdio::null());
        process(&mut command).with_context(|| self.said())
    }

    /// Starts a pipeline that does not end, at the position that its state says.
    pub(crate) fn start(&self, pipeline: &str) -> Result<Run<'_>> {
        let mut command = self.command(pipeline)?;
        command.stdout(Stdio::piped());
        let child = Guard(command.spawn()?);
        let memory = Memory::of(child.0.id());
        let socket = self.path("run").join(format!("{}.sock", child.0.id()));
        Ok(Run { acme: self, child, memory, socket })
    }

    /// A command of the binary.
    pub(crate) fn of(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(words);
        command
    }

    /// Removes the state of all pipelines.
    pub(crate) fn forget(&self) -> Result<()> {
        match fs::remove_dir_all(self.path("state")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// The rows that came out of the last run, if as many went in.
    pub(crate) fn moved(&self) -> Option<u64> {
        let said = self.said();
        let summary = said.lines().find(|line| line.contains(" rows in (") && line.contains(" commits"))?;
        let number = |text: &str| text.rsplit(' ').next()?.replace(',', "").parse::<u64>().ok();
        let rows_in = number(summary.split_once(" rows in (")?.0)?;
        let rows_out = number(summary.split_once(" out (")?.0)?;
        (rows_in == rows_out).then_some(rows_out)
    }

    fn command(&self, pipeline: &str) -> Result<Command> {
        let file = self.path("pipeline.yaml");
        fs::write(&file, pipeline)?;
        let mut command = Command::new(&self.binary);
        command
            .arg("run")
            .arg(file)
            .env("ACME_STATE_DIR", self.path("state"))
            .env("ACME_RUNTIME_DIR", self.path("run"))
            .stderr(File::create(self.path("log"))?);
        Ok(command)
    }

    /// What the last run wrote to its standard error.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

impl Drop for Acme {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A pipeline that runs; killed with its handle.
pub(crate) struct Run<'a> {
    pub(crate) acme: &'a Acme,
    child: Guard,
    memory: Memory,
    socket: PathBuf,
}

impl Run<'_> {
    /// Waits for a number of its status to reach a value.
    pub(crate) fn wait_for(&mut self, field: &str, value: u64) -> Result<()> {
        let socket = self.socket.clone();
        wait(&format!("{field} is {value}"), ASK_EVERY, PATIENCE, || {
            if let Some(status) = self.child.0.try_wait()? {
                bail!("acme ended with {status}: {}", self.acme.said());
            }
            // The socket opens a moment after the start.
            let Ok(status) = ask(&socket, "status") else { return Ok(None) };
            Ok((status[field].as_u64() >= Some(value)).then_some(()))
        })
    }

    /// Waits for the next line on its standard output.
    pub(crate) fn line(&mut self) -> Result<String> {
        let out = self.child.0.stdout.as_mut().context("its output is a pipe")?;
        let mut line = String::new();
        if BufReader::new(out).read_line(&mut line)? == 0 {
            bail!("acme ended without a row: {}", self.acme.said());
        }
        Ok(line)
    }

    /// Stops it in order; the largest memory that it has used, in MiB.
    pub(crate) fn stop(mut self) -> Result<f64> {
        ask(&self.socket, "stop")?;
        let status = self.child.0.wait()?;
        if !status.success() {
            bail!("acme ended with {status}: {}", self.acme.said());
        }
        Ok(self.memory.finish())
    }
}

fn ask(socket: &Path, word: &str) -> Result<Value> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{word}\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}
