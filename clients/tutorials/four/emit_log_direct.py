"""Publishes a line with its severity: python emit_log_direct.py error MESSAGE. Or to EXCHANGE=direct_logs."""

import os
import sys

from rpcsvc import RpcClient

severity = sys.argv[1] if len(sys.argv) > 1 else "info"
message = " ".join(sys.argv[2:]) or "Hello World!"
with RpcClient() as client:
    client.publish(severity, message, exchange=os.environ.get("EXCHANGE"))
    print(f" [x] Sent {severity}:{message}")
