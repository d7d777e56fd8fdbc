//! The thread that commits. At most one commit is in flight; the next takes all that waits. So a lone message waits
//! for one flush, and a flood shares it.

use std::sync::mpsc::Receiver;
use std::time::Instant;

use actix::Recipient;

use super::Written;
use crate::log::EventLog;
use crate::log::record::Draft;
use crate::metrics::metrics;
use crate::vital::{AreYouThere, end_process};

/// A commit is closed at so many drafts: then the first of them need not wait for the last of a flood.
const MAX_BATCH: usize = 16_384;

/// What the thread is asked.
#[derive(Debug)]
pub(super) enum Job {
    Append(Vec<Draft>),
    AreYouThere(AreYouThere),
}

pub(super) struct Writer {
    log: Box<dyn EventLog>,
    jobs: Receiver<Job>,
    done: Recipient<Written>,
    nudge: Box<dyn Fn() + Send>,
    healthy: bool,
}

impl Writer {
    pub(super) fn new(
        log: Box<dyn EventLog>,
        jobs: Receiver<Job>,
        done: Recipient<Written>,
        nudge: Box<dyn Fn() + Send>,
    ) -> Self {
        Self { log, jobs, done, nudge, healthy: true }
    }

    /// Commits until the actor is gone and all that waited is written.
    pub(super) fn run(mut self) {
        while let Ok(job) = self.jobs.recv() {
            let mut batch = Vec::new();
            self.take(job, &mut batch);
            while batch.len() < MAX_BATCH
                && let Ok(job) = self.jobs.try_recv()
            {
                self.take(job, &mut batch);
            }
            if !batch.is_empty() {
                self.commit(batch);
            }
        }
    }

    fn take(&self, job: Job, batch: &mut Vec<Draft>) {
        match job {
            Job::Append(drafts) if batch.is_empty() => *batch = drafts,
            Job::Append(drafts) => batch.extend(drafts),
            // Nobody waits any more: the watchdog has given up already.
            Job::AreYouThere(AreYouThere(answer)) => drop(answer.send(())),
        }
    }

    fn commit(&mut self, batch: Vec<Draft>) {
        let count = batch.len();
        let start = Instant::now();
        let written = match self.log.append(batch) {
            Ok(records) => {
                metrics().commit_duration.observe(start.elapsed().as_secs_f64());
                metrics().commit_records.observe(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
                if let Some(last) = records.last() {
                    metrics().log_position.set(last.position.0);
                }
                self.note_health(true, "");
                Written::Committed(records)
            }
            Err(error) if error.is_passing() => {
                metrics().commit_failures.inc();
                let reason = error.to_string();
                self.note_health(false, &reason);
                Written::Refused { count, reason }
            }
            Err(error) => {
                tracing::error!(%error, "commit to the log");
                end_process("the disk failed: what is kept is known only by reading it anew");
            }
        };
        // Its sender bounds how many drafts are on their way, so this mailbox is bounded too.
        self.done.do_send(written);
        (self.nudge)();
        if let Err(error) = self.log.maintain() {
            tracing::warn!(%error, "empty the write-ahead file");
        }
    }

    fn note_health(&mut self, healthy: bool, reason: &str) {
        if healthy != self.healthy {
            self.healthy = healthy;
            metrics().storage_writable.set(i64::from(healthy));
            if healthy {
                tracing::info!("storage takes writes again");
            } else {
                tracing::error!(reason, "storage takes no writes: reads go on, writes are refused");
            }
        }
    }
}
