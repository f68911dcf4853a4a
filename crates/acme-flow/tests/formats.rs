//! Every version of the persistent formats that was ever written must be read for ever.

use acme_flow::checkpoint::{Chain, Checkpoint, CheckpointStore, Writer};
use acme_types::{Epoch, Position, SplitId};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

/// A store in memory.
#[derive(Default)]
struct Memory(Mutex<BTreeMap<String, Vec<u8>>>);

impl CheckpointStore for Memory {
    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> io::Result<bool> {
        let mut objects = self.0.lock().expect("not poisoned");
        if objects.contains_key(name) {
            return Ok(false);
        }
        objects.insert(name.to_owned(), bytes.to_vec());
        Ok(true)
    }
    fn get(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.lock().expect("not poisoned").get(name).cloned())
    }
    fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        Ok(self
            .0
            .lock()
            .expect("not poisoned")
            .keys()
            .filter(|name| name.starts_with(prefix))
            .cloned()
            .collect())
    }
    fn delete(&self, name: &str) -> io::Result<()> {
        self.0.lock().expect("not poisoned").remove(name);
        Ok(())
    }
}

fn checkpoint() -> Checkpoint {
    Checkpoint {
        epoch: Epoch(7),
        sources: [("orders".to_owned(), [(SplitId("a".into()), Position("{\"offset\":5}".into()))].into())]
            .into(),
        sinks: [("out".to_owned(), "{\"part\":1}".to_owned())].into(),
        tasks: BTreeMap::new(),
        closed: false,
    }
}

const NAME: &str = "checkpoint-00000000000000000007-writer-bbff96c3485cc88e";

fn version_1() -> [(&'static str, &'static [u8]); 2] {
    [
        (NAME, include_bytes!("golden/checkpoint-1")),
        ("link-00000000000000000002", include_bytes!("golden/link-1")),
    ]
}

#[test]
fn version_1_is_read() {
    let store = Arc::new(Memory::default());
    for (name, bytes) in version_1() {
        store.put_if_absent(name, bytes).expect("memory does not fail");
    }
    let (_, committed) = Chain::claim(store, Writer("successor".into())).expect("it is whole");
    assert_eq!(committed, Some(checkpoint()));
}

#[test]
fn what_is_written_today_is_version_1() {
    let store = Arc::new(Memory::default());
    let (mut chain, _) = Chain::claim(store.clone(), Writer("writer".into())).expect("it is empty");
    chain.commit(&checkpoint()).expect("it is the owner");
    let objects = store.0.lock().expect("not poisoned");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let golden = |name: &str| format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
        let checkpoint =
            objects.iter().find(|(name, _)| name.starts_with("checkpoint-")).expect("it was put");
        println!("{}", checkpoint.0);
        std::fs::write(golden("checkpoint-1"), checkpoint.1).expect("it can be written");
        std::fs::write(golden("link-1"), &objects["link-00000000000000000002"]).expect("it can be written");
        return;
    }
    for (name, bytes) in version_1() {
        assert_eq!(objects.get(name).map(Vec::as_slice), Some(bytes), "{name}");
    }
}

#[test]
fn a_damaged_or_missing_checkpoint_never_starts_empty() {
    for (name, bytes) in version_1() {
        for damage in 0..bytes.len() {
            let store = Arc::new(Memory::default());
            for (other, whole) in version_1() {
                let mut written = whole.to_vec();
                if other == name {
                    written[damage] ^= 0x20;
                }
                store.put_if_absent(other, &written).expect("memory does not fail");
            }
            let error = Chain::claim(store, Writer("successor".into())).err().expect("it is damaged");
            assert_eq!(error.code.id, "A0405", "{name} at byte {damage}: {error}");
        }
    }
    let store = Arc::new(Memory::default());
    let (name, bytes) = version_1()[1];
    store.put_if_absent(name, bytes).expect("memory does not fail");
    let error = Chain::claim(store, Writer("successor".into())).err().expect("the checkpoint is gone");
    assert!(error.to_string().contains(NAME), "{error}");
}
