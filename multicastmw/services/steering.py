"""What `mcmw` changes in a running node beside its node.ini: pins, peers, and what is logged.

It holds until the node reads that file again or ends: the file is what a node is meant to be.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from multicastmw import endpoints, literals
from multicastmw.core.events import Note
from multicastmw.sections import LOG_LEVELS, PeerConfig

if TYPE_CHECKING:
    from multicastmw.services.node import NodeService

# What we chose.
PINS_MAX, PEERS_MAX = 1_024, 1_024

Said = Mapping[str, str]


@dataclass(frozen=True)
class Steered:
    """What the asker is answered: what was done, or why not."""

    what: str = ""
    error: str = ""

    def document(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {"error": self.error} if self.error else {"ok": True, "what": self.what}


class Steering:
    """Of one node; what is asked for is texts, as they would stand in node.ini."""

    def __init__(self, node: "NodeService") -> None:
        self._node = node

    def actions(self) -> dict[str, Callable[[Said], Steered]]:
        """By the resource; each raises KeyError for what is missing, and ValueError for what is none."""
        return {
            "group/pin": self._pin, "group/unpin": self._unpin,
            "peer/add": self._add, "peer/remove": self._remove,
            "log": self._log,
        }  # fmt: skip

    def _pin(self, said: Said) -> Steered:
        node, text = self._node, said["group"]
        pins = node.config.groups.pin
        new = [channel for channel in literals.pins(text) if channel not in pins]
        if not new:
            return Steered(error=f"{text} is pinned already")
        if len(pins) + len(new) > PINS_MAX:
            return Steered(error=f"{len(pins)} groups are pinned, and more than {PINS_MAX} are not")
        if any(node.destination.denies(channel) for channel in new):
            return Steered(error=f"{text} is kept out by [groups] allow and deny")
        for channel in new:
            node.destination.want(channel.group, channel.source)
        return self._pinned((*pins, *new), f"{text} is pinned")

    def _unpin(self, said: Said) -> Steered:
        node, text = self._node, said["group"]
        gone = literals.pins(text)
        pins = node.config.groups.pin
        if not gone or not set(gone) <= set(pins):
            return Steered(error=f"{text} is not pinned")
        for channel in gone:
            node.destination.unwant(channel.group, channel.source)
        return self._pinned(tuple(pin for pin in pins if pin not in gone), f"{text} is pinned no longer")

    def _pinned(self, pins: Any, what: str) -> Steered:
        config = self._node.config
        self._node.config = replace(config, groups=replace(config.groups, pin=pins))
        return self._done(what)

    def _add(self, said: Said) -> Steered:
        name, endpoint = literals.node_name(said["name"]), endpoints.client(said["endpoint"])
        dialled = [dialler.config.name for dialler in self._node.diallers]
        if name in dialled:
            return Steered(error=f"[peer:{name}] is there already")
        if name == self._node.config.node.name:
            return Steered(error=f"{name} is this node's own name")
        if len(dialled) >= PEERS_MAX:
            return Steered(error=f"{len(dialled)} peers are dialled, and more than {PEERS_MAX} are not")
        self._node.dial(PeerConfig(name, endpoint))
        return self._done(f"[peer:{name}] is dialled at {endpoint}")

    def _remove(self, said: Said) -> Steered:
        name = said["name"]
        if name not in [dialler.config.name for dialler in self._node.diallers]:
            return Steered(error=f"there is no [peer:{literals.shown(name)}]")
        self._node.undial(name)
        return self._done(f"[peer:{name}] is dialled no longer")

    def _log(self, said: Said) -> Steered:
        level = literals.choice(*LOG_LEVELS)(said["level"])
        self._node.journal.set_level(level)
        return Steered(f"{level} and above")

    def _done(self, what: str) -> Steered:
        self._node.tell(Note(f"{what}, until node.ini is read again"))
        return Steered(what)
