//! Compares an index with the ledger, document by document.

use super::ledger::{Image, Ledger, Want};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A document as the pipeline wrote it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Document {
    pub id: i64,
    pub name: String,
    pub balance: f64,
    pub note: Option<String>,
    pub changed_at: Option<String>,
}

impl Document {
    pub fn of(id: i64, image: &Image) -> Self {
        let (name, balance) = (image.name.clone(), image.cents as f64 / 100.0);
        Self { id, name, balance, note: image.note.map(Image::note_text), changed_at: None }
    }

    fn shows(&self, image: &Image) -> bool {
        let note = self.note.as_deref();
        self.name == image.name
            && (self.balance * 100.0).round() == image.cents as f64
            && note == image.note.map(Image::note_text).as_deref()
    }
}

/// Every way in which the documents are not what they should be; at most ten are told.
pub fn differences(
    documents: &BTreeMap<i64, Document>,
    ledger: &Ledger,
    want: impl Fn(&Ledger, i64) -> Want,
) -> Vec<String> {
    const TOLD: usize = 10;
    let mut found = Vec::new();
    let mut count = 0;
    let beyond = documents.keys().copied().filter(|id| *id > ledger.last_id() || *id < 1);
    for id in (1..=ledger.last_id()).chain(beyond) {
        let wrong = match (documents.get(&id), want(ledger, id)) {
            (None, Want::Nothing | Want::Perhaps(_)) => None,
            (None, Want::Exactly(image)) => Some(format!("{id} is lost; it was {image:?}")),
            (Some(_), Want::Nothing) => Some(format!("{id} should not be there")),
            (Some(document), _) if document.id != id => Some(format!("{id} holds the row {}", document.id)),
            (Some(document), Want::Exactly(image) | Want::Perhaps(image)) => (!document.shows(&image))
                .then(|| format!("{id} is {:?} {}, should be {image:?}", document.name, document.balance)),
        };
        count += usize::from(wrong.is_some());
        found.extend(wrong.filter(|_| count <= TOLD));
    }
    if count > TOLD {
        found.push(format!("{} more", count - TOLD));
    }
    found
}

#[test]
fn the_checker_finds_a_loss_a_double_a_stale_row_and_a_wrong_value() {
    let ledger = Ledger::new(1000);
    let all: BTreeMap<i64, Document> = (1..=1000)
        .map(|id| (id, Document::of(id, &ledger.live(id).expect("it was never touched"))))
        .collect();
    let faults = |change: &dyn Fn(&mut BTreeMap<i64, Document>)| {
        let mut documents = all.clone();
        change(&mut documents);
        [differences(&documents, &ledger, Ledger::mirrored), differences(&documents, &ledger, Ledger::kept)]
    };
    assert_eq!(faults(&|_| ()), [Vec::<String>::new(), Vec::new()]);
    type Plant<'a> = &'a dyn Fn(&mut BTreeMap<i64, Document>);
    let planted: [Plant<'_>; 5] = [
        &|documents| drop(documents.remove(&7)),
        &|documents| drop(documents.insert(1001, documents[&7].clone())),
        &|documents| documents.get_mut(&7).expect("it is there").name = "user 7 of yesterday".to_owned(),
        &|documents| documents.get_mut(&7).expect("it is there").balance += 0.01,
        &|documents| documents.get_mut(&500).expect("it is there").note = None,
    ];
    for plant in planted {
        for found in faults(plant) {
            assert_eq!(found.len(), 1, "{found:?}");
        }
    }
}
