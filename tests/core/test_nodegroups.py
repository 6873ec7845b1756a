"""Groups of the nodes' own, and those that a user wants."""

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.addressing import Channel
from multicastmw.core.nodegroups import GROUPS, OURS, count
from multicastmw.core.packet import Packet
from multicastmw.core.probing.prober import Prober
from multicastmw.core.routing import Router
from multicastmw.core.sessions.destination import SessionsDestination


class Wants:
    """A destination."""

    def __init__(self, name: str, local: bool) -> None:
        self.name = name
        self.local = local

    def deliver(self, packet: Packet) -> None:
        """Takes it."""

    def others_changed(self, channel: Channel) -> None:
        """Is told."""


class Counted(SynchronousTestCase):
    def setUp(self) -> None:
        self.router = Router()
        self.sessions, self.probing = Wants("sessions", True), Wants("probing", True)
        self.link = Wants("sessions", False)  # a node may be called anything
        self.tap = Wants("mcmw0", True)
        for each in (self.sessions, self.probing, self.link, self.tap):
            self.router.attach(each)
        for group in GROUPS[:3]:
            self.router.subscribe(self.sessions, Channel(group))
        self.router.subscribe(self.probing, Channel(GROUPS[3]))

    def test_what_only_nodes_want_is_theirs(self) -> None:
        self.assertEqual(4, count(self.router))
        for group in GROUPS:
            self.router.subscribe(self.link, Channel(group))
        self.assertEqual(4, count(self.router))

    def test_what_a_program_here_wants_too_is_a_user_s(self) -> None:
        self.router.subscribe(self.tap, Channel(GROUPS[0]))
        self.assertEqual(3, count(self.router))
        self.router.unsubscribe(self.tap, Channel(GROUPS[0]))
        self.assertEqual(4, count(self.router))

    def test_any_other_group_is_never_theirs(self) -> None:
        self.router.subscribe(self.sessions, Channel(GROUPS[0] + 1))
        self.router.subscribe(self.link, Channel(GROUPS[0] + 2))
        self.assertEqual(4, count(self.router))

    def test_one_that_groups_keeps_out_is_not_counted(self) -> None:
        self.router.unsubscribe(self.probing, Channel(GROUPS[3]))
        self.assertEqual(3, count(self.router))

    def test_they_are_called_so(self) -> None:
        self.assertEqual({SessionsDestination.name, Prober.name}, OURS)
