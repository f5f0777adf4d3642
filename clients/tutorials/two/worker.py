"""A pool of two workers for tasks, from new_task.py and, out of `task_queue`, from the original's: python worker.py."""

import time

from rpcsvc import Registry, RpcServer

registry = Registry(default="work")  # what a message that is plain text calls


@registry.function
def work(task: str) -> None:
    print(f" [x] Received {task}")
    time.sleep(task.count("."))
    print(" [x] Done")


if __name__ == "__main__":
    server = RpcServer("worker:registry", queue="tasks", casts_from=["task_queue"], workers=2, cast_workers=2)
    server.run(ready=lambda _: print(" [*] Waiting for messages. To exit press CTRL+C", flush=True))
