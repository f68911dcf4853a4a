//! Settings, quotas and passwords.

use super::{CONFIGS, acme, acme_json, topic, unique};
use crate::harness::text;

#[test]
fn settings_of_topics_and_groups_are_shown_and_changed_as_by_kafkas_own_tool() {
    let name = topic(1, &[]);
    let change =
        ["--alter", "--topic", &name, "--add-config", "retention.ms=1000,cleanup.policy=[compact,delete]"];
    let changed = CONFIGS.ours(&change);
    assert_eq!(text(&changed.stdout), format!("Completed updating config for topic {name}.\n"));
    let shown = CONFIGS.agree(&["--describe", "--topic", &name]);
    assert!(shown.contains("cleanup.policy=compact,delete sensitive=false"), "{shown}");
    CONFIGS.agree(&["--describe", "--all", "--entity-type", "topics", "--entity-name", &name]);
    CONFIGS.agree(&["--alter", "--topic", &name, "--delete-config", "retention.ms,flush.ms"]);
    assert!(!CONFIGS.agree(&["--describe", "--topic", &name]).contains("retention.ms"));

    let group = unique("settings-");
    CONFIGS.agree(&["--alter", "--group", &group, "--add-config", "consumer.session.timeout.ms=50000"]);
    CONFIGS.agree(&["--describe", "--group", &group]);
    let metrics = unique("metrics-");
    let setting = "metrics=[org.apache.kafka.producer.,org.apache.kafka.consumer.],interval.ms=10000";
    CONFIGS.agree(&["--alter", "--client-metrics", &metrics, "--add-config", setting]);
    CONFIGS.agree(&["--describe", "--client-metrics", &metrics]);
    for nobody in [["--topic", "nowhere"], ["--group", "nobody"], ["--broker", "7"]] {
        CONFIGS.agree(&[&["--describe"][..], &nobody[..]].concat());
        let ours = CONFIGS.ours(&[&["--describe"][..], &nobody[..]].concat());
        assert_eq!(ours.status.code(), Some(1), "what is not there cannot be described");
        assert!(text(&ours.stderr).starts_with("help: "), "{}", text(&ours.stderr));
    }
}

#[test]
fn settings_of_brokers_and_their_loggers_are_shown_as_by_kafkas_own_tool() {
    let changed = ["--alter", "--broker-defaults", "--add-config", "log.cleaner.threads=2"];
    let changed = CONFIGS.ours(&changed);
    assert_eq!(text(&changed.stdout), "Completed updating default config for brokers in the cluster.\n");
    assert!(CONFIGS.agree(&["--describe", "--entity-type", "brokers"]).contains("log.cleaner.threads=2"));
    // Everything, secrets too, whose values nobody is told.
    let all = CONFIGS.agree(&["--describe", "--broker", "1", "--all"]);
    assert!(all.lines().count() > 100 && all.contains("=null sensitive=true"), "{all}");
    // More of them come with time.
    let loggers = text(&CONFIGS.ours(&["--describe", "--broker-logger", "1"]).stdout);
    assert!(loggers.contains("\n  kafka.log.LogManager=WARN sensitive=false synonyms={}\n"), "{loggers}");
    assert!(
        CONFIGS
            .ours(&["--alter", "--broker-defaults", "--delete-config", "log.cleaner.threads"])
            .status
            .success()
    );
    CONFIGS.refuse(&["--alter", "--broker-logger", "1", "--add-config", "no.such.logger=INFO"]);
}

#[test]
fn quotas_and_passwords_are_shown_and_changed_as_by_kafkas_own_tool() {
    let user = unique("user-");
    let quotas = "producer_byte_rate=20000000,consumer_byte_rate=1024,request_percentage=0.5";
    let changed = CONFIGS.ours(&["--alter", "--user", &user, "--add-config", quotas]);
    assert_eq!(text(&changed.stdout), format!("Completed updating config for user {user}.\n"));
    let passwords = "SCRAM-SHA-256=[iterations=8192,password=wonder],SCRAM-SHA-512=[password=wonder]";
    let changed = CONFIGS.ours(&["--alter", "--user", &user, "--add-config", passwords]);
    assert!(changed.status.success(), "{}", text(&changed.stderr));
    let shown = CONFIGS.agree(&["--describe", "--user", &user]);
    assert!(shown.contains("producer_byte_rate=2.0E7"), "{shown}");
    for credential in ["SCRAM-SHA-256=iterations=8192", "SCRAM-SHA-512=iterations=4096"] {
        assert!(shown.contains(credential), "{shown}");
    }

    // Names belong to types in the order in which both are given.
    let both =
        ["--entity-type", "users", "--entity-name", &user, "--entity-type", "clients", "--entity-default"];
    CONFIGS.agree(&[&["--alter", "--add-config", "consumer_byte_rate=10"][..], &both[..]].concat());
    assert!(CONFIGS.agree(&[&["--describe"][..], &both[..]].concat()).contains("the default client-id are"));
    CONFIGS.agree(&["--alter", "--ip", "127.0.0.1", "--add-config", "connection_creation_rate=1000"]);
    CONFIGS.agree(&["--describe", "--entity-type", "ips"]);
    let deleted =
        CONFIGS.ours(&["--alter", "--ip", "127.0.0.1", "--delete-config", "connection_creation_rate"]);
    assert_eq!(text(&deleted.stdout), "Completed updating config for ip 127.0.0.1.\n");
    let gone = CONFIGS.ours(&["--alter", "--user", &user, "--delete-config", "SCRAM-SHA-256,SCRAM-SHA-512"]);
    assert!(gone.status.success(), "{}", text(&gone.stderr));
    assert!(!CONFIGS.agree(&["--describe", "--user", &user]).contains("SCRAM"));
}

#[test]
fn mistakes_in_settings_are_said_as_by_kafkas_own_tool() {
    let name = topic(1, &[]);
    for arguments in [
        &["--alter", "--topic", &name, "--add-config", "bad=1"][..],
        &["--alter", "--topic", "nowhere", "--add-config", "retention.ms=1"],
        &["--alter", "--topic", &name, "--add-config", "retention.ms"],
        &["--alter", "--topic", &name],
        &["--describe", "--entity-type", "wrong", "--entity-name", "x"],
        &["--describe", "--broker", "x"],
        &["--alter", "--user", "u", "--add-config", "nope=1"],
        &["--alter", "--client", "nobody", "--delete-config", "consumer_byte_rate"],
        &["--alter", "--user-defaults", "--add-config", "SCRAM-SHA-512=[password=p]"],
        &["--describe", "--topic", &name, "--delete-config", "x"],
    ] {
        CONFIGS.refuse(arguments);
    }
    let cases: [(&[&str], &str); 6] = [
        (&["--describe", "--alter", "--topic", "t"], "Command must include exactly one action"),
        (&["--alter"], "At least one entity type must be specified"),
        (&["--describe", "--topic", "t", "--group", "g"], "Only 'users' and 'clients' entity types"),
        (&["--describe", "--topic", "t", "--entity-default"], "should not be used in conjunction"),
        (&["--describe", "--broker-logger", "x"], "must be a valid integer broker id, but it is: x"),
        (
            &["--alter", "--user", "u", "--add-config", "SCRAM-SHA-256=[iterations=1,password=secret!]"],
            "Iterations 1",
        ),
    ];
    for (arguments, expected) in cases {
        let ours = CONFIGS.ours(arguments);
        assert_eq!(ours.status.code(), Some(1), "{arguments:?}");
        assert!(text(&ours.stderr).contains(expected), "{arguments:?}: {}", text(&ours.stderr));
    }
    // A password on the command line is in no message.
    let refused = ["--alter", "--topic", &name, "--add-config", "SCRAM-SHA-256=[password=secret!],bad=1"];
    let said = text(&CONFIGS.ours(&refused).stderr);
    assert!(said.contains("[password=[hidden]],bad=1") && !said.contains("secret!"), "{said}");
}

#[test]
fn acmes_own_words_for_settings_do_the_same_and_print_json() {
    let name = topic(1, &[]);
    let change =
        ["configs", "alter", "topics", &name, "--config", "retention.ms=5", "--config", "flush.ms=7"];
    let changed = acme_json(&change);
    assert_eq!(changed["set"], serde_json::json!(["retention.ms", "flush.ms"]));
    let shown = acme_json(&["configs", "describe", "topics", &name]);
    let settings = shown[0]["settings"].as_array().cloned().unwrap_or_default();
    assert_eq!(settings.len(), 2, "{shown}");
    assert_eq!(
        (&settings[1]["value"], &settings[1]["source"]),
        (&"5".into(), &"DYNAMIC_TOPIC_CONFIG".into())
    );
    let user = unique("own-");
    acme_json(&["configs", "alter", "users", &user, "--config", "producer_byte_rate=1e6"]);
    let shown = acme_json(&["configs", "describe", "users", &user]);
    assert_eq!(shown[0]["quotas"]["producer_byte_rate"], 1e6);
    for (arguments, expected) in [
        (&["configs", "describe", "topcis"][..], "did you mean \"topics\"?"),
        (&["configs", "alter", "topics", &name], "nothing is to be changed"),
        (&["configs", "alter", "topics", "--config", "a=1"], "give its name, or --default"),
        (&["configs", "alter", "groups", "--default", "--config", "a=1"], "have no defaults"),
    ] {
        let refused = acme(arguments);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        assert!(text(&refused.stderr).contains(expected), "{arguments:?}: {}", text(&refused.stderr));
    }
}
