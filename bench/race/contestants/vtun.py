"""vtun with Ethernet tunnels over UDP, which b's kernel bridges."""

from bench.race.contestants.base import (
    DEVICE,
    HUB,
    LEAVES,
    Contestant,
    await_device,
    bring_up,
    everywhere,
    package_version,
)  # fmt: skip
from multicastmw.cli.lab import Host, Lab, wait_until

PORT = 5000
TUNNEL = "type ether; proto udp; encrypt no; compress no; keepalive yes; stat no; speed 0"
# Its lock folder may not be there, and is nobody else's business: `ip netns exec` gave it mounts of its own.
IN_PRIVATE = 'mount -t tmpfs none /run/lock && mkdir -p /run/lock/vtund && exec vtund -n "$@"'

# A frame for a TAP that is not up yet ends a tunnel, and IPv6 speaks as soon as one end is up.
SILENT = {"net.ipv6.conf.all.disable_ipv6": 1, "net.ipv6.conf.default.disable_ipv6": 1}


class Vtun(Contestant):
    commands = {"vtund": "vtun"}
    note = "b's kernel bridges three tunnels, a process each"

    def __init__(self) -> None:
        super().__init__("vtun", "vtun, no cipher")

    def version(self) -> str:
        return f"vtun {package_version('vtun')}"

    def start(self, lab: Lab) -> dict[str, str]:
        hub = lab.host(HUB)
        for host in lab.hosts:
            host.sysctl(SILENT)
        hub.ip(f"link add {DEVICE} type bridge mcast_snooping 0")
        self._spawn(hub, {leaf: f"tap-{leaf}" for leaf in LEAVES}, "-s")
        wait_until(lambda: f":{PORT}" in hub.run(["ss", "-Hltn"]).stdout, 10, "vtun's port")
        for leaf in LEAVES:
            self._spawn(lab.host(leaf), {leaf: DEVICE}, f"to-{leaf}", hub.address)
        for leaf in LEAVES:
            await_device(hub, f"tap-{leaf}")
            hub.ip(f"link set tap-{leaf} master {DEVICE} up")
        for host in lab.hosts:
            bring_up(host)
        return everywhere(lab)

    def _spawn(self, host: Host, devices: dict[str, str], *told: str) -> None:
        """`devices` are this side's of the tunnels to each leaf."""
        blocks = [
            f"to-{leaf} {{ passwd race; device {device}; {TUNNEL}; }}" for leaf, device in devices.items()
        ]
        path = host.lab.state_dir / f"{host.name}-vtund.conf"
        options = f"options {{ port {PORT}; timeout 60; syslog daemon; }}"
        path.write_text("\n".join([options, *blocks, ""]))
        command = ["sh", "-c", IN_PRIVATE, "sh", "-f", str(path), "-P", str(PORT), *told]
        host.spawn(command, log=f"{host.name}-vtund")
