"""n2n: an edge on every host; multicast goes through the supernode on b, which repeats it to every edge."""

from bench.race.contestants.base import DEVICE, HUB, Contestant, bring_up, everywhere, package_version
from multicastmw.cli.lab import Lab, wait_until

PORT = 7777


class N2n(Contestant):
    commands = {"supernode": "n2n", "edge": "n2n"}
    note = "b runs the supernode and an edge"

    def __init__(self) -> None:
        super().__init__("n2n", "n2n", cipher="Twofish")

    def version(self) -> str:
        return f"n2n {package_version('n2n').replace('~svn', ' svn ')}"

    def start(self, lab: Lab) -> dict[str, str]:
        hub = lab.host(HUB)
        hub.spawn(["supernode", "-l", str(PORT)])
        wait_until(lambda: f":{PORT}" in hub.run(["ss", "-Hlun"]).stdout, 10, "the supernode's port")
        for host in lab.hosts:
            number = host.index
            address = ["-a", f"10.88.0.{number}", "-s", "255.255.255.0", "-m", f"02:00:00:00:00:0{number}"]
            community = ["-c", "race", "-k", "race", "-l", f"{hub.address}:{PORT}"]
            host.spawn(["edge", "-f", "-r", "-d", DEVICE, *address, *community])
        for host in lab.hosts:
            bring_up(host)
        return everywhere(lab)
