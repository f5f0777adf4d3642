// The table of docs/wire.md from JavaScript's side: what arrives, and what goes back.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DecodingError, EncodingError, Value } from '../index.js';
import { decode, encode } from '../values.js';

const BOTH_WAYS = [
  [null, 'null'],
  [true, 'true'],
  ['ü "x" \u{1F600}', '"ü \\"x\\" \u{1F600}"'],
  [7, '7'],
  [1.5, '1.5'],
  [-0, '-0.0'],
  [2 ** 53 - 1, '9007199254740991'],
  [2n ** 53n, '9007199254740992'],
  [2n ** 64n - 1n, '18446744073709551615'],
  [2n ** 64n, '{"$int":"0x10000000000000000"}'],
  [-(2n ** 63n) - 1n, '{"$int":"-0x8000000000000001"}'],
  [NaN, '{"$float":"nan"}'],
  [-Infinity, '{"$float":"-inf"}'],
  [Buffer.from([0, 255]), '{"$bytes":"AP8="}'],
  [new Date('2024-02-29T12:30:00Z'), '{"$datetime":"2024-02-29T12:30:00.000+00:00"}'],
  [new Set([1]), '{"$set":[1]}'],
  [new Map([[1, 'one']]), '{"$dict":[[1,"one"]]}'],
  [[1, [2, { a: 3 }]], '[1,[2,{"a":3}]]'],
  [new Value('$decimal', '1.50'), '{"$decimal":"1.50"}'],
];

for (const [value, text] of BOTH_WAYS) {
  test(`${text} both ways`, () => {
    assert.equal(encode(value), text);
    assert.deepStrictEqual(decode(text), value);
  });
}

test('digits in a string, and of a float, stay as they are', () => {
  assert.deepStrictEqual(decode('["12345678901234567890", 1234567890123456.5, 1e21, "\\"12345678901234567890"]'), [
    '12345678901234567890', 1234567890123456.5, 1e21, '"12345678901234567890',
  ]);
});

test('a tuple is an array, and a member that begins with $ goes as a pair', () => {
  assert.deepStrictEqual(decode('{"$tuple":[1,"two"]}'), [1, 'two']);
  assert.equal(encode({ $a: 1 }), '{"$dict":[["$a",1]]}');
});

test('a whole number beyond what a number holds exactly is a float, not an int that it may not be', () => {
  assert.equal(encode(2 ** 60), '1.152921504606847e+18');
});

for (const value of [undefined, () => 1, Symbol('x'), '\ud800', new (class Point {})()]) {
  test(`${String(value)} is refused with its place`, () => {
    assert.throws(() => encode([1, { a: value ?? (() => 1) }]), (error) => error instanceof EncodingError && /\[1\]\.a/.test(error.message));
  });
}

test('what is not JSON is a DecodingError that shows how it began', () => {
  assert.throws(() => decode('<html>'), (error) => error instanceof DecodingError && /<html>/.test(error.message));
});
