"""All peers in the order of the tables: those that call, and those of one-way work, under the same names."""

from __future__ import annotations

from .aio_pika_casts import AioPikaCasts
from .aio_pika_rpc import AioPikaRpc
from .celery_casts import CeleryCasts
from .celery_tasks import Celery
from .dramatiq_casts import DramatiqCasts
from .faststream_request import FastStream
from .limit_casts import LimitCasts
from .limit_in_c import Limit, LimitBare
from .local import Direct, Executor, Pool
from .nameko_rpc import Nameko
from .oslo_rpc import Oslo
from .ours import Ours, OursSubmit, OursUnpacked
from .ours_casts import OursCasts
from .peer import Peer
from .pika_casts import PikaCasts
from .tutorial import Tutorial
from .without_results import Dramatiq, Taskiq

PEERS: list[Peer] = [
    Ours(),
    OursUnpacked(),
    OursSubmit(),
    Tutorial(),
    AioPikaRpc(),
    Celery(),
    Nameko(),
    FastStream(),
    Oslo(),
    Taskiq(),
    Dramatiq(),
    Executor(),
    Pool(),
    Direct(),
    Limit(),
    LimitBare(),
    OursCasts(),
    PikaCasts(),
    AioPikaCasts(),
    CeleryCasts(),
    DramatiqCasts(),
    LimitCasts(),
]


def peer_of(name: str, *, one_way: bool) -> Peer:
    """The one of that name, for calls or for one-way work."""
    return next(peer for peer in PEERS if (peer.name, peer.one_way) == (name, one_way))
