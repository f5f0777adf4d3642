"""The pool of worker processes and the pipes to them.

    server process                      fork server                  worker 1 … N
    WorkerPool  --control: spawn+fd-->  registry imported once  --fork-->  dispatch loop
        ^  \\___ one socket pair per worker: call frames ___________________^   |
        |_______ one socket pair per worker: result frames ____________________|
        <--control: ready, exited---

`pool` runs in the server process, `forkserver` and `worker` in processes of their own. `frames` is what they speak.
Workers know nothing of AMQP, and nothing here does.
"""
