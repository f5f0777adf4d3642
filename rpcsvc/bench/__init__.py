"""Load on a pool, measured: what `rpcsvc bench` does.

    command ──plan, start──> client process 1 … C, each with one RpcClient and T generator threads ──calls──> pool
       ^ <──progress, tally── client process                                                                  │
       └──── CPU and memory of clients, server, workers and broker, at both ends of the window <──────────────┘

    load       what is sent, how often, for how long: the plan
    schedule   when the calls of an open loop are meant to start
    latency    an HDR histogram of latencies
    tally      what one generator counts, and the sum over generators
    generator  the threads that call; the only code that runs between two calls
    client     a client process: its way from the plan to the tally
    clients    the client processes, from outside
    resources  who uses how much CPU and memory
    stage      the broker and the pool, where the command starts them
    run        one measurement, and a sweep of them
    results    what came out, and its JSON form
    plots      what matplotlib draws of them
    report     the page
    terminal   the live line and the table

Rules: load, schedule, latency, tally and results are pure. Whatever is started here is stopped here. This
package needs the extra `bench`, and nothing outside of it imports it before the command runs.
"""
