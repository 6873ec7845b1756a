"""vtun with Ethernet tunnels over UDP, which b's kernel bridges."""

from bench.race.contestants.base import (
    DEVICE, HUB, LEAVES, Contestant, bring_up, everywhere, package_version,
)  # fmt: skip
from multicastmw.cli.lab import Host, Lab, wait_until
from multicastmw.cli.lab.tools import find_tool

PORT = 5000
TUNNEL = "type ether; proto udp; encrypt no; compress no; keepalive yes; stat no; speed 0"
# Its lock folder may not be there, and is nobody else's business: `ip netns exec` gave it mounts of its own.
IN_PRIVATE = "mount -t tmpfs none /run/lock && mkdir -p /run/lock/vtund && exec vtund -n \"$@\""


class Vtun(Contestant):
    commands = {"vtund": "vtun"}
    note = "b's kernel bridges three tunnels, a process each"

    def __init__(self) -> None:
        super().__init__("vtun", "vtun, no cipher")

    def version(self) -> str:
        return f"vtun {package_version('vtun')}"

    def start(self, lab: Lab) -> dict[str, str]:
        hub = lab.host(HUB)
        hub.ip(f"link add {DEVICE} type bridge mcast_snooping 0")
        self._spawn(hub, {leaf: f"tap-{leaf}" for leaf in LEAVES}, f"link set %% master {DEVICE} up", "-s")
        wait_until(lambda: f":{PORT}" in hub.run(["ss", "-Hltn"]).stdout, 10, "vtun's port")
        for leaf in LEAVES:
            self._spawn(lab.host(leaf), {leaf: DEVICE}, "link set %% up", f"to-{leaf}", hub.address)
        for host in lab.hosts:
            bring_up(host)
        return everywhere(lab)

    def _spawn(self, host: Host, devices: dict[str, str], up: str, *told: str) -> None:
        """`devices` are this side's of the tunnels to each leaf.  vtun itself has to set them up: the other side
        speaks at once, and a write to a TAP that is down ends a tunnel."""
        ups = f'up {{ program {find_tool("ip")} "{up}" wait; }}'
        blocks = [
            f"to-{leaf} {{ passwd race; device {device}; {TUNNEL}; {ups}; }}" for leaf, device in devices.items()
        ]
        path = host.lab.state_dir / f"{host.name}-vtund.conf"
        options = f"options {{ port {PORT}; timeout 60; syslog daemon; }}"
        path.write_text("\n".join([options, *blocks, ""]))
        command = ["sh", "-c", IN_PRIVATE, "sh", "-f", str(path), "-P", str(PORT), *told]
        host.spawn(command, log=f"{host.name}-vtund")
