"""Shows what is published, on the screen or in a file: python receive_logs.py > logs.txt. Or EXCHANGE=logs."""

import os
from contextlib import suppress

from rpcsvc import RpcClient

with suppress(KeyboardInterrupt), RpcClient() as client:
    logs = client.subscribe("logs", exchange=os.environ.get("EXCHANGE"))
    print(" [*] Waiting for logs. To exit press CTRL+C", flush=True)
    for event in logs:
        print(f" [x] {event.body}", flush=True)
