"""Questions and captures on the control socket of a node that is not started, but for these."""

import json
import os
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import Agent, FileBodyProducer, readBody

from multicastmw.config import load
from multicastmw.core.addressing import Channel
from multicastmw.core.packet import Packet
from multicastmw.core.probing.prober import ASKING_MAX
from multicastmw.net.clockwork import monotonic
from multicastmw.services.capture import CAPTURES_MAX
from multicastmw.services.node import NodeService
from multicastmw.services.outflow import WAITING_MAX, Outflow
from multicastmw.wire.data import HEADER_SIZE
from multicastmw.wire.pcapng import Block, Blocks
from multicastmw.wire.probe import GROUP, wrap

STREAM, SOURCE = 0xEF010203, 0x0A580001


class Request:
    """What Outflow needs of one."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.finished = False
        self.left: Deferred[None] = Deferred()
        self.setHeader = lambda *_: None
        self.registerProducer = lambda *_: None
        self.unregisterProducer = lambda: None
        self.write = self.written.append

    def notifyFinish(self) -> "Deferred[None]":
        return self.left

    def finish(self) -> None:
        self.finished = True


class OutflowTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.request = Request()
        self.left: list[int] = []
        self.flow = Outflow(self.request, b"x", lambda: self.left.append(1))

    def test_what_is_written_goes_out_at_once(self) -> None:
        self.assertTrue(self.flow.write(b"a"))
        self.assertEqual([b"a"], self.request.written)

    def test_who_does_not_read_costs_so_much_and_no_more(self) -> None:
        self.flow.pauseProducing()
        piece = bytes(1 << 20)
        taken = sum(self.flow.write(piece) for _ in range(100))
        self.assertEqual(WAITING_MAX >> 20, taken)
        self.flow.resumeProducing()
        self.assertEqual(taken, len(self.request.written))
        self.assertTrue(self.flow.write(b"b"))

    def test_what_waits_goes_out_before_the_end(self) -> None:
        self.flow.pauseProducing()
        self.flow.write(b"a")
        self.flow.finish()
        self.assertEqual(([b"a"], True, []), (self.request.written, self.request.finished, self.left))
        self.assertFalse(self.flow.write(b"b"))

    def test_who_hangs_up_is_left_alone(self) -> None:
        self.request.left.errback(ConnectionError())
        self.assertEqual([1], self.left)
        self.assertFalse(self.flow.write(b"a"))
        self.flow.finish()
        self.assertFalse(self.request.finished)


class Endpoints:
    def __init__(self, path: str) -> None:
        self.path = path

    def endpointForURI(self, uri: Any) -> UNIXClientEndpoint:
        return UNIXClientEndpoint(reactor, self.path)


class Reader(Protocol):
    """Keeps what comes, and can hang up."""

    def __init__(self) -> None:
        self.data = b""

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def hang_up(self) -> None:
        assert self.transport
        self.transport.loseConnection()


class Asked(TestCase):
    timeout = 30

    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.node = self.makes("")

    def makes(self, more: str) -> NodeService:
        path = Path(self.folder, "node.ini")
        socket = os.path.join(self.folder, "s")
        path.write_text(f"[node]\nname = n\n[control]\nsocket = {socket}\n[tap]\naddress =\n{more}")
        node = NodeService(load(str(path), "n"), monotonic(reactor), random.Random(1))
        self.agent = Agent.usingEndpointFactory(reactor, Endpoints(socket))
        self.control = next(each for each in node.services if type(each).__name__ == "ControlService")
        self.control.privilegedStartService()
        for service in (self.control, node.probing, node.captures):
            service.startService()
        self.addCleanup(self.ends, node)
        return node

    def ends(self, node: NodeService) -> Any:
        node._netlink.close()
        node.captures.stopService()
        node.probing.stopService()
        return self.control.stopService()

    @inlineCallbacks
    def posts(self, resource: str, **said: str) -> Any:
        import io

        body = FileBodyProducer(io.BytesIO(json.dumps(said).encode()))
        response = yield self.agent.request(b"POST", b"http://node/" + resource.encode(), None, body)
        text = yield readBody(response)
        return response.code, [json.loads(line) for line in text.splitlines() if line]

    @inlineCallbacks
    def gets(self, uri: str) -> Any:
        """A reader of what comes, and the response."""
        response = yield self.agent.request(b"GET", b"http://node/" + uri.encode())
        reader = Reader()
        response.deliverBody(reader)
        return response, reader

    @inlineCallbacks
    def until(self, condition: Callable[[], bool]) -> Any:
        for _ in range(1_000):
            if condition():
                return
            yield deferLater(reactor, 0.01, lambda: None)
        self.fail("it has not come to be")

    # --- questions

    @inlineCallbacks
    def test_a_ping_of_a_node_alone(self) -> Any:
        self.node.destination.want(STREAM, 0)
        code, lines = yield self.posts("ping", group="239.1.2.3", count="2", interval="0.1", wait="0")
        self.assertEqual(200, code)
        kinds = [next(iter(line)) for line in lines]
        self.assertEqual(["begin", "asked", "answer", "asked", "answer", "end"], kinds)
        answer = lines[2]["answer"]
        told = [answer[key] for key in ("name", "here", "wanted_by", "hosts")]
        self.assertEqual(["n", True, ["mcmw0"], 0], told)

    @inlineCallbacks
    def test_a_trace_of_a_node_alone_says_what_its_routes_say(self) -> Any:
        self.sends()
        code, lines = yield self.posts("trace", group="239.1.2.3", seconds="0.5")
        self.assertEqual(200, code)
        answers = [line["answer"] for line in lines if "answer" in line]
        self.assertEqual([0, 1], [answer["sample"] for answer in answers])
        told = [answers[0][key] for key in ("begins_here", "packets", "to_nobody", "source")]
        self.assertEqual([True, 1, 1, "10.88.0.1"], told)

    @inlineCallbacks
    def test_a_matrix_of_a_node_alone(self) -> Any:
        code, lines = yield self.posts("matrix", probes="1", interval="0.02")
        self.assertEqual(200, code)
        self.assertEqual([1], [line["report"]["sent"] for line in lines if "report" in line])

    @inlineCallbacks
    def test_what_is_wrong_is_refused_in_one_line(self) -> Any:
        for resource, said, why in (
            ("ping", {}, "group is missing"),
            ("ping", {"group": "10.0.0.1"}, "10.0.0.1"),
            ("ping", {"group": "239.1.1.1", "count": "-1"}, "-1"),
            ("ping", {"group": "239.1.1.1", "interval": "nan"}, "nan"),
            ("ping", {"group": "239.1.1.1", "interval": "x"}, "'x' is no number"),
            ("trace", {"group": "239.1.1.1", "source": "y"}, "y"),
            ("matrix", {"probes": "1000"}, "1000"),
        ):
            code, (line,) = yield self.posts(resource, **said)
            self.assertEqual(422, code, said)
            self.assertIn(why, line["error"])

    @inlineCallbacks
    def test_who_hangs_up_asks_nothing_more_and_so_many_may_ask(self) -> Any:
        import io

        prober, readers = self.node.probing.prober, []
        for number in range(ASKING_MAX + 1):
            body = FileBodyProducer(io.BytesIO(b'{"group": "239.1.1.1", "count": "0", "interval": "0.1"}'))
            response = yield self.agent.request(b"POST", b"http://node/ping", None, body)
            self.assertEqual(200 if number < ASKING_MAX else 422, response.code)
            readers.append(Reader())
            response.deliverBody(readers[-1])
        self.assertEqual(ASKING_MAX, len(prober._asking))
        for reader in readers[:ASKING_MAX]:
            reader.hang_up()
        yield self.until(lambda: not prober._asking)

    @inlineCallbacks
    def test_where_the_group_is_kept_out_nothing_is_wanted_or_asked(self) -> Any:
        from multicastmw.core.admission import Admission
        from multicastmw.literals import networks

        self.assertEqual([self.node.probing.prober], self.node.router.local_takers(GROUP, 0))
        self.node.destination.admit_by(Admission((), networks("239.255.77.68")))
        self.node.probing.look()
        self.assertEqual([], self.node.router.local_takers(GROUP, 0))
        code, (line,) = yield self.posts("ping", group="239.1.2.3")
        self.assertEqual(422, code)
        self.assertIn("[groups] keeps 239.255.77.68 out", line["error"])
        self.node.destination.admit_by(Admission((), ()))
        self.node.probing.look()
        self.assertEqual([self.node.probing.prober], self.node.router.local_takers(GROUP, 0))

    # --- captures

    def sends(self) -> None:
        """A program on this host does."""
        inner = wrap(b"hello", SOURCE)
        packet = Packet()
        packet.now, packet.length = self.node.reactor.seconds(), len(inner)
        packet.view[HEADER_SIZE : HEADER_SIZE + len(inner)] = inner
        self.node.forwarder.originate(packet, self.node.destination, STREAM, SOURCE, 16, 0, 0)

    class Taker:
        """So that something passes."""

        name, local = "taker", True

        def deliver(self, packet: Packet) -> None: ...
        def others_changed(self, channel: Any) -> None: ...

    @inlineCallbacks
    def test_a_capture_has_what_passes_and_its_end_is_its_askers(self) -> Any:
        taker = self.Taker()
        self.node.router.attach(taker)
        self.node.router.subscribe(taker, Channel(STREAM))
        response, reader = yield self.gets("capture?group=239.1.2.3&snaplen=100")
        self.assertEqual(200, response.code)
        for _ in range(3):
            self.sends()
        yield self.until(lambda: [kind for kind, _ in Blocks().feed(reader.data)].count(Block.PACKET) == 3)
        reader.hang_up()
        yield self.until(lambda: not self.node.captures._running)
        self.assertEqual({}, self.node.router._observers)

    @inlineCallbacks
    def test_so_many_captures_at_a_time(self) -> Any:
        readers = []
        for _ in range(CAPTURES_MAX):
            response, reader = yield self.gets("capture")
            readers.append(reader)
            self.assertEqual(200, response.code)
        response, reader = yield self.gets("capture")
        self.assertEqual(422, response.code)
        for reader in readers:
            reader.hang_up()
        yield self.until(lambda: not self.node.captures._running)

    @inlineCallbacks
    def test_what_is_no_group_or_length_is_refused(self) -> Any:
        for uri in ("capture?group=10.0.0.1", "capture?snaplen=5", "capture?snaplen=x", "capture?group=%ff"):
            response, _ = yield self.gets(uri)
            self.assertEqual(422, response.code, uri)

    @inlineCallbacks
    def test_a_node_that_ends_ends_its_captures_with_their_counts(self) -> Any:
        _, reader = yield self.gets("capture")
        self.node.captures.stopService()
        yield self.until(lambda: Block.STATISTICS in [kind for kind, _ in Blocks().feed(reader.data)])
        self.assertEqual([], self.node.captures._running)
