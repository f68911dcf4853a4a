//! Bytes that were damaged on the way, for tests of what reads them: a kept corpus, its damaged forms, little memory.

use std::path::Path;
use std::process::Command;

/// xorshift: the seed tells everything.
#[derive(Clone, Debug)]
pub struct Chance(pub u64);

impl Chance {
    /// Chance number `seed` of a test; neighbours have nothing in common.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    /// Flips, overwrites, cuts or doubles some bytes.
    pub fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            if bytes.is_empty() {
                return;
            }
            let at = self.below(bytes.len());
            match self.below(6) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = [0, 0x7f, 0x80, 0xff][self.below(4)],
                2 => bytes.truncate(at),
                3 => {
                    // Four of these and a small byte are the largest lengths there are.
                    let end = (at + 1 + self.below(8)).min(bytes.len());
                    bytes[at..end].fill(0xff);
                }
                4 => {
                    bytes.remove(at);
                }
                _ => bytes.insert(at, self.below(256) as u8),
            }
        }
    }
}

/// How many of 2,000 damaged forms of `whole` are refused; the first `kept` bytes are left alone.
pub fn refused(whole: &[u8], kept: usize, read: impl Fn(&[u8]) -> bool) -> usize {
    let refused = (1..=2_000_u64).filter(|seed| {
        let mut chance = Chance::of(seed ^ ((whole.len() as u64) << 32));
        let mut rest = whole[kept..].to_vec();
        chance.damage(&mut rest);
        !read(&[&whole[..kept], &rest].concat())
    });
    refused.count()
}

/// The kept inputs of `fuzz/corpus/TARGET` below the crate at `root`. With UPDATE_EXPECT=1 the examples are written anew;
/// what else lies there is never lost.
///
/// # Panics
/// If an example is not among them.
#[must_use]
pub fn corpus(root: &str, target: &str, examples: &[(String, Vec<u8>)]) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(root).join("fuzz/corpus").join(target);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::create_dir_all(&folder).expect("the tree can be written");
        for (name, bytes) in examples {
            std::fs::write(folder.join(name), bytes).expect("the tree can be written");
        }
    }
    let files = std::fs::read_dir(folder).expect("there is a corpus");
    let mut kept: Vec<(String, Vec<u8>)> = files
        .map(|entry| {
            let path = entry.expect("the corpus can be read").path();
            let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
            (name, std::fs::read(path).expect("the corpus can be read"))
        })
        .collect();
    kept.sort();
    assert!(examples.iter().all(|example| kept.contains(example)), "{target}: run it with UPDATE_EXPECT=1");
    kept
}

/// True in a second process of this test that has little memory: there an allocation of what a damaged length announces ends
/// it. In the first process the second is run, and must pass.
///
/// # Panics
/// If the test `name` fails in the second process.
#[must_use]
pub fn in_little_memory(name: &str) -> bool {
    const WITHIN: &str = "ACME_LAB_LITTLE_MEMORY";
    if std::env::var_os(WITHIN).is_some() {
        return true;
    }
    let me = std::env::current_exe().expect("a process knows its program");
    // KiB of address space: the process itself needs some ten MiB and a stack.
    let script = "ulimit -v 131072 && exec \"$0\" --exact \"$1\" --test-threads 1";
    let output = Command::new("sh").args(["-c", script]).arg(me).arg(name).env(WITHIN, "1").output();
    let output = output.expect("there is a shell");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "{text}");
    false
}
