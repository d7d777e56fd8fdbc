// Owns the page's HTTP: requests to /api, and the names of users. Everything live goes through client.js.

let csrf = null;

/** Every change carries this from now on: it proves that the request comes from this page, and not only its cookie. */
export function protect(token) {
  csrf = token;
}

/** Calls the API as `userId`; throws an Error with the server's own sentence, its `status` and its `code`. */
export async function api(method, path, body, userId) {
  const headers = {
    ...(body && { 'Content-Type': 'application/json' }),
    ...(userId && { 'X-Chappe-User': userId }),
    ...(csrf && method !== 'GET' && { 'X-CSRF-Token': csrf }),
  };
  const answer = await fetch(`/api${path}`, { method, headers, body: body && JSON.stringify(body) });
  const json = answer.status === 204 ? null : await answer.json().catch(() => null);
  if (!answer.ok) {
    const error = new Error(json?.detail ?? json?.title ?? `the server answered ${answer.status}`);
    throw Object.assign(error, { status: answer.status, code: json?.code });
  }
  return json;
}

/** Users' names: given at once where known, asked for in bulk where not. */
export class Names {
  #known = new Map();
  #wanted = new Set();
  #timer;
  #changed;

  constructor(changed) {
    this.#changed = changed;
  }

  of(userId) {
    if (!this.#known.has(userId)) {
      this.#wanted.add(userId);
      this.#timer ??= setTimeout(() => this.#ask(), 20);
    }
    return this.#known.get(userId) || `user ${userId}`;
  }

  forget() {
    this.#known.clear();
  }

  /** The first users the server has, for choosing from. */
  async some() {
    return this.#page(0, 500);
  }

  async #page(after, limit) {
    const { users } = await api('GET', `/users?limit=${limit}${after ? `&after=${after}` : ''}`);
    for (const user of users) this.#known.set(user.user_id, user.nickname);
    return users;
  }

  async #ask() {
    try {
      while (this.#wanted.size) {
        const first = Math.min(...this.#wanted);
        await this.#page(first - 1, 100);
        if (!this.#known.has(first)) this.#known.set(first, ''); // no such user, or none with a name
        for (const id of this.#wanted) if (this.#known.has(id)) this.#wanted.delete(id);
      }
      this.#changed();
    } catch {
      this.#wanted.clear(); // whoever draws next asks again
    } finally {
      this.#timer = undefined;
    }
  }
}
