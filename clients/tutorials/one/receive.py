"""Receives greetings, from send.py and, out of the queue `hello`, from the original's send.py: python receive.py."""

from rpcsvc import Registry, RpcServer

registry = Registry(default="receive")  # what a message that is plain text calls


@registry.function
def receive(greeting: str) -> None:
    print(f" [x] Received {greeting}")


if __name__ == "__main__":
    server = RpcServer("receive:registry", queue="greetings", casts_from=["hello"])
    server.run(ready=lambda _: print(" [*] Waiting for messages. To exit press CTRL+C", flush=True))
