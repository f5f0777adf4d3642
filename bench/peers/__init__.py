"""The same work through this library, its peers and the limit, on one broker, in one run: `scripts/bench peers`.

    __main__   the command
    modes      what is measured
    peer       what a peer is, and one module for each of them; earlier is this library at another revision
    one_way    what a peer of casts and events is; its modules end with `_casts`
    serve      the server process of a peer
    load       its client process, and the loops that call; load_one_way the same for casts and events
    counts     how much of what nobody answers is done
    runner     starts, measures, stops; round by round  table   medians, spread, ratios, text (pure)
    limit/     the programs in C: client and server for calls, publisher and consumer for the rest

Rules:

- Every run has a server and a client of its own, started for it and ended with it. Servers and client are processes of
  their own, so no peer's event loop or threads meet another's.
- Rounds are interleaved (A B C, A B C), so that what disturbs the machine disturbs all; ratios are of the same round.
- Every result is compared with the right one; every event has to be heard by every subscriber.
- A peer gets the options that its own documentation advises for speed, with acks after the work. Each module says which
  options, and why.
- Casts are persistent and confirmed, on a durable queue, of the same type for all. Those that are executed are there
  before the workers are, so that publishing them takes nothing from them.
- A peer that cannot run stays in the table, with the reason.
"""
