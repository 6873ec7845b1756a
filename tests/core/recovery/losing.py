"""Packets that are lost by their numbers, once each."""

from collections.abc import Callable, Iterable

from multicastmw.wire.cops import Op
from tests.core.cable import Air, Node

Send = Callable[[Node, tuple[str, int], bytes], None]


def losing(air: Air, numbers: Iterable[int], way: tuple[Node, Node]) -> Send:
    """What the air's `send` is to be for that: on this way these do not arrive, the first time."""
    (one, other), left, send = way, set(numbers), air.send

    def sends(sender: Node, remote: tuple[str, int], message: bytes) -> None:
        if sender is one and remote[0] == other.address and message[1] == Op.IP_DATA:
            number = int.from_bytes(message[44:48], "big")
            if number in left:
                left.discard(number)
                return
        send(sender, remote, message)

    return sends
