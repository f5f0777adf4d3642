// The client on a real pool. RPCSVC_URL names the broker, RPCSVC_QUEUE a queue on which the functions of the
// library's own tests are served.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as rpcsvc from '../index.js';

const url = process.env.RPCSVC_URL ?? 'amqp://guest:guest@127.0.0.1:5672/';
const queue = process.env.RPCSVC_QUEUE ?? 'rpc_queue';
let client;

before(async () => {
  client = await rpcsvc.RpcClient.connect(url, { queue, timeout: 20_000 });
});
after(() => client.close());

test('a call has its result', async () => {
  assert.equal(await client.call('fib', 30), 832040);
  assert.equal(await client.request('fib', { n: 30 }), 832040);
});

test('integers are exact, however large', async () => {
  assert.equal(await client.call('fib', 80), 23416728348467685n);
  assert.equal(await client.call('fib', 100), 354224848179261915075n);
  assert.equal(await client.call('echo', 2n ** 63n), 2n ** 63n);
});

test('a hundred calls at once have each their own', async () => {
  const numbers = Array.from({ length: 100 }, (_, n) => n);
  assert.deepEqual(await Promise.all(numbers.map((n) => client.call('echo', n))), numbers);
});

test('values come back as they went', async () => {
  const value = { a: [1.5, 'ü', null, true], b: Buffer.from([0, 1]), c: new Map([[1, 'one']]), d: new rpcsvc.Value('$decimal', '1.50') };
  assert.deepStrictEqual(await client.call('echo', value), value);
});

test('errors have their kind', async () => {
  await assert.rejects(client.call('fib', -1), (error) => error instanceof rpcsvc.FunctionRaised && error.data.type === 'ValueError');
  await assert.rejects(client.call('fib', 'thirty'), rpcsvc.InvalidParams);
  await assert.rejects(client.call('fibb', 1), rpcsvc.MethodNotFound);
  await assert.rejects(client.call('exit_hard', 7), (error) => error instanceof rpcsvc.WorkerLost && error.data.exit_code === 7);
});

test('a call ends with its time-out, and the servers stop it', async () => {
  await assert.rejects(client.request('sleep', [60], { timeout: 200 }), rpcsvc.RpcTimeout);
  assert.equal(await client.call('fib', 10), 55);
});

test('a call is given up by its signal', async () => {
  const controller = new AbortController();
  const call = client.request('sleep', [60], { signal: controller.signal });
  controller.abort(new Error('enough'));
  await assert.rejects(call, /enough/);
});

test('a queue that does not exist is told at once', async () => {
  const nobody = await rpcsvc.RpcClient.connect(url, { queue: `nobody-${process.pid}` });
  await assert.rejects(nobody.call('fib', 1), rpcsvc.NoServer);
  await nobody.close();
});

test('closing ends what waits', async () => {
  const other = await rpcsvc.RpcClient.connect(url, { queue });
  const call = other.call('sleep', 60);
  await Promise.all([assert.rejects(call, rpcsvc.ClientClosed), other.close()]);
  await assert.rejects(other.call('fib', 1), rpcsvc.ClientClosed);
});
