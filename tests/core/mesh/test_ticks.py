"""How often a mesh looks at what it has: at once where that is little, and more rarely where it is much."""

from twisted.trial.unittest import TestCase

from multicastmw.core.mesh.mesh import REST_MOST
from multicastmw.wire.mesh import StreamKey
from tests.core.mesh.kit import GROUP, SIZE, Lone


class TicksTest(TestCase):
    def setUp(self) -> None:
        self.lone = Lone()
        self.parent, _ = self.lone.neighbour(2)

    def plays(self, streams: int, seconds: float) -> list[float]:
        """So many streams with a packet a second each come; gives when the mesh was wound."""
        mesh, ticks = self.lone.mesh, []
        feeds = []
        for source in range(streams):
            feed = mesh.feed_for(StreamKey(5, GROUP, source), self.parent, self.lone.now)
            assert feed
            feeds.append(feed)
            feed.took(0, SIZE, 0, 0, 0, self.parent, self.lone.now)
            self.lone.now += 0.06
        for number in range(1, round(seconds) + 1):
            for feed in feeds:
                self.lone.now += 1 / streams
                feed.took(number, SIZE, number, 0, 0, self.parent, self.lone.now)
                if mesh.deadline() <= self.lone.now:
                    mesh.tick(self.lone.now)
                    ticks.append(self.lone.now)
        return ticks

    def test_many_streams_share_their_ticks(self) -> None:
        ticks = self.plays(1_000, 5)
        self.assertLess(len(ticks), 5 / REST_MOST + 1)
        self.assertGreater(len(ticks), 5)

    def test_none_of_them_is_looked_at_later_than_the_rest_between_two(self) -> None:
        self.plays(1_000, 3)
        late = [self.lone.now - feed.due for feed in self.lone.mesh.feeds.values()]
        self.assertLess(max(late), REST_MOST + 1 / 1_000)

    def test_few_streams_are_looked_at_when_they_are_due(self) -> None:
        self.plays(5, 3)
        feed = next(iter(self.lone.mesh.feeds.values()))
        self.lone.mesh.tick(self.lone.now)
        feed.wake(self.lone.now)
        self.assertEqual(self.lone.now, self.lone.mesh.deadline())
