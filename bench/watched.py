"""What it costs the packets that somebody watches: figure 4 with and without, in the same run.

    bare       a --> b --> c, d     multicast at 1,000 packets/s, nobody looks
    watched    the same, and at b, the relay, all of these at once: a page (server-sent events, as a
               browser has them), a scrape of /metrics a second, and `mcmw show --watch --every 1`

Both with the kernel forwarding and with Python forwarding.  The two take turns, and a ratio is the median of
the rounds' ratios.  What watches runs as an ordinary process beside real-time ones: what is measured is what
it makes the node do, and not that the machine has two cores.
"""

import json
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from bench.delay import (
    DEVICE,
    GROUP,
    HERE,
    MEDIA,
    PREFIX,
    QUANTILES,
    RATE,
    SETTLED,
    Way,
    against,
    group,
    play,
    program,
    quantile,
    read,
    used,
)
from multicastmw.cli.lab import Lab, wait_until
from multicastmw.cli.overlay import FigureFour

WEB = 8080
WAYS = {"kernel": "require", "python": "off"}
LOOKS = ("bare", "watched")
LOOKING = 2.0  # seconds until all of them are at it
ORDINARY = ("chrt", "--other", "0")  # before a command that shall not go first
Say = Callable[[str], None]
PATH = Way("", "", group, DEVICE, "bcd", MEDIA)


class Network(FigureFour):
    """With a page at b, and the kernel or Python forwarding."""

    def __init__(self, mode: str) -> None:
        super().__init__(udp=True)
        self._mode = mode

    def ini(self, lab: Lab, name: str) -> str:
        web = f"\n[web]\nendpoint = tcp:{WEB}:interface=127.0.0.1\n" if name == "b" else ""
        return f"{super().ini(lab, name)}\n[fastpath]\nmode = {self._mode}\n{web}"


class Tree:
    """Figure 4 with sinks on b, c and d."""

    def __init__(self, lab: Lab, mode: str) -> None:
        self.lab = lab
        network = Network(mode)
        network.start(lab)
        self._sinks = {host: self._sink(host) for host in PATH.hosts}
        network.await_interest(lab, GROUP)
        node = lab.host("b").node
        assert node is not None
        self._relay = node.pid

    def _sink(self, host: str) -> Any:
        told = {"ports": [[MEDIA, GROUP, DEVICE]], "out": str(self.lab.state_dir / f"{host}.bin")}
        return program(self.lab.host(host), "sink.py", json.dumps(told))

    @contextmanager
    def looked_at(self) -> Iterator[None]:
        """By a page, a scraper and a terminal, at b."""
        host = self.lab.host("b")
        mcmw = str(Path(sys.executable).with_name("mcmw"))
        show = [mcmw, "--socket", str(host.socket), "show", "--watch", "--every", "1"]
        viewer = [sys.executable, "-IS", str(HERE / "viewer.py"), str(WEB)]
        started = [host.spawn([*ORDINARY, *command]) for command in (viewer, show)]
        try:
            wait_until(lambda: "ready" in started[0].read_output(), 15, "the page's first status")
            time.sleep(LOOKING)
            yield
            for process in started:
                if process.poll() is not None:
                    raise SystemExit(f"{process.title} ended: {process.last_words()}")
        finally:
            for process in started:
                process.signal(signal.SIGTERM)
                process.wait(10)

    def round(self, turn: int, count: int) -> float:
        """Microseconds of a core that b's process spends on a packet."""
        before = used(self._relay)
        play(PATH, self.lab, turn, count)
        return (used(self._relay) - before) / count * 1e6

    def delays(self) -> dict[int, list[float]]:
        """Ends the sinks: by round what b, c and d saw, in microseconds."""
        found: dict[int, list[float]] = defaultdict(list)
        for host, sink in self._sinks.items():
            sink.signal(signal.SIGTERM)
            sink.wait(10)
            for turn, arrivals in read((self.lab.state_dir / f"{host}.bin").read_bytes(), MEDIA).items():
                found[turn] += [delay for _, delay in arrivals]
        return found


def measure(rounds: int, seconds: float, say: Say) -> dict[str, Any]:
    """Both ways, bare and watched by turns."""
    count = round(seconds * RATE)
    spent: dict[tuple[str, str], list[float]] = defaultdict(list)
    with ExitStack() as stack:
        trees = {}
        for way, mode in WAYS.items():
            say(f"four nodes, {way}")
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{PREFIX}-"))
            trees[way] = Tree(stack.enter_context(Lab(PREFIX, folder)), mode)
        time.sleep(SETTLED)
        for turn in range(rounds):
            say(f"round {turn + 1} of {rounds}: {seconds:g} s each of {', '.join(LOOKS)}, two ways")
            for way, tree in trees.items():
                for place in (0, 1):
                    look = LOOKS[(turn + place) % 2]
                    with tree.looked_at() if look == "watched" else nullcontext():
                        cost = tree.round(turn * 2 + LOOKS.index(look), count)
                    spent[way, look].append(cost)
        ways = {way: judged(way, tree.delays(), spent, count) for way, tree in trees.items()}
    return {"rate": RATE, "sent_a_round": count, "rounds": rounds, "ways": ways}


def judged(
    way: str, delays: dict[int, list[float]], spent: dict[tuple[str, str], list[float]], count: int
) -> dict[str, Any]:
    """Quantiles, microseconds a packet and losses of both, and the medians of the rounds' ratios."""
    by_look = {look: {turn // 2: found for turn, found in delays.items() if turn % 2 == at}
               for at, look in enumerate(LOOKS)}  # fmt: skip
    found: dict[str, Any] = {}
    for look, rounds in by_look.items():
        pooled = [delay for each in rounds.values() for delay in each]
        found[look] = {f"{name}_us": quantile(pooled, share) for name, share in QUANTILES.items()} | {
            "lost": count * len(PATH.hosts) * len(spent[way, look]) - len(pooled),
            "b_us": statistics.median(spent[way, look]),
        }
    found["ratios"] = {
        name: against(by_look["watched"], by_look["bare"], share) for name, share in QUANTILES.items()
    }
    return found
