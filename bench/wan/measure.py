"""What the forwarder adds, and how much it carries.

Added delay: a source of 200 packets/s to a sink on another host, over the kernel's router and over the
forwarder without and with a delay that is then subtracted; from before `send` to the receiving kernel.
Carried: every host sends to the next one at a rate (paced.c), over ways of 30 ms: what was sent, by the
sources' word, and what the forwarder delivered, by its counts.  Nobody listens at the port, so now and then
an ICMP error takes the place of a packet of the source's (`refused`), which was then not sent.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench.delay import PREFIX, QUANTILES, program, quantile
from bench.race.built import FLAGS
from bench.sink import RECORD
from bench.wan.internet import DelayedInternet
from multicastmw.cli.lab import Internet, Lab, LabError
from multicastmw.cli.lab.tools import find_tool
from multicastmw.cli.lab.waiting import wait_until

HERE = Path(__file__).parents[1]
MEDIA, RATE, SIZE = 5004, 200, 1316
DELAY = 0.03
RATES = (5_000, 10_000, 20_000, 40_000)
Say = Callable[[str], None]


class Added(NamedTuple):
    """Delay beyond what was asked for, in microseconds."""

    p50: float
    p99: float
    p999: float


class Carried(NamedTuple):
    """What went through at a rate, of all hosts together (packets/s)."""

    rate: float
    sent: int
    delivered: int
    late_us: dict[str, float]
    cpu: float  # of a core; the kernel's work for the receiving hosts is in it


def added(seconds: float, say: Say) -> dict[str, Added]:
    ways: dict[str, tuple[Callable[[Lab], Internet], float]] = {
        "kernel": (Internet, 0.0),
        "forwarder": (DelayedInternet, 0.0),
        f"forwarder, {DELAY * 1e3:.0f} ms": (partial(DelayedInternet, delays=DELAY), DELAY),
    }
    found = {}
    for name, (internet, delay) in ways.items():
        say(name)
        with (
            tempfile.TemporaryDirectory(prefix=f"{PREFIX}-") as folder,
            Lab(PREFIX, folder, "ab", internet) as lab,
        ):
            found[name] = _added(lab, delay, seconds)
    return found


def _added(lab: Lab, delay: float, seconds: float) -> Added:
    a, b = lab.hosts
    out = lab.state_dir / "sink.bin"
    sink = program(b, "sink.py", json.dumps({"ports": [[MEDIA, "", ""]], "out": str(out)}))
    told = {
        "target": [b.address, MEDIA],
        "device": "",
        "rate": RATE,
        "count": int(RATE * seconds),
        "size": SIZE,
        "round": 1,
    }
    a.run([sys.executable, "-IS", str(HERE / "source.py"), json.dumps(told)], timeout=seconds * 2 + 30)
    sink.terminate()
    delays = [late / 1e3 - delay * 1e6 for _, _, _, late, _ in RECORD.iter_unpack(out.read_bytes())]
    return Added(*(quantile(delays, share) for share in QUANTILES.values()))


def carried(hosts: int, seconds: float, say: Say) -> list[Carried]:
    names = [f"n{number:02}" for number in range(1, hosts + 1)]
    found = []
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}-") as folder:
        paced = Path(folder, "paced")
        subprocess.run([find_tool("cc"), *FLAGS, "-o", str(paced), str(HERE / "paced.c")], check=True)
        for rate in RATES:
            say(f"{hosts} hosts, {rate} packets/s")
            with Lab(PREFIX, folder, names, partial(DelayedInternet, delays=DELAY)) as lab:
                found.append(_carried(lab, paced, rate, seconds))
    return found


def _carried(lab: Lab, paced: Path, rate: float, seconds: float) -> Carried:
    internet = lab.internet
    assert isinstance(internet, DelayedInternet)
    hosts = lab.hosts
    before = internet.totals(fresh=True)["cpu"]
    sources = [
        one.spawn(
            [
                str(paced),
                "send",
                "u0",
                other.address,
                str(MEDIA),
                str(SIZE),
                str(rate / len(hosts)),
                str(seconds),
            ]
        )
        for one, other in zip(hosts, hosts[1:] + hosts[:1], strict=True)
    ]
    said = []
    for source in sources:
        if source.wait(seconds * 3 + 30):
            raise LabError(source.last_words())
        said.append(json.loads(source.read_output()))
    wait_until(lambda: not internet.totals()["in_flight"], 30, "nothing in flight")
    totals = internet.totals()
    pairs = zip(hosts, hosts[1:] + hosts[:1], strict=True)
    counts = internet.counts()
    delivered = sum(counts[one.name, other.name].delivered for one, other in pairs)
    return Carried(
        rate=sum(each["rate"] for each in said),
        sent=sum(each["sent"] - each["refused"] for each in said),
        delivered=delivered,
        late_us=totals["late_us"],
        cpu=(totals["cpu"] - before) / seconds,
    )
