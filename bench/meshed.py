"""What a relay of the mesh spends on a packet, with its kernel forwarding and without.

    a ──> b ──> c, d     multicast at 1,000 packets/s through b's mesh, without an end

`mcmw fastpath on|off` at b by turns, in two networks: packets are kept for others, and nothing is.  What b's
process used of a core is taken over some seconds of each turn, and how late packets came to c and d.

    python -m bench.meshed --rounds 3 --seconds 8
"""

import json
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from bench.about import machine, teller
from bench.delay import DEVICE, GROUP, MEDIA, PREFIX, RATE, SIZE, program, quantile, read, used
from multicastmw.cli.lab import Host, Lab
from multicastmw.cli.text import Columns, screen

PORT = 4600
CHILDREN = {"a": 1, "b": 2, "c": 0, "d": 0}
KEPT = {"kept": 1.0, "nothing kept": 0.0}  # [recovery] deadline
TURNS = ("kernel", "python")
SETTLED = 2.5  # seconds after a switch


def ini(host: Host, deadline: float) -> str:
    seed = host.lab.host("a")
    overlay = {"engine": "mesh", "uplink": 100_000, "max-children": CHILDREN[host.name]}
    overlay |= {"role": "relay"} if host is seed else {"seeds": f"tcp:{seed.address}:{PORT}"}
    sections = {
        "node": {"name": host.name},
        "tap": {"device": DEVICE, "address": f"10.88.0.{host.index}/24"},
        "listen": {"endpoint": f"tcp:{PORT}", "udp-port": PORT},
        "overlay": overlay,
        "recovery": {"deadline": deadline},
    }
    lines = [[f"[{title}]", *(f"{k} = {v}" for k, v in told.items())] for title, told in sections.items()]
    return "\n".join(line for section in lines for line in section)


class Chain:
    """One network, and its stream."""

    def __init__(self, lab: Lab, deadline: float) -> None:
        self.lab = lab
        self.relay = lab.host("b")
        for host in lab.hosts:
            host.start_node(ini(host, deadline))
        self._sinks = {name: self._sink(lab.host(name)) for name in "bcd"}
        for name in "bcd":
            lab.host(name).await_status(
                lambda s: any(g["group"] == GROUP for g in s["groups"]) and any(s["peers"]), 20, "demand"
            )
        told = {"target": [GROUP, MEDIA], "device": DEVICE, "rate": RATE, "count": 0, "size": SIZE,
                "round": 0}  # fmt: skip
        self._source = lab.host("a").spawn(
            [sys.executable, "-IS", str(Path(__file__).with_name("source.py")), json.dumps(told)],
            log="source",
        )
        self.relay.await_status(lambda _: self._is_chain(), 60, "a chain")

    def _sink(self, host: Host) -> Any:
        told = {"ports": [[MEDIA, GROUP, DEVICE]], "out": str(self.lab.state_dir / f"{host.name}.bin")}
        return program(host, "sink.py", json.dumps(told))

    def _stream(self, host: Host) -> dict[str, Any]:
        streams = [each for each in host.status()["mesh"]["streams"] if each["group"] == GROUP]
        return streams[0] if streams else {"parent": None, "highest": 0, "children": []}

    def _is_chain(self) -> bool:
        found = {name: self._stream(self.lab.host(name))["parent"] for name in "bcd"}
        return found == {"b": "a", "c": "b", "d": "b"}

    def turn(self, name: str, seconds: float) -> tuple[float, range]:
        """Microseconds of a core for each packet, and which packets these were."""
        wanted = name == "kernel"
        mcmw = str(Path(sys.executable).with_name("mcmw"))
        state = "on" if wanted else "off"
        self.relay.run([mcmw, "--socket", str(self.relay.socket), "fastpath", state])
        self.relay.await_status(
            lambda s: [r["fast"] for r in s["routes"] if r["group"] == GROUP] == [wanted], 20, f"the {name}"
        )
        time.sleep(SETTLED)
        assert self.relay.node is not None
        first, before = self._stream(self.relay)["highest"], used(self.relay.node.pid)
        time.sleep(seconds)
        spent = used(self.relay.node.pid) - before
        numbers = range(first, self._stream(self.relay)["highest"])
        return spent / len(numbers) * 1e6, numbers

    def end(self) -> dict[int, float]:
        """The delays at c, by number, in microseconds."""
        self._source.signal(signal.SIGTERM)
        self._source.wait(10)
        for sink in self._sinks.values():
            sink.signal(signal.SIGTERM)
            sink.wait(10)
        return dict(read((self.lab.state_dir / "c.bin").read_bytes(), MEDIA)[0])


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--seconds", type=click.FloatRange(min=1), default=8.0, show_default=True, help="Of each turn.")
def main(*, rounds: int, seconds: float) -> None:
    """A relay of the mesh: its process's time for a packet, kernel and Python by turns."""
    say = teller()
    say(json.dumps(machine()))
    table = Columns("us of the relay's process", "kernel>", "python>", "ratio>", "delay p50>", "p99>")
    for kept, deadline in KEPT.items():
        spent: dict[str, list[float]] = defaultdict(list)
        numbers: dict[str, list[int]] = defaultdict(list)
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{PREFIX}-"))
            chain = Chain(stack.enter_context(Lab(PREFIX, folder)), deadline)
            for turn in range(rounds):
                for name in TURNS if turn % 2 else TURNS[::-1]:
                    cost, which = chain.turn(name, seconds)
                    say(f"{kept}, round {turn + 1}: {name} {cost:.1f} us")
                    spent[name].append(cost)
                    numbers[name] += which
            delays = chain.end()
        late = {name: [delays[n] for n in numbers[name] if n in delays] for name in TURNS}
        ratio = statistics.median(k / p for k, p in zip(spent["kernel"], spent["python"], strict=True))
        shares = [" / ".join(f"{quantile(late[name], share):.0f}" for name in TURNS) for share in (0.5, 0.99)]
        table.row(kept, *(f"{statistics.median(spent[name]):.1f}" for name in TURNS), f"{ratio:.2f}", *shares)
    screen().print(table)


if __name__ == "__main__":
    main()
