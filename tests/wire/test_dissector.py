"""Wireshark's dissector (etc/wireshark/mcmw.lua), shown the golden messages by tshark."""

import json
import shutil
import struct
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Packet, Raw
from scapy.utils import wrpcap
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.wire.cops import CNum, objects
from multicastmw.wire.data import build
from multicastmw.wire.probe import GROUP, wrap
from tests.wire.golden import Golden, folder

SCRIPT = Path(__file__).parent.parent.parent / "etc" / "wireshark" / "mcmw.lua"
PORT = 4600
CARRIERS = (UDP(sport=PORT, dport=PORT), TCP(sport=50_000, dport=PORT, flags="PA", seq=1, ack=1))


def captured(payload: bytes, carrier: Packet = CARRIERS[0], number: int = 0) -> Packet:
    """A packet that carries it; each `number` has an address of its own, so that none repeats another."""
    return IP(src=f"192.0.2.{number + 1}", dst="198.51.100.1") / carrier.copy() / Raw(payload)


def message(like: bytes, c_num: int, c_type: int, data: bytes) -> bytes:
    """One with this object alone, whatever its length."""
    size = 4 + len(data)
    padded = struct.pack("!HBB", size, c_num, c_type) + data + bytes(-size % 4)
    return like[:4] + struct.pack("!I", 8 + len(padded)) + padded


def dissected(packets: list[Packet]) -> list[dict[str, Any]]:
    """What tshark makes of each."""
    with TemporaryDirectory() as where:
        path = f"{where}/messages.pcap"
        wrpcap(path, packets)
        command = ["tshark", "-X", f"lua_script:{SCRIPT}", "-r", path, "-T", "json", "--no-duplicate-keys"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise AssertionError(done.stderr)
    return [packet["_source"]["layers"] for packet in json.loads(done.stdout)]


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
        for carrier in CARRIERS:
            packets = dissected([captured(g.wire, carrier, n) for n, g in enumerate(self.golden)])
            self.assertEqual(len(self.golden), len(packets))
            for golden, layers in zip(self.golden, packets, strict=True):
                self.assertEqual([str(golden.wire[1])], every(layers["mcmw"], "mcmw.op"), golden.name)
                c_nums = [int(value) for value in every(layers["mcmw"], "mcmw.object.c_num")]
                expected = [c_num for c_num, _, _ in objects(memoryview(golden.wire))]
                self.assertEqual(sorted(expected), sorted(c_nums), golden.name)
                self.assertNotIn("mcmw.odd", json.dumps(layers), golden.name)

    def of(self, name: str) -> dict[str, Any]:
        (golden,) = (golden for golden in self.golden if golden.name == name)
        return dissected([captured(golden.wire)])[0]

    def test_a_data_message_with_its_packet(self) -> None:
        layers = self.of("ip_data_ipv4_padding_2")
        for field, value in (("group", "239.1.2.3"), ("source", "10.88.0.2"), ("hop_limit", "1"),
                             ("class", "7"), ("low_water", "5"), ("sequence", "0")):  # fmt: skip
            self.assertEqual([value], every(layers["mcmw"], f"mcmw.{field}"), field)
        self.assertIn("239.1.2.3", every(layers, "ip.dst"), "the inner packet is one, too")

    def test_what_the_mesh_says_has_names(self) -> None:
        have, prune, found = map(self.of, ("have_of_several_streams", "prune_that_refuses", "find_reply"))
        for layers, field, values in (
            (have, "op", ["35"]),
            (have, "group", ["239.1.2.3", "239.1.2.3"]),
            (have, "range.first", ["4294967294", "2"]),
            (have, "path", ["0xca978112", "0x3e23e816", "0x2e7d2c03"]),
            (have, "free", ["0", "2"]),
            (have, "kbits", ["1500"]),
            (prune, "refusal", ["2"]),
            (prune, "back_off", ["10000"]),
            (prune, "address", ["192.0.2.1", "192.0.2.1"]),
            (prune, "address6", ["2001:db8::1"]),
            (found, "find", ["3"]),
            (found, "estimate", ["100"]),
            (found, "sequence", ["4000", "7"]),
            (self.of("have_of_a_digest"), "digest", ["0x0123456789abcdef"]),
            (self.of("have_of_a_digest"), "far", ["30"]),
            (self.of("peers_with_a_place"), "place.y", ["-200"]),
            (self.of("peers_with_a_place"), "address", ["192.0.2.1"]),
            (self.of("open_of_a_mesh_node"), "role", ["2"]),
            (self.of("peers_shuffle"), "peers", ["5"]),
        ):
            self.assertEqual(values, every(layers["mcmw"], f"mcmw.{field}"), field)

    def test_what_is_no_message_of_ours_ends_nothing(self) -> None:
        bad = [golden.wire for golden in folder("malformed")]
        packets = [captured(wire, carrier) for wire in bad for carrier in CARRIERS]
        self.assertEqual(len(packets), len(dissected(packets)))

    def test_objects_that_are_cut_are_no_mistakes_of_the_dissector(self) -> None:
        cut = [
            message(golden.wire, c_num, c_type, bytes(data[:size]))
            for golden in self.golden
            for c_num, c_type, data in objects(memoryview(golden.wire))
            for size in range(0, len(data), 2)
        ]
        found = dissected([captured(wire) for wire in dict.fromkeys(cut)])
        self.assertEqual([], [layers for layers in found if "out of bounds" in json.dumps(layers)][:1])

    def test_of_an_object_that_is_cut_is_shown_what_is_there(self) -> None:
        wire = self.golden[0].wire
        for c_num, c_type, data, field, value in (
            (CNum.PEPID, 1, b"bern", "object.data", "62:65:72:6e"),  # a text without its end
            (CNum.STREAM, 2, bytes(7) + b"\x07\xef\x01\x02\x03", "group", "239.1.2.3"),
            (CNum.SAMPLE, 2, bytes(11) + b"\x05", "age", "5"),
        ):
            (layers,) = dissected([captured(message(wire, c_num, c_type, data))])
            self.assertEqual([value], every(layers["mcmw"], f"mcmw.{field}"), field)


class Questions(SynchronousTestCase):
    """What nodes ask each other, inside IP Data and as a capture of `mcmw capture` has it."""

    skip = Dissector.skip
    golden: ClassVar[list[Golden]] = list(folder("probes"))

    def packets(self, payloads: list[bytes]) -> list[dict[str, Any]]:
        messages = [
            build(
                wrap(payload, 0x0A580001), token=0, origin=1 << 16, group=GROUP, source=0x0A580001, sequence=n
            )
            for n, payload in enumerate(payloads)
        ]
        return dissected([captured(message, number=n) for n, message in enumerate(messages)])

    def test_every_golden_one_is_taken_apart(self) -> None:
        for golden, layers in zip(self.golden, self.packets([g.wire for g in self.golden]), strict=True):
            found = layers["mcmw_probe"]
            self.assertEqual([str(golden.wire[3])], every(found, "mcmw_probe.kind"), golden.name)
            self.assertEqual(["0x0102030405060000"], every(found, "mcmw_probe.asker"), golden.name)
            self.assertNotIn("mcmw_probe.cut", json.dumps(layers), golden.name)

    def test_its_fields_are_read(self) -> None:
        names = [golden.name for golden in self.golden]
        layers = self.packets([golden.wire for golden in self.golden])
        ping = layers[names.index("ping")]["mcmw_probe"]
        self.assertEqual((["239.1.2.3"], ["0xa1a2a3a4a5a60000"]),
                         (every(ping, "mcmw_probe.group"), every(ping, "mcmw_probe.node")))  # fmt: skip
        trace = layers[names.index("trace_answer")]["mcmw_probe"]
        self.assertEqual(["off", "mcmw0"], every(trace, "mcmw_probe.name"))
        self.assertEqual(
            ["100", "131072", "1", "2", "0", "99", "3", "4", "5"], every(trace, "mcmw_probe.count")
        )

    def test_one_that_is_cut_is_said_to_be(self) -> None:
        (layers,) = self.packets([next(g.wire[:-4] for g in self.golden if g.name == "trace_answer")])
        self.assertIn("mcmw_probe.cut", json.dumps(layers))
