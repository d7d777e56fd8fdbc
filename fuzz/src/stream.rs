//! A TCP connection's bytes: the same packets however they come, no more kept than allowed, and what was accepted can be
//! said again.

use chappe_proto::Code;
use chappe_proto::compression::Expander;
use chappe_proto::stream::{Broken, Piece, Splitter};
use chappe_proto::{frame, json};

use crate::bodies::is_read_well;
use crate::corpus;
use crate::throws::arrivals;

/// What a server allows unless it is told otherwise.
pub(crate) const LIMIT: usize = 64 * 1024;

/// What was found in the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Json(Vec<u8>),
    Binary(Vec<u8>),
    Skipped(Code),
    Broken(Broken),
}

pub(crate) fn run(bytes: &[u8]) {
    for limit in [7, 40, LIMIT] {
        let [whole, one_by_one, pieces] = arrivals(bytes).map(|chunks| split(limit, &chunks));
        assert_eq!(one_by_one, whole, "one by one, at most {limit}");
        assert_eq!(pieces, whole, "in pieces, at most {limit}");
        for found in whole {
            match found {
                Found::Json(text) => {
                    assert!(text.len() <= limit, "a packet of {} bytes, and {limit} are allowed", text.len());
                    is_read_well(json::decode(&text));
                }
                Found::Binary(body) => {
                    assert!(body.len() <= limit, "a frame of {} bytes, and {limit} are allowed", body.len());
                    is_read_well(frame::decode(&body));
                    is_read_well(frame::decode_expanding(&body, &mut Expander::default(), limit));
                }
                Found::Skipped(code) => assert!(matches!(code, Code::Malformed | Code::TooLarge), "{code}"),
                Found::Broken(_) => {}
            }
        }
    }
}

fn split(limit: usize, chunks: &[&[u8]]) -> Vec<Found> {
    let mut splitter = Splitter::new(limit);
    let mut found = Vec::new();
    for chunk in chunks {
        let mut input = *chunk;
        loop {
            match splitter.next(&mut input) {
                Ok(None) => break,
                Ok(Some(Piece::Json(text))) => found.push(Found::Json(text.to_vec())),
                Ok(Some(Piece::Binary(body))) => found.push(Found::Binary(body.to_vec())),
                Ok(Some(Piece::Skipped(reject))) => found.push(Found::Skipped(reject.code)),
                Err(broken) => {
                    assert_eq!(splitter.next(&mut &b"{}"[..]), Err(broken.clone()), "it stays broken");
                    assert_eq!(splitter.held_bytes(), 0, "of a broken stream nothing is kept");
                    found.push(Found::Broken(broken));
                    return found;
                }
            }
        }
        assert!(input.is_empty(), "all is looked at");
        let held = splitter.held_bytes();
        assert!(held <= 2 * (limit + 4), "{held} bytes are held, and {limit} are allowed");
        assert!(!splitter.is_between() || held == 0, "between two packets {held} bytes are held");
    }
    found
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = corpus::column("streams.json", "input");
    seeds.extend(corpus::column("requests.json", "frame"));
    seeds.extend(corpus::column("requests.json", "json"));
    seeds.extend(corpus::column("refused.json", "input"));
    let glued = |name| corpus::column("requests.json", name).concat();
    seeds.extend([glued("frame"), glued("json")]);
    seeds
}
