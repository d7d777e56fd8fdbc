// Owns the messages that are written but not yet acknowledged, across reloads. Sends nothing itself; that is client.js.

/** Every message has an entry of its own in the storage, so that two tabs do not overwrite each other's. */
export class Outbox {
  #entries = new Map();
  #storage; #prefix;
  #lastAt = 0;

  /** `storage`: localStorage or the like, or null to remember nothing. */
  constructor(storage, userId) {
    this.#storage = storage;
    this.#prefix = `chappe.outbox.${userId}.`;
    const found = [];
    for (const key of Object.keys(storage ?? {}).filter((key) => key.startsWith(this.#prefix))) {
      try {
        found.push(JSON.parse(storage.getItem(key)));
      } catch {
        storage.removeItem(key);
      }
    }
    for (const entry of found.sort((a, b) => a.at - b.at)) this.#entries.set(entry.client_id, entry);
  }

  /** All entries, oldest first: `{client_id, chat_id, content, epoch, at, error?}`; `error` on those given up. */
  all() {
    return [...this.#entries.values()];
  }

  next() {
    return this.all().find((entry) => !entry.error);
  }

  has(clientId) {
    return this.#entries.has(clientId);
  }

  add(chatId, content, epoch) {
    // Not randomUUID: that one is missing on pages served over plain http from another machine.
    const random = crypto.getRandomValues(new Uint8Array(16));
    const client_id = Array.from(random, (byte) => byte.toString(16).padStart(2, '0')).join('');
    this.#lastAt = Math.max(Date.now(), this.#lastAt + 1);
    this.#put({ client_id, chat_id: chatId, content, epoch, at: this.#lastAt });
  }

  fail(clientId, error) {
    const entry = this.#entries.get(clientId);
    if (entry) this.#put({ ...entry, error });
  }

  remove(clientId) {
    this.#entries.delete(clientId);
    this.#storage?.removeItem(this.#prefix + clientId);
  }

  #put(entry) {
    this.#entries.set(entry.client_id, entry);
    try {
      this.#storage?.setItem(this.#prefix + entry.client_id, JSON.stringify(entry));
    } catch {
      // The storage is full: the message still goes out, it only would not survive a reload.
    }
  }
}
