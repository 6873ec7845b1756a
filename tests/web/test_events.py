"""The live feed: what viewers are told, what it costs, and who is let go."""

import json
import zlib
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.test.requesthelper import DummyRequest
from zope.interface.verify import verifyObject

from multicastmw.web.events import (
    EVENTS_KEPT,
    SHARE,
    STATUS_EVERY,
    STUCK,
    VIEWERS_MAX,
    Feed,
    Live,
    Message,
    Viewer,
)
from multicastmw.web.files import mount


class Channel:
    def __init__(self) -> None:
        self.transport = self
        self.aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class Asking(DummyRequest):
    """A request of which we see what was written to it."""

    def __init__(self, **headers: str) -> None:
        super().__init__([b""])
        self.channel = Channel()
        self.args = {}
        self.producer: Any = None
        for name, value in headers.items():
            self.requestHeaders.setRawHeaders(name.replace("_", "-").encode(), [value.encode()])

    def getHeader(self, name: Any) -> Any:
        found = self.requestHeaders.getRawHeaders(name)
        return found[-1] if found else None

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def events(self) -> list[dict[str, str]]:
        return parsed(b"".join(self.written))

    def statuses(self) -> list[dict[str, Any]]:
        return [json.loads(event["data"]) for event in self.events() if event["event"] == "status"]

    def happened(self) -> list[str]:
        return [json.loads(event["data"])["text"] for event in self.events() if event["event"] == "happened"]


def parsed(stream: bytes) -> list[dict[str, str]]:
    """Whole events of a stream, their fields by name."""
    return [
        dict(line.split(": ", 1) for line in event.split("\n"))
        for event in stream.decode().split("\n\n")[:-1]
    ]


class Feeds(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.looks = 0
        self.document: dict[str, Any] = {"node": {"name": "a", "uptime": 0.0}, "peers": []}
        self.log: list[str] = []
        self.feed = Feed(self.status, self.events, self.clock, "run")
        self.live = Live(self.feed)

    def status(self) -> dict[str, Any]:
        self.looks += 1
        node = {**self.document["node"], "uptime": self.clock.seconds()}
        return {**self.document, "node": node}

    def events(self, number: int) -> list[tuple[int, dict[str, Any]]]:
        told = [(place + 1, {"ago": 0.0, "text": text}) for place, text in enumerate(self.log)]
        return told[max(number, len(told) - EVENTS_KEPT) :]

    def view(self, **headers: str) -> Asking:
        request = Asking(**headers)
        self.live.render_GET(request)
        return request

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([0.25] * round(seconds * 4))

    # --- what it costs

    def test_without_viewers_nothing_is_looked_at(self) -> None:
        self.pass_time(10)
        self.assertEqual((0, []), (self.looks, self.clock.getDelayedCalls()))

    def test_many_viewers_cost_one_look_a_second(self) -> None:
        viewers = [self.view() for _ in range(VIEWERS_MAX)]
        self.pass_time(10)
        self.assertEqual(11, self.looks)
        self.assertEqual({1}, {len(viewer.statuses()) for viewer in viewers})

    def test_with_the_last_viewer_everything_that_was_kept_goes(self) -> None:
        first, second = self.view(), self.view()
        self.pass_time(2)
        first.processingFailed(Failure(ConnectionDone()))
        self.pass_time(2)
        self.assertEqual(5, self.looks)
        second.processingFailed(Failure(ConnectionDone()))
        self.pass_time(10)
        self.assertEqual((5, [], None), (self.looks, self.clock.getDelayedCalls(), self.feed._document))

    def test_looks_that_take_long_are_few(self) -> None:
        def slow() -> dict[str, Any]:
            self.looks += 1
            self.clock.rightNow += 0.2
            return self.document

        self.feed._status = slow
        self.view()
        self.pass_time(0.2 * SHARE * 3 - 0.5)
        self.assertEqual(3, self.looks)

    # --- what is told

    def test_a_viewer_gets_the_whole_document_and_then_what_changes(self) -> None:
        viewer = self.view()
        self.assertEqual(self.document, viewer.statuses()[0]["whole"])
        self.document["filler"] = "x" * 500
        self.pass_time(1)
        self.document["peers"] = [{"name": "b"}]
        self.pass_time(1)
        self.assertEqual({"at": 2.0, "change": {"peers": [[{"name": "b"}]]}}, viewer.statuses()[-1])

    def test_a_change_as_large_as_the_document_is_the_document(self) -> None:
        viewer = self.view()
        self.document = {"node": {"name": "other"}, "groups": ["x" * 100] * 5}
        self.pass_time(1)
        self.assertIn("whole", viewer.statuses()[-1])

    def test_where_nothing_but_time_passes_a_look_is_a_tick(self) -> None:
        viewer = self.view()
        self.pass_time(3 * STATUS_EVERY)
        self.assertEqual(["status", "tick", "tick", "tick"], [event["event"] for event in viewer.events()])

    def test_who_comes_later_gets_what_the_others_have(self) -> None:
        self.view()
        self.document["peers"] = [{"name": "b"}]
        self.pass_time(1)
        looks, late = self.looks, self.view()
        self.assertEqual([{"name": "b"}], late.statuses()[0]["whole"]["peers"])
        self.assertEqual(looks, self.looks)

    def test_the_time_is_told_before_the_events_that_were_there_already(self) -> None:
        self.log += ["one", "two"]
        kinds = ["status", "happened", "happened"]
        for _ in range(2):  # the first viewer, and one who comes later
            self.assertEqual(kinds, [event["event"] for event in self.view().events()])

    def test_events_come_within_a_quarter_of_a_second_each_with_a_number(self) -> None:
        viewer = self.view()
        self.log.append("b is up")
        self.pass_time(0.25)
        self.log.append("b is down")
        self.pass_time(0.25)
        told = [event for event in viewer.events() if event["event"] == "happened"]
        self.assertEqual(["run-1", "run-2"], [event["id"] for event in told])
        self.assertEqual(["b is up", "b is down"], viewer.happened())

    def test_who_comes_back_gets_the_events_behind_the_last_one(self) -> None:
        self.log += ["one", "two", "three"]
        self.assertEqual(["three"], self.view(last_event_id="run-2").happened())
        self.assertEqual([], self.view(last_event_id="run-3").happened())

    def test_a_number_of_another_run_or_none_at_all_means_all_events(self) -> None:
        self.log += ["one", "two"]
        for told in ("other-2", "run-", "run-x", "run-\u00b2", "-1", "run--1", "run-" + "9" * 20, ""):
            self.assertEqual(["one", "two"], self.view(last_event_id=told).happened(), told)

    def test_of_very_many_events_the_last_are_kept(self) -> None:
        viewer = self.view()
        for number in range(3 * EVENTS_KEPT):
            self.log.append(f"event {number}")
            self.clock.advance(0.25)
        self.assertEqual(self.log, viewer.happened())
        self.assertEqual(self.log[-EVENTS_KEPT:], self.view().happened())

    def test_a_mistake_of_ours_is_logged_once_and_looked_again(self) -> None:
        def broken() -> dict[str, Any]:
            raise ZeroDivisionError

        self.feed._status, status = broken, self.feed._status
        viewer = self.view()
        self.pass_time(5)
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.feed._status = status
        self.pass_time(1)
        self.assertEqual(1, len(viewer.statuses()))

    def test_what_is_compressed_says_the_same(self) -> None:
        plain, packed = self.view(), self.view(accept_encoding="gzip, br")
        self.pass_time(2)
        self.document["peers"] = [{"name": "b\x1b<b>"}]
        self.log.append("b is up")
        self.pass_time(6)
        unpacked = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(b"".join(packed.written))
        self.assertEqual(b"".join(plain.written), unpacked)
        self.assertEqual([b"gzip"], packed.responseHeaders.getRawHeaders(b"content-encoding"))
        self.assertIsNone(plain.responseHeaders.getRawHeaders(b"content-encoding"))

    def test_a_message_is_one_line_of_ascii_whatever_is_in_it(self) -> None:
        message = Message("status", {"name": "a\n\ndata: x\r\u2028é"})
        self.assertEqual(3, message.plain.count(b"\n"))
        self.assertTrue(message.plain.isascii())

    # --- who is slow, who is gone, who is one too many

    def test_a_slow_viewer_is_skipped_and_then_gets_the_newest_alone(self) -> None:
        slow, quick = self.view(), self.view()
        slow.producer.pauseProducing()
        for number in range(10):
            self.document["peers"] = [{"name": f"n{number}"}]
            self.log.append(f"event {number}")
            self.pass_time(1)
        self.assertEqual((1, 11), (len(slow.statuses()), len(quick.statuses())))
        slow.producer.resumeProducing()
        self.assertEqual([{"name": "n9"}], slow.statuses()[-1]["whole"]["peers"])
        self.assertEqual((2, quick.happened()), (len(slow.statuses()), slow.happened()))
        self.document["peers"] = [{"name": "then"}]
        self.pass_time(1)
        self.assertEqual(3, len(slow.statuses()))

    def test_a_connection_that_stays_full_is_cut(self) -> None:
        viewer = self.view()
        viewer.producer.pauseProducing()
        self.pass_time(STUCK - 1)
        self.assertFalse(viewer.channel.aborted)
        self.pass_time(2)
        self.assertTrue(viewer.channel.aborted)
        self.assertEqual(set(), self.feed.viewers)

    def test_there_is_a_bound_on_viewers(self) -> None:
        viewers = [self.view() for _ in range(VIEWERS_MAX)]
        late = Asking()
        self.assertIn(b"bound", self.live.render_GET(late))
        self.assertEqual(503, late.responseCode)
        viewers[0].processingFailed(Failure(ConnectionDone()))
        self.assertEqual(1, len(self.view().statuses()))

    def test_when_the_node_stops_every_viewer_is_told(self) -> None:
        viewers = [self.view(), self.view()]
        self.feed.stop()
        self.assertEqual([1, 1], [viewer.finished for viewer in viewers])
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_a_viewer_is_a_push_producer(self) -> None:
        verifyObject(IPushProducer, Viewer(Asking(), False, 0))

    def test_head_begins_no_stream(self) -> None:
        self.assertEqual(b"", self.live.render_HEAD(Asking()))
        self.assertEqual(set(), self.feed.viewers)


class Reader(Protocol):
    def __init__(self, target: bytes) -> None:
        self.target = target
        self.got = b""

    def connectionMade(self) -> None:
        assert self.transport
        self.transport.write(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n")

    def dataReceived(self, data: bytes) -> None:
        self.got += data


class OverTcp(TestCase):
    """The same with a real site: what Twisted does of a viewer that goes, or that does not read."""

    timeout = 30

    def setUp(self) -> None:
        self.document: dict[str, Any] = {"n": 0}
        self.feed = Feed(lambda: dict(self.document), lambda number: [], reactor)
        root = Resource()
        mount(root, self.feed)
        self.site = Site(root)
        self.site.log = lambda request: None  # type: ignore[method-assign]
        self.port = reactor.listenTCP(0, self.site, interface="127.0.0.1")  # type: ignore[attr-defined]

    def tearDown(self) -> Any:
        self.feed.stop()
        return self.port.stopListening()

    def connects(self) -> Any:
        connected: Deferred[Reader] = Deferred()

        class Dialling(ClientFactory):
            noisy = False

            def buildProtocol(self, address: Any) -> Reader:
                reader = Reader(b"/live")
                connected.callback(reader)
                return reader

        reactor.connectTCP("127.0.0.1", self.port.getHost().port, Dialling())  # type: ignore[attr-defined]
        return connected

    @inlineCallbacks
    def until(self, condition: Any) -> Any:
        while not condition():
            yield deferLater(reactor, 0.02)

    @inlineCallbacks
    def test_a_viewer_that_is_gone_is_noticed_and_the_looks_end(self) -> Any:
        reader = yield self.connects()
        yield self.until(lambda: b"event: status" in reader.got)
        self.assertEqual(1, len(self.feed.viewers))
        reader.transport.abortConnection()
        yield self.until(lambda: not self.feed.viewers)
        self.assertIsNone(self.feed._call)

    @inlineCallbacks
    def test_a_viewer_that_does_not_read_does_not_fill_memory(self) -> Any:
        reader = yield self.connects()
        yield self.until(lambda: b"event: status" in reader.got)
        reader.transport.pauseProducing()
        (viewer,) = self.feed.viewers
        written = 0

        def full() -> bool:
            nonlocal written
            if viewer.full_since is None:
                self.document["n"] = f"{written} " * 20_000
                self.feed._next_status = 0.0
                self.feed._look_once()
                written += 1
            return viewer.full_since is not None

        yield self.until(full)
        transport = viewer._request.channel.transport
        waiting = len(transport.dataBuffer) + sum(map(len, transport._tempDataBuffer))
        before = waiting
        for _ in range(20):
            self.document["n"] = f"more {written} " * 20_000
            written += 1
            self.feed._next_status = 0.0
            self.feed._look_once()
        self.assertEqual(before, len(transport.dataBuffer) + sum(map(len, transport._tempDataBuffer)))
        reader.transport.resumeProducing()
        newest = json.dumps(self.document["n"])[:40].encode()
        yield self.until(lambda: newest in reader.got)
        reader.transport.abortConnection()
        yield self.until(lambda: not self.feed.viewers)

    def test_the_pace_is_at_most_once_a_second(self) -> None:
        self.assertGreaterEqual(STATUS_EVERY, 1.0)
