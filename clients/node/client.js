// The client: one connection, one exclusive callback queue, replies matched by correlation_id, a time-out for each call.
//
//   call -> pending[id] -> publish to the queue ... a Python function runs ...
//              |                                                          |
//   promise <--+-- by correlation_id <-- the callback queue <-- reply ----+
//
// A call leaves `pending` once: by its reply, its time-out, its signal, or the end of what could answer it.

import amqp from 'amqplib';
import { ClientClosed, ConnectionLost, DecodingError, NoServer, RpcError, RpcTimeout, remoteError } from './errors.js';
import { decode, encode } from './values.js';

const CONTROL = 'rpcsvc.control'; // docs/wire.md, "Giving up calls"
const GATHER = 10; // ms for which ids of calls that were given up are gathered
const MOST_IDS = 1000;

export class RpcClient {
  #connection;
  #channel;
  #control;
  #queue;
  #timeout;
  #replyTo;
  #pending = new Map();
  #givenUp = [];
  #number = 0;
  #ended;

  /**
   * Connect.
   *
   * @param url the broker's, amqp://user:password@host:port/vhost
   * @param queue where the servers listen
   * @param timeout ms a call waits, unless the call says otherwise
   */
  static async connect(url, { queue = 'rpc_queue', timeout = 30_000 } = {}) {
    const client = new RpcClient();
    client.#queue = queue;
    client.#timeout = timeout;
    client.#connection = await amqp.connect(url);
    client.#connection.on('error', () => {}); // 'close' follows, and ends the calls
    client.#connection.on('close', () => client.#end(new ConnectionLost('the connection to the broker was lost')));
    client.#channel = await client.#connection.createChannel();
    client.#channel.on('error', () => {});
    client.#channel.on('close', () => client.#end(new ConnectionLost('the broker closed the channel')));
    client.#channel.on('return', (message) => client.#returned(message));
    client.#replyTo = (await client.#channel.assertQueue('', { exclusive: true, autoDelete: true })).queue;
    await client.#channel.consume(client.#replyTo, (message) => client.#delivered(message), { noAck: true });
    return client;
  }

  /** Call a function by position. */
  call(method, ...args) {
    return this.request(method, args);
  }

  /**
   * Call a function.
   *
   * @param params an array (by position) or an object (by name)
   * @param timeout ms to wait; the servers stop the call then
   * @param signal an AbortSignal, which gives the call up
   */
  request(method, params = [], { timeout = this.#timeout, signal } = {}) {
    return new Promise((resolve, reject) => {
      if (this.#ended) throw this.#ended;
      signal?.throwIfAborted();
      const id = `${(this.#number += 1)}`;
      const body = `{"jsonrpc":"2.0","id":"${id}","method":${encode(method)},"params":${encode(params)}}`;
      const giveUp = (error) => {
        this.#cancel(id, call.deadline - Date.now());
        this.#take(id)?.reject(error);
      };
      const aborted = () => giveUp(signal.reason);
      const timer = setTimeout(() => giveUp(new RpcTimeout(method, timeout)), timeout);
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', aborted);
      };
      const call = { resolve, reject, done, deadline: Date.now() + timeout };
      this.#pending.set(id, call);
      signal?.addEventListener('abort', aborted, { once: true });
      this.#channel.publish('', this.#queue, Buffer.from(body), {
        correlationId: id,
        replyTo: this.#replyTo,
        expiration: `${Math.max(0, Math.round(timeout))}`,
        type: method,
        contentType: 'application/json',
        mandatory: true,
      });
    });
  }

  /** Close the connection; calls that wait end with ClientClosed. */
  async close() {
    this.#end(new ClientClosed('the client is closed'));
    await this.#connection.close().catch(() => {});
  }

  #take(id) {
    const call = this.#pending.get(id);
    this.#pending.delete(id);
    call?.done();
    return call;
  }

  #delivered(message) {
    if (message === null) {
      this.#end(new ConnectionLost('the callback queue was deleted'));
      return;
    }
    const call = this.#take(message.properties.correlationId);
    if (!call) return; // late, or twice
    try {
      call.resolve(result(message.content.toString()));
    } catch (error) {
      call.reject(error instanceof RpcError ? error : new DecodingError(`${error}`, { cause: error }));
    }
  }

  #returned(message) {
    this.#take(message.properties.correlationId)?.reject(new NoServer(`there is no queue named '${this.#queue}'`));
  }

  /** Tell all servers that nobody waits for a call any more. A courtesy: nothing depends on it. */
  #cancel(id, remaining) {
    this.#givenUp.push([id, Math.max(0, remaining) / 1000]);
    if (this.#givenUp.length === 1) setTimeout(() => this.#tell(), GATHER);
  }

  async #tell() {
    const givenUp = this.#givenUp.splice(0);
    try {
      // A channel of its own: an exchange that is not there, or forbidden, costs no call its reply.
      this.#control ??= await this.#connection.createChannel();
      this.#control.on('error', () => (this.#control = undefined));
      while (givenUp.length) {
        const some = givenUp.splice(0, MOST_IDS);
        const remaining = Math.max(...some.map(([, seconds]) => seconds));
        const params = { reply_to: this.#replyTo, ids: some.map(([id]) => id), remaining };
        const body = JSON.stringify({ jsonrpc: '2.0', method: 'rpc.cancel', params });
        this.#control.publish(CONTROL, '', Buffer.from(body));
      }
    } catch {
      this.#control = undefined;
    }
  }

  #end(error) {
    this.#ended ??= error;
    for (const id of [...this.#pending.keys()]) this.#take(id).reject(error);
  }
}

function result(text) {
  const response = decode(text);
  if (response !== null && typeof response === 'object') {
    if ('result' in response) return response.result;
    if (Number.isInteger(response.error?.code) && typeof response.error.message === 'string') {
      throw remoteError(response.error);
    }
  }
  throw new DecodingError(`the reply is no JSON-RPC response: ${text.slice(0, 80)}`);
}
