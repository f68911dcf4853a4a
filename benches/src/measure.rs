//! Time and memory of whole processes, and what several runs amount to.

use anyhow::{Context, Result, bail};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A point in time, for differences alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(Instant);

impl Moment {
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures real time, and only here")]
    pub(crate) fn now() -> Self {
        Self(Instant::now())
    }

    /// Milliseconds since then.
    pub(crate) fn ms(self) -> f64 {
        Self::now().0.duration_since(self.0).as_secs_f64() * 1e3
    }
}

/// Asks again and again until there is an answer.
#[expect(clippy::disallowed_methods, reason = "a benchmark waits for real processes")]
pub(crate) fn wait<T>(
    what: &str,
    every: Duration,
    patience: Duration,
    mut ask: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let began = Moment::now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if began.ms() > patience.as_secs_f64() * 1e3 {
            bail!("{what}: not after {patience:?}");
        }
        std::thread::sleep(every);
    }
}

/// Watches the largest resident size that a process has had, `VmHWM`.
pub(crate) struct Memory {
    ended: mpsc::SyncSender<()>,
    peak_kib: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Memory {
    pub(crate) fn of(process: u32) -> Self {
        let peak_kib = Arc::new(AtomicU64::new(0));
        let (ended, until) = mpsc::sync_channel(1);
        let peak = peak_kib.clone();
        let thread = std::thread::spawn(move || {
            loop {
                if let Some(now) = high_water_kib(process) {
                    peak.fetch_max(now, Ordering::Relaxed);
                }
                if until.recv_timeout(LOOK_EVERY) != Err(mpsc::RecvTimeoutError::Timeout) {
                    return;
                }
            }
        });
        Self { ended, peak_kib, thread }
    }

    /// The peak in MiB.
    pub(crate) fn finish(self) -> f64 {
        let _ = self.ended.send(());
        let _ = self.thread.join();
        self.peak_kib.load(Ordering::Relaxed) as f64 / 1024.0
    }
}

/// The largest resident size that a process has had so far.
pub(crate) fn high_water_kib(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// What a whole process took.
pub(crate) struct Taken {
    pub(crate) ms: f64,
    /// Of all its processors, its own children included.
    pub(crate) cpu_ms: f64,
    pub(crate) peak_mib: f64,
}

/// Runs a command to its end, which must be a good one.
pub(crate) fn process(command: &mut Command) -> Result<Taken> {
    let (began, cpu) = (Moment::now(), children_ms()?);
    let mut child = Guard(command.spawn().with_context(|| format!("cannot start {command:?}"))?);
    let memory = Memory::of(child.0.id());
    let status = child.0.wait()?;
    let ms = began.ms();
    let peak_mib = memory.finish();
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(Taken { ms, cpu_ms: children_ms()? - cpu, peak_mib })
}

/// The processor time of all children that have ended, in steps of ten milliseconds. Source: `proc_pid_stat(5)`, `cutime` and
/// `cstime` in ticks of a hundredth of a second.
fn children_ms() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let fields = text.rsplit_once(") ").context("a name in parentheses")?.1.split(' ');
    let ticks: Vec<f64> = fields.skip(13).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() * 10.0)
}

/// A process that does not outlive its handle.
pub(crate) struct Guard(pub(crate) Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The readings of one side.
#[derive(Clone, Debug, Default)]
pub(crate) struct Readings(Vec<f64>);

impl Readings {
    pub(crate) fn push(&mut self, reading: f64) {
        self.0.push(reading);
    }

    pub(crate) fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn max(&self) -> f64 {
        self.0.iter().copied().fold(0.0, f64::max)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Between the middle two if there is an even number.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        match (sorted.len(), sorted.len() / 2) {
            (0, _) => f64::NAN,
            (length, half) if length % 2 == 0 => f64::midpoint(sorted[half - 1], sorted[half]),
            (_, half) => sorted[half],
        }
    }
}

/// Runs both sides in turn, so that what slows the machine slows both, and who begins changes each time.
pub(crate) fn in_turn(
    runs: usize,
    mut ours: impl FnMut() -> Result<f64>,
    mut theirs: impl FnMut() -> Result<f64>,
) -> Result<(Readings, Readings)> {
    let (mut a, mut b) = (Readings::default(), Readings::default());
    for run in 0..runs {
        if run % 2 == 0 {
            a.push(ours()?);
            b.push(theirs()?);
        } else {
            b.push(theirs()?);
            a.push(ours()?);
        }
    }
    Ok((a, b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        let of = |readings: &[f64]| Readings(readings.to_vec()).median();
        assert_eq!((of(&[3.0, 1.0, 2.0]), of(&[4.0, 1.0, 2.0, 3.0])), (2.0, 2.5));
    }

    #[test]
    fn sides_take_turns_and_each_begins_as_often() -> Result<()> {
        let order = std::cell::RefCell::new(String::new());
        let side = |name| {
            order.borrow_mut().push(name);
            Ok(1.0)
        };
        in_turn(4, || side('a'), || side('b'))?;
        assert_eq!(*order.borrow(), "abbaabba");
        Ok(())
    }

    #[test]
    fn a_process_is_measured_whole() -> Result<()> {
        let taken = process(Command::new("sh").args(["-c", "sleep 0.1"]))?;
        assert!(taken.ms > 90.0 && taken.peak_mib > 0.1, "{} ms, {} MiB", taken.ms, taken.peak_mib);
        let busy = "i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done";
        let taken = process(Command::new("sh").args(["-c", &format!("sh -c '{busy}'; {busy}")]))?;
        assert!(taken.cpu_ms > taken.ms / 2.0, "{} of {} ms, children's included", taken.cpu_ms, taken.ms);
        assert!(process(&mut Command::new("false")).is_err());
        Ok(())
    }
}
