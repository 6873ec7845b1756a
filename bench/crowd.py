"""A hub with 300 established links and no traffic: its use of a core, and its memory.

The peers are one process of ours (bench/peers.py) in a namespace of its own: to the hub they are 300 nodes,
each with its keep-alives and its probes.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography import x509

from bench.delay import PREFIX, used
from bench.idle import memory
from multicastmw.cli.lab import Lab
from multicastmw.cli.lab.waiting import wait_until
from multicastmw.net.tls import node_of

LINKS = 300
SETTLE = 20.0  # seconds: what each peer is told of the others
WATCHED = 60.0
HERE = Path(__file__).parent

INI = """
[node]
name = hub
[tap]
device = mcmw0
address = 10.88.0.1/24
[listen]
endpoint = tcp:4600
udp-port = {port}
"""


def measure(links: int, watched: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Over UDP, as links are; on TCP only; and inside TLS."""
    return {
        name: of(links, watched, data, tls, say)
        for name, data, tls in (("UDP", True, False), ("TCP only", False, False), ("TLS", False, True))
    }


def of(links: int, watched: float, data: bool, tls: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """One hub, and what it takes."""
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}-") as folder, Lab(PREFIX, folder, "ab") as lab:
        hub, crowd = lab.hosts
        ini = INI.format(port=4600 if data else "")
        told: dict[str, Any] = {"to": [hub.address, 4600], "count": links, "data": data}
        if tls:
            ini += keys(Path(folder), links)
            told["tls"] = [f"{folder}/authority.pem", folder]
        hub.start_node(ini)
        node = hub.node
        assert node
        alone = memory(node.pid)
        state = Path(folder, "up")
        say(f"{links} peers dial {'inside TLS' if tls else 'over UDP' if data else 'over TCP'}")
        began = time.monotonic()
        told["state"] = str(state)
        peers = crowd.spawn([sys.executable, "-IS", str(HERE / "peers.py"), json.dumps(told)])

        def up() -> bool:
            if peers.poll() is not None:
                raise SystemExit(peers.last_words())
            return state.exists()

        wait_until(up, 120, "all peers up")
        dialled = time.monotonic() - began
        time.sleep(SETTLE)
        say(f"watching for {watched:g} s")
        before, begin = used(node.pid), time.monotonic()
        time.sleep(watched)
        load = 100 * (used(node.pid) - before) / (time.monotonic() - begin)
        status = hub.status()
        up_now = [peer for peer in status["peers"] if peer["state"] == "up"]
        return {
            "links": len(up_now),
            "on_udp": sum(peer["data"] == "udp" for peer in up_now),
            "falls": sum(peer["falls"] for peer in up_now),
            "dialled_s": dialled,
            "cpu_percent": load,
            "alone_mib": alone["rss_mib"],
            **memory(node.pid),
        }


def keys(folder: Path, links: int) -> str:
    """An authority, the hub's certificate and the peers'; gives the hub's [tls] section."""
    names = ["hub", *(f"p{number}" for number in range(links))]
    for what in (["authority"], ["node", *names]):
        command = [sys.executable, "-m", "multicastmw.cli.main", "keys", *what, "--in", str(folder)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    for name in names:
        certificate = x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes())
        (folder / f"{name}.id").write_text(str(node_of(certificate)))
    return (
        f"[tls]\ncertificate = {folder}/hub.pem\nprivate-key = {folder}/hub.key\n"
        f"authorities = {folder}/authority.pem\n"
    )
