"""A RabbitMQ node of one's own: started without root, reached from this host only, gone without a trace when stopped.

    install    where RabbitMQ's programs are
    config     what the node is told: its configuration file and its environment, as text
    ports      which TCP ports are free
    probe      whether a broker answers
    processes  which processes belong to the node
    node       PrivateBroker, which does all of that

Rules: nothing here imports the AMQP library before a connection is tried. The password stands in files of mode 0600
below a folder of mode 0700, and nowhere else: not in an argument list, not in a log, not in a repr.
"""

from .install import find_server
from .node import NodeStatus, PrivateBroker
from .probe import answers, lets_in

__all__ = ["NodeStatus", "PrivateBroker", "answers", "find_server", "lets_in"]
