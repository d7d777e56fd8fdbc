//! A peer's server: started by its script with a folder of its own, ended by its id.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::trouble::Trouble;
use crate::usage::Watched;

/// How long a server may take to come up.
const PATIENCE: Duration = Duration::from_secs(20);

/// The scripts, and where servers keep what they keep.
#[derive(Debug)]
pub(crate) struct Scripts {
    /// The folder with the scripts.
    pub(crate) folder: PathBuf,
    /// Folders for data are made in here: it decides which disk is measured.
    pub(crate) data: PathBuf,
}

impl Scripts {
    fn command(&self, name: &str, word: &str) -> Command {
        // Whatever ends this process, no server outlives it.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(self.folder.join(format!("{name}.sh")));
        command.arg(word).stdin(Stdio::null());
        command
    }

    /// Installs a peer where it is missing.
    pub(crate) fn install(&self, name: &str) -> Result<(), Trouble> {
        let status = self.command(name, "install").status().map_err(Trouble::machine(format!("run {name}.sh")))?;
        if status.success() { Ok(()) } else { Err(Trouble::Peer(format!("{name} could not be installed"))) }
    }

    /// What a peer says of its version.
    pub(crate) fn version(&self, name: &str) -> Result<String, Trouble> {
        let output = self.command(name, "version").output().map_err(Trouble::machine(format!("run {name}.sh")))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Starts a server in a fresh folder, and waits until it takes connections.
    pub(crate) fn start(&self, name: &str) -> Result<Server, Trouble> {
        let folder = tempfile::Builder::new()
            .prefix("chappe-compare-")
            .tempdir_in(&self.data)
            .map_err(Trouble::machine("make a folder"))?;
        let port = free_port().map_err(Trouble::machine("find a port"))?;
        let log = folder.path().join("log");
        let data = folder.path().join("data");
        std::fs::create_dir(&data).map_err(Trouble::machine("make a folder"))?;
        let said = File::create(&log).map_err(Trouble::machine("make a log"))?;
        let told = said.try_clone().map_err(Trouble::machine("make a log"))?;
        let mut command = self.command(name, "serve");
        command.arg(port.to_string()).arg(&data).stdout(said).stderr(told);
        let child = command.spawn().map_err(Trouble::machine(format!("run {name}.sh")))?;
        let mut server = Server { child, port, folder };
        let deadline = Instant::now() + PATIENCE;
        while !server.answers() {
            let gone = server.child.try_wait().is_ok_and(|status| status.is_some());
            if gone || Instant::now() > deadline {
                return Err(Trouble::Peer(format!("{name} does not come up: {}", end_of(&log))));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }
}

/// Two ports in a row that nobody has: HTTP and TCP are two doors of one server.
fn free_port() -> std::io::Result<u16> {
    loop {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = first.local_addr()?.port();
        if port.checked_add(1).is_some_and(|next| TcpListener::bind((Ipv4Addr::LOCALHOST, next)).is_ok()) {
            return Ok(port);
        }
    }
}

/// The end of what a server said.
fn end_of(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let from = text.lines().count().saturating_sub(10);
    text.lines().skip(from).collect::<Vec<_>>().join("\n")
}

/// A server that runs. Dropped, it is ended and its folder removed.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Server {
    /// The (first) port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its process.
    pub(crate) fn process(&self) -> Watched {
        Watched(self.child.id())
    }

    /// The end of what it said.
    pub(crate) fn last_words(&self) -> String {
        end_of(&self.folder.path().join("log"))
    }

    fn answers(&self) -> bool {
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its data goes with it: there is nothing that it should put in order.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
