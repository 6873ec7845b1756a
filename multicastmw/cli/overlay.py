"""Figure 4 of the paper on the lab's hosts: a sends; b receives and replicates to c and d.

a --- b --- c          b listens; a, c and d dial it.
      +---- d
"""

from functools import partial
from pathlib import Path
from typing import Any

from multicastmw.cli.keys import make_authority, make_node
from multicastmw.cli.lab import Lab

DEVICE = "mcmw0"
HUB = "b"
PORT = 4600
HOPS = {"b": 1, "c": 2, "d": 2}  # links from a
PATIENCE = 30.0  # seconds for each step of the start; it takes a fraction


class FigureFour:
    """Four nodes and what has to be true before the film begins."""

    device = DEVICE

    def __init__(self, udp: bool, tls: bool = False) -> None:
        """With `tls` the links are inside TLS, and data with them, which then are on TCP."""
        self._data = "udp" if udp and not tls else "tcp"
        self._tls = tls
        self.transport = "tls" if tls else self._data

    def start(self, lab: Lab) -> None:
        """Starts the nodes and returns when all links are up, with data where it is meant to go."""
        if self._tls:
            make_authority(keys_of(lab))
            make_node(keys_of(lab), [host.name for host in lab.hosts])
        for host in lab.hosts:
            host.start_node(self.ini(lab, host.name), ready=None)
        for host in lab.hosts:
            host.await_status(lambda status: status["tap"]["state"] == "up", PATIENCE, "its TAP")
        for host in lab.hosts:
            others = HOPS.keys() - {HUB} | {"a"} if host.name == HUB else {HUB}
            host.await_status(
                partial(self._linked, others), PATIENCE,
                f"links with data on {self._data} and {', '.join(sorted(others))}",
            )  # fmt: skip

    def await_interest(self, lab: Lab, group: str) -> None:
        """Returns when b knows that c and d want the group, and a that b does."""
        lab.host(HUB).await_status(
            lambda status: all(wants(status, peer, group) for peer in ("c", "d")), PATIENCE,
            f"c and d want {group}",
        )  # fmt: skip
        lab.host("a").await_status(lambda status: wants(status, HUB, group), PATIENCE, f"b wants {group}")

    def ttl(self, host: str, sent: int) -> int:
        """The TTL that packets should have at a host."""
        return sent - HOPS[host]

    def ini(self, lab: Lab, name: str) -> str:
        """The node.ini of a host."""
        host, hub = lab.host(name), lab.host(HUB)
        endpoint = f"tcp:{PORT}:interface={hub.address}" if name == HUB else ""
        dial = "" if name == HUB else f"\n[peer:{HUB}]\nendpoint = tcp:{hub.address}:{PORT}\n"
        return (
            f"[node]\nname = {name}\n\n"
            f"[tap]\ndevice = {DEVICE}\naddress = 10.88.0.{host.index}/24\n\n"
            f"[listen]\nendpoint = {endpoint}\nudp-port = {PORT if self._data == 'udp' else ''}\n{dial}"
            f"{self._keys(lab, name) if self._tls else ''}"
        )

    def _keys(self, lab: Lab, name: str) -> str:
        files = {"certificate": f"{name}.pem", "private-key": f"{name}.key", "authorities": "authority.pem"}
        return "\n[tls]\n" + "".join(f"{what} = {keys_of(lab) / file}\n" for what, file in files.items())

    def _linked(self, others: set[str], status: dict[str, Any]) -> bool:
        links = {peer["name"]: peer for peer in status["peers"]}
        return all(
            name in links and links[name]["state"] == "up" and links[name]["data"] == self._data
            for name in others
        )


def keys_of(lab: Lab) -> Path:
    """What `mcmw keys` makes for the lab; it goes with it."""
    return lab.run_dir / "keys"


def wants(status: dict[str, Any], peer: str, group: str) -> bool:
    """Has this peer told the node that it wants the group?"""
    return any(channel["group"] == group and peer in channel["wanted_by"] for channel in status["groups"])
