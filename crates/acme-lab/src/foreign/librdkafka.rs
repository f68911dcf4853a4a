//! librdkafka's numbered tests (`tests/NNNN-*.c` and `.cpp`), built from the source that the crate `rdkafka-sys` carries.

use super::{End, Suite};
use crate::process::once;
use crate::rdkafka::{self, VERSION};
use crate::{debian, kafka, run};
use anyhow::{Context, Result};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The prefix of a name that is run with the group protocol of KIP-848.
const CONSUMER: &str = "consumer/";
/// What a process notes its verdicts in, in its folder.
const REPORT: &str = "report.json";
/// What the library's statistics are checked against.
const SCHEMA: &str = "statistics_schema.json";
/// Which broker the tests are told that they have: what they may ask of it.
const BROKER: &str = "4.1.0.0";

/// The program with all tests.
#[derive(Clone, Debug)]
pub struct Tests {
    home: PathBuf,
}

/// Builds the program where it is absent: some minutes on one core.
pub fn install() -> Result<Tests> {
    // Some tests read the library's statistics with it, and say nothing without.
    debian::package("rapidjson-dev", Path::new("/usr/include/rapidjson/document.h"))?;
    let home = once(&format!("rdkafka-tests-{VERSION}"), |into| {
        let source = rdkafka::source(into)?;
        // Without what other packages would have to bring: the suite is about the protocol. Not optimised, because to compile it
        // would take longer than to run it.
        let shell = format!(
            "cd '{}' && chmod +x configure configure.self mklove/* lds-gen.py && \
             ./configure --disable-gssapi --disable-ssl --disable-curl --disable-zstd --disable-lz4-ext \
             --disable-optimization --disable-debug-symbols && \
             make -j2 -C src lib && make -j2 -C src-cpp lib && make -j2 -C tests test-runner && \
             cp tests/test-runner src/librdkafka.so.1 src-cpp/librdkafka++.so.1 src/statistics_schema.json '{}'",
            source.display(),
            into.display()
        );
        run(Command::new("sh").args(["-c", &shell])).context("librdkafka's tests cannot be built")?;
        std::fs::remove_dir_all(into.join("vendored"))?;
        Ok(())
    })?;
    Ok(Tests { home })
}

impl Suite for Tests {
    fn command(&self, name: &str, bootstrap: &str, folder: &Path) -> Result<Command> {
        let settings = folder.join("test.conf");
        std::fs::write(&settings, format!("bootstrap.servers={bootstrap}\ntest.topic.random=true\n"))?;
        let mut command = Command::new(self.home.join("test-runner"));
        command.env("LD_LIBRARY_PATH", &self.home);
        // One at a time, without tests that need no broker (-L).
        command.args(["-p1", "-L", "-V", BROKER]);
        let test = match name.strip_prefix(CONSUMER) {
            Some(test) => {
                command.env("TEST_CONSUMER_GROUP_PROTOCOL", "consumer");
                test
            }
            None => name,
        };
        let (scenario, test) = test.split_once('/').unwrap_or(("default", test));
        command.args(["-s", scenario]);
        // The program chooses by number: a file may have several tests.
        let (number, _) = test.split_once('-').with_context(|| format!("{name} is not NNNN-name"))?;
        // A test that checks the statistics looks for their schema where the source would have it.
        let source = folder.parent().context("a test has a folder below the suite's")?.join("src");
        std::fs::create_dir_all(&source)?;
        if !source.join(SCHEMA).exists() {
            std::fs::copy(self.home.join(SCHEMA), source.join(SCHEMA))?;
        }
        // `CI` gives more time to everything that a test waits for.
        command.env("CI", "true").env("TESTS", number);
        command.env("RDKAFKA_TEST_CONF", settings).env("TEST_REPORT", folder.join(REPORT));
        command.env("KAFKA_PATH", tools(folder)?).env("BROKERS", bootstrap);
        Ok(command)
    }

    fn judge(&self, success: bool, folder: &Path) -> End {
        let report = std::fs::read_to_string(folder.join(REPORT)).unwrap_or_default();
        // The program itself is noted first, as a test of the name `<MAIN>`.
        let tests = report.split("\"state\": \"").skip(2);
        match (success, tests.filter(|rest| rest.starts_with("PASSED\"")).count()) {
            (false, _) => End::Failed,
            (true, 0) => End::Skipped,
            (true, _) => End::Passed,
        }
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(400)
    }
}

/// Kafka's tools by the names that tests call them by, below a folder.
fn tools(folder: &Path) -> Result<PathBuf> {
    let home = folder.join("kafka");
    std::fs::create_dir_all(home.join("bin"))?;
    for (name, class) in
        [("topics", "org.apache.kafka.tools.TopicCommand"), ("configs", "kafka.admin.ConfigCommand")]
    {
        let script = home.join(format!("bin/kafka-{name}.sh"));
        let words: Vec<String> = kafka::command(class)?.iter().map(|word| format!("'{word}'")).collect();
        std::fs::write(&script, format!("#!/bin/sh\nexec {} \"$@\"\n", words.join(" ")))?;
        std::fs::set_permissions(&script, Permissions::from_mode(0o755))?;
    }
    Ok(home)
}
