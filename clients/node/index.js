// The public names; each file says what it is for.
export { RpcClient } from './client.js';
export * from './errors.js';
export { Value } from './values.js';
