//! BigQuery: an emulator of its REST and Storage Write APIs on DuckDB, from the Python package index.
//!
//! It is an imitation. Against the real service: a job's name can be used twice; a stream that is committed again is in an
//! `INVALID_STREAM_STATE` instead of already committed, and has no commit time; `insertId` is not looked at; fields that a table
//! does not have are accepted; a column that `tables.patch` adds cannot be written to; records cannot be written through the
//! Storage Write API; nothing is refused for a quota or for one of its rows.

use crate::process::once;
use crate::{Server, free_port, run, wait_for_port};
use anyhow::{Result, bail};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// The versions that go together: the emulator asks for any DuckDB, but the extensions that it loads are those of one.
const PACKAGES: [&str; 6] = [
    "bqemulator==1.4.0",
    "duckdb==1.5.5",
    "duckdb-extension-spatial==1.5.5",
    "duckdb-extension-avro==1.5.5",
    "numpy",
    "google-cloud-bigquery-storage",
];
const PATIENCE: Duration = Duration::from_secs(120);
/// The project that the emulator has from the beginning.
pub const PROJECT: &str = "lab";

/// Downloads the emulator; returns the folder of its packages.
pub fn install() -> Result<PathBuf> {
    once("bqemulator-1.4.0", |into| {
        let packages = into.join("packages");
        let arguments = ["-m", "pip", "-q", "install", "--target"];
        run(Command::new("python3").args(arguments).arg(&packages).args(PACKAGES))?;
        // It would download these at each start: they lie where DuckDB looks for them first.
        let extensions = into.join("home/.duckdb/extensions/v1.5.5/linux_amd64");
        fs::create_dir_all(&extensions)?;
        for name in ["spatial", "avro"] {
            let folder = packages.join(format!("duckdb_extension_{name}/extensions/v1.5.5"));
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                if entry.path().extension().is_some_and(|ending| ending == "duckdb_extension") {
                    fs::copy(entry.path(), extensions.join(entry.file_name()))?;
                }
            }
        }
        Ok(())
    })
}

/// A command that runs a Python program with Google's own client libraries at hand.
pub fn python(program: &str) -> Result<Command> {
    let mut command = Command::new("python3");
    command.args(["-c", program]).env("PYTHONPATH", install()?.join("packages"));
    Ok(command)
}

/// A running emulator with throw-away data.
#[derive(Debug)]
pub struct Emulator {
    rest: u16,
    grpc: u16,
    server: Server,
}

impl Emulator {
    /// Starts one; returns when both of its ports answer.
    pub fn start() -> Result<Self> {
        let folder = install()?;
        let (rest, grpc) = (free_port()?, free_port()?);
        let mut server = Server::tied("python3".as_ref(), |command| {
            command
                .args(["-m", "bqemulator", "start", "--project", PROJECT, "--log-level", "error"])
                .args(["--rest-port", &rest.to_string(), "--grpc-port", &grpc.to_string()])
                .env("PYTHONPATH", folder.join("packages"))
                .env("HOME", folder.join("home"))
                .env("BQEMU_TELEMETRY_ENABLED", "false");
        })?;
        let ready = wait_for_port(rest, PATIENCE).and_then(|()| wait_for_port(grpc, PATIENCE));
        ready?;
        if server.has_ended() {
            bail!("port {rest} or {grpc} was taken by another process, and the emulator has ended");
        }
        Ok(Self { rest, grpc, server })
    }

    /// The address of its REST API.
    #[must_use]
    pub fn rest(&self) -> String {
        format!("http://127.0.0.1:{}", self.rest)
    }

    /// The address of its Storage Write API.
    #[must_use]
    pub fn storage(&self) -> String {
        format!("127.0.0.1:{}", self.grpc)
    }

    /// Creates a dataset.
    pub fn dataset(&self, name: &str) -> Result<()> {
        let body = format!(r#"{{"datasetReference":{{"projectId":"{PROJECT}","datasetId":"{name}"}}}}"#);
        self.post("datasets", &body).map(drop)
    }

    /// The rows of a query, each with its values joined by `|`; NULL is `-`.
    pub fn query(&self, sql: &str) -> Result<Vec<String>> {
        let quoted = sql.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', " ");
        let lines = self.post(
            "queries",
            &format!(r#"{{"query":"{quoted}","useLegacySql":false,"maxResults":1000000}}"#),
        )?;
        Ok(lines.lines().map(str::to_owned).collect())
    }

    /// Sends a request; prints the rows of its reply.
    fn post(&self, path: &str, body: &str) -> Result<String> {
        const PROGRAM: &str = "import json, sys, urllib.request as u\n\
            r = u.Request(sys.argv[1], sys.argv[2].encode(), {'Content-Type': 'application/json'})\n\
            for row in json.load(u.urlopen(r)).get('rows', []):\n \
            print('|'.join('-' if f['v'] is None else str(f['v']) for f in row['f']))";
        let url = format!("{}/bigquery/v2/projects/{PROJECT}/{path}", self.rest());
        run(Command::new("python3").args(["-c", PROGRAM, &url, body]).env("no_proxy", "127.0.0.1"))
    }

    /// The id of its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.server.id()
    }
}
