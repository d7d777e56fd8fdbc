// The protocol client to copy, with connection.js and outbox.js: hands out every chat's events in order, once each,
// across reconnects and restarts of the server, and gets own messages out exactly once. Knows nothing about the page.
//
//   const client = new Client({ url: 'ws://127.0.0.1:8080/ws', userId: 1 });
//   client.on('event', (event) => …);   // Message, MessageEdited, …: numbered, in order, without gaps or repeats
//   client.start();
//   client.post(1, 'Hello');            // kept until acknowledged
//   await client.request({ packet_type: 'GetMessages', chat_id: 1 });

import { Connection } from './connection.js';
import { Outbox } from './outbox.js';

export { Refused } from './connection.js';

const NUMBERED = new Set(['Message', 'MessageEdited', 'MessageDeleted', 'Reaction', 'ChatCreated', 'ChatUpdated',
  'MemberJoined', 'MemberLeft']);
/** Whoever missed more than this starts again from the newest page instead of replaying it all. */
const CATCH_UP_EVENTS = 2_000;
const RETRY_MS = 1_000;

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

export class Client {
  #connection; #outbox; #userId;
  #listeners = new Map();
  /** chat_id → {last: newest event handed out, head: newest heard of, waiting: events that came before `last` did, …} */
  #chats = new Map();
  #followed = new Set();
  #listed = false;
  #flushing = false;

  /**
   * `epoch`: the one the caller's saved state belongs to, if any; `storage`: where unsent messages are kept; `renew`:
   * resolves with a fresh token when one runs out.
   */
  constructor({ url, userId, token, renew, agent = 'chappe-web', epoch, storage = null }) {
    this.#userId = userId;
    this.epoch = epoch;
    this.#outbox = new Outbox(storage, userId);
    this.#connection = new Connection(url, { user_id: userId, token, agent, heads: true }, {
      renew,
      state: (state, detail) => {
        this.#emit('state', { state, ...detail });
        if (state === 'ready') this.#sync();
      },
      welcome: (packet) => this.#welcome(packet),
      packet: (packet) => this.#receive(packet),
    });
  }

  /**
   * What can be heard:
   * - `state` {state, reason?, retryInMs?}; `welcome`; `fresh`: the server's log was replaced, forget what you have
   * - `chats` [summaries]: all of them, after every connect; `chat`: one that is new
   * - `event`: a numbered event; `reset` {chat_id}: too much was missed, load the newest page
   * - `outbox`: it changed; `sent` {entry, ack}
   * - any other packet under its own name: `Typing`, `Status` and `Presence`, `Read`, `Error`
   */
  on(name, listener) {
    if (!this.#listeners.has(name)) this.#listeners.set(name, []);
    this.#listeners.get(name).push(listener);
    return this;
  }

  start() { this.#connection.start(); }
  stop() { this.#connection.stop(); }
  wake() { this.#connection.wake(); }
  notify(packet) { this.#connection.notify(packet); }
  request(packet) { return this.#connection.request(packet); }
  get ready() { return this.#connection.state === 'ready'; }
  get limits() { return this.#connection.welcome?.limits ?? {}; }
  get unsent() { return this.#outbox.all(); }

  post(chatId, content) {
    this.#outbox.add(chatId, content, this.epoch);
    this.#emit('outbox');
    this.#flush();
  }

  discard(clientId) {
    this.#outbox.remove(clientId);
    this.#emit('outbox');
  }

  /** Begins to hear a chat one is no member of but may read, from the event after `seq`. */
  async follow(chatId, seq) {
    this.#followed.add(chatId);
    this.#chat(chatId).last ??= seq;
    await this.request({ packet_type: 'Subscribe', chat_ids: [chatId] });
    await this.#pull(chatId);
  }

  forget(chatId) {
    this.#followed.delete(chatId);
    this.#chats.delete(chatId);
  }

  #emit(name, detail) {
    for (const listener of this.#listeners.get(name) ?? []) {
      try {
        listener(detail);
      } catch (error) {
        // A listener's fault is reported as its own, and costs nobody an event.
        queueMicrotask(() => { throw error; });
      }
    }
  }

  #chat(id) {
    if (!this.#chats.has(id)) {
      this.#chats.set(id, { last: undefined, head: 0, waiting: [], pulling: false, again: false, discovering: false });
    }
    return this.#chats.get(id);
  }

  #welcome(packet) {
    const fresh = this.epoch !== undefined && this.epoch !== packet.epoch;
    this.epoch = packet.epoch;
    if (fresh) {
      this.#chats.clear();
      this.#followed.clear();
    }
    // The same chat_id may be another chat now: whoever wrote these decides anew.
    for (const { client_id, epoch = packet.epoch, error } of this.#outbox.all()) {
      if (epoch === packet.epoch || error) continue;
      this.#outbox.fail(client_id, 'the server started over before this was sent');
    }
    this.#emit('welcome', packet);
    if (fresh) this.#emit('fresh');
  }

  async #sync() {
    this.#listed = false;
    this.#flush();
    this.#resume();
    try {
      if (this.#followed.size) {
        await this.request({ packet_type: 'Subscribe', chat_ids: [...this.#followed] });
      }
      const chats = [];
      for (let page = { has_more: true }; page.has_more;) {
        page = await this.#getChats({ after: chats.at(-1)?.chat_id, limit: this.limits.page });
        chats.push(...page.chats);
      }
      const ours = new Set([...chats.map((chat) => chat.chat_id), ...this.#followed]);
      for (const [id, chat] of this.#chats) if (!ours.has(id) && !chat.waiting.length) this.#chats.delete(id);
      this.#emit('chats', chats);
      for (const summary of chats) this.#locate(summary);
      for (const id of this.#followed) this.#pull(id);
      this.#listed = true;
      for (const [id, chat] of this.#chats) if (chat.last === undefined) this.#discover(id);
    } catch (error) {
      // A lost connection begins anew by itself.
      if (!this.ready) return;
      this.#emit('Error', { error: error.message });
      await sleep(error.retryAfterMs ?? RETRY_MS);
      if (this.ready) this.#sync();
    }
  }

  /** What was missed is asked for at once: the welcome told how far each chat has come. */
  #resume() {
    for (const { chat_id, seq } of this.#connection.welcome.heads ?? []) {
      const chat = this.#chats.get(chat_id);
      if (chat?.last !== undefined) this.#locate({ chat_id, seq });
    }
  }

  #getChats(fields) {
    return this.request({ packet_type: 'GetChats', ...fields });
  }

  /** Now that the chat's head is known: what came meanwhile is in order, or missing events are pulled. */
  #locate({ chat_id, seq }) {
    const chat = this.#chat(chat_id);
    chat.last ??= seq;
    chat.head = Math.max(chat.head, seq);
    if (chat.head - chat.last > CATCH_UP_EVENTS) this.#skipTo(chat_id, chat.head);
    else if (chat.head > chat.last) this.#pull(chat_id);
    for (const event of chat.waiting.splice(0)) this.#offer(event);
  }

  /** A chat nobody told us of: somebody added us. Right after a connect the list is still on its way. */
  async #discover(id) {
    const chat = this.#chat(id);
    if (!this.#listed || chat.discovering) return;
    chat.discovering = true;
    try {
      const { chats: [summary] } = await this.#getChats({ after: id > 1 ? id - 1 : undefined, limit: 1 });
      if (summary?.chat_id !== id) return this.forget(id);
      this.#emit('chat', summary);
      this.#locate(summary);
    } catch {
      this.#chats.delete(id); // its next event, or the next connect, finds it again
    }
  }

  #receive(packet) {
    if (NUMBERED.has(packet.packet_type)) this.#offer(packet);
    else if (packet.packet_type === 'Gap') this.#gap(packet);
    else this.#emit(packet.packet_type, packet);
  }

  #gap({ chat_id, to }) {
    const chat = this.#chat(chat_id);
    chat.head = Math.max(chat.head, to);
    if (chat.last === undefined) this.#discover(chat_id);
    else if (to > chat.last) this.#pull(chat_id);
  }

  #offer(event) {
    const chat = this.#chat(event.chat_id);
    if (chat.last === undefined) {
      chat.waiting.push(event);
      this.#discover(event.chat_id);
    } else if ((event.prev ?? event.seq - 1) > chat.last) {
      this.#pull(event.chat_id); // brings this event too
    } else {
      this.#take(chat, event);
    }
  }

  #take(chat, event) {
    if (event.seq <= chat.last) return;
    chat.last = event.seq;
    const { sender_id, client_id } = event.message ?? {};
    if (sender_id === this.#userId && this.#outbox.has(client_id)) this.discard(client_id);
    this.#emit('event', event);
  }

  #skipTo(chat_id, seq) {
    this.#chat(chat_id).last = seq;
    this.#emit('reset', { chat_id });
  }

  async #pull(id) {
    const chat = this.#chat(id);
    chat.again = true;
    if (chat.pulling) return;
    chat.pulling = true;
    while (chat.again && this.ready && this.#chats.get(id) === chat) {
      chat.again = false;
      try {
        const before = chat.last;
        const { page: limit } = this.limits;
        const page = await this.request({ packet_type: 'GetEvents', chat_id: id, after: before, limit });
        if (this.#chats.get(id) !== chat) break;
        if (page.packet_type === 'Reset' || page.head - chat.last > CATCH_UP_EVENTS) this.#skipTo(id, page.head);
        for (const event of page.events ?? []) this.#take(chat, event);
        chat.again ||= chat.last < page.head;
        if (chat.again && chat.last === before) await sleep(RETRY_MS);
      } catch (error) {
        chat.again = this.ready && error.retryable;
        if (chat.again) await sleep(error.retryAfterMs ?? RETRY_MS);
      }
    }
    chat.pulling = false;
  }

  // One at a time: a message that has to be sent again is not overtaken by the next.
  async #flush() {
    if (this.#flushing) return;
    this.#flushing = true;
    for (let entry; this.ready && (entry = this.#outbox.next());) await this.#deliver(entry);
    this.#flushing = false;
  }

  async #deliver(entry) {
    const { chat_id, content, client_id } = entry;
    try {
      const ack = await this.request({ packet_type: 'SendMessage', message: { chat_id, content, client_id } });
      this.#outbox.remove(client_id);
      this.#emit('sent', { entry, ack });
    } catch (error) {
      if (!error.retryable) this.#outbox.fail(client_id, error.message);
      else if (this.ready) await sleep(error.retryAfterMs ?? RETRY_MS);
    }
    this.#emit('outbox');
  }
}
