"""Whole nodes in network namespaces: what the tests here share.

A test makes a lab, which is gone when it ends; starts nodes on its hosts; runs real multicast programs
(sender.py and receiver.py) on them; and waits for conditions, never for time to pass.  Nobody's log may hold
a traceback at the end.  Measured figures go to the file $MCMW_REPORT if it is set, else to stdout.
"""

import ctypes
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from twisted.trial.unittest import TestCase

from multicastmw.cli.lab import Host, Internet, Lab, NotPossibleHere, wait_until
from multicastmw.cli.lab.process import Process
from multicastmw.cli.lab.tools import find_tool
from tests.netns.machine import missing
from tests.netns.nursery import nursery

T = TypeVar("T")

PREFIX = "mcmw-netns"
DEVICE = "mcmw0"
PORT = 4600  # of links, TCP and UDP
MEDIA = 5004  # where the programs send to
TTL = 16
PATIENCE = 60.0  # seconds for what takes a fraction of one on an idle machine
HERE = Path(__file__).parent
TWISTD = str(Path(sys.executable).with_name("twistd"))
CLONE_NEWNET = 0x4000_0000
TROUBLE = re.compile(r"Traceback|Unhandled|CRITICAL|exceptions\.|Error:", re.IGNORECASE)
LIBC = ctypes.CDLL(None, use_errno=True)

Sections = Mapping[str, Mapping[str, object]]


def why_not(*programs: str) -> str | None:
    """The reason why whole nodes cannot run here, None if they can."""
    if reason := missing():
        return reason
    try:
        for program in ("nft", *programs):
            find_tool(program)
    except NotPossibleHere as error:
        return str(error)
    return None


class QuickHost(Host):
    """A host whose node comes out of the nursery."""

    def spawn(self, command: Sequence[str], log: str = "", title: str = "",
              env: Mapping[str, str] | None = None) -> Process:  # fmt: skip
        there = None if env or command[0] != TWISTD else nursery()
        if there is None:
            return super().spawn(command, log, title, env)
        paths = [self.lab.state_dir / f"{log}.{kind}" for kind in ("out", "log")]
        with paths[0].open("wb") as output, paths[1].open("wb") as errors:
            node = there.start(list(command), self.namespace, output.fileno(), errors.fileno())
        process = Process(node, title, paths[1], paths[0])
        self.lab.own(process)
        return process


class QuickLab(Lab):
    host_type = QuickHost


class NetnsTestCase(TestCase):
    """A test with a lab."""

    skip = why_not()
    whole_starts = False  # its nodes are processes that have imported everything themselves

    def make_lab(self, hosts: Iterable[str], internet: Callable[[Lab], Internet] = Internet) -> Lab:
        """A lab of its own; when it goes, the nodes' logs are looked through."""
        folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}-"))
        folder.chmod(0o755)  # programs that run as nobody read a film there
        if "MCMW_KEEP_LOGS" not in os.environ:
            self.addCleanup(shutil.rmtree, folder)
        self.addCleanup(self._look_for_trouble, folder)
        lab = (Lab if self.whole_starts else QuickLab)(PREFIX, folder, hosts, internet)
        lab.__enter__()
        self.addCleanup(lab.__exit__, None, None, None)
        return lab

    def _look_for_trouble(self, folder: Path) -> None:
        for log in folder.glob("*-node*"):
            lines = log.read_text(errors="replace").splitlines()
            trouble = [number for number, line in enumerate(lines) if TROUBLE.search(line)]
            if trouble:
                self.fail("\n".join([f"{log.name} has trouble:", *lines[trouble[0] : trouble[0] + 30]]))

    def measured(self, what: str, value: object) -> None:
        """A figure for people."""
        line = f"{self.id().removeprefix('tests.netns.')}: {what}: {value}"
        path = os.environ.get("MCMW_REPORT")
        if path:
            with open(path, "a") as report:
                report.write(line + "\n")
        else:
            print(line)

    def assert_perfect(self, report: Mapping[str, Any], count: int, ttl: int | None = None) -> None:
        """Every datagram, once, in order, undamaged, and with this TTL."""
        wrong = {
            key: report[key] for key in ("missing", "duplicates", "disordered", "damaged") if report[key]
        }
        self.assertEqual(({}, count), (wrong, report["received"]))
        if ttl is not None:
            self.assertEqual([ttl], report["ttls"])


# --- nodes


def node_ini(host: Host, dials: Iterable[Host] = (), sections: Sections | None = None) -> str:
    """A node.ini; `sections` says what differs from an ordinary node's."""
    text: dict[str, dict[str, object]] = {
        "node": {"name": host.name},
        "tap": {"device": DEVICE, "address": f"10.88.0.{host.index}/24"},
        "listen": {"endpoint": f"tcp:{PORT}", "udp-port": PORT},
    }
    for peer in dials:
        text[f"peer:{peer.name}"] = {"endpoint": f"tcp:{peer.address}:{PORT}"}
    for title, options in (sections or {}).items():
        text.setdefault(title, {}).update(options)
    return "\n".join(
        f"[{title}]\n" + "".join(f"{name} = {value}\n" for name, value in options.items())
        for title, options in text.items()
    )


def await_linked(
    host: Host, peers: Iterable[str], data: str = "udp", timeout: float = PATIENCE
) -> dict[str, Any]:
    """Returns when these peers are up with their data on UDP or TCP."""
    wanted = set(peers)

    def linked(status: dict[str, Any]) -> bool:
        up = {peer["name"] for peer in status["peers"] if peer["state"] == "up" and peer["data"] == data}
        return wanted <= up and status["tap"]["state"] == "up"

    return host.await_status(linked, timeout, f"data on {data} with {', '.join(sorted(wanted))}")


def peer_of(status: Mapping[str, Any], name: str) -> dict[str, Any]:
    return next(peer for peer in status["peers"] if peer["name"] == name)


def wanters(status: Mapping[str, Any], group: str, source: str = "any") -> set[str]:
    """Who wants this channel of a node."""
    found = (c["wanted_by"] for c in status["groups"] if (c["group"], c["source"]) == (group, source))
    return {name for names in found for name in names}


def await_wanted(host: Host, by: Iterable[str], *groups: str, source: str = "any") -> float:
    """Returns, with the time, when all of these destinations and nobody else want the groups."""
    names = set(by)
    host.await_status(
        lambda status: all(wanters(status, group, source) == names for group in groups), PATIENCE,
        f"{groups[0]} of {source} wanted by {sorted(names)}",
    )  # fmt: skip
    return time.monotonic()


def route_of(status: Mapping[str, Any], group: str) -> dict[str, Any]:
    """The only (S, G) of the group that the node has seen."""
    (found,) = (route for route in status["routes"] if route["group"] == group)
    return found


class Figure4:
    """The tree of the paper's figure 4: a, c and d dial b.

    `everywhere` is for every node.ini, `on` for one host's.
    """

    def __init__(self, test: NetnsTestCase, everywhere: Sections | None = None,
                 on: Mapping[str, Sections] | None = None, others: str = "") -> None:  # fmt: skip
        self.lab = test.make_lab("abcd" + others)
        self.a, self.b, self.c, self.d = self.hosts = [self.lab.host(name) for name in "abcd"]
        self._everywhere = dict(everywhere or {})
        self._on = on or {}
        self._udp = bool(self._everywhere.get("listen", {}).get("udp-port", PORT))
        for host in self.hosts:
            host.start_node(self.ini(host), ready=None)
        self.await_links()

    def ini(self, host: Host) -> str:
        merged: dict[str, dict[str, object]] = {}
        for sections in (self._everywhere, self._on.get(host.name, {})):
            for title, options in sections.items():
                merged.setdefault(title, {}).update(options)
        return node_ini(host, () if host is self.b else (self.b,), merged)

    def start(self, host: Host, ready: float | None = PATIENCE) -> None:
        host.start_node(self.ini(host), ready)

    def await_links(self) -> None:
        data = "udp" if self._udp else "tcp"
        for host in self.hosts:
            await_linked(host, "acd" if host is self.b else "b", data)

    def await_demand(self, group: str, leaves: str, here: bool = True) -> None:
        """Returns when b and a know who wants the group: `leaves` of c and d, `here` b's own host."""
        await_wanted(self.b, {*leaves, *([DEVICE] if here else [])}, group)
        await_wanted(self.a, {"b"} if leaves or here else set(), group)


# --- programs


def python(script: str, told: Mapping[str, Any]) -> list[str]:
    return [sys.executable, "-IS", str(HERE / script), json.dumps(told)]


class Program:
    """One of our scripts, running on a host."""

    command = staticmethod(python)

    def __init__(self, host: Host, script: str, told: dict[str, Any]) -> None:
        count = len(list(host.lab.state_dir.glob(f"{host.name}-{script}*.log")))
        self.host = host
        self._state = host.lab.state_dir / f"{host.name}-{script}-{count}.json"
        told = {"device": DEVICE, "state": str(self._state), **told}
        self.process: Process = host.spawn(self.command(script, told), log=f"{host.name}-{script}-{count}")
        self.await_start()

    def await_start(self) -> None:
        self.await_state(lambda state: True, "its start")

    @property
    def state(self) -> dict[str, Any]:
        """What the program said last."""
        return json.loads(self._state.read_text())

    def await_state(
        self, condition: Callable[[dict[str, Any]], T], what: str, timeout: float = PATIENCE
    ) -> T:
        def look() -> T | None:
            code = self.process.poll()
            if code:
                raise AssertionError(f"{self.process.title} ended with {code}: {self.process.last_words()}")
            return condition(self.state) if self._state.exists() else None

        return wait_until(look, timeout, f"{self.process.title}: {what}")

    def stop(self) -> dict[str, Any]:
        """Ends the program, as a user would; gives its last words."""
        self.process.signal(signal.SIGTERM)
        self.process.wait(PATIENCE)
        return self.state


class Receiver(Program):
    """A program that has joined groups."""

    def __init__(self, host: Host, *groups: str, sources: Iterable[str] = (), igmp: int = 0) -> None:
        """Of any source, or of `sources` only; `igmp` is the version that the host is held to."""
        if igmp:
            host.sysctl({f"net.ipv4.conf.{DEVICE}.force_igmp_version": igmp})
        joins = [{"group": group, "port": MEDIA, "sources": list(sources)} for group in groups]
        super().__init__(host, "receiver.py", {"joins": joins})

    def streams(self, group: str = "") -> dict[str, dict[str, Any]]:
        """Reports by "GROUP SOURCE"."""
        found: dict[str, dict[str, Any]] = self.state["streams"]
        return {key: report for key, report in found.items() if key.startswith(group)}

    def report(self, group: str, source: str) -> dict[str, Any]:
        nothing = {"received": 0, "missing": 0, "duplicates": 0, "disordered": 0, "damaged": 0, "ttls": [],
                   "sizes": [], "last": -1, "first": -1, "gap": 0.0}  # fmt: skip
        return self.streams().get(f"{group} {source}", nothing)

    def await_last(self, group: str, source: str, sequence: int, timeout: float = PATIENCE) -> dict[str, Any]:
        """The report once the datagram with this number, or a later one, is there."""
        self.await_state(
            lambda _: self.report(group, source)["last"] >= sequence, f"number {sequence} of {group}", timeout
        )
        return self.report(group, source)


class Sender(Program):
    """A program that sends to groups."""

    def __init__(self, host: Host, *groups: str, count: int = 0, rate: float = 200, size: int = 1316,
                 ttl: int = TTL, source: str = "") -> None:  # fmt: skip
        """`count` datagrams to each group (0: until stopped), `rate` a second (0: at once)."""
        streams = [
            {"group": group, "port": MEDIA, "ttl": ttl, "size": size, "source": source} for group in groups
        ]
        super().__init__(host, "sender.py", {"streams": streams, "rate": rate, "count": count})
        self.source = source or f"10.88.0.{host.index}"

    def finish(self) -> int:
        """Waits for the last datagram; gives how many there were, a group."""
        return self.await_state(lambda state: state["done"] and state["sent"], "all sent")

    def await_sent(self, count: int) -> None:
        self.await_state(lambda state: state["sent"] >= count, f"{count} sent")


MCMW = str(Path(sys.executable).with_name("mcmw"))


def asking(host: Host, *arguments: str) -> list[str]:
    """The command line of `mcmw`, asking the host's node."""
    return [MCMW, "--socket", str(host.socket), *arguments]


def mcmw(host: Host, *arguments: str) -> tuple[int, str, str]:
    """Its exit code, and what it said on stdout and stderr."""
    done = host.run(asking(host, *arguments))
    return done.returncode, done.stdout, done.stderr


# --- hosts


@contextmanager
def inside(host: Host) -> Iterator[None]:
    """Sockets that this process opens meanwhile are the host's."""
    with open("/proc/thread-self/ns/net") as ours, open(f"/run/netns/{host.namespace}") as theirs:
        _enter(theirs.fileno())
        try:
            yield
        finally:
            _enter(ours.fileno())


def _enter(descriptor: int) -> None:
    if LIBC.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def let_pass(seconds: float) -> None:
    """For what is measured over a time, not awaited."""
    until = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= until, seconds + 5, "the clock")


def rss(pid: int) -> int:
    """A process's resident memory in bytes."""
    (line,) = (
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")
    )
    return int(line.split()[1]) * 1024


def cpu_seconds(pid: int) -> float:
    """What a process (its first thread) has used of a core."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def node_log(host: Host) -> str:
    """What the host's node has printed."""
    folder = host.lab.state_dir
    return (folder / f"{host.name}-node.out").read_text() + (folder / f"{host.name}-node.log").read_text()
