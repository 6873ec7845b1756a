"""Everybody who takes part, in the order of the tables."""

from bench.race.contestants.base import Contestant
from bench.race.contestants.fastd import Fastd
from bench.race.contestants.n2n import N2n
from bench.race.contestants.native import Native
from bench.race.contestants.openvpn import OpenVpn
from bench.race.contestants.ours import OnCables, Ours
from bench.race.contestants.tinc import Tinc
from bench.race.contestants.vtun import Vtun
from bench.race.contestants.vxlan import VxlanHub, VxlanMdb

NATIVE = "native"  # what the others are compared with

CONTESTANTS: dict[str, Contestant] = {
    contestant.name: contestant
    for contestant in (
        Native(),
        VxlanMdb(),
        VxlanHub(),
        Fastd("fastd", "fastd, null", "none", method="null"),
        Fastd("fastd-umac", "fastd, umac", "salsa2012+umac", method="salsa2012+umac"),
        Tinc("tinc-plain", "tinc, no cipher", "none"),
        Tinc("tinc", "tinc", "aes-256-cbc, sha256"),
        OpenVpn("openvpn-plain", "OpenVPN, no cipher", "none"),
        OpenVpn("openvpn", "OpenVPN", "AES-256-GCM"),
        N2n(),
        Vtun(),
        Ours("ours-udp", "ours, slow, UDP", "none", "UDP"),
        Ours("ours-tcp", "ours, slow, TCP", "none", "TCP"),
        Ours("ours-tls", "ours, slow, TLS", "TLS 1.3", "TLS"),
        Ours("ours-fast", "ours, fast", "none", "UDP", fast=True),
        OnCables("ours-fast-cables", "ours, fast, on cables", "none", "UDP", fast=True),
    )
}

__all__ = ["CONTESTANTS", "NATIVE", "Contestant"]
