//! A producer that we have not written: librdkafka, idempotent, through its Python package.

use super::load::World;
use super::recorder::{PARTITIONS, log};
use acme_check::{Outcome, Step};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::atomic::Ordering;

/// Values of its own, beyond all others.
const BASE: u64 = 1 << 40;

const PROGRAM: &str = r#"
import sys, threading, time, confluent_kafka
bootstrap, base, partitions = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
producer = confluent_kafka.Producer({'bootstrap.servers': bootstrap, 'enable.idempotence': True, 'linger.ms': 1,
    'batch.num.messages': 10, 'message.timeout.ms': 120000, 'reconnect.backoff.max.ms': 200, 'log_level': 0})
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
def told(error, message):
    offset = message.offset() if message.offset() is not None else -1
    print(int(message.value()), message.partition(), offset, error.name() if error else 'ok', flush=True)
value = base
while not stop.is_set():
    for _ in range(30):
        producer.produce('foreign', value=b'%020d' % value, partition=value % partitions, on_delivery=told)
        value += 1
    producer.poll(0.005)
    time.sleep(0.003)
    while len(producer) > 300 and not stop.is_set():
        producer.poll(0.05)
producer.flush(60)
print('end', value, flush=True)
"#;

/// Runs it until the world stops; records what it was told.
pub fn produce(world: &World) {
    let arguments = [world.bootstrap.clone(), BASE.to_string(), PARTITIONS.to_string()];
    let arguments = arguments.each_ref().map(String::as_str);
    let mut command = acme_lab::rdkafka::python(PROGRAM, &arguments).expect("the package can be had");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("there is Python");
    let process = world.recorder.process();
    let (mut input, mut end) = (child.stdin.take(), BASE);
    let mut told: BTreeMap<u64, (Option<i64>, bool)> = BTreeMap::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !world.stopped() {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            // Closing its input ends it.
            input = None;
        });
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.expect("it is text");
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["end", value] => end = value.parse().unwrap(),
                [value, _, offset, outcome] => {
                    let offset = offset.parse::<i64>().ok().filter(|offset| *offset >= 0);
                    // Anything else than a time-out would mean that idempotence is broken.
                    assert!(matches!(outcome, "ok" | "_MSG_TIMED_OUT"), "{line}");
                    world.recorder.foreign.fetch_add(1, Ordering::Relaxed);
                    told.insert(value.parse().unwrap(), (offset, outcome == "ok"));
                }
                _ => panic!("{line}"),
            }
        }
    });
    assert!(child.wait().unwrap().success());
    assert!(end > BASE, "it has sent something");
    for value in BASE..end {
        let (offset, done) = told.remove(&value).unwrap_or_default();
        let log = log("foreign", i32::try_from(value % PARTITIONS as u64).unwrap());
        let outcome = if done { Outcome::Done } else { Outcome::Unknown };
        world.recorder.add(process, 0, outcome, false, vec![Step::Send { log, value, offset }]);
    }
}
