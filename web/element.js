// Makes elements. Text is always text: nothing here, and nothing that uses it, parses markup out of a string.

/** `el('a.big', { href: '/', onclick }, 'text', child)`; `aria-…` and `data-…` become attributes. */
export function el(what, properties = {}, ...children) {
  const [tag, ...classes] = what.split('.');
  const element = document.createElement(tag || 'div');
  element.classList.add(...classes);
  for (const [name, value] of Object.entries(properties)) {
    if (/^(aria|data)-/.test(name)) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.flat(Infinity).filter((child) => child || child === 0));
  return element;
}

/**
 * Makes `list` show `wanted`, rows of [key, state, make]: a row whose state did not change keeps its element, so that
 * neither focus nor a click under way is lost.
 */
export function reconcile(list, wanted) {
  const old = new Map([...list.children].map((node) => [node.dataset.key, node]));
  const focusable = 'a, button';
  const nodes = wanted.map(([key, state, make]) => {
    const shown = JSON.stringify(state);
    const was = old.get(key);
    if (was?.dataset.state === shown) return was;
    const node = make();
    Object.assign(node.dataset, { key, state: shown });
    return node;
  });
  const focused = document.activeElement.closest?.('[data-key]');
  const place = [...(focused?.querySelectorAll(focusable) ?? [])].indexOf(document.activeElement);
  const kept = new Set(nodes);
  for (const node of [...list.children]) if (!kept.has(node)) node.remove();
  nodes.forEach((node, at) => { if (list.children[at] !== node) list.insertBefore(node, list.children[at] ?? null); });
  if (focused && !focused.isConnected && old.get(focused.dataset.key) === focused) {
    nodes.find((node) => node.dataset.key === focused.dataset.key)?.querySelectorAll(focusable)[place]?.focus();
  }
}

export const $ = (selector) => document.querySelector(selector);

/** A hue of its own for everybody. */
export function avatar(id, name) {
  const element = el('span.avatar', { 'aria-hidden': 'true' }, [...name][0]?.toUpperCase() ?? '?');
  element.style.setProperty('--hue', (id * 137) % 360);
  return element;
}
