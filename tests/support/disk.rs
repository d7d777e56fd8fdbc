//! A small disk of its own: a file system in memory that only the test and what it starts can see.
//!
//! It lives in a mount namespace, which needs no privileges where user namespaces are allowed, and none but root's
//! elsewhere. A process keeps it open; with that process it is gone, whatever happened to the test.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::programs::run;
use super::server::CHAPPE;

/// The disk.
pub(crate) struct SmallDisk {
    keeper: Child,
    /// Where it is mounted, seen from inside.
    mount: tempfile::TempDir,
    as_root: bool,
}

impl SmallDisk {
    /// Of so many MiB.
    pub(crate) fn of_mib(size: u32) -> Self {
        let mount = tempfile::tempdir().expect("a folder can be made");
        let as_root = rustix::process::geteuid().is_root();
        let namespaces = if as_root { &["--mount"][..] } else { &["--user", "--map-root-user", "--mount"] };
        let script = format!("mount -t tmpfs -o size={size}m none \"$0\" && echo ready && exec cat");
        let mut keeper = Command::new("unshare")
            .args(namespaces)
            .args(["sh", "-c", &script])
            .arg(mount.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare runs: it is in Debian's util-linux, which every system has");
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().expect("a pipe")).read_line(&mut line).expect("the pipe can be read");
        assert_eq!(line, "ready\n", "no disk can be mounted here: run as root, or where user namespaces are allowed");
        Self { keeper, mount, as_root }
    }

    /// How a server that uses the disk is started.
    pub(crate) fn launch(&self) -> Vec<String> {
        let target = self.keeper.id().to_string();
        let user = if self.as_root { &[][..] } else { &["--user", "--preserve-credentials"] };
        let start = ["nsenter", "--target", &target, "--mount"];
        start.iter().chain(user).chain(&[CHAPPE]).map(|part| (*part).to_owned()).collect()
    }

    /// Fills it to the last byte, until the file is removed that is returned.
    pub(crate) fn fill(&self) -> PathBuf {
        let ballast = self.outside("ballast");
        let mut file = std::fs::File::create(&ballast).expect("a file can be made");
        while file.write(&[1; 4096]).is_ok_and(|written| written > 0) {}
        let space = rustix::fs::statvfs(self.outside("")).expect("a disk has a size");
        assert_eq!(space.f_bavail, 0, "it is full");
        ballast
    }

    /// Lets it take no writes, or take them again. No file on it may be open for writing.
    pub(crate) fn remount(&self, read_only: bool) {
        let mode = if read_only { "remount,ro" } else { "remount,rw" };
        let mut command = self.launch();
        command.truncate(command.len() - 1);
        let mut mount = Command::new(&command[0]);
        run(mount.args(&command[1..]).args(["mount", "-o", mode]).arg(self.mount.path())).fine();
    }

    /// A path on the disk, for the server.
    pub(crate) fn inside(&self, name: &str) -> PathBuf {
        self.mount.path().join(name)
    }

    /// The same path, for the test.
    pub(crate) fn outside(&self, name: &str) -> PathBuf {
        let path = self.inside(name);
        let path = path.strip_prefix("/").expect("the path is absolute");
        Path::new("/proc").join(self.keeper.id().to_string()).join("root").join(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
