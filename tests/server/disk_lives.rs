//! Servers on a recorded disk: what they live through, for [`crate::disk_states`] to cut anywhere.

use std::time::Instant;

use crate::support::client::{Client, Door, Next, named_message};
use crate::support::faults::{FaultyDisk, Whose};
use crate::support::http::Http;
use crate::support::record::{Entry, Marks, Record};
use crate::support::server::{FAST, TestServer};
use crate::support::{LONGEST, PATIENCE, until};

/// A client that keeps messages under way, and marks in the record what it sends and what is acknowledged.
struct Writer {
    client: Client,
    name: String,
    sent: u64,
    marks: Marks,
    unanswered: Vec<(String, usize)>,
}

impl Writer {
    fn to(server: &TestServer, disk: &FaultyDisk, door: Door, name: &str) -> Self {
        let user = 1 + Door::ALL.iter().position(|known| *known == door).unwrap() as u64;
        let (client, marks) = (Client::hello(server, door, user), Marks::open(&disk.record()));
        Self { client, name: name.to_owned(), sent: 0, marks, unanswered: Vec::new() }
    }

    /// Writes so many messages of about `size` bytes, `window` at a time; `false` if the connection ended before.
    fn write(&mut self, count: u64, size: usize, window: usize) -> bool {
        let (end, began) = (self.sent + count, Instant::now());
        loop {
            assert!(began.elapsed() < LONGEST, "nobody ended the writing");
            while self.sent < end && self.unanswered.len() < window {
                let client_id = format!("{}-{:?}-{}", self.name, self.client.door, self.sent);
                self.sent += 1;
                self.send(client_id, size);
            }
            if self.unanswered.is_empty() {
                return true;
            }
            if !self.take_ack() {
                return false;
            }
        }
    }

    fn send(&mut self, client_id: String, size: usize) {
        self.marks.sent(&client_id);
        let _ = self.client.try_send(&named_message(1, &content(&client_id, size), &client_id));
        self.unanswered.push((client_id, size));
    }

    /// Waits for an ack; `false` if the connection ends.
    fn take_ack(&mut self) -> bool {
        loop {
            match self.client.next_within(PATIENCE) {
                Next::Packet(ack) if ack["packet_type"] == "Ack" => {
                    assert_eq!(ack["success"], true, "{ack}");
                    let (client_id, _) = self.unanswered.remove(0);
                    assert_eq!(ack["client_id"], client_id.as_str());
                    self.marks.acked(&client_id, ack["message_id"].as_u64().unwrap(), ack["seq"].as_u64().unwrap());
                    return true;
                }
                Next::Packet(_) => {}
                Next::End(_) => return false,
                Next::Silence => panic!("waited {PATIENCE:?} for an ack"),
            }
        }
    }

    /// Sends what was not answered again, as a client does that was cut off.
    fn again(&mut self, server: &TestServer, disk: &FaultyDisk) {
        let mut next = Self::to(server, disk, self.client.door, &self.name);
        for (client_id, size) in self.unanswered.drain(..) {
            next.send(client_id, size);
            assert!(next.take_ack(), "the server runs");
        }
        next.sent = self.sent;
        *self = next;
    }
}

/// What a message of this name and about this size says.
pub(crate) fn content(client_id: &str, size: usize) -> String {
    client_id.repeat(size.div_ceil(client_id.len()))
}

/// From a folder that is not there, over a clean stop, to another.
pub(crate) fn with_clean_stops(disk: &FaultyDisk) {
    let mut server = disk.server(&FAST);
    for start in 0..3 {
        std::thread::scope(|scope| {
            for (door, window, size) in [(Door::TcpJson, 1, 100), (Door::WsBinary, 8, 900), (Door::TcpBinary, 1, 5000)]
            {
                let mut writer = Writer::to(&server, disk, door, &format!("clean{start}"));
                scope.spawn(move || assert!(writer.write(60, size, window)));
            }
        });
        let posted = Http::to(&server).get("/api/chats/1/messages?limit=1&user_id=1").expect(200);
        assert_eq!(posted["messages"].as_array().unwrap().len(), 1);
        assert_eq!(server.stop(), Some(0), "{}", server.log());
        if start < 2 {
            server.restart();
        }
    }
}

/// Killed between the write and the flush of a commit; and in between the flush fails. What was not answered is
/// sent again each time: the answer must be worth as much.
pub(crate) fn with_kills_and_failed_flushes(disk: &FaultyDisk) {
    let mut server = disk.server(&FAST);
    for round in 0..6 {
        let mut writers: Vec<_> = [Door::TcpJson, Door::WsText]
            .into_iter()
            .map(|door| Writer::to(&server, disk, door, &format!("killed{round}")))
            .collect();
        std::thread::scope(|scope| {
            for writer in &mut writers {
                scope.spawn(move || writer.write(u64::MAX / 2, 300, 4));
            }
            if round % 2 == 0 {
                disk.kill_at_flush(Whose::Log, 20);
            } else {
                let written = || std::fs::metadata(disk.record()).unwrap().len();
                let begun = written();
                until("some writes", || (written() > begun + 500_000).then_some(()));
                disk.fail_flushes(Whose::Log);
            }
        });
        assert_eq!(server.ended(), None, "it was killed, or ended itself");
        disk.mend();
        server.restart();
        for writer in &mut writers {
            writer.again(&server, disk);
            assert!(writer.write(5, 100, 1));
        }
    }
    assert_eq!(server.stop(), Some(0), "{}", server.log());
}

/// Sessions end, and the server is killed between the write of that and its flush, or the flush fails. Whoever shows the
/// token afterwards is refused: that has to be worth as much as an answer.
pub(crate) fn in_which_sessions_end(disk: &FaultyDisk) {
    const SESSION: &str = "/api/sessions/current";
    let mut server = disk.server(&[("CHAPPE_AUTH_MODE", "token")]);
    let marks = Marks::open(&disk.record());
    for round in 0..8 {
        for _ in 0..3 {
            server.as_user(&server.token(1), "DELETE", SESSION, None).expect(204);
            marks.ended();
        }
        let token = server.token(1);
        if round % 2 == 0 {
            disk.kill_at_flush(Whose::Accounts, 1);
            let end =
                format!("DELETE {SESSION} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\r\n", server.http);
            let mut http = Http::to(&server);
            http.raw(end.as_bytes());
            assert_eq!(server.ended(), None, "it was killed");
        } else {
            disk.fail_flushes(Whose::Accounts);
            server.as_user(&token, "DELETE", SESSION, None).expect(503);
            server.kill();
        }
        disk.mend();
        server.restart();
        server.as_user(&token, "GET", SESSION, None).expect(401);
        marks.ended();
    }
    assert_eq!(server.stop(), Some(0), "{}", server.log());
}

/// Writes until the write-ahead file is taken over and begins anew, and goes on over what it held.
pub(crate) fn in_which_the_write_ahead_file_begins_anew(disk: &FaultyDisk) {
    let mut server = disk.server(&FAST);
    let mut writer = Writer::to(&server, disk, Door::TcpBinary, "wrapped");
    let mut written = 0;
    while times_begun_anew(&Record::read(&disk.record())) < 2 {
        assert!(writer.write(100, 15_000, 16));
        written += 100;
        assert!(written < 4000, "the write-ahead file does not begin anew");
    }
    assert!(writer.write(60, 200, 1));
    assert_eq!(server.stop(), Some(0), "{}", server.log());
}

/// How often the head of the log's write-ahead file was written.
fn times_begun_anew(record: &Record) -> usize {
    let mut inode = 0;
    let mut times = 0;
    for entry in &record.entries {
        match entry {
            Entry::Create { path, inode: of } if path.ends_with("log.db-wal") => inode = *of,
            Entry::Write { inode: of, at: 0, .. } if *of == inode => times += 1,
            _ => {}
        }
    }
    times
}
