//! Nothing allocates more than the limits allow, whatever the bytes claim.
//!
//! Measured from outside the allocator: by how much the address space of a process has ever grown, in a process of its
//! own, where nothing else allocates. Memory that was claimed and never touched counts too.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic, and so may what it calls")]

use std::process::Command;

use chappe_proto::compression::Expander;
use chappe_proto::frame::{self, FLAG_JSON, FLAG_ZSTD};
use chappe_proto::stream::{Piece, Splitter};
use chappe_proto::{datagram, json};

const LIMIT: usize = 64 * 1024;
/// What may be claimed at once: a frame that waits for its end, grown by doubling, and what is read from it. A list of
/// ids in JSON takes eight bytes for every two of text, and doubles as well.
const ALLOWED_KIB: u64 = 2048;
/// One arena, on the main thread: else the allocator reserves 64 MiB for each thread, and hides what is looked for.
const ARENAS: (&str, &str) = ("MALLOC_ARENA_MAX", "1");

#[test]
fn no_bytes_make_the_crate_claim_more_memory_than_the_limits_allow() {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "attack", "--ignored", "--test-threads=1", "--nocapture"])
        .env(ARENAS.0, ARENAS.1)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{said}");
    assert!(said.contains("1 passed") && said.contains("the gauge works"), "{said}");
    println!("{said}");
}

/// A line of `/proc/self/status`, in KiB.
fn status_kib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}

#[test]
#[ignore = "runs in a process of its own, which the other test starts"]
fn attack() {
    if std::env::var(ARENAS.0).as_deref() != Ok(ARENAS.1) {
        return;
    }
    let before = status_kib("VmSize:");
    assert!(status_kib("VmPeak:") - before < 256, "an earlier peak would hide a new one");
    let grown = || status_kib("VmPeak:") - before;
    for (name, attack) in ATTACKS {
        attack();
        assert!(grown() <= ALLOWED_KIB, "{name}: {} KiB were claimed", grown());
    }
    println!("{} KiB were claimed", grown());
    drop(std::hint::black_box(vec![0u8; 8 << 20]));
    assert!(grown() >= 8 << 10, "8 MiB were claimed, and {} KiB seen", grown());
    println!("the gauge works");
}

const ATTACKS: [(&str, fn()); 6] = [
    ("JSON without an end", json_without_an_end),
    ("binary frames that claim too much", binary_frames_that_claim_too_much),
    ("bodies that claim too much", bodies_that_claim_too_much),
    ("JSON bodies", json_bodies),
    ("datagrams", datagrams),
    ("frames that expand to more", frames_that_expand_to_more),
];

/// Sends `first`, then `again` until 4 MiB have gone by, in pieces as a socket would bring them.
fn stream(first: &[u8], again: &[u8]) {
    let mut splitter = Splitter::new(LIMIT);
    let mut sent = 0;
    let mut chunk = first;
    while sent < 4 << 20 {
        let mut input = chunk;
        while let Ok(Some(piece)) = splitter.next(&mut input) {
            match piece {
                Piece::Json(text) => drop(json::decode(text)),
                Piece::Binary(body) => drop(frame::decode(body)),
                Piece::Skipped(_) => {}
            }
        }
        sent += chunk.len();
        chunk = again;
    }
}

fn json_without_an_end() {
    stream(b"{\"x\":\"", &[b'y'; 4096]);
    stream(b"{\"x\":[", &b"1,".repeat(2048));
    stream(b"{\"x\":", &[b'['; 4096]);
    stream(b"{", &[b' '; 4096]);
    stream(b"{}", &[b'x'; 4096]);
}

fn binary_frames_that_claim_too_much() {
    stream(&[0, 0xff, 0xff, 0xff], &[0; 4096]);
    stream(&[0, 0, 0xff, 0xff], &[0; 4096]);
    stream(&[0, 1, 0, 0], &[7; 4096]);
    stream(&[0, 1, 0, 1], &[0; 4096]);
}

/// Bodies with a length that lies at every place, for every packet: a string of `0x01` bytes is every option, and the
/// length goes where a string or a list may begin.
fn bodies_that_claim_too_much() {
    for size in [64, 300, 5000, LIMIT] {
        for tag in 0..15u8 {
            for at in [6, 7, 10, 14, 15, 18, 22, 23, 31, 32] {
                for claimed in [1 << 15, 1 << 21, (16 << 20) - 100, 1 << 40, u64::MAX] {
                    let mut body = vec![1; size];
                    body[..6].copy_from_slice(&[0, 0, tag, 0, 0, 0]);
                    body[6..at].iter_mut().step_by(8).skip(1).for_each(|byte| *byte = 0);
                    body[at..at + 8].copy_from_slice(&u64::to_le_bytes(claimed));
                    drop(frame::decode(&body));
                }
            }
        }
    }
}

fn json_bodies() {
    let ids = format!("{{\"packet_type\":\"Subscribe\",\"chat_ids\":[{}1]}}", "1,".repeat(LIMIT / 2 - 30));
    let content =
        format!("{{\"packet_type\":\"EditMessage\",\"message_id\":1,\"content\":\"{}", "\\n".repeat(LIMIT / 2 - 40));
    let deep = format!("{{\"packet_type\":\"Ping\",\"x\":{}", "[".repeat(LIMIT - 40));
    for text in [ids, content.clone(), content + "\"}", deep] {
        assert!(text.len() <= LIMIT);
        drop(json::decode(text.as_bytes()));
        drop(frame::decode(&[&[FLAG_JSON], text.as_bytes()].concat()));
    }
}

fn datagrams() {
    let mut status = vec![0, 0, 12, 0, 0, 0, 0];
    status.extend_from_slice(&u64::to_le_bytes(15 << 20));
    drop(datagram::decode(&status));
    drop(datagram::decode(&[b'{'; 65_507]));
}

/// Bombs of 128 MiB of zeros: one that says so, one that says more, one that says less, and one that says nothing and
/// asks for the widest window.
fn frames_that_expand_to_more() {
    let mut expander = Expander::default();
    // RFC 8878: magic number, descriptor, window or size; then blocks of 128 KiB of one byte, four bytes each.
    let block = [0x02, 0, 0x10, 0];
    let last = [0x03, 0, 0x10, 0];
    let single_segment = |size: u64| [&[0x28, 0xb5, 0x2f, 0xfd, 0xe0][..], &size.to_le_bytes()].concat();
    let widest_window = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff].to_vec();
    for head in [single_segment(128 << 20), single_segment(1 << 50), single_segment(LIMIT as u64 - 1), widest_window] {
        for flags in [FLAG_ZSTD, FLAG_ZSTD | FLAG_JSON] {
            let body = [&[flags], &head[..], &block.repeat(1023), &last].concat();
            let refused = frame::decode_expanding(&body, &mut expander, LIMIT).unwrap_err().reject;
            assert!(["too_large", "malformed"].contains(&refused.code.as_str()), "{refused}");
        }
    }
}
