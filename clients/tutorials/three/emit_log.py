"""Publishes a line to everybody who listens: python emit_log.py MESSAGE. Or to EXCHANGE=logs, the tutorial's own."""

import os
import sys

from rpcsvc import RpcClient

message = " ".join(sys.argv[1:]) or "info: Hello World!"
with RpcClient() as client:
    client.publish("logs", message, exchange=os.environ.get("EXCHANGE"))
    print(f" [x] Sent {message}")
