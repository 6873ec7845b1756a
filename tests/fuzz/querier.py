"""The IGMP querier, its hosts, other routers and the time.

The first byte chooses the settings.  Steps: 0 a packet as it is, 1 one whose header and checksums are mended,
2 time, woken at each deadline, 3 time, woken once and late, 4 a record of some sources, 5 an older report or
a leave, 6 another router's query, 7 new settings, 8 the TAP goes and comes.
"""

from collections.abc import Iterable

from multicastmw.core.igmp import Action, IgmpSettings, Querier, Send, Unwant, Want
from multicastmw.wire import igmp
from multicastmw.wire.igmp import Leave, Query, Record, Report, ReportV3
from tests.fuzz.igmp import GROUPS, HOST, ROUTER, mended, packets
from tests.fuzz.target import Target, script, steps

MOST = 3  # groups, and sources of one
LINK = (HOST, HOST + 1, HOST + 2, HOST + 3, HOST + 4, ROUTER, 0, GROUPS[1])
# What a day without a word ends, whatever another querier said of its times.
DAY = 86_400.0


def settings(chosen: int) -> IgmpSettings:
    return IgmpSettings(
        version=1 + chosen % 3,
        robustness=1 + (chosen >> 2) % 3,
        query_interval=(2.0, 10.0, 125.0, 31744.0)[(chosen >> 4) & 3],
        max_groups=MOST,
        max_sources=MOST,
    )


class AskingQuerier(Target):
    """Everything that an interface's IGMP can bring, in any order."""

    longest = 384
    words = tuple(group.to_bytes(4, "big") for group in GROUPS)

    def seeds(self) -> Iterable[bytes]:
        for chosen in (2, 22, 1, 0, 42):
            every = [(kind % 2, packet) for kind, packet in enumerate(packets())]
            yield bytes((chosen,)) + script(*every, (2, b"\x14"), *every[::-1], (3, b"\xff"))
            records = [(4, bytes((kind, kind % 2, 1, 2, 3, 4)[: 2 + kind % 5])) for kind in range(1, 7)]
            yield bytes((chosen,)) + script(*records, (2, b"\x03"), *records[::-1], (2, b"\x80"))
            older = [(5, bytes((kind, 0))) for kind in range(3)]
            asked = [(6, bytes((kind, 0, 20, 1, 2))) for kind in range(4)]
            yield bytes((chosen,)) + script(
                *older, (2, b"\x01"), *asked, (7, b"\x01"), (2, b"\x30"), (8, b""), *older
            )

    def __call__(self, data: bytes) -> None:
        self.now = 1000.0
        self.wanted: set[tuple[int, int]] = set()
        self.querier = Querier(settings(data[0] if data else 2), ROUTER)
        self.follow(self.querier.start(self.now))
        for what, with_ in steps(data[1:]):
            self.step(what, with_)
            wanted = self.querier.wanted()
            assert wanted == self.wanted
            groups = [group for group, _ in wanted]
            assert len(set(groups)) <= MOST
            assert all(groups.count(group) <= MOST for group in groups)
            assert self.querier.deadline() >= self.now
        self.now += DAY * 10
        self.ticks()  # so late that the hosts are asked once more
        until = self.now + DAY * 2  # longer than any membership lasts
        while self.wanted and self.querier.deadline() < until:
            self.now = self.querier.deadline()
            self.ticks()
        assert not self.wanted
        status = self.querier.snapshot(self.now)
        assert not status.groups
        assert min(status.counters.values()) >= 0

    def step(self, what: int, with_: bytes) -> None:
        match what % 9:
            case 0:
                self.comes(with_)
            case 1:
                self.comes(mended(with_))
            case 2:
                self.woken_in_time(sum(with_[:2]) / 8)
            case 3:
                self.now += sum(with_[:2]) / 8
                self.ticks()
            case 4 if len(with_) > 1:
                sources = tuple(LINK[byte % len(LINK)] for byte in with_[2:])
                self.says(ReportV3((Record(with_[0] % 8, self.group(with_[1]), sources),)))
            case 5 if len(with_) > 1:
                group = self.group(with_[1])
                self.says((Report(1, group), Report(2, group), Leave(group))[with_[0] % 3])
            case 6 if len(with_) > 2:
                self.hears(with_)
            case 7 if with_:
                self.follow(self.querier.configure(settings(with_[0]), self.now))
            case 8:
                self.follow(self.querier.stop())
                assert self.querier.deadline() == float("inf")
                self.follow(self.querier.start(self.now))

    @staticmethod
    def group(chosen: int) -> int:
        return 0xEF010100 + chosen % 5

    def says(self, message: igmp.Message) -> None:
        self.comes(igmp.pack(message, HOST, GROUPS[0]))

    def hears(self, with_: bytes) -> None:
        """From a router with a lower or a higher address."""
        sources = tuple(LINK[byte % len(LINK)] for byte in with_[3:])
        group = self.group(with_[1]) if with_[1] else 0
        version = 1 + with_[0] % 3
        query = Query(
            version,
            group,
            with_[2] / 10,
            sources if version > 2 else (),
            bool(with_[0] & 4),
            with_[0] >> 5,
            9.0,
        )
        self.comes(igmp.pack(query, ROUTER - 1 + (with_[0] >> 3 & 2), GROUPS[0]))

    def comes(self, packet: bytes) -> None:
        self.follow(self.querier.accept(packet, self.now))

    def woken_in_time(self, seconds: float) -> None:
        until = self.now + seconds
        rings = 0
        while self.querier.deadline() <= until:
            self.now = self.querier.deadline()
            self.ticks()
            rings += 1
            assert rings <= 20 + 40 * seconds, "it is woken far too often"
        self.now = until

    def ticks(self) -> None:
        """Whoever was woken has nothing due any more: no spinning."""
        self.follow(self.querier.tick(self.now))
        assert self.querier.deadline() > self.now

    def follow(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Want(group, source):
                    assert (group, source) not in self.wanted
                    assert group >> 28 == 14 and group >> 8 != 0xE00000
                    assert source >> 24 < 224
                    self.wanted.add((group, source))
                case Unwant(group, source):
                    self.wanted.remove((group, source))
                case Send(packet):
                    arrival = igmp.unpack(packet)
                    assert isinstance(arrival.message, Query)
                    assert arrival.source == ROUTER
