//! Apache Kafka: one node or several, its command-line tools, and `kcat`.
//!
//! The jars are the released ones; only the oldest version has a ZooKeeper. Every node is broker and controller at once, so that of three
//! nodes one may be killed.

mod node;
mod oldest;
mod settings;

pub use oldest::{OLDEST_VERSION, Oldest};

use crate::elasticsearch::java_old;
use crate::process::once;
use crate::{Namespace, cache, debian, run};
use anyhow::{Context, Result};
use node::Node;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The version that is started unless another is asked for.
pub const VERSION: &str = "4.3.1";
/// The last one that speaks the oldest versions of the protocol, and without the group protocol of KIP-848.
pub const OLD_VERSION: &str = "3.9.1";
/// The user of a listener with SASL, and of the certificate of [`Kafka::client_certificate`].
pub const USER: &str = "acme";
/// The user's password.
pub const PASSWORD: &str = "hunter2";

/// What the jars are resolved from.
const PROJECT: &str = include_str!("kafka/pom.xml");
const LOGGING: &str = include_str!("kafka/log4j2.properties");
/// A machine that starts quickly and lives for a minute.
const SMALL: &[&str] = &["-Xmx384m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"];
/// One for measurements.
const FAST: &[&str] = &["-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"];
/// How long a node may take to start on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a client must show on the secured listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Nothing: only the broker has a certificate.
    Server,
    /// A certificate that the authority signed.
    Mutual,
}

/// How a cluster is to be started.
#[derive(Clone, Debug)]
pub struct Options {
    nodes: u8,
    version: String,
    tls: Option<Tls>,
    sasl: bool,
    settings: Vec<(String, String)>,
    fixed: bool,
    within: Vec<String>,
    optimised: bool,
}

impl Options {
    /// So many nodes: with three, topics have three replicas of which two must be in sync.
    #[must_use]
    pub fn nodes(mut self, count: u8) -> Self {
        self.nodes = count;
        self
    }

    /// Another version, such as [`OLD_VERSION`].
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self
    }

    /// A second listener, [`Kafka::secured`], that speaks TLS.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// A second listener, [`Kafka::secured`], that wants a user: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, or OAUTHBEARER
    /// with tokens that nobody signed.
    #[must_use]
    pub fn sasl(mut self) -> Self {
        self.sasl = true;
        self
    }

    /// A line of `server.properties`; wins over ours.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.push((name.to_owned(), value.to_string()));
        self
    }

    /// Node n listens on 127.0.0.n:9092 (secured: 9094) and calls itself `kafka`n. For a network of its own:
    /// see [`Self::within`].
    #[must_use]
    pub fn fixed(mut self) -> Self {
        self.fixed = true;
        self
    }

    /// Runs in a namespace, which knows the names of [`Self::fixed`].
    #[must_use]
    pub fn within(mut self, namespace: &Namespace) -> Self {
        self.within = namespace.entrance();
        self.fixed()
    }

    /// With more memory and the compiler that takes its time: for measurements.
    #[must_use]
    pub fn optimised(mut self) -> Self {
        self.optimised = true;
        self
    }

    /// Starts the nodes; returns when all of them answer.
    pub fn start(self) -> Result<Kafka> {
        Kafka::launch(&self)
    }
}

/// Downloads a version, and what its disks are formatted with.
pub fn install(version: &str) -> Result<PathBuf> {
    once(&format!("kafka-{version}"), |into| {
        // The other backend for logging, of Kafka 3, comes without its classes.
        jars(into, version, "slf4j-reload4j")?;
        settings::format(into, "plain.checkpoint", &[])?;
        let users = ["SCRAM-SHA-256", "SCRAM-SHA-512"]
            .map(|mechanism| format!("{mechanism}=[name={USER},password={PASSWORD}]"));
        settings::format(into, "scram.checkpoint", &users)
    })
}

/// Downloads the jars of a version, but for the logging backends that it would bring itself, and says how it is to log.
fn jars(into: &Path, version: &str, backends: &str) -> Result<()> {
    fs::write(into.join("pom.xml"), PROJECT)?;
    fs::write(into.join("log4j2.properties"), LOGGING)?;
    run(Command::new("mvn")
        .args(["-B", "-q", "-f"])
        .arg(into.join("pom.xml"))
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DexcludeArtifactIds={backends}"))
        .arg(format!("-Dv={version}"))
        .arg(format!("-DoutputDirectory={}", into.join("libs").display())))
    .map(drop)
}

/// Installs the command `kcat` where it is absent.
pub fn install_kcat() -> Result<()> {
    debian::package("kafkacat", Path::new("/usr/bin/kcat"))
}

/// A running cluster with throw-away data, gone with its handle.
#[derive(Debug)]
pub struct Kafka {
    home: PathBuf,
    folder: PathBuf,
    within: Vec<String>,
    machine: &'static [&'static str],
    nodes: Vec<Node>,
}

impl Kafka {
    /// One node.
    pub fn start() -> Result<Self> {
        Self::options().start()
    }

    /// So many nodes.
    pub fn cluster(nodes: u8) -> Result<Self> {
        Self::options().nodes(nodes).start()
    }

    /// One node of [`VERSION`] without security, unless something else is asked for.
    #[must_use]
    pub fn options() -> Options {
        Options {
            nodes: 1,
            version: VERSION.to_owned(),
            tls: None,
            sasl: false,
            settings: Vec::new(),
            fixed: false,
            within: Vec::new(),
            optimised: false,
        }
    }

    fn launch(options: &Options) -> Result<Self> {
        sweep()?;
        let home = install(&options.version)?;
        let nodes: Vec<Node> =
            (1..=options.nodes).map(|id| Node::plan(id, options)).collect::<Result<_>>()?;
        let first = nodes.first().context("a cluster has at least one node")?;
        let folder = cache()?.join(format!("broker-{}-{}", std::process::id(), first.unique()));
        fs::create_dir_all(&folder)?;
        let machine = if options.optimised { FAST } else { SMALL };
        let mut kafka = Self { home, folder, within: options.within.clone(), machine, nodes };
        if options.tls.is_some() {
            settings::certify(&kafka.folder)?;
        }
        for node in &kafka.nodes {
            settings::write(&kafka.home, &kafka.folder, node, &kafka.nodes, options)?;
        }
        for index in 0..kafka.nodes.len() {
            kafka.boot(index)?;
        }
        for node in &mut kafka.nodes {
            node.wait(&kafka.folder)?;
        }
        Ok(kafka)
    }

    fn boot(&mut self, index: usize) -> Result<()> {
        let mut words = self.within.clone();
        words.push(java_old()?.join("bin/java").display().to_string());
        words.extend(self.machine.iter().copied().map(str::to_owned));
        words.extend(java_words(&self.home, "kafka.Kafka"));
        self.nodes[index].boot(&self.folder, &words)
    }

    /// Where all nodes listen without security, joined by commas.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.nodes.iter().map(Node::plain).collect::<Vec<_>>().join(",")
    }

    /// Where all nodes listen with TLS or SASL, joined by commas.
    #[must_use]
    pub fn secured(&self) -> String {
        self.nodes.iter().map(Node::secured).collect::<Vec<_>>().join(",")
    }

    /// Where one node listens without security; the first is 1.
    #[must_use]
    pub fn node(&self, id: u8) -> String {
        self.nodes[usize::from(id) - 1].plain()
    }

    /// The certificate of the authority that signed those of the nodes, of a cluster with TLS.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// A certificate for clients, for [`USER`].
    #[must_use]
    pub fn client_certificate(&self) -> PathBuf {
        self.folder.join("client.crt")
    }

    /// The key of [`Self::client_certificate`].
    #[must_use]
    pub fn client_key(&self) -> PathBuf {
        self.folder.join("client.key")
    }

    /// What a node has written about itself.
    pub fn log(&self, id: u8) -> Result<String> {
        Ok(fs::read_to_string(self.nodes[usize::from(id) - 1].log(&self.folder))?)
    }

    /// The process of a node.
    pub fn process(&self, id: u8) -> Result<u32> {
        self.nodes[usize::from(id) - 1].process_id()
    }

    /// A folder for a test's own files, gone with the cluster.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A command of the distribution, such as `org.apache.kafka.tools.TopicCommand`, which is told where the nodes are.
    pub fn tool(&self, class: &str, arguments: &[&str]) -> Result<Command> {
        let java = self.command(&java_old()?.join("bin/java").display().to_string());
        Ok(tool_words(java, &self.home, class, arguments, &self.bootstrap()))
    }

    /// Creates a topic, with settings such as `retention.ms=-1`; returns when the cluster has agreed.
    pub fn create_topic(&self, name: &str, partitions: u32, settings: &[&str]) -> Result<()> {
        let partitions = partitions.to_string();
        let mut arguments = vec!["--create", "--topic", name, "--partitions", &partitions];
        arguments.extend(settings.iter().flat_map(|setting| ["--config", setting]));
        run(&mut self.tool("org.apache.kafka.tools.TopicCommand", &arguments)?).map(drop)
    }

    /// `kcat`, told where the nodes are; installed where it is absent.
    pub fn kcat(&self, arguments: &[&str]) -> Result<Command> {
        install_kcat()?;
        let mut command = self.command("kcat");
        command.args(["-b", &self.bootstrap()]).args(arguments);
        Ok(command)
    }

    fn command(&self, program: &str) -> Command {
        let words: Vec<&str> = self.within.iter().map(String::as_str).chain([program]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        command
    }

    /// Ends a node as a power cut does.
    pub fn kill(&mut self, id: u8) -> Result<()> {
        self.nodes[usize::from(id) - 1].end("KILL")
    }

    /// Ends a node in order.
    pub fn stop(&mut self, id: u8) -> Result<()> {
        self.nodes[usize::from(id) - 1].end("TERM")
    }

    /// Lets a node stand still: its connections stay open, and nothing is answered.
    pub fn pause(&self, id: u8) -> Result<()> {
        self.nodes[usize::from(id) - 1].signal("STOP")
    }

    /// Lets a node go on that stood still.
    pub fn resume(&self, id: u8) -> Result<()> {
        self.nodes[usize::from(id) - 1].signal("CONT")
    }

    /// Starts a node again, after its end or with it; returns when it answers.
    pub fn restart(&mut self, id: u8) -> Result<()> {
        let index = usize::from(id) - 1;
        if self.nodes[index].runs() {
            self.stop(id)?;
        }
        self.boot(index)?;
        self.nodes[index].wait(&self.folder)
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.nodes.clear();
        // What a process that is still ending writes here is swept away by the next start.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A command of the distribution of [`VERSION`], for a broker that is not Apache Kafka.
pub fn tool(class: &str, arguments: &[&str], bootstrap: &str) -> Result<Command> {
    let java = Command::new(java_old()?.join("bin/java"));
    Ok(tool_words(java, &install(VERSION)?, class, arguments, bootstrap))
}

/// What a script that runs a class of the distribution of [`VERSION`] begins with.
pub(crate) fn command(class: &str) -> Result<Vec<String>> {
    let mut words = vec![java_old()?.join("bin/java").display().to_string()];
    words.extend(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"].map(str::to_owned));
    words.extend(java_words(&install(VERSION)?, class));
    Ok(words)
}

/// The same with the machine that the distribution's own scripts give it: for measurements.
pub fn fast_tool(class: &str, arguments: &[&str], bootstrap: &str) -> Result<Command> {
    let mut java = Command::new(java_old()?.join("bin/java"));
    java.args(["-Xmx512m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"]);
    java.args(java_words(&install(VERSION)?, class)).args(arguments).args(["--bootstrap-server", bootstrap]);
    Ok(java)
}

fn tool_words(mut java: Command, home: &Path, class: &str, arguments: &[&str], bootstrap: &str) -> Command {
    java.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    java.args(java_words(home, class)).args(arguments);
    if !arguments.contains(&"--bootstrap-server") {
        java.args(["--bootstrap-server", bootstrap]);
    }
    java
}

fn java_words(home: &Path, class: &str) -> [String; 4] {
    [
        format!("-Dlog4j2.configurationFile={}", home.join("log4j2.properties").display()),
        "-cp".to_owned(),
        home.join("libs/*").display().to_string(),
        class.to_owned(),
    ]
}

/// Removes the data of processes that are gone: a cluster that a static held could not do it.
fn sweep() -> Result<()> {
    for entry in fs::read_dir(cache()?)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix("broker-").and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
            // Two processes may sweep at once.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}
