//! What a node is started with: its settings, its formatted disk, its certificates.

use super::{Node, Options, PASSWORD, Tls, USER, java_words};
use crate::elasticsearch::java_old;
use crate::run;
use anyhow::Result;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The clusters' id: 16 bytes in base64.
const CLUSTER: &str = "AcmeLabCluster0000000A";

/// Formats a disk and keeps of it what is the same for all nodes: the features, and the users.
pub(super) fn format(home: &Path, checkpoint: &str, users: &[String]) -> Result<()> {
    let (settings, disk) = (home.join("format.properties"), home.join("disk"));
    let text = format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:9093\n\
         listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093\n\
         controller.listener.names=CONTROLLER\nlog.dirs={}\n",
        disk.display()
    );
    fs::write(&settings, text)?;
    let mut command = Command::new(java_old()?.join("bin/java"));
    command.args(java_words(home, "kafka.tools.StorageTool")).args(["format", "-t", CLUSTER, "-c"]);
    command.arg(&settings).args(users.iter().flat_map(|user| ["--add-scram", user]));
    run(&mut command)?;
    fs::rename(disk.join("bootstrap.checkpoint"), home.join(checkpoint))?;
    fs::remove_dir_all(disk)?;
    Ok(fs::remove_file(settings)?)
}

/// Writes a node's settings and disk.
pub(super) fn write(home: &Path, folder: &Path, node: &Node, all: &[Node], options: &Options) -> Result<()> {
    let data = node.data(folder);
    fs::create_dir_all(&data)?;
    let checkpoint = if options.sasl { "scram.checkpoint" } else { "plain.checkpoint" };
    fs::copy(home.join(checkpoint), data.join("bootstrap.checkpoint"))?;
    let id = node.id;
    // The same for all nodes, and another for each cluster.
    let cluster = format!("AcmeLab{:0>15}", all[0].unique().replace(|c: char| !c.is_ascii_digit(), ""));
    let cluster = &cluster[..22];
    fs::write(
        data.join("meta.properties"),
        format!("node.id={id}\ndirectory.id=AcmeLabDisk000000000{id}A\nversion=1\ncluster.id={cluster}\n"),
    )?;
    let mut text = basics(folder, node, all);
    secure(&mut text, folder, node, options)?;
    for (name, value) in &options.settings {
        writeln!(text, "{name}={value}")?;
    }
    Ok(fs::write(node.settings(folder), text)?)
}

fn basics(folder: &Path, node: &Node, all: &[Node]) -> String {
    let voters: Vec<String> =
        all.iter().map(|node| format!("{}@{}:{}", node.id, node.address, node.controller)).collect();
    let replicas = if all.len() < 3 { 1 } else { 3 };
    let in_sync = if replicas == 3 { 2 } else { 1 };
    let (id, voters, data) = (node.id, voters.join(","), node.data(folder));
    format!(
        "process.roles=broker,controller
node.id={id}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={}
num.io.threads=4
num.network.threads=2
log.cleaner.dedupe.buffer.size=16777216
default.replication.factor={replicas}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=8
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={in_sync}
share.coordinator.state.topic.num.partitions=8
# Groups form at once, and a test need not wait long for a member that has died.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=6000
group.consumer.min.heartbeat.interval.ms=200
group.consumer.heartbeat.interval.ms=500
broker.session.timeout.ms=6000
broker.heartbeat.interval.ms=1000
broker.rack=rack{id}
",
        data.display()
    )
}

fn secure(text: &mut String, folder: &Path, node: &Node, options: &Options) -> Result<()> {
    let (address, plain) = (&node.address, node.plain);
    let mut listeners = format!("PLAINTEXT://{address}:{plain},CONTROLLER://{address}:{}", node.controller);
    let mut advertised = format!("PLAINTEXT://{}", node.plain());
    let mut protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned();
    let protocol = match (options.tls.is_some(), options.sasl) {
        (false, false) => None,
        (true, false) => Some("SSL"),
        (false, true) => Some("SASL_PLAINTEXT"),
        (true, true) => Some("SASL_SSL"),
    };
    if let Some(protocol) = protocol {
        write!(listeners, ",SECURED://{address}:{}", node.secured)?;
        write!(advertised, ",SECURED://{}", node.secured())?;
        write!(protocols, ",SECURED:{protocol}")?;
    }
    writeln!(text, "listeners={listeners}\nadvertised.listeners={advertised}")?;
    writeln!(text, "listener.security.protocol.map={protocols}")?;
    if let Some(tls) = options.tls {
        let wanted = if tls == Tls::Mutual { "required" } else { "none" };
        let stores = folder.display();
        for (name, value) in [
            ("keystore.type", "PEM".to_owned()),
            ("keystore.location", format!("{stores}/server.pem")),
            ("truststore.type", "PEM".to_owned()),
            ("truststore.location", format!("{stores}/ca.crt")),
            ("client.auth", wanted.to_owned()),
        ] {
            writeln!(text, "listener.name.secured.ssl.{name}={value}")?;
        }
    }
    if options.sasl {
        let prefix = "listener.name.secured";
        let login = "sasl.jaas.config=org.apache.kafka.common.security";
        writeln!(
            text,
            "{prefix}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
{prefix}.plain.{login}.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";
{prefix}.scram-sha-256.{login}.scram.ScramLoginModule required;
{prefix}.scram-sha-512.{login}.scram.ScramLoginModule required;
{prefix}.oauthbearer.{login}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"lab\";"
        )?;
    }
    Ok(())
}

/// Makes an authority, a certificate for the nodes and one for clients.
pub(super) fn certify(folder: &Path) -> Result<()> {
    let openssl =
        |arguments: &str| run(Command::new("openssl").current_dir(folder).args(arguments.split(' ')));
    let new = "req -newkey rsa:2048 -nodes";
    openssl(&format!("{new} -x509 -days 30 -subj /CN=lab -keyout ca.key -out ca.crt"))?;
    let names: Vec<String> =
        (1..=3).map(|id| format!("IP:127.0.0.{id},DNS:kafka{id}")).chain(["DNS:localhost".into()]).collect();
    for (name, subject, names) in
        [("server", "kafka", names.join(",")), ("client", USER, format!("DNS:{USER}"))]
    {
        openssl(&format!("{new} -subj /CN={subject} -keyout {name}.key -out {name}.csr"))?;
        fs::write(folder.join("names"), format!("subjectAltName={names}\n"))?;
        openssl(&format!(
            "x509 -req -days 30 -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -extfile names -out {name}.crt"
        ))?;
    }
    let read = |name: &str| fs::read_to_string(folder.join(name));
    Ok(fs::write(folder.join("server.pem"), read("server.key")? + &read("server.crt")?)?)
}
