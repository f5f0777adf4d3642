"""The server's inside: what becomes of the deliveries of one connection.

- `session`: one connection, its consumers, its deliveries; reply, then ack.
- `repair`: a message of many calls whose worker died.
"""
