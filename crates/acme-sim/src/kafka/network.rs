//! Connections that are slow, cut and refused, and a controller that moves things about.

use super::{BROKERS, Cluster, Leadership, PARTITIONS, Time, index, wire};
use acme_kafka::world::{Later, Simulation, Stream};
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

/// How often what goes wrong: once in so many requests, or moves; 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// A connection is cut, and the request has no effect.
    pub cut_before: u64,
    /// A connection is cut after the request took effect.
    pub cut_after: u64,
    /// A request or its answer takes longer than anybody waits; it takes effect all the same.
    pub late: u64,
    /// A broker makes an error up that it may make.
    pub refuse: u64,
    /// Milliseconds between two moves of leaders, coordinators and brokers.
    pub move_ms: u64,
}

const OF_MEMBERS: [u8; 2] = [8, 68];

/// The way to a cluster, as a client sees it.
#[derive(Clone, Debug)]
pub(super) struct Network {
    cluster: Arc<Cluster>,
    client: Arc<str>,
}

impl Network {
    pub(super) fn new(cluster: &Arc<Cluster>, client: &str) -> Self {
        Self { cluster: cluster.clone(), client: client.into() }
    }
}

impl Simulation for Network {
    fn dial(&self, host: &str, _: u16) -> Later<io::Result<Box<dyn Stream>>> {
        let broker = host.trim_start_matches("broker").parse().unwrap_or(-1);
        let (cluster, client) = (self.cluster.clone(), self.client.clone());
        Box::pin(async move {
            cluster.time.sleep_ms(1 + cluster.time.below(3)).await;
            if cluster.is_cut_off(&client) {
                // As a network does that loses everything: nobody says no.
                cluster.time.sleep_ms(1_000).await;
                return Err(io::Error::from(io::ErrorKind::TimedOut));
            }
            let life = {
                let state = cluster.lock();
                if !(0..BROKERS).contains(&broker) || state.down.contains(&broker) {
                    return Err(io::Error::from(io::ErrorKind::ConnectionRefused));
                }
                state.lives[index(broker)]
            };
            let (ours, theirs) = tokio::io::duplex(1 << 20);
            tokio::spawn(cluster.clone().serve(client, broker, life, theirs));
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }

    fn now(&self) -> Instant {
        self.cluster.time.now()
    }

    fn sleep_until(&self, at: Instant) -> Later<()> {
        Box::pin(self.cluster.time.sleep_until(at))
    }

    fn chance(&self) -> u64 {
        self.cluster.time.bits()
    }
}

impl Cluster {
    fn is_alive(&self, broker: i32, life: u64) -> bool {
        self.lock().lives[index(broker)] == life
    }

    fn is_cut_off(&self, client: &str) -> bool {
        let now = self.time.elapsed();
        self.lock().cut_off.get(client).is_some_and(|until| now < *until)
    }

    /// One connection, served one request after the other. What the client has sent takes effect though it be gone.
    async fn serve(self: Arc<Self>, client: Arc<str>, broker: i32, life: u64, mut stream: DuplexStream) {
        let mut was_late = false;
        while let Ok(length) = stream.read_i32().await {
            let mut frame = vec![0; usize::try_from(length).expect("the client sends lengths")];
            if stream.read_exact(&mut frame).await.is_err() {
                return;
            }
            let mut faults = self.lock().faults;
            if OF_MEMBERS.contains(&frame[1]) {
                // Late, a commit moves the offset back behind the member's next one, and what a member of KIP-848 says of
                // its partitions confirms a revocation of which it knows nothing: Kafka tells neither from a timely one.
                faults.late = 0;
                if was_late {
                    return self.count("cut before");
                }
            }
            was_late |= self.pause(faults).await;
            if !self.is_alive(broker, life) || self.is_cut_off(&client) {
                return;
            }
            if self.time.one_in(faults.cut_before) {
                return self.count("cut before");
            }
            let Some(answer) = wire::handle(&self, broker, frame.into()).await else { return };
            if !self.is_alive(broker, life) || self.is_cut_off(&client) {
                return;
            }
            if self.time.one_in(faults.cut_after) {
                return self.count("cut after");
            }
            was_late |= self.pause(faults).await;
            if !self.is_alive(broker, life)
                || (send(&mut stream, answer).await.is_err() && self.time.one_in(2))
            {
                return;
            }
        }
    }

    /// Lets a while pass; true if it was a long one.
    async fn pause(&self, faults: Faults) -> bool {
        let is_late = self.time.one_in(faults.late);
        if is_late {
            self.count("late");
            self.time.sleep_ms(900 + self.time.below(6_000)).await;
        } else if self.time.one_in(8) {
            self.time.sleep_ms(self.time.below(60)).await;
        } else {
            self.time.sleep(Duration::from_micros(100 + self.time.below(3_000))).await;
        }
        is_late
    }

    /// Moves leaders, coordinators and brokers for so long; then all come back and know everything.
    pub async fn disturb(self: &Arc<Self>, faults: Faults, time_ms: u64) {
        self.faults(faults);
        let end = self.time.elapsed() + Duration::from_millis(time_ms);
        while self.time.elapsed() < end {
            self.time.sleep_ms(1 + self.time.below(faults.move_ms.max(1) * 2)).await;
            match self.time.below(10) {
                0..=4 => self.move_leader(),
                5 => self.move_coordinator(),
                6 => self.lock().sessions.clear(),
                7 => self.stop_or_start(),
                _ => self.lag_or_catch_up(),
            }
        }
        self.faults(Faults::default());
        let mut state = self.lock();
        state.down.clear();
        state.undisturbed = true;
        for partition in &mut state.partitions {
            partition.views.fill(partition.truth);
            partition.in_sync = (0..BROKERS).collect();
            partition.replicate();
        }
    }

    /// Another broker leads; it knows at once, the others some time later.
    fn move_leader(self: &Arc<Self>) {
        let number =
            index(i32::try_from(self.time.below(u64::from(PARTITIONS.unsigned_abs()))).expect("few"));
        let broker = i32::try_from(self.time.below(u64::from(BROKERS.unsigned_abs()))).expect("few");
        let told = {
            let mut state = self.lock();
            let is_down = state.down.contains(&broker);
            let partition = &mut state.partitions[number];
            let may = partition.in_sync.contains(&broker) || self.options.unclean;
            if is_down || !may || partition.truth.leader == broker {
                return;
            }
            partition.truth = Leadership { leader: broker, epoch: partition.truth.epoch + 1 };
            let truth = partition.truth;
            partition.views[index(broker)] = truth;
            let replica = &mut partition.replicas[index(broker)];
            replica.lead(truth.epoch);
            replica.high_watermark = replica.high_watermark.min(replica.end());
            if !partition.in_sync.contains(&broker) {
                // Nobody knows what the others have.
                partition.in_sync = [broker].into();
            }
            truth
        };
        self.count("leader moved");
        let cluster = self.clone();
        tokio::spawn(async move {
            for other in 0..BROKERS {
                cluster.time.sleep_ms(cluster.time.below(400)).await;
                cluster.tell(number, other, told);
            }
            // The followers catch up.
            cluster.lock().partitions[number].replicate();
        });
    }

    /// A broker hears who leads.
    fn tell(&self, number: usize, broker: i32, told: Leadership) {
        let mut state = self.lock();
        let partition = &mut state.partitions[number];
        if partition.views[index(broker)].epoch < told.epoch {
            partition.views[index(broker)] = told;
        }
    }

    fn move_coordinator(&self) {
        let broker = i32::try_from(self.time.below(u64::from(BROKERS.unsigned_abs()))).expect("few");
        let until = self.time.elapsed() + Duration::from_millis(self.time.below(300));
        let mut state = self.lock();
        if state.down.contains(&broker) {
            return;
        }
        if self.time.one_in(2) {
            let now = self.time.elapsed();
            state.group.load(broker, now, until);
        } else {
            (state.transactions.coordinator, state.transactions.loads_until) = (broker, until);
        }
        drop(state);
        self.count("coordinator moved");
    }

    /// A broker dies and is soon back. Those that it led have another leader only when one is moved there.
    fn stop_or_start(self: &Arc<Self>) {
        let broker = i32::try_from(self.time.below(u64::from(BROKERS.unsigned_abs()))).expect("few");
        {
            let mut state = self.lock();
            if !state.down.is_empty() {
                return;
            }
            state.down.insert(broker);
            state.lives[index(broker)] += 1;
            if state.group.coordinator == broker {
                let now = self.time.elapsed();
                state.group.load(broker, now, now);
            }
        }
        self.count("broker died");
        let cluster = self.clone();
        tokio::spawn(async move {
            cluster.time.sleep_ms(50 + cluster.time.below(1_500)).await;
            cluster.lock().down.remove(&broker);
        });
    }

    /// A follower stops copying, or copies again.
    fn lag_or_catch_up(&self) {
        let number =
            index(i32::try_from(self.time.below(u64::from(PARTITIONS.unsigned_abs()))).expect("few"));
        let broker = i32::try_from(self.time.below(u64::from(BROKERS.unsigned_abs()))).expect("few");
        let mut state = self.lock();
        let partition = &mut state.partitions[number];
        if broker == partition.truth.leader {
            return;
        }
        if partition.in_sync.len() > 2 {
            partition.in_sync.remove(&broker);
        } else if [broker, partition.truth.leader]
            .iter()
            .all(|one| partition.views[index(*one)] == partition.truth)
        {
            partition.in_sync.insert(broker);
            partition.replicate();
        }
    }

    /// The clock of the world.
    pub fn time(&self) -> &Arc<Time> {
        &self.time
    }
}

async fn send(stream: &mut DuplexStream, answer: Bytes) -> io::Result<()> {
    stream.write_i32(i32::try_from(answer.len()).expect("answers are small")).await?;
    stream.write_all(&answer).await
}
