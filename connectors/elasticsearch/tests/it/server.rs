//! The real servers, one of each for all tests of this binary, and what is in them.

use acme_lab::elasticsearch::{Engine, Node};
use std::collections::BTreeMap;
use std::sync::LazyLock;

static ELASTICSEARCH: LazyLock<Node> = LazyLock::new(|| start(Engine::Elasticsearch));
static OPENSEARCH: LazyLock<Node> = LazyLock::new(|| start(Engine::OpenSearch));

fn start(engine: Engine) -> Node {
    Node::start(engine).expect("the server starts")
}

/// A server as a test sees it.
pub(crate) struct Server {
    pub(crate) url: String,
    http: reqwest::Client,
}

impl Server {
    pub(crate) fn get(engine: Engine) -> Self {
        let node = match engine {
            Engine::Elasticsearch => &*ELASTICSEARCH,
            Engine::OpenSearch => &*OPENSEARCH,
        };
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build().expect("a plain client");
        Self { url: node.url(), http }
    }

    /// Sends a request; status and body.
    pub(crate) async fn ask(&self, method: reqwest::Method, path: &str, body: &str) -> (u16, String) {
        let request = self.http.request(method, format!("{}{path}", self.url));
        let request = request.header("content-type", "application/json").body(body.to_owned());
        let reply = request.send().await.expect("the server answers");
        (reply.status().as_u16(), reply.text().await.expect("the reply is text"))
    }

    /// All documents of an index by their ids, as text.
    pub(crate) async fn documents(&self, index: &str) -> BTreeMap<String, String> {
        #[derive(serde::Deserialize)]
        struct Page {
            hits: Hits,
        }
        #[derive(serde::Deserialize)]
        struct Hits {
            hits: Vec<Hit>,
        }
        #[derive(serde::Deserialize)]
        struct Hit {
            _id: String,
            _source: Box<serde_json::value::RawValue>,
        }
        let (status, text) = self.ask(reqwest::Method::POST, &format!("/{index}/_refresh"), "").await;
        assert_eq!(status, 200, "{text}");
        let path = format!("/{index}/_search?size=10000");
        let (status, text) = self.ask(reqwest::Method::GET, &path, "").await;
        assert_eq!(status, 200, "{text}");
        let page: Page = serde_json::from_str(&text).expect("a search result");
        page.hits.hits.into_iter().map(|hit| (hit._id, hit._source.get().to_owned())).collect()
    }
}
