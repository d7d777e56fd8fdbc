// Draws the messages of one chat into a list, touching only what changed. Decides nothing.

import { avatar, el, reconcile } from './element.js';

const TOGETHER_MS = 5 * 60_000;
const time = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const day = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' });

/** `view`: {me, name(userId), menu(message, button), react(message, emoji, remove), resend(entry), discard(entry)} */
export function drawMessages(list, chat, unsent, view) {
  const wanted = [];
  const keep = (...row) => wanted.push(row);
  let before = null;
  for (const message of chat.list()) {
    const today = day.format(message.created_at);
    const newDay = !before || day.format(before.created_at) !== today;
    if (newDay) keep(`day ${today}`, today, () => el('li.day', {}, el('span', {}, today)));
    const soon = before && message.created_at - before.created_at < TOGETHER_MS;
    const joined = !newDay && soon && before.sender_id === message.sender_id;
    const name = view.name(message.sender_id);
    const named = (users) => users.map(view.name).join(', ');
    const reactions = [...chat.reactions(message.id)].map(([emoji, users]) => [emoji, users, named(users)]);
    const readers = message.sender_id === view.me ? named(chat.readers(message, view.me)) : '';
    keep(`message ${message.id}`, [message, joined, name, reactions, readers], () =>
      drawMessage(message, joined, name, reactions, readers, view));
    before = message;
  }
  for (const entry of unsent) keep(`unsent ${entry.client_id}`, entry, () => drawUnsent(entry, view));
  reconcile(list, wanted);
}

function drawMessage(message, joined, name, reactions, readers, view) {
  const mine = message.sender_id === view.me;
  const text = message.deleted ? 'This message was deleted.' : message.content;
  const marks = [
    message.message_type !== 'Text' && el('span.tag', {}, message.message_type),
    message.edited_at && !message.deleted && el('span', {}, 'edited'),
    el('time', { dateTime: new Date(message.created_at).toISOString() }, time.format(message.created_at)),
    mine && !message.deleted && el('span.ticks', { title: readers ? `Read by ${readers}` : 'Stored' },
      el('span', { 'aria-hidden': 'true' }, readers ? '✓✓' : '✓'),
      el('span.unseen', {}, readers ? `read by ${readers}` : 'stored')),
  ];
  const more = el('button.more', {
    type: 'button', 'aria-label': `Actions for the message of ${name}`, onclick: () => view.menu(message, more),
  }, '⋯');
  const chips = reactions.map(([emoji, users, names]) => el('button.chip', {
    type: 'button', title: names, 'aria-pressed': users.includes(view.me), 'aria-label': `${emoji} by ${names}`,
    onclick: () => view.react(message, emoji, users.includes(view.me)),
  }, `${emoji} ${users.length}`));
  return el(`li.message${mine ? '.mine' : ''}${joined ? '.joined' : ''}${message.deleted ? '.deleted' : ''}`, {},
    !mine && (joined ? el('span.avatar.blank') : avatar(message.sender_id, name)),
    el('.body', {},
      !joined && el(mine ? 'span.unseen' : 'span.name', {}, name),
      el('.bubble', {}, el('p.text', { dir: 'auto' }, text), el('span.marks', {}, ...marks)),
      chips.length > 0 && el('.chips', {}, chips)),
    !message.deleted && more);
}

function drawUnsent(entry, view) {
  return el('li.message.mine.joined', {}, el('.body', {},
    el(`.bubble.${entry.error ? 'failed' : 'pending'}`, {}, el('p.text', { dir: 'auto' }, entry.content),
      el('span.marks', {}, entry.error ? `Not sent: ${entry.error}` : 'Sending…')),
    entry.error && el('.chips', {},
      el('button.chip', { type: 'button', onclick: () => view.resend(entry) }, 'Send again'),
      el('button.chip', { type: 'button', onclick: () => view.discard(entry) }, 'Discard'))));
}
