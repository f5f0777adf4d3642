"""How large the body of a message may be. Pure: who connects and who is refused tells it.

The broker has a limit (`max_message_size`): 16 MiB by default since RabbitMQ 4.0, 128 MiB before, and whatever its
operator says. It is not told in the handshake; a message beyond it closes its channel with 406, which names it. So the
limit is guessed from the broker's version, a little low, or given, and lowered when a message was refused.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

MAX_BODY: Final = 64 * 2**20
"""The largest body in bytes, whatever a broker takes."""
MIN_LIMIT: Final = 1024
"""The smallest limit in bytes that can be set: an error must fit."""
AUTO: Final = "auto"
_SINCE_4_0: Final = 16 * 2**20 - 64 * 2**10
"""A little under the broker's 16 MiB, which count the body alone: a limit that is met exactly would help nobody."""

LARGE: Final = 8 * 2**20
"""A body of more bytes than this is never published on the channel of the consumers."""
SMALL: Final = 64 * 2**10
"""A body of up to so many bytes is taken to be below every broker's limit."""

Setting: TypeAlias = int | Literal["auto"]


def broker_default(version: tuple[int, ...] | None) -> int:
    """The largest body in bytes for a broker of that version; None is one that does not tell."""
    return MAX_BODY if version is not None and version < (4,) else _SINCE_4_0


class BodyLimit:
    """The largest body in bytes that is sent, or taken, by one client or server. It outlives connections.

    Attributes:
        most: the limit now.
    """

    def __init__(self, setting: Setting = AUTO) -> None:
        self._setting = setting
        self._refused: int | None = None
        self.most = MAX_BODY if setting == AUTO else setting

    def connected(self, version: tuple[int, ...] | None) -> None:
        """Take the limit of a broker of that version, to which there is a connection now.

        What another one refused is forgotten, as it may have been configured anew: to find out again costs an
        expendable channel. Not so a limit that even small messages break: that costs the channel with the consumers.
        """
        self.most = broker_default(version) if self._setting == AUTO else self._setting
        if self._refused is not None and self._refused < SMALL:
            self.most = min(self.most, self._refused)

    def refused(self, most: int) -> None:
        """The broker refused a body, and said how many bytes it takes."""
        self._refused = most
        self.most = min(self.most, most)

    def __repr__(self) -> str:
        return f"<BodyLimit: {self.most} bytes, {self._setting}>"
