// Owns who the reader is where the server asks for accounts: logging in and out, and a session that does not run out
// while the page is open. The session itself is a cookie that no script can read; what is kept here is the proof that a
// request comes from this page.

import { api, protect } from './api.js';

function begun(session) {
  protect(session.csrf_token);
  return session;
}

/** How the server wants to know people: `{mode: 'open' | 'token', registration}`. */
export function rules() {
  return api('GET', '/auth');
}

/** The session that the browser still has, or null. */
export async function current() {
  try {
    return begun(await api('GET', '/sessions/current'));
  } catch (error) {
    if (error.status === 401) return null;
    throw error;
  }
}

export async function login(nickname, password) {
  return begun(await api('POST', '/sessions', { nickname, password }));
}

export async function register(nickname, password) {
  await api('POST', '/users', { nickname, password });
  return login(nickname, password);
}

/** Prolongs the session, and answers the token for a connection that is open already. */
export async function renew() {
  return begun(await api('POST', '/sessions/current/renew')).token;
}

export async function logout() {
  await api('DELETE', '/sessions/current');
}
