"""The pool of worker processes and the pipes to them.

    server process                      fork server                  worker 1 … N
    WorkerPool  --control: spawn+fd-->  registry imported once  --fork-->  dispatch loop
        ^  \\___ one socket pair per worker: call frames ___________________^   |
        |_______ one socket pair per worker: result frames ____________________|
        <--control: ready, exited---

In the server process `pool` gives messages to workers (`process`), `supervisor` holds the table of a worker's life,
`generations` decides how many there are to be, and `fleet` and `spawner` carry that out, with a fork server each time
the registry is imported. `watchdog` looks at what runs. The fork server is `forkserver`; what runs in a worker is
`inside`. `pipe` and `scoreboard` are what both sides share. Workers know nothing of AMQP, and nothing here does.
"""
