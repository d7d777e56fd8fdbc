// The page around the open chat: who the reader is, the list of chats, the state of the connection. The open chat is
// conversation.js; the protocol is client.js.

import { Names, api } from './api.js';
import { Chat } from './chat.js';
import { Client } from './client.js';
import { Conversation } from './conversation.js';
import { $, avatar, el, reconcile } from './element.js';
import * as session from './session.js';

/** Storage may be forbidden; then nothing is remembered, and everything else works. */
const stored = (kind) => { try { return window[kind]; } catch { return null; } };
const [ofTab, ofBrowser] = [stored('sessionStorage'), stored('localStorage')];
const ME = 'chappe.me';

const chats = new Map();
const names = new Names(() => draw());
let me = null; // {user_id, nickname, epoch?}
let accounts = null; // {registration} where the server asks for a password
let client = null;
let conversation = null;

/* Who the reader is. A tab keeps its identity, so that two people can share a browser; a new tab takes the last one. */

function remember(identity) {
  me = identity;
  for (const storage of [ofTab, ofBrowser]) {
    try { storage?.setItem(ME, JSON.stringify(me)); } catch { /* full: then not */ }
  }
}

function recall() {
  try {
    return JSON.parse(ofTab?.getItem(ME) ?? ofBrowser?.getItem(ME) ?? null);
  } catch {
    return null;
  }
}

function askName() {
  $('#join').hidden = false;
  $('#app').hidden = true;
  $('#nickname').focus();
}

$('#join-form').onsubmit = async (event) => {
  event.preventDefault();
  const nickname = $('#nickname').value.trim();
  if (!nickname) return;
  try {
    if (accounts) {
      const begin = event.submitter?.id === 'register' ? session.register : session.login;
      recognize(await begin(nickname, $('#password').value));
      $('#password').value = '';
    } else {
      const { user_id } = await api('POST', '/users', { nickname });
      remember({ user_id, nickname });
    }
    $('#join-error').textContent = '';
    enter();
  } catch (error) {
    $('#join-error').textContent = `That did not work: ${error.message}`;
  }
};

/** Whom a session belongs to; the epoch is kept if it was theirs before. */
function recognize({ user_id, nickname }) {
  const before = recall();
  remember({ user_id, nickname, epoch: before?.user_id === user_id ? before.epoch : undefined });
}

$('#leave').onclick = async () => {
  client?.stop();
  // Ended or gone already: the page forgets it either way.
  if (accounts) await session.logout().catch(() => {});
  ofTab?.removeItem(ME);
  ofBrowser?.removeItem(ME);
  location.hash = '';
  location.reload();
};

/** The log is another one than before: our number may be somebody else's now. */
async function proveIdentity() {
  if (accounts) return;
  const { users: [user] } = await api('GET', `/users?limit=1${me.user_id > 1 ? `&after=${me.user_id - 1}` : ''}`);
  if (user?.user_id === me.user_id && user.nickname === me.nickname) return;
  const { user_id } = await api('POST', '/users', { nickname: me.nickname });
  client.stop();
  remember({ user_id, nickname: me.nickname, epoch: client.epoch });
  enter();
}

/* The connection. */

function enter() {
  $('#join').hidden = true;
  $('#app').hidden = false;
  $('#me').replaceChildren(avatar(me.user_id, me.nickname), me.nickname);
  chats.clear();
  names.forget();
  draw();
  client = new Client({
    url: `${location.protocol.replace('http', 'ws')}//${location.host}/ws`,
    userId: me.user_id, epoch: me.epoch, storage: ofBrowser, renew: accounts && session.renew,
  });
  conversation = new Conversation(client, me.user_id, names, draw, conversation);
  client
    .on('state', showState)
    .on('welcome', ({ epoch }) => remember({ ...me, epoch }))
    .on('fresh', () => {
      chats.clear();
      names.forget();
      proveIdentity().catch((error) => conversation.complain(error.message));
    })
    .on('chats', (summaries) => {
      const listed = new Set(summaries.map((summary) => summary.chat_id));
      for (const [id, chat] of chats) if (!listed.has(id) && !chat.visiting) chats.delete(id);
      summaries.forEach(keep);
      // Who comes to an empty page on a wide screen sees the first chat rather than nothing.
      if (!conversation.chat && !location.hash && summaries.length && matchMedia('(min-width: 44rem)').matches) {
        history.replaceState(null, '', `#/chat/${summaries[0].chat_id}`);
      }
      route();
      conversation.refresh();
      listOpenChats();
    })
    .on('chat', (summary) => { keep(summary); route(); })
    .on('event', happened)
    .on('reset', ({ chat_id }) => {
      chats.get(chat_id)?.forgetMessages();
      conversation.refresh();
    })
    .on('Read', (packet) => { chats.get(packet.chat_id)?.read(packet, me.user_id); draw(); })
    .on('Typing', (packet) => conversation.typed(chats.get(packet.chat_id), packet))
    .on('Status', ({ user_id, status_data }) => conversation.setPresence(user_id, status_data))
    .on('Presence', ({ users }) => {
      for (const { user_id, status_data } of users) conversation.setPresence(user_id, status_data);
    })
    .on('Error', ({ error }) => conversation.complain(error))
    .on('sent', ({ entry, ack }) => { conversation.sent(chats.get(entry.chat_id), entry, ack); draw(); })
    .on('outbox', () => draw())
    .start();
}

function keep(summary) {
  const chat = chats.get(summary.chat_id);
  if (!chat) chats.set(summary.chat_id, new Chat(summary));
  else chat.update({ ...summary, visiting: false });
}

function happened(event) {
  const chat = chats.get(event.chat_id);
  if (!chat) return;
  chat.apply(event, me.user_id);
  if (event.packet_type === 'MemberJoined' && event.user_id === me.user_id) chat.visiting = false;
  const left = event.packet_type === 'MemberLeft' && event.user_id === me.user_id;
  if (left || (event.packet_type === 'ChatUpdated' && event.deleted)) {
    client.forget(event.chat_id);
    chats.delete(event.chat_id);
    route();
  }
  conversation.happened(chat, event);
  draw();
}

function showState({ state, reason, retryInMs }) {
  const text = {
    connecting: 'connecting…', ready: 'connected', stopped: 'stopped', ended: `ended: ${reason}`,
    waiting: retryInMs > 2000 ? `offline, trying again in ${Math.round(retryInMs / 1000)} s` : 'offline, trying again…',
  }[state];
  $('#state').dataset.state = state;
  $('#state').textContent = text;
  if (state === 'waiting' || state === 'ended') $('#chat').dataset.offline = text;
  else if (state === 'ready') delete $('#chat').dataset.offline;
  if (state === 'ready' && $('#status').value !== 'online') sayStatus();
  // The session ended elsewhere, or ran out: who is back goes on where they were, and somebody else sees nothing of it.
  if (state === 'ended' && accounts) {
    conversation.open(null);
    $('#menu').hidePopover();
    $('#create').close();
    chats.clear();
    draw();
    askName();
    $('#join-error').textContent = reason;
  }
}

for (const [target, name] of [[window, 'online'], [document, 'visibilitychange'], [window, 'focus']]) {
  target.addEventListener(name, () => {
    if (document.visibilityState !== 'visible') return;
    client?.wake();
    draw();
  });
}

// A list that is open over the messages goes when the reader goes on elsewhere.
window.addEventListener('pointerdown', ({ target }) => { $('#people').open &&= $('#people').contains(target); });

function sayStatus() {
  client.notify({ packet_type: 'Status', status_data: $('#status').value });
}
$('#status').onchange = sayStatus;

/* The list of chats. The address says which one is open, so that back, reload and links work. */

function route() {
  const id = Number(/^#\/chat\/(\d+)$/.exec(location.hash)?.[1]);
  const chat = chats.get(id) ?? null;
  $('#app').dataset.pane = chat ? 'chat' : 'list';
  $('#nothing').hidden = Boolean(chat);
  conversation?.open(chat);
  draw();
}
window.addEventListener('hashchange', route);

let drawing = false;
function draw() {
  if (drawing) return;
  drawing = true;
  // Not requestAnimationFrame: a hidden tab has none, and its title still counts.
  setTimeout(() => {
    drawing = false;
    const newestFirst = [...chats.values()].sort((a, b) =>
      (b.last_message?.created_at ?? b.created_at) - (a.last_message?.created_at ?? a.created_at));
    reconcile($('#chats'), newestFirst.map(chatRow));
    const unread = newestFirst.reduce((sum, chat) => sum + (chat.visiting ? 0 : chat.unread), 0);
    document.title = unread ? `(${unread}) chappe` : 'chappe';
    conversation?.draw();
  }, 16);
}

function chatRow({ chat_id, title, last_message: last, unread, visiting }) {
  const who = last && (last.sender_id === me.user_id ? 'You' : names.of(last.sender_id));
  const excerpt = last && (last.deleted ? `${who} deleted a message` : `${who}: ${last.content.slice(0, 100)}`);
  const open = chat_id === conversation?.chat?.chat_id;
  const count = visiting ? 0 : unread;
  return [`${chat_id}`, [title, excerpt, open, count], () => el('li', {},
    el('a', { href: `#/chat/${chat_id}`, ...(open && { 'aria-current': 'page' }) },
      avatar(chat_id, title),
      el('span.lines', {}, el('strong', {}, title), el('small', {}, excerpt ?? '')),
      count > 0 && el('span.badge', { 'aria-label': `${count} unread` }, count > 99 ? '99+' : count)))];
}

async function listOpenChats() {
  const { chats: open } = await api('GET', '/chats?limit=100').catch(() => ({ chats: [] }));
  const others = open.filter((chat) => !chats.has(chat.chat_id));
  $('#open').hidden = others.length === 0;
  $('#open-chats').replaceChildren(...others.map((summary) => el('li', {}, el('a', {
    href: `#/chat/${summary.chat_id}`,
    onclick: () => {
      chats.set(summary.chat_id, Object.assign(new Chat({ ...summary, unread: 0 }), { visiting: true }));
      client.follow(summary.chat_id, summary.seq).catch((error) => conversation.complain(error.message));
      listOpenChats();
    },
  }, avatar(summary.chat_id, summary.title), el('span.lines', {}, el('strong', {}, summary.title))))));
}

$('#new-chat').onclick = async () => {
  $('#create-form').reset();
  $('#create-error').textContent = '';
  $('#create').showModal();
  const users = await names.some().catch(() => []);
  $('#new-members div').replaceChildren(...users.filter(({ user_id }) => user_id !== me.user_id).map(({ user_id }) =>
    el('label', {}, el('input', { type: 'checkbox', name: 'member', value: user_id }), ` ${names.of(user_id)}`)));
};
$('#create-cancel').onclick = () => $('#create').close();
$('#create-form').onsubmit = async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  const members = [me.user_id, ...form.getAll('member').map(Number)];
  try {
    const fields = { title: $('#new-title').value.trim(), kind: form.get('kind'), members, user_id: me.user_id };
    const summary = await api('POST', '/chats', fields, me.user_id);
    $('#create').close();
    if (!chats.has(summary.chat_id)) keep(summary);
    location.hash = `#/chat/${summary.chat_id}`;
  } catch (error) {
    $('#create-error').textContent = error.message;
  }
};

async function begin() {
  const { mode, registration } = await session.rules();
  if (mode === 'token') {
    accounts = { registration };
    $('#with-account').hidden = false;
    $('#password').required = true;
    $('#register').hidden = !registration;
    $('#join-text').textContent = registration ? 'Log in, or register.' : 'Log in to start talking.';
    $('#join-submit').textContent = 'Log in';
    $('#nickname').autocomplete = 'username';
    $('#leave').textContent = 'Log out';
    const known = await session.current();
    if (known) recognize(known);
    else return askName();
  }
  me = recall();
  if (me?.user_id) enter();
  else askName();
}

begin().catch((error) => {
  askName();
  $('#join-error').textContent = `The server does not answer: ${error.message}`;
});
