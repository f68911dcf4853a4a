//! What all systems need: a place for what is installed, ports, processes.

use anyhow::{Context, Result, bail};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Where installed systems are kept between runs. It is readable by every user, because some systems refuse to run as
/// root and are run as another.
pub fn cache() -> Result<PathBuf> {
    let path = std::env::var_os("ACME_LAB").map_or_else(|| PathBuf::from("/var/tmp/acme-lab"), PathBuf::from);
    std::fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
    Ok(path)
}

/// A folder of the cache, made by `fill` the first time. It appears whole, so that two processes may do it at once; the
/// threads of one take turns.
pub(crate) fn once(name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let done = cache()?.join(name);
    if done.exists() {
        return Ok(done);
    }
    let partial = cache()?.join(format!("{name}.{}", std::process::id()));
    std::fs::create_dir_all(&partial)?;
    fill(&partial)?;
    if let Err(error) = std::fs::rename(&partial, &done) {
        std::fs::remove_dir_all(&partial)?;
        if !done.exists() {
            return Err(error).context(format!("cannot create {}", done.display()));
        }
    }
    Ok(done)
}

/// A loopback port that is free now, and not one of those that the system gives to outgoing connections: such a one could be
/// taken before a server has started.
pub fn free_port() -> Result<u16> {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 22_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Processes that run at once begin at places of their own.
    let begin = std::process::id().wrapping_mul(7_919);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(131, Ordering::Relaxed);
        let port = u16::try_from(FIRST + begin.wrapping_add(step) % COUNT).expect("it is below 32,000");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no loopback port is free")
}

/// Waits until something listens on a loopback port.
#[expect(clippy::disallowed_methods, reason = "tests wait for real processes")]
pub fn wait_for_port(port: u16, patience: Duration) -> Result<()> {
    let until = Instant::now() + patience;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
        if Instant::now() > until {
            bail!("nothing listens on port {port} after {patience:?}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Runs a command to its end; its output is shown only when it fails.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if !output.status.success() {
        bail!("{command:?} failed: {}\n{}{}", output.status, text(&output.stdout), text(&output.stderr));
    }
    Ok(text(&output.stdout))
}

/// Takes from a command what cargo tells a program that it runs: to the cargo that the command starts it would say that
/// build scripts which watch these variables are not up to date.
pub fn without_cargo(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    command
}

/// A process that ends with its handle.
#[derive(Debug)]
pub struct Server(Child);

impl Server {
    /// Starts it, detached from our input and output.
    pub fn start(command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(command.spawn().with_context(|| format!("cannot start {command:?}"))?))
    }

    /// Starts it so that it also ends with this process, however that ends: for servers that a static shares between
    /// tests, because statics are never dropped.
    ///
    /// A shell stands between: it ends the server when its input, which this process holds, is closed. `set` gives the
    /// arguments, the environment and the user.
    pub fn tied(program: &Path, set: impl FnOnce(&mut Command)) -> Result<Self> {
        const WATCH: &str = r#""$@" </dev/null & child=$!; cat >/dev/null; kill -KILL "$child""#;
        let mut shell = Command::new("sh");
        shell.args(["-c", WATCH, "sh"]).arg(program);
        set(&mut shell);
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(shell.spawn().with_context(|| format!("cannot start {}", program.display()))?))
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().is_ok_and(|status| status.is_some())
    }

    /// The id of the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already is what was wanted.
        if self.0.stdin.take().is_none() {
            let _ = self.0.kill();
        }
        let _ = self.0.wait();
    }
}
