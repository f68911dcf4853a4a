//! Credentials of each kind, against servers that give and ask for tokens.

use crate::harness::{Life, make, unwrapped};
use crate::script::{Act, Grpc};
use acme_lab::http::Http;
use acme_types::Blame;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

const TABLE: &str = r#"{"type":"TABLE","schema":{"fields":[{"name":"id","type":"INTEGER"}]}}"#;

struct World {
    folder: TempDir,
    rest: Http,
    grpc: Grpc,
    tokens: Http,
}

impl World {
    async fn new(tokens: &[(u16, &str)]) -> Self {
        let expired = r#"{"error":{"code":401,"message":"expired","errors":[{"reason":"authError"}]}}"#;
        let rest = [("/tables/t ", &[(401, expired), (200, TABLE)][..]), ("/datasets/d ", &[(200, "{}")])];
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            rest: crate::script::rest(&rest),
            grpc: Grpc::start(vec![(
                "GetWriteStream",
                vec![Act::Status(16, "expired"), Act::Status(5, "none")],
            )])
            .await,
            tokens: crate::script::rest(&[("POST /token", tokens)]),
        }
    }

    fn file(&self, content: &str) -> PathBuf {
        let path = self.folder.path().join("credentials.json");
        std::fs::write(&path, content).expect("it can be written");
        path
    }

    fn keys(&self, path: &std::path::Path, project: &str) -> String {
        format!(
            "table: d.t\n{project}\ncredentials: {}\nendpoint: {}\nstorage_endpoint: {}\ntimeout: 2s",
            path.display(),
            self.rest.url,
            self.grpc.address
        )
    }
}

const GRANTED: [(u16, &str); 2] = [
    (200, r#"{"access_token":"one","expires_in":3600}"#),
    (200, r#"{"access_token":"two","expires_in":3600}"#),
];

#[tokio::test]
async fn a_users_credentials_are_refreshed_and_a_token_that_is_not_taken_is_fetched_anew() {
    let world = World::new(&GRANTED).await;
    let path = world.file(&format!(
        r#"{{"type":"authorized_user","client_id":"me","client_secret":"s&cret","refresh_token":"1//r","token_uri":"{}/token"}}"#,
        world.tokens.url
    ));
    let mut sink = unwrapped(make(&world.keys(&path, "project: p"), false).expect("it is made").sink);
    assert_eq!(sink.check().await, []);
    let asked = world.tokens.seen("/token");
    let body = "grant_type=refresh_token&client_id=me&client_secret=s%26cret&refresh_token=1%2F%2Fr";
    assert_eq!(asked[0].body, body);
    let authorizations: Vec<bool> = world
        .rest
        .seen("GET")
        .iter()
        .map(|seen| seen.headers.contains("authorization: Bearer two"))
        .collect();
    assert_eq!(authorizations, [false, false, true]);
    assert_eq!(world.grpc.header("authorization").last().map(String::as_str), Some("Bearer two"));
}

#[tokio::test]
async fn a_service_account_signs_and_its_project_is_used() {
    let world = World::new(&GRANTED).await;
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl").current_dir(world.folder.path()).args(arguments).output();
        let output = output.expect("openssl is installed");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "key.pem"]);
    openssl(&["pkey", "-in", "key.pem", "-pubout", "-out", "public.pem"]);
    let key = std::fs::read_to_string(world.folder.path().join("key.pem")).expect("it was made");
    let file = serde_json::json!({
        "type": "service_account", "project_id": "theirs", "private_key_id": "k1", "private_key": key,
        "client_email": "robot@theirs.example", "token_uri": format!("{}/token", world.tokens.url),
    });
    let path = world.file(&file.to_string());
    let _life = Life::begin(&world.keys(&path, ""), None).await;
    assert!(world.rest.seen("/projects/theirs/datasets/d ").len() == 1, "the project of the key");
    let body = world.tokens.seen("/token")[0].body.clone();
    let assertion = body.split_once("&assertion=").expect("it has one").1;
    let (signed, signature) = assertion.rsplit_once('.').expect("three parts");
    let decode = |text: &str| {
        use base64::Engine;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).expect("it is base64")
    };
    let claims: serde_json::Value =
        serde_json::from_slice(&decode(signed.split_once('.').expect("two parts").1)).expect("it is JSON");
    assert_eq!(claims["iss"], "robot@theirs.example");
    assert_eq!(claims["aud"], format!("{}/token", world.tokens.url));
    std::fs::write(world.folder.path().join("signed"), signed).expect("it can be written");
    std::fs::write(world.folder.path().join("signature"), decode(signature)).expect("it can be written");
    openssl(&["dgst", "-sha256", "-verify", "public.pem", "-signature", "signature", "signed"]);
}

#[tokio::test]
async fn bad_credentials_say_what_to_do_and_show_no_secret() {
    let world = World::new(&[(
        400,
        r#"{"error":"invalid_grant","error_description":"Token has been expired or revoked."}"#,
    )])
    .await;
    let uri = format!("{}/token", world.tokens.url);
    let path = world.file(&format!(
        r#"{{"type":"authorized_user","client_id":"me","client_secret":"hunter2","refresh_token":"hunter3","token_uri":"{uri}"}}"#
    ));
    let fault = Life::try_begin(&world.keys(&path, "project: p"), None).await.err().expect("it was revoked");
    let text = fault.to_string();
    assert!(fault.blame == Blame::User && text.contains("expired or revoked"), "{text}");
    assert!(text.contains("gcloud auth application-default login") && !text.contains("hunter"), "{text}");
    for (content, words) in [
        ("not json: hunter2", "it is no file of credentials"),
        (
            r#"{"type":"service_account","client_email":"x","private_key":"hunter2"}"#,
            "its private key is no RSA key",
        ),
        (r#"{"type":"authorized_user","client_id":"x"}"#, "it has no \"client_secret\""),
        (r#"{"type":"external_account"}"#, "\"external_account\" are not supported"),
    ] {
        let path = world.file(content);
        let text = make(&world.keys(&path, ""), false).err().expect("it cannot be used").to_string();
        assert!(text.contains(words) && text.contains("p.yaml:") && !text.contains("hunter"), "{text}");
    }
}

#[tokio::test]
async fn a_machine_in_the_cloud_has_credentials_and_a_project_of_its_own() {
    let world = World::new(&GRANTED).await;
    let granted = r#"{"access_token":"machine","expires_in":3600,"token_type":"Bearer"}"#;
    let machine = crate::script::rest(&[
        ("GET /computeMetadata/v1/project/project-id ", &[(200, "of-the-machine")]),
        ("GET /computeMetadata/v1/instance/service-accounts/default/token", &[(200, granted)]),
    ]);
    let address = machine.url.replace("http://", "metadata://");
    let _life = Life::begin(&world.keys(address.as_ref(), ""), None).await;
    assert_eq!(world.rest.seen("/projects/of-the-machine/datasets/d ").len(), 1);
    assert!(world.rest.seen("GET")[0].headers.contains("authorization: Bearer machine"));
    assert!(machine.seen("GET").iter().all(|seen| seen.headers.contains("metadata-flavor: Google")));
}
