"""Shows what fits one of the patterns: python receive_logs_topic.py "kern.*" "*.critical". Or EXCHANGE=topic_logs."""

import os
import sys
from contextlib import suppress

from rpcsvc import RpcClient

if len(sys.argv) < 2:
    sys.exit(f"Usage: {sys.argv[0]} [pattern]...")
with suppress(KeyboardInterrupt), RpcClient() as client:
    logs = client.subscribe(*sys.argv[1:], exchange=os.environ.get("EXCHANGE"))
    print(" [*] Waiting for logs. To exit press CTRL+C", flush=True)
    for event in logs:
        print(f" [x] {event.topic}:{event.body}", flush=True)
