//! `acme server` as its clients meet it: `kcat` through a SIGKILL, a second server, a SIGTERM.

use crate::harness::{Place, text};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

pub struct Server {
    pub child: Child,
    pub bootstrap: String,
}

impl Server {
    /// Starts one on a free port; returns when it says where.
    fn start(place: &Place, more: &[&str]) -> Self {
        Self::with(place, &[&["--data", "log"], more].concat())
    }

    /// Starts one on a free port with these options; returns when it says where.
    pub fn with(place: &Place, options: &[&str]) -> Self {
        let words = [&["server", "--listen", "127.0.0.1:0"], options].concat();
        let mut child = place.command(&words).stderr(Stdio::piped()).spawn().expect("the binary runs");
        let mut line = String::new();
        let mut said = BufReader::new(child.stderr.take().expect("it is piped"));
        said.read_line(&mut line).expect("it is text");
        let address = line.split("listening on ").nth(1).and_then(|rest| rest.split(',').next());
        let bootstrap = address.unwrap_or_else(|| panic!("it says where it listens: {line}")).to_owned();
        // Whatever it says later is read, lest it waits.
        std::thread::spawn(move || said.lines().for_each(drop));
        Self { child, bootstrap }
    }

    pub fn kcat(&self, arguments: &[&str], input: &str) -> Output {
        acme_lab::kafka::install_kcat().expect("kcat can be had");
        let mut command = Command::new("kcat");
        command.args(["-b", &self.bootstrap]).args(arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        // It may end before it has read everything.
        let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
        child.wait_with_output().expect("it ends")
    }

    fn read(&self) -> Vec<String> {
        let read = self.kcat(&["-C", "-t", "t", "-o", "beginning", "-e", "-q"], "");
        text(&read.stdout).lines().map(str::to_owned).collect()
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill").args([&format!("-{name}"), &id]).status().expect("there is kill").success()
        );
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill_in_the_middle_of_the_next_records() {
    let place = Place::new();
    let mut expected: Vec<String> = Vec::new();
    for life in 0..3 {
        let mut server = Server::start(&place, &[]);
        assert_eq!(server.read().get(..expected.len()), Some(&expected[..]), "life {life}");
        let lines: Vec<String> = (0..2_000).map(|line| format!("{life}-{line}")).collect();
        let sent = server.kcat(&["-P", "-t", "t", "-X", "acks=all"], &(lines.join("\n") + "\n"));
        assert!(sent.status.success(), "{}", text(&sent.stderr));
        // What comes now nobody is told about: it may be there afterwards, or not, but nothing else.
        let before = server.read();
        expected = before.clone();
        assert!(before.ends_with(&lines));
        let more: String = (0..50_000).map(|line| format!("late-{life}-{line}\n")).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| server.kcat(&["-P", "-t", "t", "-X", "message.timeout.ms=2000"], &more));
            let end = |server: &Server| text(&server.kcat(&["-Q", "-t", "t:0:-1"], "").stdout);
            let (began, start) = (Instant::now(), end(&server));
            while end(&server) == start && began.elapsed().as_secs() < 60 {}
            server.signal("KILL");
        });
        server.child.wait().unwrap();
        let again = Server::start(&place, &[]);
        let found = again.read();
        assert_eq!(found.get(..expected.len()), Some(&expected[..]), "life {life}");
        assert!(found[expected.len()..].iter().all(|line| line.starts_with(&format!("late-{life}-"))));
        expected = found;
    }
}

#[test]
fn a_second_server_on_the_same_data_is_refused_and_a_first_one_stops_in_order() {
    let place = Place::new();
    let mut server = Server::start(&place, &["--set", "num.partitions=3"]);
    let refused = place.acme_fails(&["server", "--data", "log", "--listen", "127.0.0.1:0"]);
    assert!(refused.contains("error[A0502]") && refused.contains("--data"), "{refused}");
    let taken = place.acme_fails(&["server", "--data", "other", "--listen", &server.bootstrap]);
    assert!(taken.contains("error[A0503]") && taken.contains("--listen"), "{taken}");
    let exposed = place.acme_fails(&["server", "--data", "third", "--listen", "0.0.0.0:0"]);
    assert!(exposed.contains("--expose"), "{exposed}");
    let unknown = place.acme_fails(&["server", "--data", "log", "--set", "num.partitons=3"]);
    assert!(unknown.contains("num.partitons"), "{unknown}");
    server.kcat(&["-P", "-t", "t"], "x\n");
    assert!(text(&server.kcat(&["-L", "-t", "t"], "").stdout).contains("with 3 partitions"));
    server.signal("TERM");
    assert!(server.child.wait().unwrap().success());
    let again = Server::start(&place, &[]);
    assert_eq!(again.read(), ["x"]);
}
