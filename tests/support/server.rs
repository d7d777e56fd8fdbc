//! A real server process on free loopback ports and in a folder of its own. It ends with the value.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use rustls::client::ClientConfig;
use serde_json::Value;

use super::http::Http;
use super::programs::{Run, run};
use super::{PATIENCE, until};

/// The built program.
pub(crate) const CHAPPE: &str = env!("CARGO_BIN_EXE_chappe");

/// Settings of a server that takes floods: its rates are raised, and not off.
pub(crate) const FAST: [(&str, &str); 5] = [
    ("CHAPPE_LIMITS_CONNECTION_RATE", "1000000/s burst 1000000"),
    ("CHAPPE_LIMITS_USER_RATE", "1000000/s burst 1000000"),
    ("CHAPPE_LIMITS_CHAT_RATE", "1000000/s burst 1000000"),
    ("CHAPPE_LIMITS_IP_REQUEST_RATE", "1000000/s burst 1000000"),
    ("CHAPPE_LIMITS_IP_CONNECTION_RATE", "1000000/s burst 1000000"),
];

/// A running server, or one that was stopped and can be started again.
pub(crate) struct TestServer {
    process: Option<Child>,
    /// Removed with the value, unless the folder is somebody else's.
    _own: Option<tempfile::TempDir>,
    /// What the server writes to stderr goes here.
    notes: tempfile::TempDir,
    data: PathBuf,
    /// The program and its first arguments: the server, or what starts it.
    launch: Vec<String>,
    variables: Vec<(String, String)>,
    pub(crate) http: SocketAddr,
    pub(crate) tcp: SocketAddr,
    pub(crate) udp: SocketAddr,
    /// How clients connect, where it is spoken to by TLS.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// A program that sees no settings but those given.
pub(crate) fn command(launch: &[String], variables: &[(String, String)]) -> Command {
    let mut command = Command::new(&launch[0]);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CHAPPE_") {
            command.env_remove(name);
        }
    }
    command.args(&launch[1..]).envs(variables.iter().map(|(name, value)| (name, value)));
    command
}

impl TestServer {
    /// Starts one that is expected to end by itself.
    pub(crate) fn fails_to_start(data: &Path) -> Run {
        Self::fails_with(data, &[])
    }

    /// The same, with these environment variables.
    pub(crate) fn fails_with(data: &Path, variables: &[(&str, &str)]) -> Run {
        Self::fails_launched(&[CHAPPE.to_owned()], data, variables)
    }

    /// The same, started by another program.
    pub(crate) fn fails_launched(launch: &[String], data: &Path, variables: &[(&str, &str)]) -> Run {
        let free = "127.0.0.1:0";
        let addresses = ["--http", free, "--tcp", free, "--udp", free];
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        run(command(launch, &variables).args(["serve", "--data"]).arg(data).args(addresses))
    }

    /// Runs `chappe verify` on a folder that no server uses.
    pub(crate) fn verify(data: &Path) -> Run {
        run(command(&[CHAPPE.to_owned()], &[]).args(["verify", "--data"]).arg(data))
    }

    /// Stops a server and verifies its folder; what `chappe verify` says.
    pub(crate) fn verify_stopped(server: &mut Self) -> String {
        assert_eq!(server.stop(), Some(0), "{}", server.log());
        Self::verify(&server.data).fine().stdout
    }

    /// With the settings that a server has by itself.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// With these environment variables.
    pub(crate) fn with(variables: &[(&str, &str)]) -> Self {
        let own = tempfile::tempdir().expect("a folder can be made");
        let data = own.path().join("data");
        Self::launched(vec![CHAPPE.to_owned()], &data, Some(own), variables)
    }

    /// With rates that a test does not reach which sends as fast as it can.
    pub(crate) fn for_floods() -> Self {
        Self::with(&FAST)
    }

    /// With these environment variables, and spoken to by TLS.
    pub(crate) fn with_tls(variables: &[(&str, &str)], tls: Arc<ClientConfig>) -> Self {
        let mut server = Self::with(variables);
        server.tls = Some(tls);
        server
    }

    /// In a folder that was there before, and stays.
    pub(crate) fn in_folder(data: &Path) -> Self {
        Self::launched(vec![CHAPPE.to_owned()], data, None, &[])
    }

    /// Started by another program, whose arguments end with the server's.
    pub(crate) fn launched(
        launch: Vec<String>,
        data: &Path,
        own: Option<tempfile::TempDir>,
        variables: &[(&str, &str)],
    ) -> Self {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Self {
            process: None,
            _own: own,
            notes: tempfile::tempdir().expect("a folder can be made"),
            data: data.to_owned(),
            launch,
            variables: variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            http: nowhere,
            tcp: nowhere,
            udp: nowhere,
            tls: None,
        };
        server.restart();
        server
    }

    /// Starts it again in the same folder, on other ports.
    pub(crate) fn restart(&mut self) {
        self.restart_at(SocketAddr::from(([127, 0, 0, 1], 0)), None);
    }

    /// Starts it again in the same folder, where clients expect it.
    pub(crate) fn restart_on_its_ports(&mut self) {
        self.restart_at(self.http, Some((self.tcp, self.udp)));
    }

    /// Starts it again in the same folder, at these addresses; the first alone for all doors.
    pub(crate) fn restart_at(&mut self, http: SocketAddr, others: Option<(SocketAddr, SocketAddr)>) {
        assert!(self.process.is_none(), "the server runs already");
        let (tcp, udp) = others.unwrap_or((http, http));
        let stderr = File::options().create(true).append(true).open(self.notes_file()).expect("a file can be made");
        let mut child = command(&self.launch, &self.variables)
            .args(["serve", "--print-addresses", "--data"])
            .arg(&self.data)
            .args(["--http", &http.to_string(), "--tcp", &tcp.to_string(), "--udp", &udp.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("the server's program starts");
        let stdout = child.stdout.take().expect("stdout is a pipe");
        self.process = Some(child);
        let line = self.first_line(stdout);
        let addresses: Value = serde_json::from_str(&line).expect("the addresses are JSON");
        let at = |door: &str| addresses[door].as_str().expect("a door has an address").parse().expect("an address");
        (self.http, self.tcp, self.udp) = (at("http"), at("tcp"), at("udp"));
    }

    fn first_line(&self, stdout: impl Read + Send + 'static) -> String {
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(stdout).read_line(&mut line);
            let _ = tell.send(read.map(|_| line));
        });
        match told.recv_timeout(PATIENCE) {
            Ok(Ok(line)) if line.ends_with('\n') => line,
            other => panic!("the server printed no addresses: {other:?}; its log:\n{}", self.log()),
        }
    }

    /// Where it keeps everything.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().expect("the server runs").id()
    }

    fn notes_file(&self) -> PathBuf {
        self.notes.path().join("stderr")
    }

    /// What it has logged, over all its starts.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.notes_file()).unwrap_or_default()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().expect("the server runs");
        process.kill().expect("a child can be killed");
        process.wait().expect("a killed child ends");
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process has a number");
        kill_process(pid, signal).expect("a child can be sent a signal");
    }

    /// Waits until it has ended; its exit code.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let mut process = self.process.take().expect("the server runs");
        // A stop may take the time that it gives the disk, and then its clients.
        let deadline = Instant::now() + 2 * PATIENCE;
        loop {
            if let Some(status) = process.try_wait().expect("a child can be waited for") {
                return status.code();
            }
            if Instant::now() > deadline {
                self.process = Some(process);
                panic!("the server does not end; its log:\n{}", self.log());
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    /// SIGTERM, and the exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// The memory it has, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a process has a status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
        line.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("a number of KiB")
    }

    /// One line of `/metrics`, by everything before its value.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = Http::to(self).get("/metrics").text();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_else(|| panic!("there is no {name} among the metrics:\n{text}"))
    }

    /// Waits until the query tables have taken over the whole log.
    pub(crate) fn caught_up(&self) {
        until("the projector", || {
            let health = Http::to(self).get("/health").json();
            (health["projector_lag"] == 0).then_some(())
        });
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().rev().take(20).collect();
            eprintln!("the end of the server's log:");
            lines.iter().rev().for_each(|line| eprintln!("  {line}"));
        }
    }
}
