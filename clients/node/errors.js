// What a call may end with. The names and codes are those of docs/wire.md; `code` and `data` are the response's own.

/** Every error of this client. */
export class RpcError extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** An argument cannot travel, or a result is none that this client understands. */
export class EncodingError extends RpcError {}
export class DecodingError extends RpcError {}

/** No reply came in time. */
export class RpcTimeout extends RpcError {
  constructor(method, timeout) {
    super(`no reply to '${method}' within ${timeout} ms`);
    this.method = method;
    this.timeout = timeout;
  }
}

/** Nobody consumes the queue, or there is none of that name. */
export class NoServer extends RpcError {}
/** The connection went while the call waited; it may have run. */
export class ConnectionLost extends RpcError {}
/** The client was closed before the call or while it waited. */
export class ClientClosed extends RpcError {}

/** The server answered with an error object (JSON-RPC 2.0, section 5.1). */
export class RemoteError extends RpcError {
  constructor(message, code, data) {
    super(message);
    this.code = code;
    this.data = data;
  }
}
export class ParseError extends RemoteError {}
export class InvalidRequest extends RemoteError {}
export class MethodNotFound extends RemoteError {}
export class InvalidParams extends RemoteError {}
export class InternalError extends RemoteError {}
/** The function raised; `data` has its `type`, `message` and `traceback`. */
export class FunctionRaised extends RemoteError {}
export class ResultNotEncodable extends RemoteError {}
export class WorkerLost extends RemoteError {}
export class OutcomeUnknown extends RemoteError {}
export class TimeLimitExceeded extends RemoteError {}
export class CallCancelled extends RemoteError {}
export class MemoryLimitExceeded extends RemoteError {}

const BY_CODE = new Map([
  [-32700, ParseError],
  [-32600, InvalidRequest],
  [-32601, MethodNotFound],
  [-32602, InvalidParams],
  [-32603, InternalError],
  [-32000, FunctionRaised],
  [-32001, ResultNotEncodable],
  [-32002, WorkerLost],
  [-32003, OutcomeUnknown],
  [-32004, TimeLimitExceeded],
  [-32005, CallCancelled],
  [-32006, MemoryLimitExceeded],
]);

/** The error that a response's error object stands for. */
export function remoteError({ code, message, data }) {
  const Kind = BY_CODE.get(code) ?? RemoteError;
  return new Kind(message, code, data);
}
