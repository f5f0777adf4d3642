"""A pool that serves fib: python rpc_server.py. Options of a pool: rpcsvc serve rpc_server:registry --help."""

from rpcsvc import Registry, RpcServer

registry = Registry(default="fib")  # what a bare "30" calls: the original's client sends such


@registry.function
def fib(n: int) -> int:
    if n < 0:
        raise ValueError(f"n must be at least 0, not {n}")
    print(f" [.] fib({n})")
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


if __name__ == "__main__":
    RpcServer("rpc_server:registry").run(ready=lambda _: print(" [x] Awaiting RPC requests", flush=True))
