//! A canary in every secret: however it is given and whatever goes wrong, no part of it is ever shown or kept.

use crate::harness::{Place, counted, stop, text, until};
use acme_lab::elasticsearch::{Node, PASSWORD};
use acme_lab::postgres::Postgres;
use acme_types::{Field, Kind, Role, Spec};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

/// With characters that a URL writes otherwise; the plain halves of it stay as they are in one.
const CANARY: &str = "Kq7vXz2m/W+9=p%Lr4tBn8";
const ENCODED: &str = "Kq7vXz2m%2FW%2B9%3Dp%25Lr4tBn8";

/// Forms in which a secret might come out.
struct Forms(Vec<String>);

impl Forms {
    fn of(secret: &str) -> Self {
        let bytes = secret.as_bytes();
        let mut forms = vec![secret.to_owned(), format!("{bytes:?}")];
        // The first and the last word: whatever is done to what stands between them, or if only a part is shown.
        let words: Vec<&str> = secret.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        forms.extend(words.iter().filter(|word| word.len() >= 7).map(|word| (*word).to_owned()));
        // In base64 a text has one of three forms, by what stands before it, as in `user:password`.
        for skipped in 0..3 {
            let inner = &bytes[skipped..];
            forms.push(base64(&inner[..inner.len() / 3 * 3]));
        }
        forms.push(bytes.iter().map(|byte| format!("{byte:02x}")).collect());
        Self(forms)
    }

    #[track_caller]
    fn absent(&self, bytes: &[u8], from: &str) {
        let shown = String::from_utf8_lossy(bytes);
        // Numbers of a list of bytes may be shortened.
        for form in &self.0 {
            assert!(!shown.contains(form.trim_matches(['[', ']'])), "{from} shows {form}: {shown}");
        }
    }

    #[track_caller]
    fn absent_from(&self, output: &Output, from: &str) {
        self.absent(&output.stdout, &format!("stdout of {from}"));
        self.absent(&output.stderr, &format!("stderr of {from}"));
    }

    /// Neither a name nor the content of a file; `in` holds what the test itself has written.
    #[track_caller]
    fn absent_below(&self, directory: &Path) -> usize {
        let mut files = 0;
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            self.absent(name.as_encoded_bytes(), &path.display().to_string());
            if path.is_dir() && name != "in" {
                files += self.absent_below(&path);
            } else if path.is_file() {
                self.absent(&std::fs::read(&path).unwrap_or_default(), &path.display().to_string());
                files += 1;
            }
        }
        files
    }
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks_exact(3) {
        let bits = three.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        out.extend([18, 12, 6, 0].map(|shift| char::from(LETTERS[bits >> shift & 63])));
    }
    out
}

/// Runs a command on a file that is written anew, with everything switched on that makes programs talkative.
fn talk(place: &Place, pipeline: &str, arguments: &[&str]) -> Output {
    let input = place.path("in");
    std::fs::create_dir_all(&input).expect("it can be made");
    std::fs::write(input.join("p.yaml"), pipeline).expect("it can be written");
    std::fs::write(input.join("plain"), format!("{CANARY}\n")).expect("it can be written");
    std::fs::write(input.join("encoded"), format!("{ENCODED}\n")).expect("it can be written");
    let mut command = Command::new("timeout");
    command.args(["60", env!("CARGO_BIN_EXE_acme")]).args(arguments).arg("in/p.yaml");
    command.current_dir(place.path(".")).env("ACME_STATE_DIR", place.path("state"));
    command.env("SECRET", CANARY).env("SECRET_ENCODED", ENCODED);
    command.envs([("RUST_LOG", "trace"), ("RUST_BACKTRACE", "full"), ("ACME_LOG", "trace")]);
    let output = command.output().expect("the binary runs");
    assert_ne!(output.status.code(), Some(124), "{arguments:?} does not end:\n{pipeline}");
    output
}

const COMMANDS: [&[&str]; 5] =
    [&["validate"], &["validate", "--online"], &["explain"], &["run", "--dry-run"], &["run"]];

/// All commands on a pipeline; their exit codes.
#[track_caller]
fn check(place: &Place, forms: &Forms, pipeline: &str) -> Vec<Option<i32>> {
    let run = |arguments: &&[&str]| {
        let output = talk(place, pipeline, arguments);
        forms.absent_from(&output, &format!("{arguments:?} of:\n{pipeline}\n"));
        output.status.code()
    };
    let codes = COMMANDS.iter().map(run).collect();
    forms.absent_below(&place.path("."));
    codes
}

#[test]
fn the_canary_is_found_wherever_it_sings() {
    let forms = Forms::of(CANARY);
    let songs = [
        CANARY.to_owned(),
        format!("password={ENCODED}"),
        format!("{CANARY:?}"),
        format!("{:?}", CANARY.as_bytes()),
        "Kq7vXz2m...".to_owned(),
        base64(format!("user:{CANARY}!!").as_bytes()),
        base64(format!("users:{CANARY}!").as_bytes()),
        base64(format!("writer:{CANARY}").as_bytes()),
    ];
    for song in songs {
        let heard = std::panic::catch_unwind(|| Forms::of(CANARY).absent(song.as_bytes(), "a song"));
        assert!(heard.is_err(), "{song} is not heard");
    }
    forms.absent(b"postgres://user:***@127.0.0.1", "a good message");
}

/// Where a secret can stand: the keys down to it, and the form of its value.
fn secrets(fields: &'static [Field], above: &str, found: &mut Vec<String>) {
    fn value(kind: &'static Kind, above: &str, found: &mut Vec<String>) {
        match kind {
            Kind::Secret => found.push(above.to_owned()),
            Kind::List(inner) => value(inner, &above.replace('@', "[@]"), found),
            Kind::Map(inner) => value(inner, &above.replace('@', "{x: @}"), found),
            Kind::Object(fields) => secrets(fields, above, found),
            _ => {}
        }
    }
    for field in fields {
        let here = match above {
            "" => format!("{}: @", field.name),
            above => above.replace('@', &format!("{{{}: @}}", field.name)),
        };
        // Text that is an address may hold a login.
        let address =
            ["url", "urls", "uri", "endpoint", "address", "broker", "brokers"].contains(&field.name);
        match &field.kind {
            Kind::Text | Kind::List(Kind::Text) if address => found.push(here),
            kind => value(kind, &here, found),
        }
    }
}

/// A pipeline with one item of this type, `own` among its keys and something in all others that it needs.
fn pipeline(spec: &Spec, own: &str) -> String {
    let name = own.split(':').next().unwrap_or_default();
    let mut keys = vec![format!("type: \"{}\"", spec.name), own.to_owned()];
    for field in spec.fields.iter().filter(|field| field.name != name) {
        match field.kind {
            // A password goes with a user.
            _ if matches!(field.name, "username" | "user") && name == "password" => {
                keys.push(format!("{}: someone", field.name));
            }
            Kind::Map(_) if field.required => keys.push(format!("{}: {{a: sequence}}", field.name)),
            _ if field.required => keys.push(format!("{}: x", field.name)),
            _ => {}
        }
    }
    let item = format!("[{{{}}}]", keys.join(", "));
    let (mut source, mut destination) =
        ("[{type: generator, rows: 3, fields: {n: sequence}}]".to_owned(), "[{type: \"null\"}]".to_owned());
    match spec.role {
        Role::Source => source = item,
        Role::Destination => destination = item,
        Role::Transform => return format!("name: p\nmode: batch\ntransforms: {item}\n"),
    }
    format!("name: p\nmode: batch\nsources: {source}\ndestinations: {destination}\n")
}

/// Ways to write a secret, right and wrong. `KEY` stands for the key.
const WRITTEN: [&str; 32] = [
    "KEY: \"${SECRET}\"",
    "KEY: \"${env:SECRET}\"",
    "KEY: \"${file:in/plain}\"",
    "KEY: \"${NOPE:-CANARY}\"",
    "KEY: \"CANARY\"",
    "KEY: \"postgres://someone:${SECRET_ENCODED}@127.0.0.1:1/db\"",
    "KEY: \"postgres://127.0.0.1:1/db?user=someone&password=${file:in/encoded}\"",
    "KEY: \"postgres://someone:${SECRET}@127.0.0.1:1/db?sslmode=require\"",
    "KEY: \"postgres://someone:ENCODED@127.0.0.1:1/db?sslmode=ENCODED\"",
    "KEY: \"postgres://someone:ENCODED@127.0.0.1:port/db\"",
    "KEY: \"mysql://someone:ENCODED@127.0.0.1:1/db\"",
    "KEY: \"http://someone:${SECRET_ENCODED}@127.0.0.1:1\"",
    "KEY: \"http://ENCODED@127.0.0.1:1\"",
    "KEY: \"http://someone:ENCODED@127.0.0.1:99999\"",
    "KEY: \"https://someone:${SECRET_ENCODED}@127.0.0.1:1/?token=${SECRET_ENCODED}\"",
    "KEY: \"ftp://someone:ENCODED@127.0.0.1:1\"",
    // Wrong around the secret.
    "KEY: \"${CANARY\"",
    "KEY: \"${a CANARY}\"",
    "KEY: \"${CANARY CANARY:-CANARY}\"",
    "KEY: \"CANARY",
    "KEY: CANARY: CANARY",
    "KEY: !CANARY x",
    "KEY: !!CANARY x",
    "KEY: *CANARY",
    "KEY: {CANARY: CANARY}",
    "KEY: [\"CANARY\", [\"CANARY\"]]",
    "KEY: \"CANARY\", KEY: \"CANARY\"",
    "KEY: \"CANARY\" \"CANARY\"",
    "KEY: \"CANARY\", no-such-key: 1",
    "KEYs: \"CANARY\"",
    "no-such-key: \"CANARY\"",
    "KEY: \"a\\0CANARY\\n\"",
];

#[test]
fn no_secret_of_any_connector_is_shown_however_it_is_written() {
    let forms = Forms::of(CANARY);
    let place = Place::new();
    let (mut keys, mut pipelines) = (Vec::new(), 0);
    for spec in acme::specs() {
        let mut found = Vec::new();
        secrets(spec.fields, "", &mut found);
        for shape in found {
            for text in WRITTEN {
                let name = shape.split(':').next().expect("there is a first part");
                // Inside of other keys the value stands where the shape says.
                let own = match text.strip_prefix("KEY: ") {
                    Some(value) => shape.replace('@', value),
                    None => text.to_owned(),
                };
                let own = own.replace("KEY", name).replace("CANARY", CANARY).replace("ENCODED", ENCODED);
                let own = own.replace(&format!("SECRET_{ENCODED}"), "SECRET_ENCODED");
                check(&place, &forms, &pipeline(spec, &own));
                pipelines += 1;
            }
            keys.push(format!("{} {shape}", spec.name));
        }
    }
    println!("{pipelines} pipelines, secrets at: {}", keys.join("; "));
    for known in [
        "postgres connection: @",
        "elasticsearch password: @",
        "elasticsearch api_key: @",
        "elasticsearch url: @",
    ] {
        assert!(keys.iter().any(|key| key == known), "{known} is not among {keys:?}");
    }
}

const FROM_POSTGRES: &str = r#"
name: canary
mode: MODE
sources: [{type: postgres, name: pg, connection: "CONNECTION", tables: [t]MORE}]
transforms: [{type: map, name: divided, fields: {q: "10 / n", op: "FIELD"}}]
destinations: [{type: file, name: out, path: out.jsonl}, {type: file, name: dead, path: dead.jsonl}]
settings: {checkpoint: {interval: 50ms}, errors: {policy: dead_letter, to: dead}}
"#;

#[test]
fn a_password_of_a_real_postgres_is_shown_nowhere() {
    let postgres = Postgres::start().expect("PostgreSQL starts");
    let sql = format!(
        "CREATE ROLE canary SUPERUSER LOGIN PASSWORD '{CANARY}'; CREATE TABLE t (id int PRIMARY KEY, n int);
         INSERT INTO t VALUES (1, 1), (2, 0), (3, 5)"
    );
    postgres.psql(&sql).expect("it is made");
    let (forms, place) = (Forms::of(CANARY), Place::new());
    let pipeline = |connection: &str, mode: &str, more: &str, field: &str| {
        let text = FROM_POSTGRES.replace("CONNECTION", connection).replace("MODE", mode);
        text.replace("MORE", more).replace("FIELD", field)
    };
    let port = postgres.port();
    let right = format!("postgres://canary:${{SECRET_ENCODED}}@127.0.0.1:{port}/postgres");
    let good = [
        right.clone(),
        format!("postgres://canary:${{file:in/encoded}}@127.0.0.1:{port}/postgres"),
        format!("postgres://127.0.0.1:{port}/postgres?user=canary&password={ENCODED}"),
    ];
    for connection in good {
        let codes = check(&place, &forms, &pipeline(&connection, "batch", "", "id"));
        assert_eq!(codes, [Some(0); 5], "{connection}");
        assert_eq!(
            std::fs::read_to_string(place.path("dead.jsonl")).expect("it is there").lines().count(),
            1
        );
    }
    let bad = [
        format!("postgres://canary:{}@127.0.0.1:{port}/postgres", &ENCODED[..ENCODED.len() - 1]),
        format!("postgres://canary:x{ENCODED}@127.0.0.1:{port}/postgres"),
        format!("postgres://postgres:${{SECRET_ENCODED}}@127.0.0.1:{port}/postgres"),
        format!("postgres://nobody:${{SECRET_ENCODED}}@127.0.0.1:{port}/postgres"),
        right.replace("/postgres", "/no_such_database"),
        format!("{right}?sslmode=require"),
        format!("{right}?sslmode=verify-full&sslrootcert=in/plain"),
        right.replace("127.0.0.1", "no-such-host.invalid"),
        right.replace(&port.to_string(), "1"),
    ];
    for connection in bad {
        let codes = check(&place, &forms, &pipeline(&connection, "batch", "", "id"));
        assert_eq!(codes[0], Some(0), "{connection}: nothing is connected");
        assert!(codes[4] != Some(0), "{connection}");
    }
    let more = ", mode: cdc, slot: canary";
    std::fs::write(place.path("in/p.yaml"), pipeline(&right, "streaming", more, "operation"))
        .expect("written");
    let mut command = place.command(&["run", "in/p.yaml"]);
    command.env("SECRET_ENCODED", ENCODED).env("RUST_LOG", "trace").stderr(std::process::Stdio::piped());
    let child = command.spawn().expect("the binary runs");
    until("rows are committed", || {
        let status = place.acme(&["status", "--output", "json"]);
        forms.absent_from(&status, "status");
        counted(&place, "rows_in") == 3 && counted(&place, "commits") > 0
    });
    forms.absent_from(&place.acme(&["status"]), "status");
    // A lost connection, and a server that is away.
    let cut = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active";
    postgres.psql(cut).expect("it can be asked");
    std::thread::sleep(Duration::from_millis(300));
    let output = stop(child);
    assert!(output.status.success(), "{}", text(&output.stderr));
    forms.absent_from(&output, "a run that captured changes");
    assert!(forms.absent_below(&place.path(".")) >= 5, "state, output and dead letters are looked at");
}

#[test]
fn a_login_at_a_real_elasticsearch_is_shown_nowhere() {
    let node = Node::start_secured().expect("the server starts");
    let place = Place::new();
    let pipeline = |login: &str, url: &str, ca: bool| {
        let tls = match ca {
            true => format!("tls: {{ca: '{}'}}", node.certificate().display()),
            false => String::new(),
        };
        format!(
            "name: p\nmode: batch\nsources: [{{type: generator, rows: 3, fields: {{n: sequence}}}}]\n\
             destinations:\n  - type: elasticsearch\n    url: \"{url}\"\n    index: users\n    id_field: n\n    \
             {login}\n    {tls}\n"
        )
    };
    // A node that has just started refuses logins for a moment.
    let right = format!("username: writer\n    password: {PASSWORD}");
    until("the server takes the login", || {
        talk(&place, &pipeline(&right, &node.url(), true), &["run"]).status.success()
    });
    let real = Forms(vec![PASSWORD.to_owned(), base64(format!("writer:{PASSWORD}!").as_bytes())]);
    check(&place, &real, &pipeline(&right, &node.url(), true));
    let inside = node.url().replace("//", &format!("//writer:{PASSWORD}@"));
    let codes = check(&place, &real, &pipeline("truncate: ignore", &inside, true));
    assert_eq!(codes[4], Some(0), "the login in the address is used");
    check(&place, &real, &pipeline(&right, &node.url(), false));
    let forms = Forms::of(CANARY);
    let encoded = node.url().replace("//", &format!("//writer:{ENCODED}@"));
    for (login, url) in [
        ("username: writer\n    password: \"${SECRET}\"", node.url()),
        ("username: \"nobody\"\n    password: \"${file:in/plain}\"", node.url()),
        ("api_key: \"${SECRET}\"", node.url()),
        ("truncate: ignore", encoded),
        ("truncate: ignore", node.url().replace("//", &format!("//{ENCODED}@"))),
        ("username: writer\n    password: \"${SECRET}\"", node.url().replace("https", "http")),
        ("username: writer\n    password: \"${SECRET}\"", "https://no-such-host.invalid:9200".to_owned()),
    ] {
        let codes = check(&place, &forms, &pipeline(login, &url, true));
        assert!(codes[4] != Some(0), "{login} {url}");
        check(&place, &forms, &pipeline(login, &url, false));
    }
}
