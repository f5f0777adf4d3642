"""The server's inside: what becomes of the deliveries of one connection.

- `session`: one connection, its consumers, its deliveries; reply, then ack.
- `call`: what a delivery becomes, until it is answered.
- `under_way`: all of these, by what their callers know them by; it outlives connections.
- `repair`: when a worker died over a call.
- `control`: what clients say to all servers.
- `service`: what is served, and what happened so far.
- `remembered`: a table whose entries pass.
"""
