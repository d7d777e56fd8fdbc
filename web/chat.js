// Owns what is known of one chat: its summary, the messages loaded so far, reactions, marks. Plain data: no page, no
// network. Events come in order; pages of history may come late and overlap them.

/** How many messages stay when the reader is at the end. */
const KEPT = 200;

export class Chat {
  /** Messages by id. Kept only from the first page on: a chat nobody looks at costs its summary. */
  messages = new Map();
  /** `no`, `loading` or `yes`; whether there is more to load before the oldest. */
  loaded = 'no';
  hasMore = false;
  /** Grows whenever what was loaded is forgotten: a page asked for before that is of no use any more. */
  generation = 0;
  /** The first members: user_id → {user_id, role, read_seq}. `members` is how many there are. */
  people = new Map();
  typing = new Map();
  #reactions = new Map();
  /** The latest edit or deletion of messages not loaded yet: a page built before it may still arrive after it. */
  #late = new Map();
  #countedTo = 0;

  constructor(summary) {
    this.update(summary);
  }

  update(summary) {
    Object.assign(this, summary);
    this.#countedTo = summary.seq;
  }

  forgetMessages() {
    this.generation += 1;
    this.messages.clear();
    this.#reactions.clear();
    this.#late.clear();
    this.loaded = 'no';
  }

  /** Lets go of the oldest messages, so that a page open for days draws no slower than a fresh one. */
  trim() {
    if (this.loaded !== 'yes' || this.messages.size <= 2 * KEPT) return;
    this.generation += 1;
    for (const message of this.list().slice(0, -KEPT)) this.messages.delete(message.id);
    this.hasMore = true;
  }

  /** Messages in order. */
  list() {
    return [...this.messages.values()].sort((a, b) => a.seq - b.seq);
  }

  oldest() {
    return Math.min(...[...this.messages.values()].map((message) => message.seq));
  }

  /** Adds a page of history. What events have brought is newer than any page. */
  insert(page) {
    for (const message of page) {
      if (!this.messages.has(message.id)) this.messages.set(message.id, this.#amended(message));
    }
  }

  /** Applies one numbered event; `me` is the reader's user_id. */
  apply(event, me) {
    this.seq = Math.max(this.seq, event.seq);
    const news = event.seq > this.#countedTo; // not yet in the summary's counts
    switch (event.packet_type) {
      case 'Message': {
        const { message } = event;
        this.typing.delete(message.sender_id);
        if (this.loaded !== 'no') this.messages.set(message.id, message);
        if (message.seq > (this.last_message?.seq ?? 0)) this.last_message = message;
        // Who writes has read what was there; no Read says so.
        this.read({ user_id: message.sender_id, seq: message.seq }, me);
        if (news && message.sender_id !== me && !message.deleted) this.unread += 1;
        break;
      }
      case 'MessageEdited':
      case 'MessageDeleted':
        this.#amend(event);
        break;
      case 'Reaction':
        this.react(event);
        break;
      case 'ChatUpdated':
        this.title = event.title;
        break;
      case 'MemberJoined':
        this.people.set(event.user_id, { user_id: event.user_id, role: event.role, read_seq: 0 });
        if (news) this.members += 1;
        break;
      case 'MemberLeft':
        this.people.delete(event.user_id);
        if (news) this.members -= 1;
        break;
    }
  }

  /** Also for events of the past, in any order: of one reaction the newest word counts. */
  react({ message_id, user_id, emoji, removed = false, seq }) {
    if (!this.#reactions.has(message_id)) this.#reactions.set(message_id, new Map());
    const ofMessage = this.#reactions.get(message_id);
    const key = `${user_id} ${emoji}`;
    if ((ofMessage.get(key)?.seq ?? 0) < seq) ofMessage.set(key, { emoji, user_id, removed, seq });
  }

  /** emoji → the users who gave it. */
  reactions(messageId) {
    const found = new Map();
    for (const { emoji, user_id, removed } of this.#reactions.get(messageId)?.values() ?? []) {
      if (!removed) found.set(emoji, [...(found.get(emoji) ?? []), user_id]);
    }
    return found;
  }

  /** Somebody read up to `seq`. */
  read({ user_id, seq }, me) {
    const member = this.people.get(user_id);
    if (member) member.read_seq = Math.max(member.read_seq, seq);
    if (user_id !== me || seq <= this.read_seq) return;
    this.read_seq = seq;
    const news = this.list().filter((message) => message.seq > seq && message.sender_id !== me && !message.deleted);
    if (seq >= (this.last_message?.seq ?? 0)) this.unread = 0;
    else if (this.loaded === 'yes' && this.oldest() <= seq) this.unread = news.length;
  }

  /** Who else has read `message`. */
  readers(message, me) {
    const read = (member) => member.user_id !== me && member.read_seq >= message.seq;
    return [...this.people.values()].filter(read).map((member) => member.user_id);
  }

  #amend(event) {
    const message = this.messages.get(event.message_id);
    this.#late.set(event.message_id, event);
    if (message) this.messages.set(message.id, this.#amended(message));
    if (this.last_message?.id === event.message_id) this.last_message = this.#amended(this.last_message);
  }

  #amended(message) {
    const event = this.#late.get(message.id);
    if (!event || message.deleted) return message;
    if (event.packet_type === 'MessageDeleted') return { ...message, content: '', deleted: true };
    return { ...message, content: event.content, edited_at: event.edited_at };
  }
}
