// Values to JSON text and back, as docs/wire.md has them ("Values").
//
// JavaScript has one number type and Python has two, so two rules of this client's own: a number without a fraction is
// an int, and an integer that a number cannot hold exactly is a BigInt, in both directions. What JavaScript has no type
// for arrives as a Value, which travels back as it came.

import { Buffer } from 'node:buffer';
import { DecodingError, EncodingError } from './errors.js';

const BARE_MIN = -(2n ** 63n);
const BARE_MAX = 2n ** 64n - 1n;

/** A value of a Python type that JavaScript lacks: `new Value('$decimal', '1.50')`. */
export class Value {
  constructor(form, content) {
    this.form = form;
    this.content = content;
  }
}

// ---- to text

/** The JSON text of a value. */
export function encode(value, path = '') {
  switch (typeof value) {
    case 'boolean':
      return value ? 'true' : 'false';
    case 'string':
      if (!value.isWellFormed?.() && /\p{Surrogate}/u.test(value)) {
        throw new EncodingError(`at ${path || 'the value'}: a lone surrogate is not Unicode`);
      }
      return JSON.stringify(value);
    case 'number':
      return encodeNumber(value);
    case 'bigint':
      return value >= BARE_MIN && value <= BARE_MAX ? `${value}` : object('$int', JSON.stringify(hex(value)));
    case 'object':
      return encodeObject(value, path);
    default:
      throw new EncodingError(`at ${path || 'the value'}: a ${typeof value} does not travel`);
  }
}

function encodeNumber(value) {
  if (Number.isFinite(value)) return Object.is(value, -0) ? '-0.0' : wholeText(value) ?? JSON.stringify(value);
  return object('$float', JSON.stringify(Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf'));
}

// JSON.stringify writes 1e21 and above with an exponent, which is a float; a whole number below that is an int.
function wholeText(value) {
  return Number.isSafeInteger(value) ? `${value}` : Number.isInteger(value) ? `${value.toExponential()}` : undefined;
}

function encodeObject(value, path) {
  if (value === null) return 'null';
  if (value instanceof Value) return object(value.form, encode(value.content, path));
  if (Array.isArray(value)) return `[${value.map((item, index) => encode(item, `${path}[${index}]`)).join(',')}]`;
  if (value instanceof Uint8Array) return object('$bytes', JSON.stringify(Buffer.from(value).toString('base64')));
  if (value instanceof Date) return object('$datetime', JSON.stringify(value.toISOString().replace('Z', '+00:00')));
  if (value instanceof Set) return object('$set', encode([...value], path));
  if (value instanceof Map) return object('$dict', encode([...value], path));
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    throw new EncodingError(`at ${path || 'the value'}: a ${prototype.constructor.name} does not travel; pass its parts`);
  }
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  if (entries.some(([name]) => name.startsWith('$'))) return object('$dict', encode(entries, path));
  return `{${entries.map(([name, item]) => `${JSON.stringify(name)}:${encode(item, `${path}.${name}`)}`).join(',')}}`;
}

function object(form, text) {
  return `{"${form}":${text}}`;
}

function hex(value) {
  return value < 0n ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`;
}

// ---- from text

// A string, or an integer of 16 digits and more that is no part of a longer number. JSON.parse would round the integer.
const TOKEN = /"(?:[^"\\]|\\.)*"|(?<![\d.eE+-])-?\d{16,}(?![\d.eE])/g;

/** The value of a JSON text. */
export function decode(text) {
  let tree;
  try {
    tree = JSON.parse(text.replace(TOKEN, (token) => (token[0] === '"' ? token : object('$int', `"${token}"`))));
  } catch (error) {
    throw new DecodingError(`the reply is not JSON: ${text.slice(0, 80)}`, { cause: error });
  }
  return revive(tree);
}

function revive(tree) {
  if (Array.isArray(tree)) return tree.map(revive);
  if (tree === null || typeof tree !== 'object') return tree;
  const names = Object.keys(tree);
  if (names.length === 1 && names[0].startsWith('$')) return reviveForm(names[0], tree[names[0]]);
  return Object.fromEntries(names.map((name) => [name, revive(tree[name])]));
}

function reviveForm(form, content) {
  switch (form) {
    case '$int':
      return reviveInteger(content);
    case '$float':
      return { nan: NaN, inf: Infinity, '-inf': -Infinity }[content];
    case '$bytes':
    case '$bytearray':
      return Buffer.from(content, 'base64');
    case '$tuple':
      return content.map(revive);
    case '$set':
    case '$frozenset':
      return new Set(content.map(revive));
    case '$dict':
      return new Map(content.map(([key, item]) => [revive(key), revive(item)]));
    case '$datetime':
      // A Date is a point in time. What is none, or names a zone, stays as it came.
      return typeof content === 'string' && /[+-]\d\d:\d\d$/.test(content) ? new Date(content) : new Value(form, content);
    default:
      return new Value(form, content);
  }
}

function reviveInteger(content) {
  const value = content.startsWith('-') ? -BigInt(content.slice(1)) : BigInt(content);
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
}
