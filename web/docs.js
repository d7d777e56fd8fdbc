// Renders the server's OpenAPI description for reading. Knows of OpenAPI 3.1 what utoipa writes.

import { $, el } from './element.js';

const METHODS = ['get', 'post', 'put', 'patch', 'delete'];
const PROBLEM = 'application/problem+json';
let api;

/** What a schema comes to: references followed, `allOf` folded, `null` left out; `name` is that of the reference. */
function flat({ $ref, allOf = [], oneOf = [], ...own } = {}) {
  const alternatives = oneOf.filter(({ type }) => type !== 'null');
  const parts = [...allOf, ...(alternatives.length === 1 ? alternatives : [])].map(flat);
  if ($ref) {
    const keys = $ref.slice(2).split('/');
    parts.push({ ...flat(keys.reduce((at, key) => at?.[key], api)), name: keys.at(-1) });
  }
  const all = [...parts, own].reduce((one, other) => ({
    ...one, ...other,
    properties: { ...one.properties, ...other.properties },
    required: [...(one.required ?? []), ...(other.required ?? [])],
  }), {});
  if (alternatives.length > 1) all.choices = alternatives.map(flat);
  return { ...all, choices: all.choices ?? [], type: [all.type].flat().find((type) => type && type !== 'null') };
}

function typeName(raw) {
  const schema = flat(raw);
  if (schema.type === 'array') return `list of ${typeName(schema.items)}`;
  const name = !schema.enum && schema.name;
  return [
    name || schema.type || (schema.choices.length ? 'one of several' : 'anything'),
    schema.minimum !== undefined && `≥ ${schema.minimum}`,
    schema.maximum !== undefined && (schema.maximum === Number.MAX_SAFE_INTEGER ? '< 2⁵³' : `≤ ${schema.maximum}`),
    schema.minLength !== undefined && `at least ${schema.minLength} long`,
    schema.maxLength !== undefined && `at most ${schema.maxLength} long`,
    schema.enum && `one of ${schema.enum.map((value) => JSON.stringify(value)).join(', ')}`,
    schema.default !== undefined && `default ${JSON.stringify(schema.default)}`,
  ].filter(Boolean).join(', ');
}

/** A value that fits the schema: its own example, or one made up from its type. `above`: the schemas it stands in. */
function example(raw, above = []) {
  const schema = flat(raw);
  const own = [schema.example, schema.default, schema.enum?.[0]].find((value) => value !== undefined);
  if (own !== undefined) return own;
  if (schema.choices.length) return example(schema.choices[0], above);
  if (schema.name && above.includes(schema.name)) return undefined;
  const inside = [...above, schema.name];
  if (schema.type === 'array') return [example(schema.items, inside)].filter((item) => item !== undefined);
  const properties = Object.entries(schema.properties);
  const examples = properties.map(([name, property]) => [name, example(property, inside)]);
  if (properties.length) return Object.fromEntries(examples);
  return { integer: 1, number: 1, boolean: true, string: 'text', object: {} }[schema.type] ?? null;
}

/** The fields of a schema, those of nested ones inside. */
function fields(raw, above = []) {
  const schema = flat(raw);
  if (schema.name && above.includes(schema.name)) return null;
  const inside = [...above, schema.name];
  if (schema.type === 'array') return fields(schema.items, inside);
  const choices = schema.choices.filter((choice) => !choice.enum);
  if (choices.length) {
    return el('ul.fields', {}, choices.map((choice) => el('li', {},
      'either ', el('span.type', {}, typeName(choice)), about(choice.description), fields(choice, inside))));
  }
  const properties = Object.entries(schema.properties);
  return properties.length > 0 && el('ul.fields', {}, properties.map(([name, property]) =>
    field(name, [typeName(property), !schema.required.includes(name) && 'optional'],
      flat(property).description, fields(property, inside))));
}

function field(name, types, description, inside) {
  return el('li', {}, el('code', {}, name), ' ', el('span.type', {}, types.filter(Boolean).join(', ')),
    about(description), inside);
}

const about = (text) => text && el('.about', {}, prose(text));
/** Text with its `code` set apart. */
const line = (text) => text.split(/`([^`]+)`/).map((part, at) => (at % 2 ? el('code', {}, part) : part));
const prose = (text) => text.trim().split(/\n\s*\n/).map((paragraph) => el('p', {}, line(paragraph)));
const block = (text) => el('pre', { tabIndex: 0 }, el('code', {}, text));
const mediaOf = (content = {}) => content['application/json'] ?? Object.values(content)[0];
const anchor = (method, path) => `${method}${path.replaceAll(/[^\w]+/g, '-')}`;
const heading = (method, path) =>
  [el('span.method', { 'data-method': method }, method.toUpperCase()), ' ', el('code', {}, path)];

function curl(method, path, parameters, body) {
  const value = ({ example: own, schema }) => encodeURIComponent(own ?? example(schema));
  const filled = path.replaceAll(/{(\w+)}/g, (_, name) => value(parameters.find((one) => one.name === name)));
  const query = parameters.filter((one) => one.in === 'query' && (one.required || one.example !== undefined));
  const url = [filled, query.map((one) => `${one.name}=${value(one)}`).join('&')].filter(Boolean).join('?');
  const quoted = (text) => `'${text.replaceAll("'", String.raw`'\''`)}'`;
  return ['curl', method !== 'get' && `-X ${method.toUpperCase()}`, quoted(location.origin + url),
    body && `-H 'Content-Type: application/json' -d ${quoted(JSON.stringify(body.example ?? example(body.schema)))}`,
  ].filter(Boolean).join(' ');
}

function answer([status, { description, content }]) {
  const media = mediaOf(content);
  const title = [el('strong', {}, status), ' ', ...line(description)];
  if (!media) return el('p', {}, title);
  return el('details', {}, el('summary', {}, title), fields(media.schema),
    block(JSON.stringify(media.example ?? example(media.schema), null, 2)));
}

/** The description of a refusal has a paragraph for each code; what they mean is said once, at the end of the page. */
function refusal([status, { description }]) {
  const codes = [...description.matchAll(/^`(\w+)`: (.*)$/gm)];
  return el('li', {}, el('strong', {}, status), codes.map(([, code, title]) =>
    [' ', el('a', { href: `#${code}`, title }, el('code', {}, code))]).flat());
}

function operation([method, path, { summary, description, parameters = [], requestBody, responses }]) {
  const body = mediaOf(requestBody?.content);
  const answers = Object.entries(responses);
  const refused = ([, { content = {} }]) => PROBLEM in content;
  return el('section.operation', { id: anchor(method, path) },
    el('h3', {}, heading(method, path)), summary && el('p', {}, summary), description && prose(description),
    parameters.length > 0 && [el('h4', {}, 'Parameters'), el('ul.fields', {}, parameters.map((one) =>
      field(one.name, [`in the ${one.in}`, typeName(one.schema), !one.required && 'optional'], one.description)))],
    body && [el('h4', {}, 'Body'), fields(body.schema)],
    el('h4', {}, 'Answers'), answers.filter((one) => !refused(one)).map(answer),
    answers.some(refused) && [el('h4', {}, 'Refusals'), el('ul.fields', {}, answers.filter(refused).map(refusal))],
    el('h4', {}, 'Try it'), block(curl(method, path, parameters, body)));
}

/** What a refusal looks like, and what each code means: where a problem's `type` leads. */
function errors(operations) {
  const { schema } = operations.flatMap(([, , { responses }]) => Object.values(responses))
    .find(({ content = {} }) => PROBLEM in content)?.content[PROBLEM] ?? {};
  const codes = flat(flat(schema).properties.code).choices.map(({ enum: [code], description }) =>
    el('section.error-code', { id: code }, el('h3', {}, el('code', {}, code)), prose(description)));
  return [el('h2', { id: 'errors' }, 'Errors'), ...prose(`Refusals are answered with \`${PROBLEM}\`:`),
    fields(schema), ...codes];
}

function render() {
  const operations = Object.entries(api.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => [method, path, item[method]]));
  const groups = api.tags.map((tag) => [tag, operations.filter(([, , { tags }]) => tags[0] === tag.name)]);
  $('#contents').replaceChildren(el('a.home', { href: '/' }, 'chappe'), ...groups.flatMap(([{ name }, inside]) => [
    el('h2', {}, name),
    el('ul', {}, inside.map(([method, path]) =>
      el('li', {}, el('a', { href: `#${anchor(method, path)}` }, heading(method, path)))))]),
  el('h2', {}, el('a', { href: '#errors' }, 'Errors')));
  $('#api').replaceChildren(
    el('h1', {}, `${api.info.title} ${api.info.version}`), ...prose(api.info.description),
    el('p', {}, 'The description itself: ', el('a', { href: '/api/openapi.json' }, '/api/openapi.json')),
    ...groups.flatMap(([{ name, description }, inside]) =>
      [el('h2', {}, name), ...prose(description), ...inside.map(operation)]),
    ...errors(operations));
  $('#api').removeAttribute('aria-busy');
  document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

try {
  const response = await fetch('/api/openapi.json');
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  api = await response.json();
  render();
} catch (error) {
  $('#api').replaceChildren(el('p.error', { role: 'alert' }, `The description could not be loaded: ${error.message}`));
}
