//! The bytes of records: what they are, and that every change to them is found.

use chappe_proto::signature::Bytes;

use super::*;

fn entry() -> Entry {
    let chat = ChatId::parse(7).unwrap();
    let sender = UserId::parse(1).unwrap();
    let fact = Fact::MessagePosted {
        sender,
        content: "hello".into(),
        message_type: MessageType::Text,
        client_id: ClientId::parse("a").ok(),
        reply_to: None,
    };
    Entry { at: Millis(5), numbered: Some((chat, Seq(9))), fact }
}

#[test]
fn a_record_reads_as_it_was_written() {
    let mut bytes = Vec::new();
    encode_into(Position(3), &entry(), &mut Vec::new(), &mut bytes).unwrap();
    let mut rest = bytes.as_slice();
    assert_eq!(decode_from(Position(3), &mut rest), Ok(Record { position: Position(3), entry: entry() }));
    assert!(rest.is_empty());
}

#[test]
fn every_flipped_bit_and_every_cut_is_found() {
    let mut bytes = Vec::new();
    encode_into(Position(3), &entry(), &mut Vec::new(), &mut bytes).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(decode_from(Position(3), &mut bad.as_slice()).is_err(), "bit {bit}");
    }
    for cut in 0..bytes.len() {
        assert_eq!(decode_from(Position(3), &mut &bytes[..cut]), Err(Damage::Short(3)));
    }
    assert_eq!(decode_from(Position(4), &mut bytes.as_slice()), Err(Damage::Checksum(4)), "moved");
}

#[test]
fn what_could_not_be_read_again_is_not_written() {
    let posted = |length: usize| {
        let fact = Fact::MessagePosted {
            sender: UserId::parse(1).unwrap(),
            content: "x".repeat(length).into(),
            message_type: MessageType::Text,
            client_id: None,
            reply_to: None,
        };
        Entry { fact, ..entry() }
    };
    // Many small numbers take far more room in memory than on the disk.
    let made = |members: usize| {
        let members = vec![UserId::parse(1).unwrap(); members];
        let fact = Fact::ChatCreated { title: "t".into(), kind: ChatKind::Group, by: None, members };
        Entry { fact, ..entry() }
    };
    let largest = format::MAX_BODY_BYTES;
    for (entry, is_kept) in [
        (posted(largest - 1024), true),
        (posted(largest), false),
        (posted(20_000_000), false),
        (made(largest / 8 - 100), true),
        (made(largest / 8), false),
    ] {
        let mut bytes = Vec::new();
        let written = encode_into(Position(3), &entry, &mut Vec::new(), &mut bytes);
        assert_eq!(written.is_ok(), is_kept, "{written:?}");
        if is_kept {
            assert!(decode_from(Position(3), &mut bytes.as_slice()).is_ok_and(|record| record.entry == entry));
        } else {
            assert!(bytes.is_empty());
        }
    }
}

/// A log that was written before reads as it did.
#[test]
fn facts_keep_their_numbers_and_their_bytes() {
    let bytes = |fact: &Fact| {
        let mut bytes = Vec::new();
        format::encode_compact_into(fact, &mut bytes);
        bytes
    };
    let user = UserId::parse(7).unwrap();
    assert_eq!(bytes(&Fact::MemberLeft { user }), [4, 7]);
    let posted = bytes(&entry().fact);
    assert_eq!(posted, [5, 1, 5, b'h', b'e', b'l', b'l', b'o', 0, 1, 1, b'a', 0]);
    let chat = ChatId::parse(1).unwrap();
    assert_eq!(bytes(&Fact::ReadMarked { chat, user, seq: Seq(1), count: 300 }), [9, 1, 7, 1, 251, 44, 1]);
    let key = PublicKey::parse(&"A".repeat(43));
    assert_eq!(bytes(&Fact::KeyRegistered { user, key })[0], 11);
    assert_eq!(bytes(&Fact::MessageErased { sender: user }), [12, 7]);
    assert_eq!(bytes(&Fact::Trimmed { chat, up_to: Seq(9), messages: 3 }), [13, 1, 9, 3]);
    assert_eq!(bytes(&Fact::UserErased { user }), [14, 7]);
}

#[test]
fn what_a_record_is_about_is_told_without_reading_all_of_it() {
    let (message, message_seq, by) = (MessageId::parse(2).unwrap(), Seq(2), UserId::parse(1).unwrap());
    let signature = Box::new(Signature { key: Bytes([1; 32]), value: Bytes([2; 64]) });
    let Fact::MessagePosted { sender, content, message_type, client_id, reply_to } = entry().fact else {
        panic!("the entry posts")
    };
    let signed = Fact::SignedMessagePosted { sender, content, message_type, client_id, reply_to, signature };
    for (fact, kind) in [
        (entry().fact, Kind::Post),
        (signed, Kind::Post),
        (Fact::MessageEdited { message, message_seq, content: "b".into(), by }, Kind::Change),
        (Fact::MessageDeleted { message, message_seq, by }, Kind::Change),
        (Fact::Reacted { message, message_seq, user: by, emoji: "x".into(), removed: false }, Kind::Other),
        (Fact::MemberLeft { user: by }, Kind::Other),
        (Fact::MessageErased { sender: by }, Kind::Post),
        (Fact::Trimmed { chat: ChatId::parse(1).unwrap(), up_to: Seq(1), messages: 1 }, Kind::Limit),
        (Fact::UserErased { user: by }, Kind::Limit),
        (Fact::ChatUpdated { title: "t".into(), deleted: false, by: None }, Kind::Other),
    ] {
        let entry = Entry { fact, ..entry() };
        let mut body = Vec::new();
        format::encode_compact_into(&entry, &mut body);
        let (head, fact) = open(Position(3), &body).unwrap();
        assert_eq!(head, Head { at: entry.at, numbered: entry.numbered });
        assert_eq!((format::decode_compact(fact).as_ref().ok(), Kind::of(fact)), (Some(&entry.fact), kind));
    }
}
