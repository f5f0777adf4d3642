"""Sends one greeting to the pool of receive.py: python send.py."""

from rpcsvc import RpcClient

with RpcClient(queue="greetings") as client:
    client.cast("receive", "Hello World!")
    print(" [x] Sent 'Hello World!'")
