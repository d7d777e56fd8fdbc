//! Backup, restore, export, import and doctor: beside a running server, under load, killed in the middle, and run again.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::client::{Client, Door};
use crate::support::dice::Dice;
use crate::support::flood::{Written, assert_kept, flood, history};
use crate::support::programs::{Run, run};
use crate::support::server::{CHAPPE, FAST, TestServer, command};
use crate::support::until;

/// How often each command is killed.
const KILLS: u32 = 12;

pub(crate) fn chappe(arguments: &[&str]) -> Command {
    let mut command = command(&[CHAPPE.to_owned()], &[]);
    command.args(arguments);
    command
}

pub(crate) fn path(path: &Path) -> &str {
    path.to_str().expect("a path is text")
}

/// A server with messages of two users, on a place for what is made of it.
struct World {
    server: TestServer,
    place: tempfile::TempDir,
}

impl World {
    /// With about so many messages, in commits of their own size.
    fn with_messages(count: u64) -> (Self, Vec<Written>) {
        let server = TestServer::for_floods();
        let written = vec![write(&server, 1, "before", count)];
        (Self { server, place: tempfile::tempdir().unwrap() }, written)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn names(&self) -> HashSet<String> {
        let names = fs::read_dir(self.place.path()).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn backup(&self, to: &str) -> Command {
        chappe(&["backup", path(&self.path(to)), "--data", path(self.server.data())])
    }

    fn restore(&self, from: &str, data: &str) -> Command {
        chappe(&["restore", path(&self.path(from)), "--data", path(&self.path(data))])
    }

    fn export(&self, to: &str) -> Command {
        chappe(&["export", path(&self.path(to)), "--data", path(self.server.data())])
    }

    fn import(&self, from: &str, data: &str) -> Command {
        chappe(&["import", path(&self.path(from)), "--data", path(&self.path(data))])
    }

    /// What a folder holds, as lines.
    fn lines_of(&self, data: &str) -> String {
        run(chappe(&["export", "--data", path(&self.path(data))]).stderr(Stdio::inherit())).fine().stdout
    }
}

fn write(server: &TestServer, user: u64, name: &str, count: u64) -> Written {
    flood(Client::hello(server, Door::TcpBinary, user), 1, name, 128, count, &AtomicU64::new(0))
}

/// Runs a program and kills it after so long; whether it had ended by itself before.
fn killed_after(command: &mut Command, time: Duration) -> bool {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(time);
    let ended = child.try_wait().unwrap();
    let _ = child.kill();
    child.wait().unwrap();
    assert!(ended.is_none_or(|status| status.success()), "it failed by itself: {ended:?}");
    ended.is_some()
}

/// Kills a program again and again, at moments between its start and its end. `after` looks at what each left, runs it
/// again where there is something to mend, and says whether it was killed in the middle: at least one was.
fn kill_again_and_again(name: &str, mut start: impl FnMut() -> Command, mut after: impl FnMut(bool) -> bool) {
    let seed = std::env::var("CHAPPE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand);
    let mut dice = Dice::new(seed);
    let mut whole = start();
    let began = Instant::now();
    run(&mut whole).fine();
    let takes = u64::try_from(began.elapsed().as_micros()).unwrap();
    after(true);
    let (mut times, mut killed, mut in_the_middle) = (0, 0, 0);
    while times < KILLS || (in_the_middle == 0 && times < 10 * KILLS) {
        let ended = killed_after(&mut start(), Duration::from_micros(dice.below(takes)));
        times += 1;
        killed += u32::from(!ended);
        in_the_middle += u32::from(after(ended));
    }
    println!("{name}: {killed} of {times} killed, {in_the_middle} in the middle, CHAPPE_SEED={seed}");
    assert!(in_the_middle > 0, "{name} was never killed in the middle");
}

fn rand() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(now.as_nanos() & u128::from(u64::MAX)).unwrap()
}

#[test]
fn a_backup_under_load_has_everything_acknowledged_before_it_began() {
    let (world, mut before) = World::with_messages(3000);
    let acks = AtomicU64::new(0);
    let meanwhile = std::thread::scope(|scope| {
        let client = Client::hello(&world.server, Door::TcpJson, 2);
        let writing = scope.spawn(|| flood(client, 1, "meanwhile", 64, 4000, &acks));
        until("the flood", || (acks.load(Ordering::Relaxed) > 100).then_some(()));
        let told = run(&mut world.backup("backup")).fine();
        assert!(told.stdout.contains(": whole, ") && told.stdout.contains(" records of log "), "{told:?}");
        // None of those under way was kept waiting for the backup's sake: they go on, and are all acknowledged.
        writing.join().unwrap()
    });
    assert_eq!(meanwhile.acked.len(), 4000);
    let restored = run(&mut world.restore("backup", "restored")).fine();
    let server = TestServer::launched(vec![CHAPPE.to_owned()], &world.path("restored"), None, &FAST);
    let messages = history(&server, 1, 1);
    before.retain(|written| written.acked.len() == 3000);
    assert_kept(&messages, &before);
    // Of what was written meanwhile there is a beginning, under the numbers that it had.
    for message in &messages {
        let name = message["client_id"].as_str().unwrap();
        if let Some(place) = meanwhile.acked.get(name) {
            assert_eq!((message["id"].as_u64().unwrap(), message["seq"].as_u64().unwrap()), *place, "{restored:?}");
        }
    }
    // Clients see another log, and start afresh.
    let epoch = |server: &TestServer| Client::connect(server, Door::TcpJson).greet(1)["epoch"].as_u64().unwrap();
    assert!(epoch(&server) > epoch(&world.server));
    let mut server = server;
    assert!(TestServer::verify_stopped(&mut server).contains("agree with the log"));
}

#[test]
fn a_backup_that_is_killed_leaves_the_earlier_one_or_the_new_one_and_the_next_tidies_up() {
    let (world, _) = World::with_messages(20_000);
    let check = || {
        let told = run(&mut chappe(&["backup", "--check", path(&world.path("backup"))])).fine().stdout;
        told.split(" whole, ").nth(1).unwrap().split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let mut records = 0;
    kill_again_and_again(
        "backup",
        || {
            write(&world.server, 3, &format!("more{}", rand()), 10);
            world.backup("backup")
        },
        |ended| {
            let found = check();
            assert!(if ended { found > records } else { found >= records }, "{found} records after {records}");
            records = found;
            world.names().len() > 1
        },
    );
    write(&world.server, 3, "last", 10);
    run(&mut world.backup("backup")).fine();
    assert_eq!(world.names(), HashSet::from(["backup".to_owned()]));
    assert!(check() > records);
}

#[test]
fn a_restore_that_is_killed_is_no_server_s_folder_and_is_run_again() {
    let (world, written) = World::with_messages(20_000);
    run(&mut world.backup("backup")).fine();
    let whole = run(chappe(&["export", "--data", path(world.server.data())]).stderr(Stdio::inherit())).fine().stdout;
    let restored = world.path("restored");
    kill_again_and_again(
        "restore",
        || world.restore("backup", "restored"),
        |ended| {
            let in_the_middle = restored.join("unfinished").exists();
            if in_the_middle {
                assert!(!ended);
                let refused = TestServer::fails_to_start(&restored);
                assert_eq!(refused.code, Some(8), "{refused:?}");
                assert!(refused.stderr.contains("holds an unfinished restore: run that again"), "{refused:?}");
                run(&mut world.restore("backup", "restored")).fine();
            }
            // Killed before it began, or after its end: nothing, or all of it.
            if fs::read_dir(&restored).is_ok_and(|mut files| files.any(|file| file.unwrap().file_name() != "lock")) {
                assert!(world.lines_of("restored") == whole, "something else was restored");
                fs::remove_dir_all(&restored).unwrap();
            }
            in_the_middle
        },
    );
    run(&mut world.restore("backup", "restored")).fine();
    let again = run(&mut world.restore("backup", "restored"));
    assert_eq!(again.code, Some(10), "{again:?}");
    let server = TestServer::in_folder(&restored);
    assert_kept(&history(&server, 1, 1), &written);
}

#[test]
fn an_export_and_an_import_that_are_killed_go_on_and_come_to_the_same() {
    let (mut world, written) = World::with_messages(20_000);
    let whole = run(chappe(&["export", "--data", path(world.server.data())]).stderr(Stdio::inherit())).fine().stdout;
    kill_again_and_again(
        "export",
        || world.export("lines"),
        |_| {
            let left = fs::read_to_string(world.path("lines")).unwrap_or_default();
            run(&mut world.export("lines")).fine();
            assert!(fs::read_to_string(world.path("lines")).unwrap() == whole, "another export");
            fs::remove_file(world.path("lines")).unwrap();
            !left.is_empty() && left.len() < whole.len()
        },
    );
    run(&mut world.export("lines")).fine();
    let lines = fs::read_to_string(world.path("lines")).unwrap();
    world.server.stop();

    let imported = world.path("imported");
    kill_again_and_again(
        "import",
        || world.import("lines", "imported"),
        |ended| {
            let mut went_on = false;
            if imported.join("unfinished").exists() {
                assert!(!ended);
                let refused = TestServer::fails_to_start(&imported);
                assert_eq!(refused.code, Some(8), "{refused:?}");
                let told = run(&mut world.import("lines", "imported")).fine();
                went_on = told.stdout.contains("by an import that was cut off");
            }
            if imported.join("log.db").exists() {
                assert!(world.lines_of("imported") == lines, "export(import(x)) is not x");
                fs::remove_dir_all(&imported).unwrap();
            }
            went_on
        },
    );
    run(&mut world.import("lines", "imported")).fine();
    let mut server = TestServer::in_folder(&imported);
    assert_kept(&history(&server, 1, 1), &written);
    assert!(TestServer::verify_stopped(&mut server).contains("agree with the log"));
}

#[test]
fn what_is_damaged_is_refused_with_a_code_and_a_place() {
    let (world, _) = World::with_messages(200);
    run(&mut world.backup("backup")).fine();
    let whole = fs::read(world.path("backup")).unwrap();
    let mut dice = Dice::new(7);
    for _ in 0..12 {
        let mut damaged = whole.clone();
        let at = usize::try_from(dice.below(whole.len() as u64)).unwrap();
        damaged[at] ^= 1 << dice.below(8);
        fs::write(world.path("damaged"), damaged).unwrap();
        let refused = run(&mut world.restore("damaged", "restored"));
        assert_eq!(refused.code, Some(9), "byte {at}: {refused:?}");
    }
    let mut old = whole.clone();
    old[14] = 0;
    fs::write(world.path("old"), old).unwrap();
    let refused = run(&mut world.restore("old", "restored"));
    assert_eq!(refused.code, Some(9));
    assert!(refused.stderr.contains("is a backup of layout 0, and this version of chappe reads 1"), "{refused:?}");
    assert!(!world.path("restored").exists());

    run(&mut world.export("lines")).fine();
    let lines = fs::read_to_string(world.path("lines")).unwrap();
    let without_one: String =
        lines.split_inclusive('\n').enumerate().filter(|(nth, _)| *nth != 5).map(|(_, line)| line).collect();
    fs::write(world.path("bad"), without_one).unwrap();
    let refused = run(&mut world.import("bad", "imported"));
    assert_eq!(refused.code, Some(9));
    assert!(refused.stderr.contains("bad:6: out_of_order: position 5 was expected, and 6 came"), "{refused:?}");
    let went_on = run(&mut world.import("lines", "imported")).fine();
    assert!(went_on.stdout.contains(", 4 of them by an import that was cut off"), "{went_on:?}");
}

#[test]
fn a_stopped_server_s_folder_is_backed_up_and_exported_and_left_as_it_was() {
    let (mut world, _) = World::with_messages(50);
    assert_eq!(world.server.stop(), Some(0));
    run(&mut world.backup("backup")).fine();
    run(&mut world.export("lines")).fine();
    run(&mut world.restore("backup", "restored")).fine();
    assert!(world.lines_of("restored") == fs::read_to_string(world.path("lines")).unwrap());
    world.server.restart();
    world.server.caught_up();
    let nothing = run(&mut chappe(&["backup", path(&world.path("b")), "--data", path(&world.path("nowhere"))]));
    assert_eq!(nothing.code, Some(3), "{nothing:?}");
    assert!(nothing.stderr.contains("there is no log in"), "{nothing:?}");
}

pub(crate) fn doctor(arguments: &[&str]) -> (Run, Value) {
    let run = run(&mut chappe(&[&["doctor", "--json"], arguments].concat()));
    let report = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"));
    (run, report)
}

/// How a check went, and what it says.
pub(crate) fn check<'a>(report: &'a Value, name: &str) -> (&'a str, &'a str) {
    let checks = report["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["name"] == name);
    let found = found.unwrap_or_else(|| panic!("{name} is not among {report}"));
    (found["result"].as_str().unwrap(), found["what"].as_str().unwrap())
}

#[test]
fn the_doctor_sees_a_server_at_work_and_what_stands_in_the_way_of_another() {
    let (mut world, _) = World::with_messages(50);
    world.server.caught_up();
    let data = path(world.server.data()).to_owned();
    let at = [world.server.http, world.server.tcp, world.server.udp].map(|address| address.to_string());
    let doors = ["--http", &at[0], "--tcp", &at[1], "--udp", &at[2]];
    let (told, report) = doctor(&[&["--data", &data, "--deep"][..], &doors].concat());
    assert_eq!((told.code, report["ok"].as_bool()), (Some(0), Some(true)), "{report}");
    let by = format!("(process {})", world.server.pid());
    for name in ["http", "tcp", "udp", "in use"] {
        let (result, what) = check(&report, name);
        assert!(result == "ok" && what.contains(&by), "{name}: {what}");
    }
    assert!(check(&report, "every record").1.contains("are whole"), "{report}");
    // The same ports for another folder are somebody else's.
    let (told, report) = doctor(&[&["--data", path(&world.path("other"))][..], &doors].concat());
    assert_eq!(told.code, Some(1), "{report}");
    let (result, what) = check(&report, "http");
    assert!(result == "fail" && what.contains("chappe") && what.contains(&by), "{what}");
    assert!(!world.path("other").exists(), "it makes nothing");

    world.server.kill();
    let (told, report) = doctor(&["--data", &data, "--deep", "--http", "127.0.0.1:0", "--tcp", "off", "--udp", "off"]);
    assert_eq!(told.code, Some(0), "{report}");
    assert!(check(&report, "every record").1.contains("the query tables agree"), "{report}");
    // All of the tables in their file.
    world.server.restart();
    assert_eq!(world.server.stop(), Some(0));
    let query = Path::new(&data).join("query.db");
    let mut bytes = fs::read(&query).unwrap();
    let length = bytes.len();
    bytes[4096..length].fill(0x55);
    fs::write(&query, bytes).unwrap();
    let (told, report) = doctor(&["--data", &data]);
    assert_eq!((told.code, check(&report, "query tables").0), (Some(1), "fail"), "{report}");
}

#[test]
fn the_doctor_says_what_is_wrong_with_the_settings_and_the_certificate() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("chappe.toml");
    fs::write(&file, "htpp = \"127.0.0.1:1\"\n").unwrap();
    let (told, report) = doctor(&["--config", path(&file)]);
    let (result, what) = check(&report, "settings");
    assert_eq!((told.code, result), (Some(1), "fail"), "{report}");
    assert!(what.contains("did you mean `http`?"), "{what}");
    let cert = place.path().join("cert.pem");
    fs::write(&cert, "no certificate").unwrap();
    let text = format!(
        "http = \"127.0.0.1:0\"\ntcp = \"off\"\nudp = \"off\"\n[tls]\ncert_file = {cert:?}\nkey_file = {cert:?}\n"
    );
    fs::write(&file, text).unwrap();
    let (told, report) = doctor(&["--config", path(&file), "--data", path(&place.path().join("data"))]);
    let (result, what) = check(&report, "certificate");
    assert_eq!((told.code, result), (Some(1), "fail"), "{report}");
    assert!(what.contains("there is no certificate in it"), "{what}");
    // And in words.
    let words = run(&mut chappe(&["doctor", "--config", path(&file), "--data", path(&place.path().join("data"))]));
    assert!(words.stdout.contains("fail  certificate    ") && words.stdout.contains(" fail\n"), "{words:?}");
}
