//! A network of its own: loopback only, with fixed addresses and host names that nobody else sees.

use crate::Server;
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long it may take to make one.
const PATIENCE: Duration = Duration::from_secs(30);
/// The names that are known in it.
const HOSTS: &str = "127.0.0.1 localhost kafka1\n127.0.0.2 kafka2\n127.0.0.3 kafka3\n";
/// Sets the namespace up, tells its process, and keeps it.
const KEEP: &str = r#"ip link set lo up && mount --bind "$1" /etc/hosts && echo $$ >"$2.new" && mv "$2.new" "$2" &&
    exec sleep infinity"#;

/// A namespace for users, network and mounts; it ends with its handle, and what runs in it with its own handles.
#[derive(Debug)]
pub struct Namespace {
    process: u32,
    folder: PathBuf,
    _keeper: Server,
}

impl Namespace {
    /// Makes one in which `kafka1` to `kafka3` are 127.0.0.1 to 127.0.0.3.
    #[expect(clippy::disallowed_methods, reason = "tests wait for real processes")]
    pub fn start() -> Result<Self> {
        let port = crate::free_port()?;
        let folder = std::env::temp_dir().join(format!("acme-lab-ns-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let (hosts, noted) = (folder.join("hosts"), folder.join("process"));
        std::fs::write(&hosts, HOSTS)?;
        let keeper = Server::tied(Path::new("unshare"), |command| {
            command.args(["--user", "--map-root-user", "--net", "--mount", "sh", "-c", KEEP, "sh"]);
            command.args([&hosts, &noted]);
        })?;
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(process) = std::fs::read_to_string(&noted).ok().and_then(|id| id.trim().parse().ok())
            {
                return Ok(Self { process, folder, _keeper: keeper });
            }
            if Instant::now() > until {
                bail!(
                    "no network namespace after {PATIENCE:?}; does the system allow `unshare --user --net`?"
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A command that runs in it.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let entrance = self.entrance();
        let mut command = Command::new(&entrance[0]);
        command.args(&entrance[1..]).arg(program);
        command
    }

    /// This test's own program, which runs one test, in the namespace: the test sees the variable `inside` there.
    pub fn test(&self, name: &str, inside: &str) -> Result<Command> {
        let mut command = self.command(&std::env::current_exe()?.display().to_string());
        command.args(["--exact", name, "--nocapture", "--include-ignored"]).env(inside, "1");
        Ok(command)
    }

    /// The words before a command that runs in it.
    pub(crate) fn entrance(&self) -> Vec<String> {
        let process = self.process.to_string();
        ["nsenter", "-t", &process, "-U", "--preserve-credentials", "-n", "-m"].map(str::to_owned).into()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
