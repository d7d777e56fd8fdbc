// Sends one message over TCP as JSON; prints the ack, and events until the message itself comes by.
//
//   node examples/node/tcp.mjs [HOST:PORT]      or with the address in CHAPPE_TCP
import net from 'node:net';
import { randomUUID } from 'node:crypto';

const address = process.argv[2] ?? process.env.CHAPPE_TCP ?? '127.0.0.1:8081';
const { hostname, port } = new URL(`tcp://${address}`);

// One name per message, the same for every retry: then it is stored once, however often it is sent.
const clientId = randomUUID();
let acked = false;
let seen = false;

const socket = net.connect({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) });
const send = (packet) => socket.write(JSON.stringify(packet) + '\n');
const fail = (why) => {
  console.error(`tcp.mjs: ${why}`);
  process.exit(1);
};

socket.setTimeout(10_000, () => fail('no answer within 10 seconds'));
socket.on('error', (error) => fail(`${address}: ${error.message}`));
socket.on('close', () => (acked && seen) || fail('the server closed the connection'));
const token = process.env.CHAPPE_TOKEN;
const who = token ? { token } : { user_id: 1 };
socket.on('connect', () => send({ packet_type: 'Hello', version: 1, ...who, agent: 'example/tcp.mjs' }));

// TCP is a stream of bytes: one chunk may hold half a packet, or ten. Every packet from the server ends in a newline.
let rest = '';
socket.setEncoding('utf8'); // also keeps a character whole that two chunks share
socket.on('data', (chunk) => {
  const lines = (rest + chunk).split('\n');
  rest = lines.pop();
  for (const line of lines) handle(JSON.parse(line));
});

function handle(packet) {
  switch (packet.packet_type) {
    case 'Welcome':
      // Members hear their chats anyway; this also works before the first message has made us one.
      send({ packet_type: 'Subscribe', chat_ids: [1] });
      send({
        packet_type: 'SendMessage',
        message: { chat_id: 1, content: 'Hello from Node over TCP', client_id: clientId },
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
  if (acked && seen) socket.end();
}
