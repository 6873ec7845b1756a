"""Figure 4 of the paper on the lab's hosts: a sends; b receives and replicates to c and d.

a --- b --- c          b listens; a, c and d dial it.
      +---- d
      :.... e ... f    With a mesh, b is its border; which of e and f feeds the other, the mesh decides.
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
MEMBERS = "ef"  # of the mesh, besides the hub
PATIENCE = 30.0  # seconds for each step of the start; it takes a fraction


class FigureFour:
    """Four nodes and what has to be true before the film begins."""

    device = DEVICE
    hosts = "abcd"
    receivers = "bcd"

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
            others = self._peers(host.name)
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

    def ttls(self, host: str, sent: int) -> tuple[int, ...]:
        """The TTLs that packets may have at a host."""
        return (sent - HOPS[host],)

    def ini(self, lab: Lab, name: str) -> str:
        """The node.ini of a host."""
        dial = "" if name == HUB else f"\n[peer:{HUB}]\nendpoint = tcp:{lab.host(HUB).address}:{PORT}\n"
        return self._begin(lab, name, listens=name == HUB) + dial

    def _begin(self, lab: Lab, name: str, listens: bool) -> str:
        """What it has whomever it dials."""
        host = lab.host(name)
        endpoint = f"tcp:{PORT}:interface={host.address}" if listens else ""
        return (
            f"[node]\nname = {name}\n\n"
            f"[tap]\ndevice = {DEVICE}\naddress = 10.88.0.{host.index}/24\n\n"
            f"[listen]\nendpoint = {endpoint}\nudp-port = {PORT if self._data == 'udp' else ''}\n"
            f"{self._keys(lab, name) if self._tls else ''}"
        )

    def _peers(self, name: str) -> set[str]:
        """Whom it has links with before the film begins."""
        return HOPS.keys() - {HUB} | {"a"} if name == HUB else {HUB}

    def _keys(self, lab: Lab, name: str) -> str:
        files = {"certificate": f"{name}.pem", "private-key": f"{name}.key", "authorities": "authority.pem"}
        return "\n[tls]\n" + "".join(f"{what} = {keys_of(lab) / file}\n" for what, file in files.items())

    def _linked(self, others: set[str], status: dict[str, Any]) -> bool:
        links = {peer["name"]: peer for peer in status["peers"]}
        return all(
            name in links and links[name]["state"] == "up" and links[name]["data"] == self._data
            for name in others
        )


class FigureFourAndMesh(FigureFour):
    """The same tree, whose b is in a mesh with e and f, too: they know b's address, and nothing else."""

    hosts = FigureFour.hosts + MEMBERS
    receivers = FigureFour.receivers + MEMBERS

    def ttls(self, host: str, sent: int) -> tuple[int, ...]:
        """A member may have it from b, or from the other one."""
        return (sent - HOPS[HUB] - 2, sent - HOPS[HUB] - 1) if host in MEMBERS else super().ttls(host, sent)

    def ini(self, lab: Lab, name: str) -> str:
        """The node.ini of a host."""
        if name == HUB:
            return f"{super().ini(lab, name)}\n[overlay]\nengine = mesh\nrole = relay\n"
        if name not in MEMBERS:
            return super().ini(lab, name)
        return self._begin(lab, name, listens=True) + (
            f"\n[overlay]\nengine = mesh\nseeds = tcp:{lab.host(HUB).address}:{PORT}\n"
        )

    def _peers(self, name: str) -> set[str]:
        return {HUB} if name in MEMBERS else super()._peers(name) | (set(MEMBERS) if name == HUB else set())

    def await_interest(self, lab: Lab, group: str) -> None:
        """Returns when the tree knows who wants the group, and the mesh's members have each other in it."""
        super().await_interest(lab, group)
        for name in MEMBERS:
            lab.host(name).await_status(partial(_is_met, group), PATIENCE, f"neighbours in {group}")


def _is_met(group: str, status: dict[str, Any]) -> bool:
    """Has the node a neighbour in this group of the mesh?"""
    return any(each["group"] == group and each["neighbours"] for each in status["mesh"]["groups"])


def keys_of(lab: Lab) -> Path:
    """What `mcmw keys` makes for the lab; it goes with it."""
    return lab.run_dir / "keys"


def wants(status: dict[str, Any], peer: str, group: str) -> bool:
    """Has this peer told the node that it wants the group?"""
    return any(channel["group"] == group and peer in channel["wanted_by"] for channel in status["groups"])
