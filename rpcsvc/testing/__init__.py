"""What the tests of a program with rpcsvc need: a broker, a server in a process of its own, a network that fails.

    PrivateBroker  a RabbitMQ of the tests' own
    ServerProcess  `rpcsvc serve` as a child process
    FaultProxy     delays, stalls, cuts and resets what travels between a client or a server and the broker
    wait_until     waits for a condition, with a bound
    fixtures       the same as fixtures of pytest, and the one module that needs it

Rule: whatever waits has a bound in seconds of a quiet machine. RPCSVC_TEST_TIME_FACTOR multiplies all of them.
"""

from ..broker import PrivateBroker
from .proxy import Direction, FaultProxy
from .server_process import ServerProcess
from .waiting import scaled, wait_until

__all__ = ["Direction", "FaultProxy", "PrivateBroker", "ServerProcess", "scaled", "wait_until"]
