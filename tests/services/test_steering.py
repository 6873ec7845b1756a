"""What may be changed in a running node beside its node.ini, and what is refused in one line."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.addressing import ANY, Channel
from multicastmw.services import steering
from multicastmw.services.control import texts
from multicastmw.services.steering import Steering

GROUP = Channel(0xEF010101, ANY)


@dataclass(frozen=True)
class Groups:
    pin: tuple[Channel, ...] = ()


@dataclass(frozen=True)
class Config:
    node: Any
    groups: Groups


class Node:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.config = Config(SimpleNamespace(name="a"), Groups())
        self.wanted: list[Channel] = []
        self.diallers: list[Any] = []
        self.told: list[str] = []
        self.levels: list[str] = []
        self.journal = SimpleNamespace(set_level=self.levels.append)
        self.destination = SimpleNamespace(
            want=lambda *channel: self.wanted.append(Channel(*channel)),
            unwant=lambda *channel: self.wanted.remove(Channel(*channel)),
            denies=lambda channel: channel.group == 0xEFFFFFFA,
        )

    def dial(self, peer: Any) -> None:
        self.diallers.append(SimpleNamespace(config=peer))

    def undial(self, name: str) -> None:
        self.diallers = [each for each in self.diallers if each.config.name != name]

    def tell(self, event: Any) -> None:
        self.told.append(event.sentence())


class SteeringTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.node = Node()
        self.actions = Steering(self.node).actions()  # type: ignore[arg-type]

    def does(self, action: str, **said: str) -> str:
        """Gives what was done."""
        outcome = self.actions[action](said)
        self.assertEqual(("", {"ok": True, "what": outcome.what}), (outcome.error, outcome.document()))
        self.assertEqual(f"{outcome.what}, until node.ini is read again", self.node.told[-1])
        return outcome.what

    def refuses(self, why: str, action: str, **said: str) -> None:
        """In these words, and nothing is changed."""
        before = self.node.config, list(self.node.wanted), list(self.node.diallers)
        try:
            error = self.actions[action](said).error
        except ValueError as raised:
            error = str(raised)
        self.assertIn(why, error)
        self.assertEqual(before, (self.node.config, self.node.wanted, self.node.diallers))

    def test_a_group_is_pinned_and_no_longer(self) -> None:
        self.assertEqual("239.1.1.1 is pinned", self.does("group/pin", group="239.1.1.1"))
        self.assertEqual(([GROUP], (GROUP,)), (self.node.wanted, self.node.config.groups.pin))
        self.refuses("pinned already", "group/pin", group="239.1.1.1")
        self.does("group/pin", group="10.88.0.1@239.1.1.1")
        self.does("group/unpin", group="239.1.1.1")
        self.assertEqual((Channel(0xEF010101, 0x0A580001),), self.node.config.groups.pin)
        self.refuses("is not pinned", "group/unpin", group="239.1.1.1")

    def test_what_is_no_group_or_is_kept_out(self) -> None:
        self.refuses("not a multicast group", "group/pin", group="10.0.0.1")
        self.refuses("no router forwards", "group/pin", group="224.0.0.251")
        self.refuses("kept out", "group/pin", group="239.255.255.250")
        self.refuses("pinned", "group/pin", group="")
        self.refuses("is not pinned", "group/unpin", group="")

    def test_a_peer_is_dialled_and_no_longer(self) -> None:
        what = self.does("peer/add", name="b", endpoint="tcp:192.0.2.1:4600")
        self.assertEqual("[peer:b] is dialled at tcp:192.0.2.1:4600", what)
        self.refuses("there already", "peer/add", name="b", endpoint="tcp:192.0.2.2:4600")
        self.does("peer/remove", name="b")
        self.refuses("there is no [peer:'b']", "peer/remove", name="b")
        self.assertEqual([], self.node.diallers)

    def test_what_is_no_peer(self) -> None:
        self.refuses("own name", "peer/add", name="a", endpoint="tcp:192.0.2.1:4600")
        self.refuses("no spaces", "peer/add", name="b c", endpoint="tcp:192.0.2.1:4600")
        for endpoint in ("", "tcp", "nonsense:1", "tcp:host"):
            self.refuses("", "peer/add", name="b", endpoint=endpoint)
        self.assertRaises(KeyError, self.actions["peer/add"], {"name": "b"})

    def test_how_much_is_logged(self) -> None:
        outcome = self.actions["log"]({"level": "warn"})
        self.assertEqual(("warn and above", ""), (outcome.what, outcome.error))
        self.assertEqual(["warn"], self.node.levels)
        self.refuses("", "log", level="loud")

    def test_bounds(self) -> None:
        self.patch(steering, "PINS_MAX", 1)
        self.patch(steering, "PEERS_MAX", 1)
        self.does("group/pin", group="239.1.1.1")
        self.refuses("1 groups are pinned", "group/pin", group="239.1.1.2")
        self.does("peer/add", name="b", endpoint="tcp:192.0.2.1:4600")
        self.refuses("1 peers are dialled", "peer/add", name="c", endpoint="tcp:192.0.2.1:4600")

    def test_bodies_that_are_none(self) -> None:
        self.assertEqual({"name": "b"}, texts(b'{"name": "b"}'))
        for body in (b"", b"[]", b'{"name": 1}', b"\xff", b"{" * 5000, b"[" * 50_000):
            self.assertRaises(ValueError, texts, body)
