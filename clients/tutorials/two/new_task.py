"""Sends a task to the pools of worker.py, a second for each dot: python new_task.py "A hard task..."."""

import sys

from rpcsvc import RpcClient

task = " ".join(sys.argv[1:]) or "Hello World!"
with RpcClient(queue="tasks") as client:
    client.cast("work", task)
    print(f" [x] Sent {task}")
