//! A process without its cache or its writer ends, rather than live on and answer nobody.
//!
//! Each test starts this test binary again as a child that does the deed.

#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic, and so may what it calls")]

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use chappe_actors::vital::{self, AreYouThere, Pulse};

const DEED: &str = "CHAPPE_TEST_DEED";
/// What `abort` ends a process with.
const SIGABRT: i32 = 6;

fn child(deed: &str) -> ExitStatus {
    let this = std::env::current_exe().expect("a test knows its binary");
    let mut command = Command::new(this);
    let output = command.args(["--exact", "the_child", "--ignored"]).env(DEED, deed).output();
    output.expect("the test binary starts again").status
}

#[test]
fn a_panic_on_a_vital_thread_ends_the_process() {
    assert_eq!(child("panic on a vital thread").signal(), Some(SIGABRT));
}

#[test]
fn a_panic_in_vital_work_ends_the_process() {
    assert_eq!(child("panic in vital work").signal(), Some(SIGABRT));
}

#[test]
fn a_panic_elsewhere_costs_its_thread_only() {
    assert_eq!(child("panic elsewhere").code(), Some(0));
}

#[test]
fn an_actor_that_does_not_answer_the_watchdog_ends_the_process() {
    assert_eq!(child("do not answer").signal(), Some(SIGABRT));
}

#[test]
fn an_actor_that_has_more_to_do_than_the_watchdog_has_patience_lives() {
    assert_eq!(child("be busy").code(), Some(0));
}

#[test]
fn an_actor_that_answers_the_watchdog_lives() {
    assert_eq!(child("answer").code(), Some(0));
}

#[test]
#[ignore = "the other tests start it"]
fn the_child() {
    vital::guard_panics();
    match std::env::var(DEED).as_deref() {
        Ok("panic on a vital thread") => {
            let vital = thread::spawn(|| {
                vital::mark_thread();
                panic!("as asked");
            });
            let _ = vital.join();
        }
        Ok("panic in vital work") => drop(thread::spawn(|| vital::vitally(|| panic!("as asked"))).join()),
        Ok("panic elsewhere") => {
            let elsewhere = thread::spawn(|| {
                vital::vitally(|| ());
                panic!("as asked");
            });
            assert!(elsewhere.join().is_err());
        }
        Ok("do not answer") => {
            let keep = |question| {
                std::mem::forget(question);
                true
            };
            let pulse = Pulse::default();
            // What it did before it was asked is no sign of life.
            pulse.beat();
            vital::watch("a silent actor", Duration::from_millis(50), pulse, keep).expect("a thread starts");
            // The watchdog ends the process long before.
            thread::sleep(Duration::from_secs(60));
        }
        Ok("be busy") => {
            let patience = Duration::from_millis(500);
            let (pulse, (asked, questions)) = (Pulse::default(), mpsc::channel());
            let keep = move |question| asked.send(question).is_ok();
            vital::watch("a busy actor", patience, pulse.clone(), keep).expect("a thread starts");
            // One message after another is handled; the question stands behind all of them.
            let began = Instant::now();
            while began.elapsed() < 4 * patience {
                pulse.beat();
                thread::yield_now();
            }
            let AreYouThere(answer) = questions.recv().expect("it asks");
            assert!(questions.try_recv().is_err(), "one question at a time");
            answer.send(()).expect("it still waits");
            questions.recv().expect("it asks again");
        }
        Ok("answer") => {
            let (asked, twice) = mpsc::channel();
            let answer = move |AreYouThere(answer)| answer.send(()).is_ok() && asked.send(()).is_ok();
            vital::watch("an actor", Duration::from_secs(10), Pulse::default(), answer).expect("a thread starts");
            twice.recv().and_then(|()| twice.recv()).expect("it asks every second");
        }
        other => panic!("no such deed: {other:?}"),
    }
}
