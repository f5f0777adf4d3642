"""All peers by their names, in the order of the tables."""

from __future__ import annotations

from .aio_pika_rpc import AioPikaRpc
from .celery_tasks import Celery
from .faststream_request import FastStream
from .limit_in_c import Limit, LimitBare
from .local import Direct, Executor, Pool
from .nameko_rpc import Nameko
from .oslo_rpc import Oslo
from .ours import Ours, OursSubmit, OursUnpacked
from .peer import Peer
from .tutorial import Tutorial
from .without_results import Dramatiq, Taskiq

PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
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
    )
}
