//! The server's process: started in a folder on free loopback ports, killed, asked to stop, and looked at from outside.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::trouble::Trouble;

/// How long a start, a stop or a verification may take. Far more than it does: a slow machine is no failure.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a process is looked at that is to end.
const LOOK: Duration = Duration::from_millis(2);

/// Rates that the trials do not reach, and memory so small that outboxes overflow and pages come from the disk.
const SETTINGS: [(&str, &str); 10] = [
    ("CHAPPE_LIMITS_CONNECTION_RATE", "1000000/s burst 1000000"),
    ("CHAPPE_LIMITS_USER_RATE", "1000000/s burst 1000000"),
    ("CHAPPE_LIMITS_CHAT_RATE", "1000000/s burst 1000000"),
    ("CHAPPE_LIMITS_IP_REQUEST_RATE", "1000000/s burst 1000000"),
    ("CHAPPE_LIMITS_IP_CONNECTION_RATE", "1000000/s burst 1000000"),
    ("CHAPPE_LIMITS_FRAME_BYTES", "8192"),
    ("CHAPPE_LIMITS_CONTENT_BYTES", "1024"),
    ("CHAPPE_LIMITS_OUTBOX_BYTES", "16384"),
    ("CHAPPE_CACHE_MESSAGES_PER_CHAT", "40"),
    ("CHAPPE_SHUTDOWN_RECONNECT_WITHIN", "0s"),
];

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doors {
    /// HTTP and WebSocket.
    pub http: String,
    /// TCP.
    pub tcp: String,
}

/// A server, running or not.
#[derive(Debug)]
pub struct Server {
    program: PathBuf,
    data: PathBuf,
    notes: PathBuf,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    process: Child,
    /// Its first line, once it is there.
    line: mpsc::Receiver<String>,
}

impl Server {
    /// A server of `program` whose data and log lie in `folder`.
    ///
    /// # Errors
    /// [`Trouble::NoServer`].
    pub fn new(program: &Path, folder: &Path) -> Result<Self, Trouble> {
        if !program.is_file() {
            return Err(Trouble::NoServer(program.display().to_string()));
        }
        let (data, notes) = (folder.join("data"), folder.join("log"));
        Ok(Self { program: program.to_owned(), data, notes, running: None })
    }

    /// The program that was built beside this one.
    ///
    /// # Errors
    /// [`Trouble::Machine`] if the system does not say where this one is.
    pub fn beside() -> Result<PathBuf, Trouble> {
        let own = std::env::current_exe().map_err(Trouble::machine("find this program"))?;
        // Tests lie one folder deeper than programs.
        let folder = own.parent().filter(|folder| !folder.ends_with("deps")).or_else(|| own.parent()?.parent());
        Ok(folder.unwrap_or(Path::new(".")).join("chappe"))
    }

    fn command(&self) -> Command {
        // Whatever ends this process, no server outlives it.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(&self.program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CHAPPE_") {
                command.env_remove(name);
            }
        }
        command.envs(SETTINGS).stdin(Stdio::null());
        command
    }

    /// Starts it, and does not wait until it is ready.
    ///
    /// # Errors
    /// [`Trouble::Machine`].
    pub fn spawn(&mut self) -> Result<(), Trouble> {
        let notes = File::options().create(true).append(true).open(&self.notes);
        let notes = notes.map_err(Trouble::machine("open a log"))?;
        let free = "127.0.0.1:0";
        let mut command = self.command();
        command.args(["serve", "--print-addresses", "--log", "warn", "--data"]).arg(&self.data);
        command.args(["--http", free, "--tcp", free, "--udp", free]).stdout(Stdio::piped()).stderr(notes);
        let mut process = command.spawn().map_err(Trouble::machine("start the server with setpriv"))?;
        let (tell, line) = mpsc::channel();
        if let Some(stdout) = process.stdout.take() {
            // Ends with the server.
            thread::spawn(move || {
                let mut line = String::new();
                if BufReader::new(stdout).read_line(&mut line).is_ok() {
                    // Who has killed the server meanwhile does not want to know.
                    let _ = tell.send(line);
                }
            });
        }
        self.running = Some(Running { process, line });
        Ok(())
    }

    /// Waits for at most `patience` until it is ready; where it listens then.
    ///
    /// # Errors
    /// [`Trouble::Server`] if it has ended instead.
    pub fn ready_within(&mut self, patience: Duration) -> Result<Option<Doors>, Trouble> {
        let Some(running) = &self.running else { return Err(self.trouble("does not run")) };
        let line = match running.line.recv_timeout(patience) {
            Ok(line) => line,
            Err(mpsc::RecvTimeoutError::Timeout) => return Ok(None),
            Err(mpsc::RecvTimeoutError::Disconnected) => return Err(self.trouble("does not say where it listens")),
        };
        let said: Option<Value> = serde_json::from_str(&line).ok();
        let door = |name: &str| said.as_ref()?.get(name)?.as_str().map(str::to_owned);
        match (door("http"), door("tcp")) {
            (Some(http), Some(tcp)) => Ok(Some(Doors { http, tcp })),
            _ => Err(self.trouble("ends before it listens")),
        }
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// As [`Server::spawn`] and [`Server::ready_within`].
    pub fn start(&mut self) -> Result<Doors, Trouble> {
        self.spawn()?;
        self.ready_within(PATIENCE)?.ok_or_else(|| self.trouble("does not become ready"))
    }

    /// Fails if it has ended by itself.
    ///
    /// # Errors
    /// [`Trouble::Server`].
    pub fn must_run(&mut self) -> Result<(), Trouble> {
        let ended = self.running.as_mut().map(|running| running.process.try_wait());
        match ended {
            Some(Ok(None)) => Ok(()),
            other => Err(self.trouble(&format!("has ended by itself ({other:?})"))),
        }
    }

    /// `kill -9`, and waits until it is gone.
    ///
    /// # Errors
    /// [`Trouble::Machine`].
    pub fn kill(&mut self) -> Result<(), Trouble> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        running.process.kill().and_then(|()| running.process.wait()).map_err(Trouble::machine("kill the server"))?;
        Ok(())
    }

    /// SIGTERM.
    ///
    /// # Errors
    /// [`Trouble::Machine`].
    pub fn terminate(&self) -> Result<(), Trouble> {
        let Some(process) = self.process() else { return Ok(()) };
        kill_process(process, Signal::TERM).map_err(|error| Trouble::machine("stop the server")(error.into()))
    }

    /// Waits for at most `patience` until it has ended; its exit code then.
    ///
    /// # Errors
    /// [`Trouble::Server`] if it ended otherwise than with success.
    pub fn ended_within(&mut self, patience: Duration) -> Result<bool, Trouble> {
        let deadline = Instant::now() + patience;
        loop {
            let Some(running) = &mut self.running else { return Ok(true) };
            let status = running.process.try_wait().map_err(Trouble::machine("wait for the server"))?;
            match status {
                Some(status) if status.success() => {
                    self.running = None;
                    return Ok(true);
                }
                Some(status) => {
                    self.running = None;
                    return Err(self.trouble(&format!("stopped with {status}")));
                }
                None if Instant::now() >= deadline => return Ok(false),
                None => thread::sleep(LOOK),
            }
        }
    }

    /// SIGTERM, and waits until it has stopped.
    ///
    /// # Errors
    /// [`Trouble::Server`] if it does not, or not with success.
    pub fn stop(&mut self) -> Result<(), Trouble> {
        self.terminate()?;
        if self.ended_within(PATIENCE)? { Ok(()) } else { Err(self.trouble("does not stop")) }
    }

    /// What `chappe verify` says of the folder, and whether all is well. No server may be running in it.
    ///
    /// # Errors
    /// [`Trouble::Machine`].
    pub fn verify(&self) -> Result<(bool, String), Trouble> {
        let mut command = self.command();
        command.args(["verify", "--log", "warn", "--data"]).arg(&self.data);
        let output = command.output().map_err(Trouble::machine("run chappe verify"))?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&said).trim().to_owned()))
    }

    /// Whether it has been killed within `patience` by somebody else.
    ///
    /// # Errors
    /// [`Trouble::Server`] if it has ended otherwise.
    pub fn killed_within(&mut self, patience: Duration) -> Result<bool, Trouble> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            let Some(running) = &mut self.running else { return Ok(true) };
            match running.process.try_wait().map_err(Trouble::machine("wait for the server"))? {
                None => thread::sleep(LOOK),
                Some(status) => {
                    self.running = None;
                    let killed = status.signal() == Some(Signal::KILL.as_raw());
                    return if killed {
                        Ok(true)
                    } else {
                        Err(self.trouble(&format!("has ended by itself: {status}")))
                    };
                }
            }
        }
        Ok(false)
    }

    /// Its process.
    pub fn process(&self) -> Option<Pid> {
        self.pid().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw)
    }

    fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.process.id())
    }

    /// The memory it has, in bytes.
    pub fn resident_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()?)).ok()?;
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        kib.trim().split(' ').next()?.parse::<u64>().ok().map(|kib| kib * 1024)
    }

    /// The files and sockets that it has open.
    pub fn open_files(&self) -> Option<usize> {
        fs::read_dir(format!("/proc/{}/fd", self.pid()?)).ok().map(Iterator::count)
    }

    /// What went wrong with it.
    pub fn trouble(&self, what: &str) -> Trouble {
        let log = fs::read_to_string(&self.notes).unwrap_or_default();
        let mut last: Vec<&str> = log.lines().rev().take(20).collect();
        last.reverse();
        Trouble::Server { what: what.to_owned(), log: last.join("\n") }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Who drops it has no use for what the system says to that.
        let _ = self.kill();
    }
}
