// A chat in the terminal that loses nothing: each line of the input is sent once, whatever happens to the connection or
// the server, and each event is printed once, in order. Ends when the input ends and all of it is acknowledged.
//
//   npm ci --prefix examples/node && node examples/node/chat.mjs [URL]      or with the address in CHAPPE_WS
//
// CHAPPE_TOKEN_FILE holds the token where the server asks for one; put a fresh one there before it runs out. Otherwise
// CHAPPE_USER says who you are (1). CHAPPE_CHAT says where (1).
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import WebSocket from 'ws';

const { CHAPPE_WS, CHAPPE_TOKEN_FILE, CHAPPE_USER = '1', CHAPPE_CHAT = '1' } = process.env;
const url = process.argv[2] ?? CHAPPE_WS ?? 'ws://127.0.0.1:8080/ws';
const WELCOME_MS = 10_000;

// What outlives a connection.
const last = new Map(); // chat → the number up to which all its events were printed
const head = new Map(); // chat → the newest number heard of: where it is above `last`, events are missing
const unacked = new Map(); // client_id → message, oldest first; sent again after every reconnect
let epoch; // names the server's log: another one means starting afresh
let limits = {};
let socket, closing, alive, attempt = 0, requests = 0, ready = false, inputEnded = false;

// What ends with it.
const inFlight = new Set(); // of the unacknowledged messages those that this connection carries
const pulling = new Set(); // chats whose missing events are on their way
const resets = new Map(); // of those the ones that are not kept from where we stopped → the head they had then
const asked = new Map(); // request_id → what was asked

function connect() {
  closing = undefined;
  socket = new WebSocket(url, 'chappe.v1.json');
  socket.on('open', hello);
  socket.on('ping', listen); // the server's heartbeat
  socket.on('message', (text) => handle(JSON.parse(text)));
  socket.on('error', (error) => console.error(`${url}: ${error.message}`)); // 'close' follows
  socket.on('close', disconnected);
  listen();
}

/** Also said on a live connection, with a fresh token, when the old one is about to run out. */
function hello() {
  const who = CHAPPE_TOKEN_FILE
    ? { token: readFileSync(CHAPPE_TOKEN_FILE, 'utf8').trim() } : { user_id: Number(CHAPPE_USER) };
  ask({ packet_type: 'Hello', version: 1, heads: true, agent: 'example/chat.mjs', ...who });
}

/** A line that says nothing for two heartbeats is dead, whatever the network claims. */
function listen() {
  clearTimeout(alive);
  alive = setTimeout(() => socket.terminate(), ready ? 2 * limits.heartbeat_ms : WELCOME_MS);
}

function disconnected(code) {
  ready = false;
  clearTimeout(alive);
  for (const ended of [inFlight, pulling, resets, asked]) ended.clear();
  code = closing?.code ?? code;
  if (code >= 4000 && code < 4100) fail(closing?.reason ?? `refused with ${code}`);
  // Full jitter: when a server comes back, its clients do not all return in the same instant.
  const backoff = Math.random() * Math.min(10_000, 250 * 2 ** attempt++);
  setTimeout(connect, closing?.reconnect_after_ms ?? backoff);
}

/** Sends a request. False where it is larger than the server takes: it would end the connection. */
function ask(packet) {
  const text = JSON.stringify({ ...packet, request_id: ++requests });
  if (Buffer.byteLength(text) > limits.frame_bytes) return false;
  asked.set(requests, packet);
  socket.send(text);
  return true;
}

function welcome({ heads, more_heads, heartbeat_ms, ...packet }) {
  attempt = 0;
  limits = { ...packet.limits, heartbeat_ms };
  if (epoch !== packet.epoch) for (const known of [last, head]) known.clear();
  epoch = packet.epoch;
  ready = true;
  listen();
  compare(heads, more_heads);
  flush();
}

/** What was missed is asked for in one go; a chat seen for the first time begins now. */
function compare(chats, hasMore) {
  for (const { chat_id, seq } of chats) {
    if (!last.has(chat_id)) last.set(chat_id, seq);
    heard(chat_id, seq);
  }
  if (hasMore) ask({ packet_type: 'GetChats', after: chats.at(-1).chat_id, limit: 500 });
}

/** The chat has come to `seq`: pulls what is missing, unless it is on its way. */
function heard(chat_id, seq) {
  head.set(chat_id, Math.max(seq, head.get(chat_id) ?? 0));
  if (pulling.has(chat_id) || last.get(chat_id) >= head.get(chat_id)) return;
  pulling.add(chat_id);
  ask({ packet_type: 'GetEvents', chat_id, after: last.get(chat_id), limit: 500 });
}

function pulled(chat_id, seq) {
  pulling.delete(chat_id);
  heard(chat_id, seq);
}

function take(event) {
  const { chat_id, seq } = event;
  if (!last.has(chat_id)) last.set(chat_id, seq - 1); // somebody made us a member
  if (seq <= last.get(chat_id)) return; // seen already
  // Some are missing: they bring this one too.
  if ((event.prev ?? seq - 1) > last.get(chat_id)) return heard(chat_id, seq);
  last.set(chat_id, seq);
  console.log(JSON.stringify(event));
}

/** What came next is not kept any more. What is kept begins with the oldest message, if there is one. */
function reset({ chat_id, head: to }) {
  console.error(`chat ${chat_id}: what followed event ${last.get(chat_id)} is not kept any more; here is what is`);
  resets.set(chat_id, to);
  ask({ packet_type: 'GetMessages', chat_id, after: last.get(chat_id), limit: 1 });
}

function goOn({ chat_id, messages: [oldest] }) {
  const to = resets.get(chat_id);
  last.set(chat_id, oldest ? Math.min(oldest.seq - 1, to) : to);
  pulled(chat_id, to);
}

/** Nothing was done: asks again where that can help. */
function refused({ error, retryable, retry_after_ms }, question) {
  const on = socket;
  if (question && retryable) return setTimeout(() => ready && socket === on && ask(question), retry_after_ms ?? 1_000);
  console.error(error);
  pulling.delete(question?.chat_id);
}

function acknowledged({ success, error, retry_after_ms: pause }, { message: { client_id } }) {
  inFlight.delete(client_id);
  if (pause !== undefined) return setTimeout(flush, pause); // too fast, or the disk is full: the same again, later
  if (!success) console.error(`refused: ${error}`);
  unacked.delete(client_id);
  flush();
}

/** Sends what was not sent yet, as far as the window reaches. */
function flush() {
  if (!ready) return;
  for (const [client_id, message] of unacked) {
    if (inFlight.size >= limits.window / 2) break;
    if (inFlight.has(client_id)) continue;
    if (ask({ packet_type: 'SendMessage', message })) inFlight.add(client_id);
    else {
      console.error(`not sent: "${message.content.slice(0, 20)}…" is longer than the server takes`);
      unacked.delete(client_id);
    }
  }
  if (inputEnded && !unacked.size) {
    clearTimeout(alive);
    socket.removeAllListeners(); // nothing that comes now is printed, or keeps the program running
    socket.close();
  }
}

function handle(packet) {
  listen();
  const { packet_type, request_id, chat_id } = packet;
  const question = asked.get(request_id);
  asked.delete(request_id);
  switch (packet_type) {
    case 'Welcome': welcome(packet); break;
    case 'Expiring': hello(); break;
    case 'Ack': acknowledged(packet, question); break;
    case 'Chats': compare(packet.chats, packet.has_more); break;
    case 'Events':
      packet.events.forEach(take);
      pulled(chat_id, packet.head);
      break;
    case 'Reset': reset(packet); break;
    case 'Messages': goOn(packet); break;
    case 'Gap':
      if (!last.has(chat_id)) last.set(chat_id, packet.from - 1); // somebody made us a member
      heard(chat_id, packet.to);
      break;
    case 'Closing': closing = packet; break;
    case 'Error': refused(packet, question); break;
    default: if (packet.seq && packet_type !== 'Read') take(packet);
  }
}

function fail(why) {
  console.error(`chat.mjs: ${why}`);
  process.exit(1);
}

const input = createInterface({ input: process.stdin });
input.on('line', (content) => {
  if (!content) return;
  // A name of the message's own, the same for every retry: then it is stored once, however often it is sent.
  const client_id = randomUUID();
  unacked.set(client_id, { chat_id: Number(CHAPPE_CHAT), content, client_id });
  flush();
});
input.on('close', () => { inputEnded = true; flush(); });
connect();
