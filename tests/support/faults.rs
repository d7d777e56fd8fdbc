//! A disk that is watched, and that fails or is slow when a test says so: the server runs with a library in front of the
//! system's calls (`shim/disk.c`), which is compiled here.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::programs::run;
use super::server::{CHAPPE, TestServer};

/// `struct control` of the shim: where each field stands.
const FLUSH_DELAY: u64 = 0;
const FLUSH_ERROR: u64 = 4;
const WRITE_ERROR: u64 = 8;
const SCOPE: u64 = 12;
const KILL_AT_FLUSH: u64 = 16;
const FLUSHING: u64 = 20;
const FAILED_FLUSHES: u64 = 24;

/// Whose flushes fail, or are not come to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Whose {
    All = 0,
    Log = 1,
    Accounts = 2,
}

/// The disk under one folder.
pub(crate) struct FaultyDisk {
    folder: tempfile::TempDir,
    control: File,
}

impl FaultyDisk {
    /// One on which all is well, in a folder of its own.
    pub(crate) fn new() -> Self {
        Self::inside(tempfile::tempdir().expect("a folder can be made"))
    }

    /// The same in memory, where there is some: for tests that look at a record, and not at the time.
    pub(crate) fn in_memory() -> Self {
        Self::inside(quick_folder())
    }

    fn inside(folder: tempfile::TempDir) -> Self {
        std::fs::create_dir(folder.path().join("disk")).expect("a folder can be made");
        std::fs::write(folder.path().join("control"), [0; 4096]).expect("a file can be written");
        let control = File::options().read(true).write(true).open(folder.path().join("control"));
        Self { control: control.expect("it can be opened"), folder }
    }

    /// Starts a server whose data is on it.
    pub(crate) fn server(&self, more: &[(&str, &str)]) -> TestServer {
        let own = self.variables();
        let mut variables: Vec<_> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
        variables.extend_from_slice(more);
        TestServer::launched(vec![CHAPPE.to_owned()], &self.data(), None, &variables)
    }

    /// What a server on this disk is started with.
    pub(crate) fn variables(&self) -> [(&'static str, String); 4] {
        let text = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
        [
            ("LD_PRELOAD", text(shim())),
            ("DISK_ROOT", text(&self.folder.path().join("disk"))),
            ("DISK_CONTROL", text(&self.folder.path().join("control"))),
            ("DISK_RECORD", text(&self.record())),
        ]
    }

    /// The server's folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("disk/data")
    }

    /// What was done to it.
    pub(crate) fn record(&self) -> PathBuf {
        self.folder.path().join("record")
    }

    fn set(&self, field: u64, value: u32) {
        self.control.write_all_at(&value.to_le_bytes(), field).expect("the control can be written");
    }

    fn get(&self, field: u64) -> u32 {
        let mut value = [0; 4];
        self.control.read_exact_at(&mut value, field).expect("the control can be read");
        u32::from_le_bytes(value)
    }

    /// From now on a flush takes at least so much longer; one under way that no longer has to is done.
    pub(crate) fn slow_down(&self, milliseconds: u32) {
        self.set(FLUSH_DELAY, milliseconds);
    }

    /// From now on flushes fail with an I/O error.
    pub(crate) fn fail_flushes(&self, whose: Whose) {
        self.set(SCOPE, whose as u32);
        self.set(FLUSH_ERROR, rustix::io::Errno::IO.raw_os_error().unsigned_abs());
    }

    /// From now on writes to any file fail with this error.
    pub(crate) fn fail_writes(&self, error: rustix::io::Errno) {
        self.set(SCOPE, Whose::All as u32);
        self.set(WRITE_ERROR, error.raw_os_error().unsigned_abs());
    }

    /// All is well again.
    pub(crate) fn mend(&self) {
        for field in [FLUSH_DELAY, FLUSH_ERROR, WRITE_ERROR, SCOPE, KILL_AT_FLUSH] {
            self.set(field, 0);
        }
    }

    /// Kills the server between a commit's write and its flush: in front of the so many-th flush from now.
    pub(crate) fn kill_at_flush(&self, whose: Whose, nth: u32) {
        self.set(SCOPE, whose as u32);
        self.set(KILL_AT_FLUSH, nth);
    }

    /// How many flushes are under way.
    pub(crate) fn flushing(&self) -> u32 {
        self.get(FLUSHING)
    }

    /// How many flushes were made to fail.
    pub(crate) fn failed_flushes(&self) -> u32 {
        self.get(FAILED_FLUSHES)
    }
}

/// A folder in memory where there is room, else anywhere.
pub(crate) fn quick_folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let is_roomy = rustix::fs::statvfs(memory).is_ok_and(|space| space.f_bavail * space.f_frsize > 1 << 30);
    let place = if is_roomy { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("chappe-disk-").tempdir_in(place).expect("a folder can be made")
}

/// The compiled library.
fn shim() -> &'static Path {
    static SHIM: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = SHIM.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let library = folder.path().join("disk.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/shim/disk.c");
        let mut compiler = Command::new("cc");
        run(compiler.args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]).arg(&library).arg(source))
            .fine();
        (folder, library)
    });
    path
}
