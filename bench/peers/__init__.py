"""The same work through this library, its peers and the limit, on one broker, in one run: `scripts/bench peers`.

    __main__   the command
    modes      what is measured
    peer       what a peer is, and one module for each of them; earlier is this library at another revision
    serve      the server process of a peer             load    its client process, and the loops that call
    runner     starts, measures, stops; round by round  table   medians, spread, ratios, text (pure)
    limit/     the client and the server in C

Rules:

- Every run has a server and a client of its own, started for it and ended with it. Servers and client are processes of
  their own, so no peer's event loop or threads meet another's.
- Rounds are interleaved (A B C, A B C), so that what disturbs the machine disturbs all; ratios are of the same round.
- Every result is compared with the right one.
- A peer gets the options that its own documentation advises for speed, with acks after the work. Each module says which
  options, and why.
- A peer that cannot run stays in the table, with the reason.
"""
