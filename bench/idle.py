"""A node that has nothing to do: how soon it is ready, what it holds, what it uses."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.delay import PREFIX, used
from multicastmw.cli.lab import Lab
from multicastmw.cli.overlay import FigureFour

STARTS = 5
SETTLE = 5.0  # seconds: start-up queries go out at 0, 1 and 3 s
WATCHED = 10.0


def memory(pid: int) -> dict[str, float]:
    """MiB: resident now, resident at most, and the part that no other process shares."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    own = sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_"))
    return {
        "rss_mib": int(status["VmRSS"].split()[0]) / 1024,
        "peak_mib": int(status["VmHWM"].split()[0]) / 1024,
        "private_mib": own / 1024,
    }


def measure(say: Callable[[str], None]) -> dict[str, Any]:
    """The node b of figure 4, with its three links up."""
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}-") as folder, Lab(PREFIX, folder) as lab:
        network = FigureFour(udp=True)
        say(f"starting a node {STARTS} times")
        starts = [start(lab, network) for _ in range(STARTS)]
        network.start(lab)
        time.sleep(SETTLE)
        say(f"watching idle nodes for {WATCHED:g} s")
        pids = {host.name: host.node.pid for host in lab.hosts if host.node}
        before, begin = {name: used(pid) for name, pid in pids.items()}, time.monotonic()
        time.sleep(WATCHED)
        span = time.monotonic() - begin
        nodes = {
            name: memory(pid) | {"cpu_percent": 100 * (used(pid) - before[name]) / span}
            for name, pid in pids.items()
        }
        return {"start_s": statistics.median(starts), "starts_s": starts, "nodes": nodes}


def start(lab: Lab, network: FigureFour) -> float:
    """Seconds from the command to a TAP that is up and a control socket that says so."""
    host = lab.host("b")
    begin = time.monotonic()
    host.start_node(network.ini(lab, "b"), ready=None)
    host.await_status(lambda status: status["node"]["ready"], 30, "ready")
    spent = time.monotonic() - begin
    host.stop_node()
    return spent
