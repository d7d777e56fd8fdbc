// The open chat: its history, the composer, typing, marks, who is there. The list of chats is app.js.

import { api } from './api.js';
import { $, el, reconcile } from './element.js';
import { drawMessages } from './messages.js';

const PAGE = 50;
/** How far the reactions of one page of messages are looked for, in pages of events. */
const REACTION_PAGES = 4;
const TYPING_EVERY_MS = 3_000;
const TYPING_SHOWN_MS = 6_000;
const NEAR_PX = 80;
/** So many members are listed, and looked at for who has read what. */
const PEOPLE = 500;
const EMOJIS = ['👍', '❤️', '😂', '🎉', '😮', '🙏'];

export class Conversation {
  /** The open chat, or null. */
  chat = null;
  #client; #me; #names; #changed;
  #presence = new Map();
  #drafts = new Map();
  #editing = null;
  #typingSentAt = 0;
  #typingIdle;
  #markTimer;
  #loadingOlder = false;
  #atEnd = true;

  /** `before`: the one that this one replaces, if any. Its drafts are kept for whoever wrote them. */
  constructor(client, me, names, changed, before) {
    this.#client = client;
    this.#me = me;
    this.#names = names;
    this.#changed = changed;
    if (before?.#me === me) this.#drafts = before.#drafts;
    $('#composer').onsubmit = (event) => { event.preventDefault(); this.#submit(); };
    $('#text').oninput = () => this.#typed();
    $('#text').onkeydown = (event) => this.#key(event);
    $('#text').onblur = () => this.#stopTyping();
    $('#stop-editing').onclick = () => { this.#edit(null); $('#text').focus(); };
    $('#older').onclick = () => this.#older();
    $('#newest').onclick = () => { this.#atEnd = true; this.draw(); };
    $('#history').onscroll = () => this.#scrolled();
    this.#show(null);
  }

  open(chat) {
    if (chat === this.chat) return;
    this.#stopTyping();
    this.#edit(null);
    if (this.chat) this.#drafts.set(this.chat.chat_id, $('#text').value);
    this.#show(chat);
  }

  /** Nothing stays of what was shown before: it may have been shown to somebody else. */
  #show(chat) {
    this.chat = chat;
    this.#atEnd = true;
    $('#chat').hidden = !chat;
    $('#editing').hidden = true;
    for (const part of ['#title', '#messages', '#people summary', '#people ul', '#typing', '#problem', '#announce']) {
      $(part).replaceChildren();
    }
    $('#people').open = false;
    $('#text').value = this.#drafts.get(chat?.chat_id) ?? '';
    if (!chat) return;
    this.#grow();
    if (matchMedia('(hover: hover)').matches) $('#text').focus();
    this.refresh();
  }

  /** After opening, and after every connect: what no event brings. */
  async refresh() {
    const { chat } = this;
    if (!chat || !this.#client.ready) return;
    try {
      if (chat.loaded === 'no') await this.#load(chat);
      const [{ members }, { users }] = await Promise.all([
        api('GET', `/chats/${chat.chat_id}/members?limit=${PEOPLE}`, undefined, this.#me),
        this.#client.request({ packet_type: 'GetPresence', chat_id: chat.chat_id }),
      ]);
      for (const member of members) {
        chat.people.set(member.user_id, member);
        this.#presence.set(member.user_id, 'offline'); // the answer names only those who are there
      }
      for (const user of users) this.#presence.set(user.user_id, user.status_data);
    } catch (error) {
      if (this.#client.ready) this.complain(error.message);
    }
    this.#changed();
  }

  async #load(chat) {
    chat.loaded = 'loading';
    try {
      const { generation } = chat;
      await this.#page(chat, {});
      if (generation === chat.generation) chat.loaded = 'yes';
    } catch (error) {
      chat.forgetMessages();
      throw error;
    }
  }

  async #older() {
    const { chat } = this;
    if (!chat?.hasMore || this.#loadingOlder || chat.loaded !== 'yes') return;
    this.#loadingOlder = true;
    try {
      await this.#page(chat, { before: chat.oldest() });
    } catch (error) {
      if (this.#client.ready) this.complain(error.message);
    }
    this.#loadingOlder = false;
    this.#changed();
  }

  async #page(chat, where) {
    const { chat_id, generation } = chat;
    const request = { packet_type: 'GetMessages', chat_id, limit: PAGE, ...where };
    const { messages, has_more } = await this.#client.request(request);
    if (generation !== chat.generation) return;
    chat.hasMore = has_more;
    chat.insert(messages);
    this.#changed();
    if (messages.length) await this.#reactions(chat, messages[0].seq, where.before ?? Infinity);
  }

  /** Messages come without their reactions; those are among the events after them. */
  async #reactions(chat, after, before) {
    const { chat_id, generation } = chat;
    for (let page = 0; page < REACTION_PAGES && after + 1 < before; page += 1) {
      const request = { packet_type: 'GetEvents', chat_id, after, limit: this.#client.limits.page };
      const { events = [], head } = await this.#client.request(request);
      if (generation !== chat.generation || !events.length) return;
      for (const event of events) if (event.packet_type === 'Reaction') chat.react(event);
      after = events.at(-1).seq;
      if (after >= head) return;
    }
  }

  happened(chat, event) {
    if (chat !== this.chat || event.packet_type !== 'Message' || event.message.sender_id === this.#me) return;
    $('#announce').textContent = `${this.#names.of(event.message.sender_id)}: ${event.message.content}`;
  }

  /** Stored, but its event may still be on the way: shows it in its place, so that it does not flicker. */
  sent(chat, entry, ack) {
    if (!chat || chat.loaded === 'no') return;
    const { chat_id, content, client_id } = entry;
    const { message_id: id, seq } = ack;
    const created_at = Date.now();
    chat.insert([{ id, chat_id, seq, sender_id: this.#me, content, client_id, message_type: 'Text', created_at }]);
  }

  typed(chat, { user_id, status_data }) {
    if (!chat || user_id === this.#me) return;
    clearTimeout(chat.typing.get(user_id));
    chat.typing.delete(user_id);
    if (status_data !== 'stop') {
      chat.typing.set(user_id, setTimeout(() => { chat.typing.delete(user_id); this.#changed(); }, TYPING_SHOWN_MS));
    }
    this.#changed();
  }

  setPresence(userId, status) {
    this.#presence.set(userId, status);
    this.#changed();
  }

  complain(text) {
    $('#problem').textContent = text;
  }

  draw() {
    const { chat } = this;
    if (!chat) return;
    $('#title').textContent = chat.title;
    $('#chat').dataset.loaded = chat.loaded;
    if (this.#atEnd) chat.trim();
    this.#drawPeople(chat);
    const typing = [...chat.typing.keys()].map((id) => this.#names.of(id));
    const who = typing.slice(0, 3).join(', ');
    $('#typing').textContent = who && `${who} ${typing.length > 1 ? 'are' : 'is'} typing…`;
    const older = chat.hasMore;
    const history = $('#history');
    const fromEnd = history.scrollHeight - history.scrollTop;
    const before = $('#messages').lastElementChild;
    $('#older').hidden = !older;
    drawMessages($('#messages'), chat, this.#client.unsent.filter((entry) => entry.chat_id === chat.chat_id), {
      me: this.#me,
      name: (id) => this.#names.of(id),
      menu: (message, button) => this.#menu(message, button),
      react: (message, emoji, remove) => this.#do({ packet_type: 'React', message_id: message.id, emoji, remove }),
      resend: (entry) => {
        this.#client.discard(entry.client_id);
        this.#client.post(entry.chat_id, entry.content);
      },
      discard: (entry) => this.#client.discard(entry.client_id),
    });
    if (this.#atEnd) history.scrollTop = history.scrollHeight;
    // Older ones came in above: what the reader looks at stays where it is.
    else if ($('#messages').lastElementChild === before) history.scrollTop = history.scrollHeight - fromEnd;
    $('#newest').hidden = this.#atEnd;
    if (older && history.scrollHeight <= history.clientHeight) this.#older();
    this.#markRead();
  }

  #drawPeople(chat) {
    const here = (id) => !['offline', 'invisible', undefined].includes(this.#presence.get(id));
    const people = [...chat.people.keys()].sort((a, b) => here(b) - here(a) || a - b);
    const there = people.filter(here).length;
    $('#people').hidden = !people.length;
    const count = people.length < PEOPLE ? people.length : chat.members;
    $('#people summary').textContent = `${count} ${count === 1 ? 'member' : 'members'}, ${there} here`;
    reconcile($('#people ul'), people.map((id) => {
      const status = this.#presence.get(id) ?? 'offline';
      const name = this.#names.of(id);
      const about = id === this.#me ? `${status}, you` : status;
      return [`${id}`, [status, name], () =>
        el('li', {}, el('span.dot', { 'data-status': status }), name, el('small', {}, about))];
    }));
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = $('#history');
    this.#atEnd = scrollHeight - scrollTop - clientHeight < NEAR_PX;
    $('#newest').hidden = this.#atEnd;
    if (scrollTop < 2 * NEAR_PX) this.#older();
    this.#markRead();
  }

  #markRead() {
    const { chat } = this;
    const seen = this.#atEnd && document.visibilityState === 'visible' && chat?.loaded === 'yes';
    const seq = chat?.last_message?.seq ?? 0;
    if (!seen || chat.visiting || !this.#client.ready || seq <= chat.read_seq || this.#markTimer) return;
    this.#markTimer = setTimeout(() => {
      this.#markTimer = undefined;
      this.#client.request({ packet_type: 'MarkRead', chat_id: chat.chat_id, seq }).catch(() => {});
      chat.read({ user_id: this.#me, seq }, this.#me);
      this.#changed();
    }, 300);
  }

  /* Writing. */

  #submit() {
    const content = $('#text').value.trim();
    const most = this.#client.limits.content_bytes ?? Infinity;
    if (!content || !this.chat) return;
    if (new TextEncoder().encode(content).length > most) return this.complain(`A message has at most ${most} bytes.`);
    this.complain('');
    if (this.#editing) return this.#change(this.#editing, content);
    $('#text').value = '';
    this.#grow();
    this.#stopTyping();
    this.#atEnd = true;
    this.#client.post(this.chat.chat_id, content);
  }

  /** Until it is done the text stays where it is: it may fail. */
  async #change(message, content) {
    const done = content === message.content
      || await this.#do({ packet_type: 'EditMessage', message_id: message.id, content });
    if (done && this.#editing === message && $('#text').value.trim() === content) this.#edit(null);
  }

  /** Whether it was done. */
  async #do(packet) {
    try {
      await this.#client.request(packet);
      this.complain('');
      return true;
    } catch (error) {
      this.complain(error.code === 'disconnected' ? 'Not connected; try again in a moment.' : error.message);
      return false;
    }
  }

  /** Puts a message into the composer to be edited; with null what stood there before is back. */
  #edit(message) {
    if (message === this.#editing) return;
    if (!this.#editing) this.#drafts.set(this.chat.chat_id, $('#text').value);
    this.#editing = message;
    $('#editing').hidden = !message;
    $('#text').value = message ? message.content : this.#drafts.get(this.chat.chat_id) ?? '';
    this.#grow();
    if (message) $('#text').focus();
  }

  #key(event) {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      this.#submit();
    } else if (event.key === 'Escape') {
      this.#edit(null);
    } else if (event.key === 'ArrowUp' && !$('#text').value) {
      const own = this.chat.list().findLast((message) => message.sender_id === this.#me && !message.deleted);
      if (own) { event.preventDefault(); this.#edit(own); }
    }
  }

  #grow() {
    $('#text').style.height = 'auto';
    $('#text').style.height = `${$('#text').scrollHeight + 2}px`;
  }

  #typed() {
    this.#grow();
    if (this.#editing) return;
    if (!$('#text').value.trim()) return this.#stopTyping();
    clearTimeout(this.#typingIdle);
    this.#typingIdle = setTimeout(() => this.#stopTyping(), TYPING_SHOWN_MS);
    if (Date.now() - this.#typingSentAt < TYPING_EVERY_MS) return;
    this.#typingSentAt = Date.now();
    this.#client.notify({ packet_type: 'Typing', chat_id: this.chat.chat_id, status_data: 'start' });
  }

  #stopTyping() {
    clearTimeout(this.#typingIdle);
    if (!this.#typingSentAt || !this.chat) return;
    this.#typingSentAt = 0;
    this.#client.notify({ packet_type: 'Typing', chat_id: this.chat.chat_id, status_data: 'stop' });
  }

  #menu(message, button) {
    const menu = $('#menu');
    const act = (then) => () => { menu.hidePopover(); then(); };
    const mine = message.sender_id === this.#me;
    $('#emojis').replaceChildren(...EMOJIS.map((emoji) => el('button', {
      type: 'button', 'aria-label': `React with ${emoji}`,
      onclick: act(() => this.#do({ packet_type: 'React', message_id: message.id, emoji })),
    }, emoji)));
    $('#edit').hidden = !mine;
    $('#delete').hidden = !mine && this.chat.people.get(this.#me)?.role !== 'owner';
    $('#edit').onclick = act(() => this.#edit(message));
    $('#delete').onclick = act(() => {
      if (confirm('Delete this message?')) this.#do({ packet_type: 'DeleteMessage', message_id: message.id });
    });
    menu.showPopover();
    const at = button.getBoundingClientRect();
    menu.style.top = `${Math.max(8, Math.min(at.bottom + 4, innerHeight - menu.offsetHeight - 8))}px`;
    menu.style.left = `${Math.max(8, Math.min(at.left, innerWidth - menu.offsetWidth - 8))}px`;
    menu.querySelector('button').focus();
  }
}
