"""The client's inside, that the threaded and the asyncio client share.

- `calls`: one call, numbered, checked and encoded; the options of a client.
- `link`: one client's connection and the calls that wait on it. The way of a call is drawn there.
- `unsent`: the calls that cannot be sent now.
- `opening`: the connections of one client, one after the other.
- `session`: one connection with its callback queue, and what is known of the servers behind it.
- `packing`: tiny calls that travel together.
- `cancelling`: telling the servers of calls given up.
- `mapping`: one method over many arguments.
- `thread`: a link on an event loop in a thread of its own.
"""
