// Renders the server's OpenAPI description for reading. Knows OpenAPI 3.0 and 3.1 as far as utoipa writes them.

import { $, el } from './element.js';

const METHODS = ['get', 'post', 'put', 'patch', 'delete'];
let api;

const anchor = (method, path) => `${method}${path.replaceAll(/[^\w]+/g, '-')}`;
const refName = (ref) => ref.split('/').at(-1);

function resolve(node) {
  for (let hops = 0; node?.$ref && hops < 20; hops += 1) {
    const keys = node.$ref.slice(2).split('/').map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
    node = keys.reduce((at, key) => at?.[key], api);
  }
  return node ?? {};
}

/** `allOf` folded into one schema; `null` alternatives left out. */
function flat(schema) {
  let resolved = resolve(schema);
  const parts = resolved.allOf ?? [];
  const choices = (resolved.oneOf ?? resolved.anyOf ?? []).filter((choice) => choice.type !== 'null');
  if (parts.length) {
    resolved = parts.map(flat).reduce((all, part) => ({
      ...all, ...part,
      properties: { ...all.properties, ...part.properties },
      required: [...(all.required ?? []), ...(part.required ?? [])],
    }), resolved);
  }
  if (choices.length !== 1) return { ...resolved, choices };
  const only = flat(choices[0]);
  return { ...only, description: resolved.description ?? only.description };
}

const typeOf = (schema) => [schema.type].flat().filter((type) => type && type !== 'null').join(' or ');

function typeName(raw) {
  const schema = flat(raw);
  const parts = [...(raw?.oneOf ?? raw?.anyOf ?? raw?.allOf ?? [])].filter((part) => part.type !== 'null');
  const named = raw?.$ref ?? (parts.length === 1 ? parts[0].$ref : undefined);
  if (typeOf(schema) === 'array') return `list of ${typeName(schema.items)}`;
  const bounds = [
    schema.minimum !== undefined && `≥ ${schema.minimum}`, schema.maximum !== undefined && `≤ ${schema.maximum}`,
    schema.minLength !== undefined && `at least ${schema.minLength} long`,
    schema.maxLength !== undefined && `at most ${schema.maxLength} long`,
    schema.enum && `one of ${schema.enum.map((value) => JSON.stringify(value)).join(', ')}`,
    schema.default !== undefined && `default ${JSON.stringify(schema.default)}`,
  ].filter(Boolean);
  const plain = typeOf(schema) || (schema.choices.length ? 'one of several' : 'anything');
  return [named && !schema.enum ? refName(named) : plain, ...bounds].join(', ');
}

/** A value that fits the schema: its own example, or one made up from its type. `above`: the schemas it stands in. */
function example(raw, above = []) {
  const schema = flat(raw);
  const said = [raw?.example, schema.example, schema.examples?.[0], schema.default, schema.enum?.[0], schema.const];
  const own = said.find((value) => value !== undefined);
  if (own !== undefined) return own;
  if (above.includes(schema.properties)) return undefined;
  if (schema.properties) {
    const inside = [...above, schema.properties];
    const made = Object.entries(schema.properties).map(([name, property]) => [name, example(property, inside)]);
    return Object.fromEntries(made);
  }
  if (schema.choices.length) return example(schema.choices[0], above);
  if (typeOf(schema) === 'array') return [example(schema.items, above)].filter((item) => item !== undefined);
  return { integer: 1, number: 1, boolean: true, string: 'text', object: {} }[typeOf(schema)] ?? null;
}

/** The fields of a schema, those of nested ones inside. */
function fields(raw, above = []) {
  const schema = flat(raw);
  if (typeOf(schema) === 'array') return fields(schema.items, above);
  if (schema.choices.length) {
    return el('ul.fields', {}, schema.choices.map((choice) =>
      el('li', {}, 'either ', el('span.type', {}, typeName(choice)), fields(choice, above))));
  }
  const properties = Object.entries(schema.properties ?? {});
  if (!properties.length || above.includes(schema.properties)) return null;
  const inside = [...above, schema.properties];
  return el('ul.fields', {}, properties.map(([name, property]) => {
    const about = property.description ?? flat(property).description;
    return field(name, property, schema.required?.includes(name), about, fields(property, inside));
  }));
}

function field(name, schema, required, description, ...inside) {
  return el('li', {}, el('code', {}, name), ' ', el('span.type', {}, typeName(schema), required ? '' : ', optional'),
    description && el('.about', {}, prose(description)), ...inside);
}

/** Paragraphs, with `code` set apart. */
function prose(text) {
  return text.trim().split(/\n\s*\n/).map((paragraph) =>
    el('p', {}, paragraph.split(/`([^`]+)`/).map((part, at) => (at % 2 ? el('code', {}, part) : part))));
}

const bodyOf = (content) => content?.['application/json'] ?? Object.values(content ?? {})[0];
const block = (text) => el('pre', { tabIndex: 0 }, el('code', {}, text));
const sample = (media) =>
  media?.example ?? resolve(Object.values(media?.examples ?? {})[0]).value ?? example(media?.schema);

function curl(method, path, parameters, body) {
  const value = (parameter) => encodeURIComponent(parameter.example ?? example(parameter.schema));
  let url = path;
  for (const one of parameters.filter((one) => one.in === 'path')) url = url.replace(`{${one.name}}`, value(one));
  const needed = parameters.filter((one) => one.in === 'query' && one.required);
  if (needed.length) url += `?${needed.map((one) => `${one.name}=${value(one)}`).join('&')}`;
  const quoted = (text) => `'${text.replaceAll("'", String.raw`'\''`)}'`;
  return ['curl', method !== 'get' && `-X ${method.toUpperCase()}`, quoted(location.origin + url),
    body && `-H 'Content-Type: application/json' -d ${quoted(JSON.stringify(sample(body)))}`].filter(Boolean).join(' ');
}

function heading(method, path) {
  return [el('span.method', { 'data-method': method }, method.toUpperCase()), ' ', el('code', {}, path)];
}

function operation(method, path, item) {
  const { summary, description, deprecated, parameters = [], requestBody, responses = {} } = item[method];
  const all = [...(item.parameters ?? []), ...parameters].map(resolve);
  const body = bodyOf(resolve(requestBody).content);
  return el('section.operation', { id: anchor(method, path) },
    el('h3', {}, heading(method, path)),
    summary && el('p', {}, summary, deprecated ? ' (deprecated)' : ''),
    description && prose(description),
    all.length > 0 && el('h4', {}, 'Parameters'),
    all.length > 0 && el('ul.fields', {}, all.map((one) =>
      field(one.name, one.schema, one.required, `In the ${one.in}. ${one.description ?? ''}`))),
    body && el('h4', {}, 'Body'),
    body && (fields(body.schema) ?? el('p', {}, typeName(body.schema))),
    el('h4', {}, 'Answers'),
    Object.entries(responses).map(([status, raw]) => {
      const answer = resolve(raw);
      const media = bodyOf(answer.content);
      return el('details.answer', {},
        el('summary', {}, el('strong', {}, status), ` ${answer.description ?? ''}`),
        media && [fields(media.schema), block(JSON.stringify(sample(media), null, 2) ?? '')]);
    }),
    el('h4', {}, 'Try it'), block(curl(method, path, all, body)));
}

function render() {
  const groups = new Map((api.tags ?? []).map((tag) => [tag.name, { about: tag.description, operations: [] }]));
  for (const [path, item] of Object.entries(api.paths ?? {})) {
    for (const method of METHODS.filter((name) => item[name])) {
      const name = item[method].tags?.[0] ?? 'API';
      if (!groups.has(name)) groups.set(name, { operations: [] });
      groups.get(name).operations.push([method, path, item]);
    }
  }
  const used = [...groups].filter(([, group]) => group.operations.length);
  $('#contents').replaceChildren(el('a.home', { href: '/' }, 'chappe'), ...used.flatMap(([name, { operations }]) => [
    el('h2', {}, name),
    el('ul', {}, operations.map(([method, path]) =>
      el('li', {}, el('a', { href: `#${anchor(method, path)}` }, heading(method, path)))))]));
  $('#api').replaceChildren(
    el('h1', {}, `${api.info.title} ${api.info.version}`), ...prose(api.info.description ?? ''),
    el('p', {}, 'The description itself: ', el('a', { href: '/api/openapi.json' }, '/api/openapi.json')),
    ...used.flatMap(([name, { about, operations }]) => [el('h2', {}, name), ...(about ? prose(about) : []),
      ...operations.map(([method, path, item]) => operation(method, path, item))]));
  $('#api').removeAttribute('aria-busy');
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

try {
  const answer = await fetch('/api/openapi.json');
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  api = await answer.json();
  render();
} catch (error) {
  $('#api').replaceChildren(el('p.error', { role: 'alert' }, `The description could not be loaded: ${error.message}`));
}
