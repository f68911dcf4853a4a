//! Apache Kafka, and Kafka Connect with Debezium's connector for PostgreSQL: a peer of the benchmarks.

use crate::{Server, elasticsearch::java_old, free_port, process::once, run, wait_for_port};
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The version of Kafka and of Kafka Connect.
pub const VERSION: &str = "4.3.1";
/// The version of Debezium.
pub const DEBEZIUM: &str = "3.6.1.Final";
/// What the jars of a broker and of Connect are resolved from.
const PROJECT: &str = include_str!("kafka/pom.xml");
/// Any id will do: 16 bytes in base64.
const CLUSTER: &str = "QWNtZUxhYkNsdXN0ZXIwMA";
/// How long a start may take on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(120);

/// A broker and a Connect worker with throw-away data, both gone with their handle.
pub struct Kafka {
    broker: u16,
    connect: u16,
    directory: PathBuf,
    servers: Vec<Server>,
}

impl Kafka {
    /// Starts both; returns when they listen. Connect answers a moment later, when it has read its plugins.
    pub fn start() -> Result<Self> {
        let (jars, plugins) = (jars()?, debezium()?);
        let (broker, controller, connect) = (free_port()?, free_port()?, free_port()?);
        let directory = std::env::temp_dir().join(format!("acme-lab-kafka-{}-{broker}", std::process::id()));
        fs::create_dir_all(&directory)?;
        let mut kafka = Self { broker, connect, directory, servers: Vec::new() };
        kafka.configure(controller, &plugins)?;
        let format = ["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", "broker.properties"];
        run(kafka.java(&jars, "128m")?.args(format))?;
        kafka.launch(&jars, broker, &["kafka.Kafka", "broker.properties"])?;
        kafka.launch(
            &jars,
            connect,
            &["org.apache.kafka.connect.cli.ConnectStandalone", "worker.properties"],
        )?;
        Ok(kafka)
    }

    /// Where the broker listens.
    #[must_use]
    pub fn broker(&self) -> u16 {
        self.broker
    }

    /// Where Connect answers HTTP.
    #[must_use]
    pub fn connect(&self) -> u16 {
        self.connect
    }

    /// What the servers have written, to show why something failed.
    pub fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.directory.join("log"))?)
    }

    fn configure(&self, controller: u16, plugins: &Path) -> Result<()> {
        let (broker, data) = (self.broker, self.directory.join("data"));
        let text = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{broker}\ncontroller.listener.names=CONTROLLER\n\
             log.dirs={}\noffsets.topic.replication.factor=1\n",
            data.display()
        );
        fs::write(self.directory.join("broker.properties"), text)?;
        let json = "org.apache.kafka.connect.json.JsonConverter";
        let text = format!(
            "bootstrap.servers=127.0.0.1:{broker}\nlisteners=http://127.0.0.1:{}\nplugin.path={}\n\
             key.converter={json}\nvalue.converter={json}\nkey.converter.schemas.enable=false\n\
             value.converter.schemas.enable=false\noffset.flush.interval.ms=1000\n\
             offset.storage.file.filename={}\n",
            self.connect,
            plugins.display(),
            self.directory.join("offsets").display()
        );
        fs::write(self.directory.join("worker.properties"), text)?;
        let logging = "status=error\nappender.c.type=Console\nappender.c.name=C\nappender.c.target=SYSTEM_ERR\n\
             appender.c.layout.type=PatternLayout\nappender.c.layout.pattern=[%d] %p %m (%c)%n\n\
             rootLogger.level=WARN\nrootLogger.appenderRef.c.ref=C\n";
        Ok(fs::write(self.directory.join("log4j2.properties"), logging)?)
    }

    fn java(&self, jars: &Path, heap: &str) -> Result<Command> {
        let mut command = Command::new(java_old()?.join("bin/java"));
        command
            .current_dir(&self.directory)
            .args([&format!("-Xmx{heap}"), "-Dlog4j2.configurationFile=log4j2.properties", "-cp"])
            .arg(jars.join("*"));
        Ok(command)
    }

    fn launch(&mut self, jars: &Path, port: u16, arguments: &[&str]) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.directory.join("log"))?;
        let mut command = self.java(jars, "512m")?;
        let server = Server::logged(command.args(arguments), log)?;
        self.servers.push(server);
        if let Err(error) = wait_for_port(port, PATIENCE) {
            bail!("{error}: {}", self.log()?);
        }
        Ok(())
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        // Connect before its broker.
        while let Some(server) = self.servers.pop() {
            drop(server);
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn jars() -> Result<PathBuf> {
    once(&format!("kafka-{VERSION}"), |into| {
        let project = into.join("pom.xml");
        fs::write(&project, PROJECT)?;
        run(Command::new("mvn")
            .args(["-B", "-q", "-f"])
            .arg(&project)
            .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
            .args([format!("-Dv={VERSION}"), format!("-DoutputDirectory={}", into.display())]))
        .map(drop)
    })
}

/// The folder of plugins.
fn debezium() -> Result<PathBuf> {
    once(&format!("debezium-{DEBEZIUM}"), |into| {
        let artifact = format!("io.debezium:debezium-connector-postgres:{DEBEZIUM}:tar.gz:plugin");
        run(Command::new("mvn")
            .args(["-B", "-q", "dependency:copy", "-Dmdep.useBaseVersion=true"])
            .args([format!("-Dartifact={artifact}"), format!("-DoutputDirectory={}", into.display())]))?;
        let archive = into.join(format!("debezium-connector-postgres-{DEBEZIUM}-plugin.tar.gz"));
        run(Command::new("tar").arg("xzf").arg(&archive).arg("-C").arg(into))?;
        fs::remove_file(archive).context("the archive was unpacked")
    })
}
