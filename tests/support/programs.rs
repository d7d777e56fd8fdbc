//! Other programs that tests run: each with a deadline, and with a sentence that says what to do where it is missing.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{LONGEST, PATIENCE};

/// What a program left.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command) -> Run {
    run_within(LONGEST, command)
}

/// The same, where that may take longer than anything else.
pub(crate) fn run_within(patience: Duration, command: &mut Command) -> Run {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{name} cannot be run ({error}): ./check installs what the tests need"));
    // Read beside the waiting, so that no full pipe holds the program up.
    let mut pipes = (child.stdout.take(), child.stderr.take());
    let out = std::thread::spawn(move || read(&mut pipes.0));
    let err = std::thread::spawn(move || read(&mut pipes.1));
    let deadline = Instant::now() + patience;
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            break status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{name} did not end within {patience:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let (stdout, stderr) = (out.join().unwrap_or_default(), err.join().unwrap_or_default());
    let Output { status, stdout, stderr } = Output { status, stdout, stderr };
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Run { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

fn read(pipe: &mut Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        let _ = pipe.read_to_end(&mut bytes);
    }
    bytes
}

impl Run {
    /// Asserts that it went well.
    pub(crate) fn fine(self) -> Self {
        assert_eq!(self.code, Some(0), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

/// A program that is talked to: lines in, one JSON value a line out.
#[derive(Debug)]
pub(crate) struct Talk {
    child: Child,
    input: Option<ChildStdin>,
    output: Receiver<String>,
    printed: Vec<Value>,
}

impl Talk {
    /// Starts a program.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("./check installs what the tests need");
        let (input, output) = (child.stdin.take(), child.stdout.take().expect("it is piped"));
        let (lines, received) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, input, output: received, printed: Vec::new() }
    }

    /// Writes a line to it.
    pub(crate) fn say(&mut self, line: impl AsRef<[u8]>) {
        let line = [line.as_ref(), b"\n"].concat();
        self.input.as_mut().expect("its input is open").write_all(&line).expect("it reads");
    }

    /// Waits until it has printed something with this in it; all it has printed by then.
    pub(crate) fn until_it_prints(&mut self, text: &str) -> &[Value] {
        while !self.printed.iter().any(|value| value.to_string().contains(text)) {
            let line = self.output.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("it did not print {text:?}, but {:?}", self.printed));
            self.printed.push(serde_json::from_str(&line).expect("a line is JSON"));
        }
        &self.printed
    }

    /// Ends its input, waits for its own end, and answers all it printed.
    pub(crate) fn end(mut self) -> Vec<Value> {
        self.input = None;
        while let Ok(line) = self.output.recv_timeout(PATIENCE) {
            self.printed.push(serde_json::from_str(&line).expect("a line is JSON"));
        }
        let ended = super::until("its end", || self.child.try_wait().expect("a child can be waited for"));
        assert!(ended.success(), "it ended with {ended}");
        std::mem::take(&mut self.printed)
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        // Gone already, where the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
