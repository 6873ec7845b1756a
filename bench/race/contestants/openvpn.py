"""OpenVPN with TAP devices: b is the server and passes frames from client to client."""

from bench.race.contestants.base import DEVICE, HUB, LEAVES, Contestant, bring_up, everywhere, says
from bench.race.contestants.pki import Authority
from multicastmw.cli.lab import Host, Lab

PORT = 1194
PLAIN = ["--data-ciphers", "none", "--cipher", "none", "--auth", "none"]
GCM = ["--data-ciphers", "AES-256-GCM"]


class OpenVpn(Contestant):
    commands = {"openvpn": "openvpn"}

    def version(self) -> str:
        return f"OpenVPN {says(['openvpn', '--version'], r'OpenVPN ([0-9.]+)')}"

    def start(self, lab: Lab) -> dict[str, str]:
        authority = Authority(lab.state_dir)
        hub = lab.host(HUB)
        server = ["--mode", "server", "--tls-server", "--dh", "none", "--client-to-client"]
        self._spawn(hub, authority, [*server, "--local", hub.address, "--port", str(PORT)])
        bring_up(hub)
        for leaf in LEAVES:
            client = ["--client", "--nobind", "--remote", hub.address, str(PORT)]
            self._spawn(lab.host(leaf), authority, client)
        for leaf in LEAVES:
            bring_up(lab.host(leaf))
        return everywhere(lab)

    def _spawn(self, host: Host, authority: Authority, options: list[str]) -> None:
        certificate, key = authority.issue(host.name)
        identity = ["--ca", str(authority.certificate), "--cert", str(certificate), "--key", str(key)]
        device = ["--dev", DEVICE, "--dev-type", "tap", "--proto", "udp4", "--keepalive", "5", "60"]
        if host.name != HUB:
            device[-3:] = ["--ping", "5"]
        ciphers = PLAIN if self.cipher == "none" else GCM
        host.spawn(["openvpn", *device, *identity, *ciphers, *options])
