"""`rpc.map`: many calls of one method in one message.

A message costs the broker, the sockets and the event loops some hundred microseconds of work; a tiny call costs one.
Travelling together, calls share that. The request's params are

    {"method": "fib", "columns": [[30, 31]]}      for each positional argument, its values (compact), or
    {"method": "fib", "rows": [[30], [31]]}       for each call, its positional arguments

and the result is

    {"results": [832040, null], "errors": [[1, {"code": …, "message": …}]],
     "seconds": 0.0001, "bytes": 13, "alone": false}

with the results in the order of the calls, the errors by index, the time that computing took, the size of the results
as they travel, and whether calls of this method had better travel alone (it is not idempotent, so nothing could be
repeated for the others if one call took the worker down).

Each call keeps an outcome of its own. When the worker dies, the call that was running is the one that pays, and the
others are computed one by one.

- `request`: what is asked for, and the request's bytes.
- `answer`: what came of it, and the response's bytes.

A worker computes it (`workers.inside.many`), a server mends it when the worker died (`server.parts`), and a client
decides how many calls go to one message (`client.sizing`).
"""
