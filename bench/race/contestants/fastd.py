"""fastd in TAP mode: the leaves dial b, which forwards between them."""

import subprocess
from typing import NamedTuple

from bench.race.contestants.base import DEVICE, HUB, LEAVES, Contestant, bring_up, everywhere, says
from multicastmw.cli.lab import Host, Lab
from multicastmw.cli.lab.tools import find_tool

PORT = 10_000


class Keys(NamedTuple):
    secret: str
    public: str


class Fastd(Contestant):
    commands = {"fastd": "fastd"}

    def __init__(self, name: str, title: str, cipher: str, method: str) -> None:
        super().__init__(name, title, cipher)
        self._method = method

    def version(self) -> str:
        return f"fastd {says(['fastd', '--version'], r'v?([0-9.]+)')}"

    def start(self, lab: Lab) -> dict[str, str]:
        keys = {host.name: make_keys() for host in lab.hosts}
        for name in (HUB, *LEAVES):  # b first: a leaf that finds nobody waits 20 s before it asks again
            host = lab.host(name)
            peers = LEAVES if host.name == HUB else (HUB,)
            blocks = [self._peer(peer, keys[peer], lab.host(HUB) if peer == HUB else None) for peer in peers]
            path = lab.state_dir / f"{host.name}-fastd.conf"
            path.write_text("\n".join([*self._options(host, keys[host.name]), *blocks, ""]))
            path.chmod(0o600)
            host.spawn(["fastd", "--config", str(path)])
            bring_up(host)
        return everywhere(lab)

    def _options(self, host: Host, keys: Keys) -> list[str]:
        return [
            "mode tap;",
            f'interface "{DEVICE}";',
            f'method "{self._method}";',
            "mtu 1426;",
            f"bind {host.address}:{PORT};",
            f"forward {'yes' if host.name == HUB else 'no'};",
            f'secret "{keys.secret}";',
        ]

    def _peer(self, name: str, keys: Keys, dialled: Host | None) -> str:
        remote = f" remote {dialled.address}:{PORT};" if dialled else ""
        return f'peer "{name}" {{ key "{keys.public}";{remote} }}'


def make_keys() -> Keys:
    done = subprocess.run([find_tool("fastd"), "--generate-key"], capture_output=True, text=True, check=True)
    said = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    return Keys(said["Secret"].strip(), said["Public"].strip())
