//! The emulator, one for all tests of this binary, and what is in it.

use acme_lab::bigquery::{Emulator, PROJECT};
use std::sync::LazyLock;

static EMULATOR: LazyLock<Emulator> = LazyLock::new(|| Emulator::start().expect("the emulator starts"));

/// A dataset of one test.
pub(crate) struct Dataset {
    pub(crate) name: &'static str,
    pub(crate) rest: String,
    pub(crate) storage: String,
    http: reqwest::Client,
}

impl Dataset {
    pub(crate) async fn new(name: &'static str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().expect("a plain client");
        let emulator = &*EMULATOR;
        let dataset = Self { name, rest: emulator.rest(), storage: emulator.storage(), http };
        let body = format!(r#"{{"datasetReference":{{"projectId":"{PROJECT}","datasetId":"{name}"}}}}"#);
        let (status, text) = dataset.ask("datasets", &body).await;
        assert_eq!(status, 200, "{text}");
        dataset
    }

    async fn ask(&self, path: &str, body: &str) -> (u16, String) {
        let url = format!("{}/bigquery/v2/projects/{PROJECT}/{path}", self.rest);
        let request = self.http.post(url).header("content-type", "application/json").body(body.to_owned());
        let reply = request.send().await.expect("the emulator answers");
        (reply.status().as_u16(), reply.text().await.expect("the reply is text"))
    }

    /// The rows of a query, each with its values joined by `|`; NULL is `-`.
    pub(crate) async fn query(&self, sql: &str) -> Vec<String> {
        let sql = sql.replace("$", self.name);
        let body = serde_json::json!({ "query": sql, "useLegacySql": false, "maxResults": 100_000 });
        let (status, text) = self.ask("queries", &body.to_string()).await;
        assert_eq!(status, 200, "{sql}: {text}");
        let reply: serde_json::Value = serde_json::from_str(&text).expect("a reply");
        assert!(reply["errors"].is_null(), "{sql}: {text}");
        let rows = reply["rows"].as_array().cloned().unwrap_or_default();
        let cell = |cell: &serde_json::Value| match &cell["v"] {
            serde_json::Value::Null => "-".to_owned(),
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let line = |row: &serde_json::Value| {
            let cells = row["f"].as_array().expect("a row has fields");
            cells.iter().map(cell).collect::<Vec<_>>().join("|")
        };
        rows.iter().map(line).collect()
    }

    /// Creates a table with columns such as `id INT64 NOT NULL, tags ARRAY<STRING>`.
    pub(crate) async fn table(&self, name: &str, columns: &str) {
        let field = |column: &str| {
            let mut words = column.trim().splitn(3, ' ');
            let (name, kind) = (words.next().expect("a name"), words.next().expect("a type"));
            let (kind, mode) = match kind.strip_prefix("ARRAY<") {
                Some(kind) => (kind.trim_end_matches('>'), "REPEATED"),
                None if words.next() == Some("NOT NULL") => (kind, "REQUIRED"),
                None => (kind, "NULLABLE"),
            };
            serde_json::json!({ "name": name, "type": kind, "mode": mode })
        };
        let fields: Vec<_> = columns.split(',').map(field).collect();
        let reference = serde_json::json!({ "projectId": PROJECT, "datasetId": self.name, "tableId": name });
        let body = serde_json::json!({ "tableReference": reference, "schema": { "fields": fields } });
        let (status, text) = self.ask(&format!("datasets/{}/tables", self.name), &body.to_string()).await;
        assert_eq!(status, 200, "{text}");
    }

    /// The tables that there are.
    pub(crate) async fn tables(&self) -> Vec<String> {
        let url = format!("{}/bigquery/v2/projects/{PROJECT}/datasets/{}/tables", self.rest, self.name);
        let text = self.http.get(url).send().await.expect("it answers").text().await.expect("text");
        let reply: serde_json::Value = serde_json::from_str(&text).expect("a reply");
        let tables = reply["tables"].as_array().cloned().unwrap_or_default();
        let name = |table: &serde_json::Value| table["tableReference"]["tableId"].as_str().map(str::to_owned);
        tables.iter().filter_map(name).collect()
    }
}
