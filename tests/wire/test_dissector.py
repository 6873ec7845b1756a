"""Wireshark's dissector (etc/wireshark/mcmw.lua), shown the golden messages by tshark."""

import json
import shutil
import socket
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.wire.ipv4 import checksum
from tests.wire.golden import Golden, folder

SCRIPT = Path(__file__).parent.parent.parent / "etc" / "wireshark" / "mcmw.lua"
PORT = 4600
RAW_IP = 101  # the link type of packets without any Ethernet


def captured(payload: bytes, protocol: int) -> bytes:
    """A packet that carries it, by TCP (6) or UDP (17)."""
    if protocol == socket.IPPROTO_UDP:
        inner = struct.pack("!HHHH", PORT, PORT, 8 + len(payload), 0) + payload
    else:
        inner = struct.pack("!HHIIBBHHH", 50_000, PORT, 1, 1, 5 << 4, 0x18, 1000, 0, 0) + payload
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(inner), 1, 0, 9, protocol, 0,
                       socket.inet_aton("192.0.2.1"), socket.inet_aton("192.0.2.2"))  # fmt: skip
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + inner


def dissected(packets: list[bytes], *options: str) -> list[dict[str, Any]]:
    """What tshark makes of each."""
    with tempfile.NamedTemporaryFile(suffix=".pcap") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, RAW_IP))
        for number, packet in enumerate(packets):
            file.write(struct.pack("<IIII", number, 0, len(packet), len(packet)) + packet)
        file.flush()
        command = [
            "tshark",
            "-X",
            f"lua_script:{SCRIPT}",
            "-r",
            file.name,
            "-T",
            "json",
            "--no-duplicate-keys",
        ]
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise AssertionError(done.stderr)
    return [packet["_source"]["layers"] for packet in json.loads(done.stdout)]


def objects_of(wire: bytes) -> list[int]:
    """The C-Nums of a good message."""
    found, at = [], 8
    while at < len(wire):
        size, c_num = struct.unpack_from("!HB", wire, at)
        found.append(c_num)
        at += size + -size % 4
    return found


def every(tree: Any, name: str) -> list[str]:
    """The values of a field, wherever it stands."""
    if isinstance(tree, list):
        return [value for branch in tree for value in every(branch, name)]
    if not isinstance(tree, dict):
        return []
    here = tree.get(name, [])
    found = here if isinstance(here, list) else [here]
    return [*found, *(value for key, branch in tree.items() if key != name for value in every(branch, name))]


class Dissector(SynchronousTestCase):
    skip = None if shutil.which("tshark") else "needs tshark"
    golden: ClassVar[list[Golden]] = list(folder("messages"))

    def test_every_golden_message_is_taken_apart(self) -> None:
        for protocol in (socket.IPPROTO_UDP, socket.IPPROTO_TCP):
            packets = dissected([captured(golden.wire, protocol) for golden in self.golden])
            self.assertEqual(len(self.golden), len(packets))
            for golden, layers in zip(self.golden, packets, strict=True):
                self.assertEqual([str(golden.wire[1])], every(layers["mcmw"], "mcmw.op"), golden.name)
                c_nums = [int(value) for value in every(layers["mcmw"], "mcmw.object.c_num")]
                self.assertEqual(sorted(objects_of(golden.wire)), sorted(c_nums), golden.name)
                self.assertNotIn("mcmw.odd", json.dumps(layers), golden.name)

    def of(self, name: str) -> dict[str, Any]:
        (golden,) = (golden for golden in self.golden if golden.name == name)
        return dissected([captured(golden.wire, socket.IPPROTO_UDP)])[0]

    def test_a_data_message_with_its_packet(self) -> None:
        layers = self.of("ip_data_ipv4_padding_2")
        for field, value in (("group", "239.1.2.3"), ("source", "10.88.0.2"), ("hop_limit", "1"), ("class", "7"),
                             ("low_water", "5"), ("sequence", "0")):  # fmt: skip
            self.assertEqual([value], every(layers["mcmw"], f"mcmw.{field}"), field)
        self.assertIn("239.1.2.3", every(layers, "ip.dst"), "the inner packet is one, too")

    def test_what_is_no_message_of_ours_ends_nothing(self) -> None:
        bad = [golden.wire for golden in folder("malformed")]
        packets = [captured(wire, protocol) for wire in bad for protocol in (17, 6)]
        self.assertEqual(len(packets), len(dissected(packets)))
