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

const last = new Map(); // chat → the number up to which all its events were printed
const unacked = new Map(); // client_id → message, oldest first; sent again after every reconnect
const inFlight = new Set(); // those of them that this connection carries
let epoch; // names the server's log: another one means starting afresh
let limits = { window: 1 };
let socket, closing, alive, attempt = 0, ready = false, inputEnded = false;

const send = (packet) => socket.send(JSON.stringify(packet));

function connect() {
  closing = undefined;
  socket = new WebSocket(url, 'chappe.v1.json');
  socket.on('open', hello);
  socket.on('ping', listen); // the server's heartbeat
  socket.on('message', (text) => handle(JSON.parse(text)));
  socket.on('error', (error) => console.error(`${url}: ${error.message}`)); // 'close' follows
  socket.on('close', disconnected);
}

/** Also said on a live connection, with a fresh token, when the old one is about to run out. */
function hello() {
  const who = CHAPPE_TOKEN_FILE
    ? { token: readFileSync(CHAPPE_TOKEN_FILE, 'utf8').trim() } : { user_id: Number(CHAPPE_USER) };
  send({ packet_type: 'Hello', version: 1, heads: true, agent: 'example/chat.mjs', ...who });
}

/** A line that says nothing for two heartbeats is dead, whatever the network claims. */
function listen() {
  clearTimeout(alive);
  alive = setTimeout(() => socket.terminate(), 2 * (limits.heartbeat_ms ?? 30_000));
}

function disconnected(code) {
  ready = false;
  clearTimeout(alive);
  code = closing?.code ?? code;
  if (code >= 4000 && code < 4100) fail(closing?.reason ?? `refused with ${code}`);
  // Full jitter: when a server comes back, its clients do not all return in the same instant.
  const backoff = Math.random() * Math.min(10_000, 250 * 2 ** attempt++);
  setTimeout(connect, closing?.reconnect_after_ms ?? backoff);
}

function welcome(packet) {
  attempt = 0;
  limits = { ...packet.limits, heartbeat_ms: packet.heartbeat_ms };
  if (epoch !== packet.epoch) last.clear();
  epoch = packet.epoch;
  // What was missed is asked for in one go; a chat seen for the first time begins now.
  for (const { chat_id, seq } of packet.heads) {
    if (!last.has(chat_id)) last.set(chat_id, seq);
    else if (last.get(chat_id) < seq) pull(chat_id);
  }
  if (ready) return; // only the token was renewed
  ready = true;
  inFlight.clear();
  flush();
}

const pull = (chat_id) => send({ packet_type: 'GetEvents', chat_id, after: last.get(chat_id), limit: 500 });

function take(event) {
  const { chat_id, seq } = event;
  if (!last.has(chat_id)) last.set(chat_id, seq - 1); // somebody made us a member
  if (seq <= last.get(chat_id)) return; // seen already
  if ((event.prev ?? seq - 1) > last.get(chat_id)) return pull(chat_id); // some are missing: they bring this one too
  last.set(chat_id, seq);
  console.log(JSON.stringify(event));
}

function acknowledged(ack) {
  if (!unacked.has(ack.client_id)) return;
  const { retry_after_ms: pause } = ack;
  inFlight.delete(ack.client_id);
  if (pause !== undefined) return setTimeout(flush, pause); // too fast, or the disk is full: the same again, later
  if (!ack.success) console.error(`refused: ${ack.error}`);
  unacked.delete(ack.client_id);
  flush();
}

/** Sends what was not sent yet, as far as the window reaches. */
function flush() {
  if (!ready) return;
  for (const [client_id, message] of unacked) {
    if (inFlight.size >= limits.window / 2) break;
    if (inFlight.has(client_id)) continue;
    inFlight.add(client_id);
    send({ packet_type: 'SendMessage', message });
  }
  if (inputEnded && !unacked.size) {
    clearTimeout(alive);
    socket.removeAllListeners(); // nothing that comes now is printed, or keeps the program running
    socket.close();
  }
}

function handle(packet) {
  listen();
  switch (packet.packet_type) {
    case 'Welcome': return welcome(packet);
    case 'Expiring': return hello();
    case 'Ack': return acknowledged(packet);
    case 'Events':
      packet.events.forEach(take);
      if (packet.events.length && last.get(packet.chat_id) < packet.head) pull(packet.chat_id);
      return;
    case 'Reset': return last.set(packet.chat_id, packet.head);
    case 'Gap': return pull(packet.chat_id);
    case 'Closing': closing = packet; return;
    case 'Error': return console.error(packet.error);
    default: if (packet.seq && packet.packet_type !== 'Read') take(packet);
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
