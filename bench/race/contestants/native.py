"""The limit: multicast routing in b's kernel, over cables of its own and without any encapsulation.

a n0 -- n0 b n1 -- n0 c
           b n2 -- n0 d      smcroute puts one static route into b's kernel and sleeps
"""

import platform

from bench.race.contestants.base import HUB, Contestant, says
from bench.race.track import GROUP
from multicastmw.cli.lab import Lab, wait_until

CABLES = {"a": "n0", "c": "n1", "d": "n2"}  # leaf: b's end of its cable


def lay_cables(lab: Lab) -> dict[str, str]:
    """Gives b's address towards each leaf."""
    hub, addresses = lab.host(HUB), {}
    for number, (leaf, end) in enumerate(CABLES.items(), 1):
        addresses[leaf] = f"10.77.{number}.2"
        lab.host(leaf).ip(
            f"link add n0 type veth peer name {end} netns {hub.namespace}",
            f"address add 10.77.{number}.1/24 dev n0",
            "link set n0 up",
        )
        hub.ip(f"address add {addresses[leaf]}/24 dev {end}", f"link set {end} up")
    return addresses


class Native(Contestant):
    commands = {"smcrouted": "smcroute"}
    note = "a static route on cables of its own; nothing is wrapped"

    def __init__(self) -> None:
        super().__init__("native", "native multicast", transport="none")

    def version(self) -> str:
        return (
            f"Linux {platform.release().split('-')[0]}, smcroute {says(['smcrouted', '-v'], r'v?([0-9.]+)')}"
        )

    def start(self, lab: Lab) -> dict[str, str]:
        hub = lab.host(HUB)
        lay_cables(lab)
        config = lab.state_dir / "smcroute.conf"
        entry = f"mroute from n0 source 10.77.1.1 group {GROUP} to n1 n2"
        config.write_text("".join(f"phyint {end} enable\n" for end in CABLES.values()) + f"{entry}\n")
        hub.spawn(["smcrouted", "-n", "-N", "-f", str(config), "-P", str(lab.run_dir / "smcroute.pid"),
                   "-u", str(lab.run_dir / "smcroute.sock")])  # fmt: skip
        wait_until(lambda: GROUP in hub.run(["ip", "mroute", "show"]).stdout, 10, "the route in b's kernel")
        return {host.name: "n0" for host in lab.hosts}
