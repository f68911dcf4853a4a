//! Clusters that cannot be reached, and what cannot be asked of them.

use super::{CONSUMER, NODE, TOPICS, acme};
use crate::harness::{Place, text};
use acme_lab::kafka::{Kafka, PASSWORD, Tls, USER};
use std::time::{Duration, Instant};

#[test]
fn a_cluster_that_nobody_answers_for_is_said_soon_and_with_a_remedy() {
    let nowhere = format!("127.0.0.1:{}", acme_lab::free_port().expect("one is free"));
    let place = Place::new();
    let began = Instant::now();
    let said = place.acme_fails(&["topics", "list", "--bootstrap-server", &nowhere]);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert!(said.starts_with("error[A0301]: none of ") && said.contains(&nowhere), "{said}");
    assert!(said.contains("help: check --bootstrap-server"), "{said}");
    let output = place.acme(&["kafka-topics", "--list", "--bootstrap-server", &nowhere]);
    assert!(text(&output.stdout).starts_with("Error while executing topic command : none of "), "{output:?}");
    assert_eq!(output.status.code(), Some(1));
    // Kafka's tools want to be told where the cluster is; Acme's own commands have the log of this machine.
    let output = place.acme(&["kafka-consumer-groups", "--list"]);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(!output.status.success() && said.contains("bootstrap-server"), "{said}");
    place.acme_ok(&["groups", "list"]);
    let said = place.acme_fails(&["topics", "list", "--bootstrap-server", "localhost"]);
    assert!(said.contains("is not host:port"), "{said}");
}

#[test]
fn a_topic_that_does_not_exist_cannot_be_read() {
    for output in [acme(&["consume", "nowhere"]), CONSUMER.ours(&["--topic", "nowhere"])] {
        assert!(!output.status.success());
        let said = text(&output.stderr);
        assert!(said.contains("Topic 'nowhere' does not exist"), "{said}");
        assert!(said.contains("help: `acme topics list`"), "{said}");
    }
    assert!(!text(&TOPICS.ours(&["--list"]).stdout).contains("nowhere"), "nothing was created by looking");
}

#[test]
fn logins_are_those_of_the_file_of_properties() {
    let kafka = Kafka::options().sasl().tls(Tls::Server).start().expect("it starts");
    let place = Place::new();
    let bootstrap = kafka.secured();
    let list = |file: &str| {
        place.acme(&["topics", "list", "--bootstrap-server", &bootstrap, "--command-config", file])
    };
    let write = |name: &str, mechanism: &str, module: &str, password: &str, authority: &str| {
        place.write(
            name,
            &format!(
                "security.protocol=SASL_SSL\nsasl.mechanism={mechanism}\nssl.truststore.type=PEM\n\
                 ssl.truststore.location={authority}\nsasl.jaas.config=org.apache.kafka.common.security.{module} \
                 required username=\"{USER}\" \\\n  password=\"{password}\";\nclient.dns.lookup=use_all_dns_ips\n"
            ),
        );
    };
    let authority = kafka.authority().display().to_string();
    for (mechanism, module) in
        [("SCRAM-SHA-512", "scram.ScramLoginModule"), ("PLAIN", "plain.PlainLoginModule")]
    {
        write("good", mechanism, module, PASSWORD, &authority);
        let listed = list("good");
        assert!(listed.status.success(), "{mechanism}: {}", text(&listed.stderr));
        // Kafka's own tool understands the same file.
        let file = place.path("good").display().to_string();
        let theirs = ["--list", "--bootstrap-server", &bootstrap, "--command-config", &file];
        acme_lab::run(&mut kafka.tool(TOPICS.1, &theirs).expect("Java is there")).expect("it enters");
        write("bad", mechanism, module, "wrong!", &authority);
        let refused = list("bad");
        assert_eq!(refused.status.code(), Some(1));
        let said = text(&refused.stderr);
        assert!(said.contains("login at") && said.contains("help: check sasl.mechanism"), "{said}");
        assert!(!said.contains("wrong!"), "{said}");
    }
    write("strange", "PLAIN", "plain.PlainLoginModule", PASSWORD, "/etc/hostname");
    let said = text(&list("strange").stderr);
    assert!(said.contains("no certificate"), "{said}");
    let said = text(&list("absent").stderr);
    assert!(said.starts_with("error[A0111]: absent: "), "{said}");
}

#[test]
fn a_file_of_properties_with_mistakes_is_refused_with_all_of_them() {
    let place = Place::new();
    place.write("p", "secruity.protocol=SSL\nrequest.timeout.ms=soon\n");
    let bootstrap = NODE.bootstrap();
    let said =
        place.acme_fails(&["topics", "list", "--bootstrap-server", &bootstrap, "--command-config", "p"]);
    assert!(said.contains("unknown property \"secruity.protocol\""), "{said}");
    assert!(said.contains("did you mean \"security.protocol\"?"), "{said}");
    assert!(said.contains("request.timeout.ms is \"soon\""), "{said}");
}
