// Owns one connection to the server that comes back by itself: Hello and Welcome, requests and their answers, the
// heartbeat, when to connect again. Knows nothing about chats; that is client.js.

const WELCOME_MS = 10_000;
const ANSWER_MS = 15_000;
const WAKE_MS = 3_000;
/** A connection that lived this long was a good one: the next back-off starts from the beginning. */
const STEADY_MS = 10_000;
const RENEW_AGAIN_MS = 2_000;
const BACKOFF_MS = { first: 500, most: 30_000 };

/** A request that was refused, or whose answer did not come. */
export class Refused extends Error {
  constructor(message, { code, retryable = false, retryAfterMs } = {}) {
    super(message);
    Object.assign(this, { code, retryable, retryAfterMs });
  }
}

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

export class Connection {
  /** `connecting`, `ready`, `waiting` (to connect again), `ended` (for good) or `stopped`. */
  state = 'stopped';
  /** What the server said in its Welcome. */
  welcome = null;

  #url; #hello; #handlers;
  #socket = null;
  #pending = new Map();
  #lastRequest = 0;
  #attempt = 0;
  #readyAt = 0;
  #heardAt = 0;
  #pinged = false;
  #closing = null;
  #reconnect; #beat; #guard;

  /**
   * `handlers`: `state(state, {reason, retryInMs})`, `welcome(packet)`, `packet(packet)` for what is no answer, and, if
   * tokens run out, `renew()`: resolves with a fresh one.
   */
  constructor(url, hello, handlers) {
    this.#url = url;
    this.#hello = { version: 1, ...hello };
    this.#handlers = handlers;
  }

  start() {
    clearTimeout(this.#reconnect);
    this.#closing = null;
    this.#readyAt = 0;
    this.#become('connecting');
    const socket = new WebSocket(this.#url, 'chappe.v1.json');
    this.#socket = socket;
    const current = (handle) => (event) => { if (socket === this.#socket) handle(event); };
    socket.onopen = current(() => this.#greet());
    socket.onmessage = current((event) => this.#receive(JSON.parse(event.data)));
    socket.onclose = current((event) => this.#down(event.code, event.reason));
    this.#guard = setTimeout(() => this.#down(1006, 'no answer'), WELCOME_MS);
  }

  stop() {
    this.#hangUp();
    this.#become('stopped');
  }

  /** Call it when the network or the screen is back: waits no longer, and finds out whether the line is still alive. */
  wake() {
    if (this.state === 'waiting') this.start();
    if (this.state !== 'ready') return;
    this.#ping();
    clearTimeout(this.#guard);
    this.#guard = setTimeout(() => this.#pinged && this.#down(1006, 'silent'), WAKE_MS);
  }

  /** Sends without waiting for an answer; what is sent while there is no connection is gone. */
  notify(packet) {
    if (this.state === 'ready') this.#socket.send(JSON.stringify(packet));
  }

  /** Sends and resolves with the answer; rejects with `Refused`. */
  async request(packet) {
    if (this.state !== 'ready') throw new Refused('not connected', { code: 'disconnected', retryable: true });
    return this.#ask(packet);
  }

  async #ask(packet) {
    const request_id = ++this.#lastRequest;
    const text = JSON.stringify({ ...packet, request_id });
    const most = this.welcome?.limits.frame_bytes ?? Infinity;
    // The server would end the connection, and the same again would end the next one.
    if (new TextEncoder().encode(text).length > most) {
      throw new Refused(`this takes more than the ${most} bytes that the server accepts`, { code: 'too_large' });
    }
    return new Promise((resolve, reject) => {
      const late = () => this.#settle(request_id, (entry) =>
        entry.reject(new Refused('no answer in time', { code: 'unknown', retryable: true })));
      this.#pending.set(request_id, { resolve, reject, timer: setTimeout(late, ANSWER_MS) });
      this.#socket.send(text);
    });
  }

  #settle(request_id, how) {
    const entry = this.#pending.get(request_id);
    if (!entry) return;
    this.#pending.delete(request_id);
    clearTimeout(entry.timer);
    how(entry);
  }

  async #greet() {
    const socket = this.#socket;
    try {
      const welcome = await this.#ask({ packet_type: 'Hello', ...this.#hello });
      if (socket !== this.#socket) return;
      clearTimeout(this.#guard);
      this.welcome = welcome;
      this.#readyAt = Date.now();
      this.#beat = setInterval(() => this.#check(welcome.heartbeat_ms), welcome.heartbeat_ms);
      // Before the state is told: whoever hears `ready` may already rely on what the welcome brought.
      this.#handlers.welcome(welcome);
      if (socket === this.#socket) this.#become('ready');
    } catch (error) {
      if (socket === this.#socket) this.#down(error.retryable ? 4100 : 4002, error.message);
    }
  }

  #receive(packet) {
    this.#heardAt = Date.now();
    this.#pinged = false;
    if (packet.packet_type === 'Closing') this.#closing = packet;
    if (packet.packet_type === 'Expiring') return this.#renew();
    if (packet.request_id === undefined) return this.#handlers.packet(packet);
    this.#settle(packet.request_id, ({ resolve, reject }) => {
      const refused = packet.packet_type === 'Error' || (packet.packet_type === 'Ack' && !packet.success);
      if (!refused) return resolve(packet);
      const { code, error, retry_after_ms: retryAfterMs, retryable = retryAfterMs !== undefined } = packet;
      reject(new Refused(error, { code, retryAfterMs, retryable }));
    });
  }

  // A Hello with a fresh token on the live connection: nothing is missed meanwhile. What fails is tried again until the
  // server ends the connection, and says why.
  async #renew() {
    const socket = this.#socket;
    while (socket === this.#socket) {
      try {
        const token = await this.#handlers.renew?.();
        if (!token || socket !== this.#socket) return;
        this.welcome = await this.#ask({ packet_type: 'Hello', ...this.#hello, token, heads: undefined });
        return;
      } catch {
        await sleep(RENEW_AGAIN_MS);
      }
    }
  }

  // The server's own pings are invisible to a page, so a quiet line is asked.
  #check(everyMs) {
    if (this.#pinged) this.#down(1006, 'silent');
    else if (Date.now() - this.#heardAt >= everyMs) this.#ping();
  }

  #ping() {
    this.#pinged = true;
    this.notify({ packet_type: 'Ping' });
  }

  #hangUp() {
    const socket = this.#socket;
    this.#socket = null; // from here on its events are nobody's
    for (const timer of [this.#guard, this.#beat, this.#reconnect]) clearTimeout(timer);
    this.#pinged = false;
    socket?.close();
    for (const id of [...this.#pending.keys()]) {
      this.#settle(id, ({ reject }) => reject(new Refused('disconnected', { code: 'disconnected', retryable: true })));
    }
  }

  #down(closeCode, closeReason) {
    const { code = closeCode, reason = closeReason, reconnect_after_ms: asked } = this.#closing ?? {};
    this.#hangUp();
    if (code >= 4000 && code < 4100) return this.#become('ended', { reason: reason || `refused (${code})` });

    if (this.#readyAt && Date.now() - this.#readyAt >= STEADY_MS) this.#attempt = 0;
    const attempt = this.#attempt++;
    const backoff = (n) => Math.min(BACKOFF_MS.most, BACKOFF_MS.first * 2 ** n) * (0.5 + Math.random() / 2);
    let retryInMs = backoff(attempt);
    if (code >= 4100 && code < 4200) retryInMs = backoff(attempt + 2);
    if (code >= 4200 && code < 4300 && attempt === 0) retryInMs = 0;
    // The server spreads its clients over time; only one that keeps sending us away is waited for longer.
    if (asked !== undefined) retryInMs = Math.max(asked, attempt > 1 ? retryInMs : 0);
    this.#reconnect = setTimeout(() => this.start(), retryInMs);
    this.#become('waiting', { reason, retryInMs });
  }

  #become(state, detail = {}) {
    this.state = state;
    this.#handlers.state(state, detail);
  }
}
