//! The oldest Kafka that is served, beside the ZooKeeper that it needs.

use super::{PATIENCE, SMALL, jars, java_words, sweep};
use crate::elasticsearch::java_old;
use crate::process::once;
use crate::{Server, cache, free_port, wait_for_port};
use anyhow::Result;
use std::fs;
use std::path::{Path, PathBuf};

/// Its version.
pub const OLDEST_VERSION: &str = "2.8.2";

/// One node with throw-away data, gone with its handle.
#[derive(Debug)]
pub struct Oldest {
    folder: PathBuf,
    port: u16,
    // The broker first, then what it depends on.
    _broker: Server,
    _zookeeper: Server,
}

impl Oldest {
    /// Downloads it.
    pub fn install() -> Result<PathBuf> {
        once(&format!("kafka-{OLDEST_VERSION}"), |into| jars(into, OLDEST_VERSION, "slf4j-log4j12,log4j"))
    }

    /// Starts both; returns when the broker takes connections.
    pub fn start() -> Result<Self> {
        sweep()?;
        let home = Self::install()?;
        let (port, keeper) = (free_port()?, free_port()?);
        let folder = cache()?.join(format!("broker-{}-{port}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let at = |name: &str| folder.join(name).display().to_string();
        let zookeeper = format!(
            "dataDir={}\nclientPort={keeper}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n",
            at("zookeeper")
        );
        let broker = format!(
            "broker.id=1\nzookeeper.connect=127.0.0.1:{keeper}\nlisteners=PLAINTEXT://127.0.0.1:{port}\nlog.dirs={}\n\
             offsets.topic.replication.factor=1\noffsets.topic.num.partitions=8\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
             transaction.state.log.num.partitions=8\ngroup.initial.rebalance.delay.ms=0\n\
             group.min.session.timeout.ms=1000\nlog.cleaner.dedupe.buffer.size=16777216\n\
             transaction.abort.timed.out.transaction.cleanup.interval.ms=500\n",
            at("data")
        );
        fs::write(folder.join("zookeeper.properties"), zookeeper)?;
        fs::write(folder.join("broker.properties"), broker)?;
        let zookeeper =
            java(&home, &folder, "org.apache.zookeeper.server.quorum.QuorumPeerMain", "zookeeper")?;
        wait_for_port(keeper, PATIENCE)?;
        let broker = java(&home, &folder, "kafka.Kafka", "broker")?;
        wait_for_port(port, PATIENCE)?;
        Ok(Self { folder, port, _broker: broker, _zookeeper: zookeeper })
    }

    /// Where it listens.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Oldest {
    fn drop(&mut self) {
        // What the processes still write is swept away by the next start.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn java(home: &Path, folder: &Path, class: &str, settings: &str) -> Result<Server> {
    Server::tied(&java_old()?.join("bin/java"), |command| {
        // ZooKeeper looks for parts of Log4j 1 that its successor has not.
        command.args(SMALL).arg("-Dzookeeper.jmx.log4j.disable=true").args(java_words(home, class));
        command.arg(folder.join(format!("{settings}.properties"))).current_dir(folder);
    })
}
