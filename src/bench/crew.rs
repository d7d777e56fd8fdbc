//! The threads that make the load, each with a single-threaded runtime, and the instants they all keep to.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::task::{LocalSet, spawn_local};

use super::BenchError;
use super::arguments::Load;
use super::progress::{Measured, Progress};
use super::schedule::{Pacer, Schedule, since};

/// From the order to start until the load begins: all threads have seen it by then.
const LEAD: Duration = Duration::from_millis(20);

/// When the load begins, and between which moments it is measured. Moments are nanoseconds from the beginning.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) start: Instant,
    pub(super) from_ns: u64,
    pub(super) to_ns: u64,
}

impl Span {
    fn new(start: Instant, warmup: Duration, duration: Duration) -> Self {
        let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self { start, from_ns: ns(warmup), to_ns: ns(warmup + duration) }
    }

    /// The moment it is.
    pub(super) fn now_ns(&self) -> u64 {
        since(self.start)
    }

    /// Whether `moment` is measured.
    pub(super) fn measures(&self, moment: u64) -> bool {
        (self.from_ns..self.to_ns).contains(&moment)
    }

    /// When to give up waiting for what is still under way.
    pub(super) fn give_up(&self, grace: Duration) -> tokio::time::Instant {
        (self.start + Duration::from_nanos(self.to_ns) + grace).into()
    }
}

/// When a connection may do its next operation.
#[derive(Debug, Clone)]
pub(super) enum Pace {
    /// As soon as there is room.
    Closed,
    /// When it is due.
    Open(Schedule, Arc<Notify>),
}

impl Pace {
    /// The paces of `count` connections.
    pub(super) fn of(pacer: Option<&Pacer>, count: usize) -> Arc<[Self]> {
        let open = |pacer: &Pacer, index| {
            let (schedule, bell) = pacer.part(index);
            Self::Open(schedule, bell)
        };
        (0..count).map(|index| pacer.map_or(Self::Closed, |pacer| open(pacer, index))).collect()
    }

    /// How many operations to begin now, after `begun` and with `room` for so many more.
    pub(super) fn due(&self, now_ns: u64, begun: u64, room: u64) -> u64 {
        match self {
            Self::Closed => room,
            Self::Open(schedule, _) => schedule.due_by(now_ns).saturating_sub(begun).min(room),
        }
    }

    /// From when the latency of operation `n` counts.
    pub(super) fn counts_from(&self, n: u64, now_ns: u64) -> u64 {
        match self {
            Self::Closed => now_ns,
            Self::Open(schedule, _) => schedule.due_ns(n),
        }
    }

    /// Waits until another operation may be due; for ever in a closed loop.
    pub(super) async fn bell(&self) {
        match self {
            Self::Closed => std::future::pending().await,
            Self::Open(_, bell) => bell.notified().await,
        }
    }

    /// For one operation at a time: waits for its turn and says from when it counts. `None` once the load ends.
    pub(super) async fn turn(&self, span: &Span, begun: u64) -> Option<u64> {
        loop {
            let now = span.now_ns();
            if now >= span.to_ns {
                return None;
            }
            if self.due(now, begun, 1) == 1 {
                return Some(self.counts_from(begun, now));
            }
            self.bell().await;
        }
    }
}

/// One thread of the crew, as its work sees it.
pub(super) struct Worker {
    pub(super) index: usize,
    threads: usize,
    signs: mpsc::Sender<Sign>,
    span: watch::Receiver<Option<Span>>,
}

enum Sign {
    Ready,
    Ended,
}

impl Worker {
    /// Of `count` things, those that are this thread's.
    pub(super) fn mine(&self, count: usize) -> impl Iterator<Item = usize> + use<> {
        (self.index..count).step_by(self.threads)
    }

    /// Says that all is set up, and waits for the order to start.
    pub(super) async fn ready(&mut self) -> Result<Span, BenchError> {
        let called_off = |_| BenchError::Worker("another thread could not start".to_owned());
        let _ = self.signs.send(Sign::Ready);
        let span = self.span.wait_for(Option::is_some).await.map_err(called_off)?;
        span.ok_or_else(|| BenchError::Worker("the load has no beginning".to_owned()))
    }
}

/// Runs `tasks` on this thread until all have ended.
pub(super) async fn all<T: 'static>(
    tasks: impl IntoIterator<Item = impl Future<Output = T> + 'static>,
) -> Result<Vec<T>, BenchError> {
    let running: Vec<_> = tasks.into_iter().map(spawn_local).collect();
    let mut results = Vec::with_capacity(running.len());
    for task in running {
        results.push(task.await.map_err(|error| BenchError::Worker(error.to_string()))?);
    }
    Ok(results)
}

/// The threads.
pub(super) struct Crew<T> {
    threads: Vec<JoinHandle<Result<T, BenchError>>>,
    signs: mpsc::Receiver<Sign>,
    span: watch::Sender<Option<Span>>,
}

impl<T: Send + 'static> Crew<T> {
    /// Starts `threads` threads; each sets itself up and then waits in [`Worker::ready`].
    pub(super) fn spawn<W, F>(threads: usize, work: W) -> Result<Self, BenchError>
    where
        W: Fn(Worker) -> F + Clone + Send + 'static,
        F: Future<Output = Result<T, BenchError>>,
    {
        let (sign, signs) = mpsc::channel();
        let (span, seen) = watch::channel(None);
        let mut handles = Vec::new();
        for index in 0..threads {
            let worker = Worker { index, threads, signs: sign.clone(), span: seen.clone() };
            let (work, sign) = (work.clone(), sign.clone());
            let run = move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                let result = LocalSet::new().block_on(&runtime, work(worker));
                let _ = sign.send(Sign::Ended);
                result
            };
            handles.push(std::thread::Builder::new().name(format!("bench-{index}")).spawn(run)?);
        }
        Ok(Self { threads: handles, signs, span })
    }

    /// Waits until all threads are ready, runs the load for the time asked, and gathers what they found.
    pub(super) fn run(
        self,
        load: &Load,
        pacer: Option<Pacer>,
        done: &AtomicU64,
        unit: &'static str,
    ) -> Result<(Vec<T>, Measured), BenchError> {
        for _ in 0..self.threads.len() {
            if !matches!(self.signs.recv(), Ok(Sign::Ready)) {
                return Err(self.called_off());
            }
        }
        let span = Span::new(Instant::now() + LEAD, load.warmup, load.duration);
        let stop = Arc::new(AtomicBool::new(false));
        if let Some(pacer) = pacer {
            pacer.run(span.start, Arc::clone(&stop))?;
        }
        self.span.send_replace(Some(span));
        let ended = || self.threads.iter().all(JoinHandle::is_finished);
        let measured = Progress::new(unit).follow(&span, done, load.server_pid, ended);
        stop.store(true, Ordering::Relaxed);
        let results = self.threads.into_iter().map(join).collect::<Result<Vec<T>, BenchError>>()?;
        Ok((results, measured))
    }

    /// One thread could not set itself up: the others go home, and its error is the answer.
    fn called_off(self) -> BenchError {
        drop(self.span);
        let errors: Vec<BenchError> = self.threads.into_iter().filter_map(|thread| join(thread).err()).collect();
        let first = errors.into_iter().max_by_key(|error| !matches!(error, BenchError::Worker(_)));
        first.unwrap_or_else(|| BenchError::Worker("a thread ended before the start".to_owned()))
    }
}

fn join<T>(thread: JoinHandle<Result<T, BenchError>>) -> Result<T, BenchError> {
    thread.join().unwrap_or_else(|_| Err(BenchError::Worker("a thread of the benchmark died".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_that_cannot_start_calls_off_the_others_and_its_error_is_told() {
        let crew = Crew::spawn(3, |mut worker| async move {
            if worker.index == 1 {
                return Err(BenchError::System(std::io::ErrorKind::ConnectionRefused.into()));
            }
            worker.ready().await.map(|_| ())
        });
        assert!(matches!(crew.unwrap().called_off(), BenchError::System(_)));
    }

    #[test]
    fn a_span_measures_between_warm_up_and_end() {
        let span = Span::new(Instant::now(), Duration::from_secs(2), Duration::from_secs(3));
        assert!(!span.measures(1_999_999_999));
        assert!(span.measures(2_000_000_000));
        assert!(!span.measures(5_000_000_000));
    }
}
