//! What holds for the facts of a log, whatever led to them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chappe_proto::{ChatId, Seq, UserId};

use crate::log::record::{Fact, Record};

pub(super) fn events_are_numbered_without_gaps(records: &[Record]) {
    let mut heads: BTreeMap<ChatId, Seq> = BTreeMap::new();
    for (chat, seq) in records.iter().filter_map(|record| record.entry.numbered) {
        let head = heads.entry(chat).or_default();
        assert_eq!(seq, head.next());
        *head = seq;
    }
}

pub(super) fn messages_are_signed_with_the_keys_of_their_time(records: &[Record]) {
    let mut keys = HashMap::new();
    for record in records {
        match &record.entry.fact {
            Fact::KeyRegistered { user, key } => {
                keys.insert(*user, *key);
            }
            Fact::UserErased { user } => {
                keys.remove(user);
            }
            Fact::SignedMessagePosted { sender, signature, .. } => {
                assert_eq!(keys.get(sender).copied().flatten(), Some(signature.key), "{record:?}");
            }
            _ => {}
        }
    }
}

pub(super) fn who_was_erased_is_in_no_chat(records: &[Record]) {
    let mut members: BTreeMap<ChatId, BTreeSet<UserId>> = BTreeMap::new();
    for record in records {
        let chat = record.entry.numbered.map(|(chat, _)| members.entry(chat).or_default());
        match (&record.entry.fact, chat) {
            (Fact::ChatCreated { members, .. }, Some(chat)) => chat.extend(members),
            (Fact::MemberJoined { user, .. }, Some(chat)) => {
                chat.insert(*user);
            }
            (Fact::MemberLeft { user }, Some(chat)) => {
                chat.remove(user);
            }
            (Fact::ChatUpdated { deleted: true, .. }, Some(chat)) => chat.clear(),
            (Fact::UserErased { user }, _) => {
                assert!(members.values().all(|chat| !chat.contains(user)), "{record:?}: {members:?}");
            }
            _ => {}
        }
    }
}
