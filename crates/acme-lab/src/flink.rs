//! Apache Flink SQL on a cluster within one process: a peer of the benchmarks.
//!
//! The jars are those of the Python package; no Python runs.

use crate::{elasticsearch::java_old, process::once, run};
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

/// The version that is installed.
pub const VERSION: &str = "2.3.0";

/// Its connector for Kafka, which is released by itself.
const KAFKA: &str = "org.apache.flink:flink-sql-connector-kafka:5.0.0-2.2";

/// Runs the statements of a file. The class path is made of the wheel's jars.
const RUNNER: &str = include_str!("flink/RunSql.java");
/// Takes the jars out of the wheel.
const UNPACK: &str = "import glob, sys, zipfile
wheel = zipfile.ZipFile(glob.glob(sys.argv[1] + '/*.whl')[0])
for name in wheel.namelist():
    if name.startswith('pyflink/lib/') and name.endswith('.jar'):
        wheel.extract(name, sys.argv[1])
";
/// What Flink reaches into, as its own start scripts open it.
const OPENED: [&str; 11] = [
    "java.lang",
    "java.net",
    "java.io",
    "java.nio",
    "java.util",
    "java.util.concurrent",
    "java.text",
    "java.time",
    "java.lang.reflect",
    "java.util.concurrent.atomic",
    "java.util.concurrent.locks",
];

/// A command that runs the statements of `file` in batch mode with `threads` tasks beside each other, and prints the
/// milliseconds of each INSERT; downloads what it needs the first time.
pub fn sql(file: &Path, threads: usize) -> Result<Command> {
    let home = once(&format!("flink-{VERSION}"), install)?;
    let mut command = Command::new(java_old()?.join("bin/java"));
    command.args(["-Xmx1g", "-XX:+UseG1GC"]);
    for package in OPENED {
        command.arg(format!("--add-opens=java.base/{package}=ALL-UNNAMED"));
    }
    let (jars, kafka) = (home.join("pyflink/lib/*"), once("flink-kafka-5.0.0", install_kafka)?);
    command
        .arg("-Dlog4j2.level=ERROR")
        .arg("-cp")
        .arg(format!("{}:{}:{}", home.display(), jars.display(), kafka.join("*").display()))
        .arg("RunSql")
        .arg(file)
        .args(["execution.target=local".to_owned(), format!("parallelism.default={threads}")])
        .arg(format!("taskmanager.numberOfTaskSlots={threads}"));
    Ok(command)
}

fn install_kafka(into: &Path) -> Result<()> {
    run(Command::new("mvn")
        .args(["-B", "-q", "dependency:copy"])
        .args([format!("-Dartifact={KAFKA}"), format!("-DoutputDirectory={}", into.display())]))
    .map(drop)
}

fn install(into: &Path) -> Result<()> {
    let package = format!("apache-flink-libraries=={VERSION}");
    // Its build needs nothing: the package is an archive of jars.
    run(Command::new("python3")
        .args(["-m", "pip", "-q", "download", "--no-deps", &package, "-d"])
        .arg(into))?;
    run(Command::new("python3").args(["-c", UNPACK]).arg(into))?;
    for entry in std::fs::read_dir(into)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "whl") {
            std::fs::remove_file(path)?;
        }
    }
    let source = into.join("RunSql.java");
    std::fs::write(&source, RUNNER)?;
    run(Command::new(java_old()?.join("bin/javac"))
        .args(["-nowarn", "-cp"])
        .arg(into.join("pyflink/lib/*"))
        .arg("-d")
        .args([into, &source]))
    .map(drop)
    .context("the runner of Flink's statements does not compile")
}
