// Sends one message over WebSocket; prints the ack, and events until the message itself comes by.
//
//   npm ci --prefix examples/node && node examples/node/ws.mjs [URL]      or with the address in CHAPPE_WS
import { randomUUID } from 'node:crypto';
import WebSocket from 'ws';

const url = process.argv[2] ?? process.env.CHAPPE_WS ?? 'ws://127.0.0.1:8080/ws';

// One name per message, the same for every retry: then it is stored once, however often it is sent.
const clientId = randomUUID();
let acked = false;
let seen = false;

const socket = new WebSocket(url, 'chappe.v1.json');
const send = (packet) => socket.send(JSON.stringify(packet));
const fail = (why) => {
  console.error(`ws.mjs: ${why}`);
  process.exit(1);
};

const timer = setTimeout(() => fail('no answer within 10 seconds'), 10_000);
socket.on('error', (error) => fail(`${url}: ${error.message}`));
socket.on('close', (code, reason) => (acked && seen) || fail(`closed with ${code} ${reason}`));
const token = process.env.CHAPPE_TOKEN;
const who = token ? { token } : { user_id: 1 };
socket.on('open', () => send({ packet_type: 'Hello', version: 1, ...who, agent: 'example/ws.mjs' }));

socket.on('message', (text) => {
  const packet = JSON.parse(text);
  switch (packet.packet_type) {
    case 'Welcome':
      // Members hear their chats anyway; this also works before the first message has made us one.
      send({ packet_type: 'Subscribe', chat_ids: [1] });
      send({
        packet_type: 'SendMessage',
        message: { chat_id: 1, content: 'Hello from Node over WebSocket', client_id: clientId },
      });
      break;
    case 'Ack':
      if (!packet.success) return fail(`${packet.code}: ${packet.error}`);
      if (packet.client_id === clientId) {
        console.log('ack:', packet);
        acked = true;
      }
      break;
    case 'Error':
      return fail(`${packet.code}: ${packet.error}`);
    case 'Message':
      console.log('event:', packet);
      seen ||= packet.message.client_id === clientId;
      break;
  }
  if (acked && seen) {
    clearTimeout(timer);
    socket.close();
  }
});
