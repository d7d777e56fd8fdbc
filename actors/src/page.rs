//! How much one page may carry, whether it comes from memory or from the disk.

use chappe_proto::event::Event;
use chappe_proto::message::Message;
use chappe_proto::packet::Chats;

/// A page's contents stay below this, in bytes; what is beyond is left for the next page.
pub const PAGE_BYTES: usize = 256 * 1024;

/// How many of `sizes` fit into a page; at least one, where there is one.
pub fn fitting(sizes: impl Iterator<Item = usize>) -> usize {
    let mut sum = 0usize;
    let mut count = 0;
    for size in sizes {
        sum = sum.saturating_add(size);
        if count > 0 && sum > PAGE_BYTES {
            break;
        }
        count += 1;
    }
    count
}

/// Leaves of `chats` what fits into a page.
pub fn fit(chats: &mut Chats) {
    let size = |message: &std::sync::Arc<Message>| message.content.len();
    let count = fitting(chats.chats.iter().map(|chat| chat.last_message.as_ref().map_or(0, size)));
    chats.has_more |= count < chats.chats.len();
    chats.chats.truncate(count);
}

/// The text an event carries, in bytes.
pub fn text_bytes(event: &Event) -> usize {
    match event {
        Event::Message(message) => message.content.len(),
        Event::MessageEdited(edited) => edited.content.len(),
        Event::ChatCreated(created) => created.members.len() * 8,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_at_least_one_and_stays_below_its_bytes() {
        assert_eq!(fitting([].into_iter()), 0);
        assert_eq!(fitting([PAGE_BYTES * 2, 1].into_iter()), 1);
        assert_eq!(fitting([PAGE_BYTES / 2; 5].into_iter()), 2);
    }
}
