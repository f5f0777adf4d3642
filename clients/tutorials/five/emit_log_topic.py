"""Publishes a line under a topic: python emit_log_topic.py kern.critical MESSAGE. Or to EXCHANGE=topic_logs."""

import os
import sys

from rpcsvc import RpcClient

topic = sys.argv[1] if len(sys.argv) > 1 else "anonymous.info"
message = " ".join(sys.argv[2:]) or "Hello World!"
with RpcClient() as client:
    client.publish(topic, message, exchange=os.environ.get("EXCHANGE"))
    print(f" [x] Sent {topic}:{message}")
