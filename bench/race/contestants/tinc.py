"""tinc 1.0 in switch mode; each leaf connects to b and to nobody else, so that the tree is figure 4's."""

from pathlib import Path

from bench.race.contestants.base import DEVICE, HUB, Contestant, bring_up, everywhere, says
from bench.race.contestants.pki import rsa_keys
from multicastmw.cli.lab import Host, Lab

PLAIN = ("Cipher = none", "Digest = none", "MACLength = 0")


class Tinc(Contestant):
    commands = {"tincd": "tinc"}
    settle = 5.0  # until the path's MTU is probed it sends large packets over TCP

    def version(self) -> str:
        return f"tinc {says(['tincd', '--version'], r'version ([0-9.]+)')}"

    def start(self, lab: Lab) -> dict[str, str]:
        folders = {host.name: lab.state_dir / f"tinc-{host.name}" for host in lab.hosts}
        cards = {}
        for host in lab.hosts:
            (folders[host.name] / "hosts").mkdir(parents=True)
            cards[host.name] = self._card(host, rsa_keys(folders[host.name] / "rsa_key.priv"))
        for host in lab.hosts:
            folder = folders[host.name]
            for name, card in cards.items():
                (folder / "hosts" / name).write_text(card)
            self._write_config(folder, host)
            host.spawn(["tincd", "-D", "-c", str(folder), f"--pidfile={lab.run_dir}/tinc-{host.name}.pid"])
        for host in lab.hosts:
            bring_up(host)
        return everywhere(lab)

    def _card(self, host: Host, public_key: str) -> str:
        """What the others know of a host."""
        lines = [f"Address = {host.address}", "IndirectData = yes", *(PLAIN if self.cipher == "none" else ())]
        return "\n".join(lines) + f"\n\n{public_key}"

    def _write_config(self, folder: Path, host: Host) -> None:
        lines = [f"Name = {host.name}", "Mode = switch", "DeviceType = tap", f"Interface = {DEVICE}",
                 "AddressFamily = ipv4"]  # fmt: skip
        if host.name != HUB:
            lines.append(f"ConnectTo = {HUB}")
        (folder / "tinc.conf").write_text("\n".join(lines) + "\n")
        script = folder / "tinc-up"  # the lab sets the device up
        script.write_text("#!/bin/sh\n")
        script.chmod(0o755)
