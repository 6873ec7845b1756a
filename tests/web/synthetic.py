"""A site with the page and a status that nobody's node has: many nodes, groups and streams, all in motion.

`python -m tests.web.synthetic --nodes 300 --groups 500` serves it on a port of the loopback, which it prints
with its process number; for tests of the page, and for bench/page.py.
"""

import argparse
import math
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from multicastmw.web import sessions
from multicastmw.web.events import Feed
from multicastmw.web.files import mount
from multicastmw.web.guard import HEADERS
from tests.web.meshed import mesh_of

PEERS = 12
PACKET = 188
SESSIONS = 40
NASTY = '<img src=x onerror="document.title=1">\x1b[31m\u202e'
BITS = 1_400_000


class Node:
    """A status that grows with time as a busy node's does."""

    def __init__(self, nodes: int, groups: int, seed: int = 1, mesh: bool = False) -> None:
        """In a mesh all nodes are neighbours."""
        self.nodes, self.groups, self.mesh = nodes, groups, mesh
        self.random = random.Random(seed)
        self.names = [NASTY, *(f"studio-{index:03}" for index in range(1, nodes))]
        self.peers = self.names[: nodes if mesh else min(PEERS, nodes)]
        self.behind = {peer: self.names[index :: len(self.peers)] for index, peer in enumerate(self.peers)}
        self.told: list[dict[str, Any]] = []

    def events(self, after: int) -> list[tuple[int, dict[str, Any]]]:
        """One a call, as if something happened all the time."""
        self.told.append(
            {
                "level": self.random.choice(["info", "warn"]),
                "kind": "Note",
                "ago": 0.0,
                "text": f"number {len(self.told)} of {NASTY}",
            }
        )
        return [
            (number + 1, event)
            for number, event in enumerate(self.told)
            if number >= max(after, len(self.told) - 200)
        ]

    def status(self, now: float) -> dict[str, Any]:
        self.now = now
        return {
            "node": {
                "name": "master-control",
                "id": "00",
                "origin": "01",
                "version": "1",
                "engine": "mesh" if self.mesh else "static",
                "uptime": now,
                "ready": True,
                "pid": 1,
                "listening": "tcp:4600",
                "data_port": 4600,
                "tls": None,
                "log_level": "info",
            },
            "tap": {
                "device": "mcmw0",
                "state": "up",
                "why": "",
                "address": "10.88.0.1/24",
                "mtu": 1412,
                "longest": 1412,
                "ttl_floor": 0,
                "groups": ["224.0.0.0/4"],
                "kernel_drops": 0,
                "gateway": None,
                "counters": {
                    "received": int(now * 1000),
                    "received_bytes": int(now * 1e6),
                    "delivered": 0,
                    "delivered_bytes": int(now * 2e6),
                },
            },
            "fastpath": {
                "mode": "auto",
                "on": True,
                "why": "",
                "way": "tcx",
                "uplinks": [],
                "routes": self.groups,
                "forced": 0,
                "counters": {},
            },
            "querier": {
                "state": "querier",
                "address": "10.88.0.254",
                "querier": "10.88.0.254",
                "querier_name": None,
                "version": 3,
                "counters": {},
            },
            "peers": [self._peer(index, name) for index, name in enumerate(self.peers)],
            "groups": [self._group(index) for index in range(self.groups)],
            "routes": [self._route(index) for index in range(self.groups)],
            "nodes": [
                {"name": name, "id": f"{index:016x}", "via": [peer]}
                for peer, names in self.behind.items()
                for index, name in enumerate(names)
            ],
            "mesh": mesh_of(self) if self.mesh else None,
            "sessions": self.sessions(),
            "streams": [self._health(index) for index in range(min(SESSIONS, self.groups))],
            "outputs": [self._output(index) for index in range(min(2, self.groups))],
            "counters": {
                "groups_of_nodes": 4,
                "groups_not_shown": 76,
                "routes_not_shown": 0,
                "sessions_not_shown": 1_300,
                "sap_malformed": 12,
                "sap_refused": 3,
                "sap_not_read": 0,
            },
            "warnings": [f"a warning about {NASTY}"],
            "refused_reload": None,
        }

    def group_of(self, index: int) -> str:
        return f"239.{1 + index // 250}.1.{index % 250}"

    def _peer(self, index: int, name: str) -> dict[str, Any]:
        down = index == 1
        sent = int(self.now * 2e5 * (index + 1))
        return {
            "name": name,
            "sections": [name],
            "id": None if down else f"{index:016x}",
            "state": "waiting" if down else "up",
            "why": "connection refused" if down else "",
            "endpoint": "tcp:10.99.2.2:4600",
            "address": "10.99.2.2:4600",
            "dialled_by": "us",
            "tls": False,
            "since": self.now,
            "data": None if down else "udp",
            "data_address": None,
            "rtt": None if down else round(self.random.uniform(0.001, 0.002), 6),
            "jitter": None if down else 0.0001,
            "loss": None if down else 0.05 if index == 3 else 0.0,
            "rate_sent": 0 if down else 1.6e6 * (index + 1),
            "rate_received": 0 if down else 0.8e6 * (index + 1),
            "attempts": 3 if down else 0,
            "channels": self.groups,
            "nodes": [] if down else self.behind[name],
            "queue": 0,
            "queue_drops": int(self.now) if index == 2 else 0,
            "kernel_drops": 0,
            "falls": 0,
            "fast": index % 2 == 0,
            "why_slow": "",
            "counters": {}
            if down
            else {
                "sent": sent // 1316,
                "sent_bytes": sent,
                "received": sent // 2632,
                "received_bytes": sent // 2,
                "socket_full": 0,
            },
        }

    def _group(self, index: int) -> dict[str, Any]:
        return {
            "group": self.group_of(index),
            "source": "any",
            "wanted_by": [self.peers[index % len(self.peers)], "mcmw0"],
            "version": 3,
            "mode": "exclude",
            "reporter": "10.88.0.1",
            "hosts": ["10.88.0.1"],
            "hosts_known": 1,
            "expires_in": 20 - (self.now + index) % 10,
            "pinned": False,
            "denied": index == 3,
        }

    def _swing(self, index: int) -> float:
        """Rates are never the same twice, but for each seventh one's, which a test reads."""
        return 1 if index % 7 == 1 else 1 + 0.05 * math.sin(self.now + index)

    def _route(self, index: int) -> dict[str, Any]:
        steady = BITS * (1 + index % 7 / 3)
        size, rate = int(self.now * steady / 8), steady * self._swing(index)
        origin = self.names[(index * 7) % len(self.names)]
        return {
            "group": self.group_of(index),
            "source": f"10.88.0.{1 + index % 200}",
            "to": [self.peers[(index * 5) % len(self.peers)]] if index % 9 else [],
            "packets": size // 1316,
            "bytes": size,
            "rate": rate,
            "packet_rate": rate / 8 / 1316,
            "to_nobody": 0 if index % 9 else size // 1316,
            "died_of_ttl": int(self.now * 50) if index == 5 else 0,
            "sent_from_here": None,
            "denied": False,
            "fast": index % 3 > 0,
            "why_slow": "",
            "streams": [
                {
                    "origin": f"{index:016x}",
                    "node": origin,
                    "received": size // 1316,
                    "lost": int(self.now) if index == 7 else 0,
                    "duplicates": 0,
                    "reordered": 0,
                    "late": 0,
                }
            ],
        }

    def sessions(self) -> list[dict[str, Any]]:
        return [self._session(index) for index in range(min(SESSIONS, self.groups))]

    def _output(self, index: int) -> dict[str, Any]:
        """As core/status.py's OutputStatus has it."""
        return {
            "group": self.group_of(index),
            "source": "any",
            "port": 5004,
            "rtp": index == 1,
            "clients": 2 - index,
            "viewers": ["192.0.2.7", "192.0.2.8"][index:],
            "packets": int(self.now * 133),
            "bytes": int(self.now * 175_000),
            "lost": 0,
        }

    def _session(self, index: int) -> dict[str, Any]:
        """As core/status.py's SessionStatus has it."""
        medium = {
            "kind": "video",
            "group": self.group_of(index),
            "groups": 1,
            "port": 5004,
            "ports": 1,
            "formats": ["33"],
            "encodings": ["MP2T"],
            "sources": [],
        }
        return {
            "id": f"s{index}",
            "name": NASTY if index == 0 else f"Programme {index}",
            "description": "",
            "category": "",
            "node": self.names[index % len(self.names)],
            "source": "10.88.0.9",
            "media": [{**medium, "protocol": "RTP/AVP" if index % 2 else "udp"}],
            "age": self.now,
            "heard_ago": 1.0,
            "expires_in": 50.0,
            "sdp": f"v=0\r\ns={NASTY}\r\n",
        }

    def _health(self, index: int) -> dict[str, Any]:
        """As core/health/report.py's HealthStatus has it, as far as the page has words for it."""
        health, reason = [("ok", ""), ("warn", "2 continuity errors on the way"), ("unknown", "")][index % 3]
        return {
            "group": self.group_of(index),
            "source": f"10.88.0.{1 + index % 200}",
            "port": 5004,
            "kind": "ts",
            "codecs": ["H.264", "AAC"],
            "overlay": {"delay": self.random.uniform(0.001, 0.003)},
            "errors": [{"name": "Continuity_count_error", "source": 2, "way": 3, "ago": 4.0}],
            "source_errors": 2,
            "way_errors": 3,
            "programmes": [{"name": NASTY, "number": 1}],
            "health": health,
            "reason": reason,
            "watched_for": self.now,
            "lease_left": 20.0,
        }


def film(path: Path, clock: Any) -> Any:
    """The file over and over, at the pace of ten seconds each time."""
    from twisted.web.resource import Resource
    from twisted.web.server import NOT_DONE_YET, Request

    content = path.read_bytes()
    piece = len(content) // 100 // PACKET * PACKET

    class Film(Resource):
        isLeaf = True

        def render_GET(self, request: Request) -> int:
            request.setHeader(b"content-type", b"video/mp2t")
            gone: list[object] = []
            request.notifyFinish().addBoth(gone.append)

            def go_on(at: int) -> None:
                if not gone:
                    request.write(content[at : at + piece])
                    clock.callLater(0.1, go_on, at + piece if at + piece < len(content) else 0)

            go_on(0)
            return NOT_DONE_YET

    return Film()


def site(node: Node, clock: Any, films: dict[str, str]) -> Any:
    from twisted.web.resource import Resource
    from twisted.web.server import Site

    class Strict(Site):
        """With the headers that the web service has: nothing but what comes from here."""

        def getResourceFor(self, request: Any) -> Any:
            for name, value in HEADERS.items():
                request.setHeader(name, value)
            return super().getResourceFor(request)

        def log(self, request: object) -> None:
            pass

    root = Resource()
    mount(root, Feed(lambda: node.status(clock.seconds()), node.events, clock))
    sessions.mount(root, node.sessions, sessions.here(lambda: ""))
    for folder, path in films.items():
        root.putChild(folder.encode(), film(Path(path), clock))
    return Strict(root)


def serve(arguments: Sequence[str]) -> None:
    """Says its port and its process number, and serves until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=300)
    parser.add_argument("--groups", type=int, default=500)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--mesh", action="store_true", help="of that engine, all nodes are neighbours")
    parser.add_argument("--udp", default="", help="a transport stream that is served for every group")
    parser.add_argument("--rtp", default="")
    told = parser.parse_args(arguments)
    films = {name: path for name, path in (("udp", told.udp), ("rtp", told.rtp)) if path}
    from twisted.internet import reactor

    from multicastmw.net.clockwork import monotonic

    node = Node(told.nodes, told.groups, mesh=told.mesh)
    port = reactor.listenTCP(  # type: ignore[attr-defined]
        told.port, site(node, monotonic(reactor), films), interface="127.0.0.1"
    )
    print(port.getHost().port, os.getpid(), flush=True)
    reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    serve(sys.argv[1:])
