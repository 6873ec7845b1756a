"""Wireshark's COPS dissector walks our messages: a session between two nodes, written as a capture."""

import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.utils import wrpcap
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.wire import pim
from multicastmw.wire.cops import objects
from multicastmw.wire.data import build
from multicastmw.wire.messages import AddRoute, Group, encode_routes
from multicastmw.wire.pim import Hello, State
from tests.wire.golden import folder, wire

PORT = 4600
TSHARK = shutil.which("tshark")
NOTE = 0x00400000  # Wireshark's severity of "Unknown C-Num", which is no reproach

DIALLER = (
    "open_with_a_data_port",
    "add_route_several",
    "add_route_group",
    "add_route_group_of_ipv6",
    "keep_alive",
    "ip_data_ipv4_padding_3",
    "ip_data_ipv6",
    "remove_route_several",
    "keep_alive_echo_request",
    "graft",
    "have_of_several_streams",
    "find_query",
    "close_shutting_down",
)
LISTENER = (
    "open",
    "add_route_node_with_its_name",
    "add_route_node",
    "add_route_group_and_source",
    "keep_alive",
    "ip_data_ipv4_padding_0",
    "ip_data_ipv4_padding_2",
    "ip_data_numbered_by_the_kernel",
    "ip_data_sealed",
    "remove_route_group",
    "remove_route_node",
    "keep_alive_echo_reply",
    "prune_that_refuses",
    "nack",
    "peers_shuffle",
    "close_unable_cycle",
)
LIARS = ("object_length_3", "object_far_beyond_its_message")
FIELDS = ("cops.op_code", "cops.client_type", "cops.msg_len", "cops.obj.len", "cops.c_num", "cops.c_type")
COMPLAINTS = ("_ws.expert.message", "_ws.expert.severity", "_ws.malformed")


class Cable:
    """One TCP connection, as a capture sees it."""

    def __init__(self) -> None:
        self.frames: list[Packet] = []
        self._sequence = [1000, 5000]
        self._segment(0, "S")
        self._segment(1, "SA")
        self._segment(0, "A")

    def send(self, side: int, data: bytes, longest: int = 1400) -> None:
        """As few segments as `longest` allows, and what the other side says to them."""
        for at in range(0, len(data), longest):
            self._segment(side, "PA", data[at : at + longest])
            self._segment(1 - side, "A")

    def _segment(self, side: int, flags: str, data: bytes = b"") -> None:
        mine, other = self._sequence[side], self._sequence[1 - side]
        ports = (40000, PORT) if side == 0 else (PORT, 40000)
        head = Ether(src=f"02:00:00:00:00:0{side + 1}", dst=f"02:00:00:00:00:0{2 - side}") / IP(
            src=f"192.0.2.{side + 1}", dst=f"192.0.2.{2 - side}"
        )
        tcp = TCP(
            sport=ports[0],
            dport=ports[1],
            flags=flags,
            seq=mine,
            ack=other if "A" in flags else 0,
            window=64000,
        )
        self.frames.append(head / tcp / Raw(data) if data else head / tcp)
        self._sequence[side] += len(data) + ("S" in flags)


class Seen(NamedTuple):
    """What tshark says of all COPS in a capture, in the order of the stream."""

    op_codes: list[int]
    client_types: list[int]
    lengths: list[int]
    objects: list[tuple[int, int, int]]
    experts: list[str]
    severities: list[int]
    malformed: list[str]


class TsharkTests(SynchronousTestCase):
    if TSHARK is None:
        skip = "tshark is not installed"

    def tshark(self, frames: list[Packet], *arguments: str) -> str:
        with TemporaryDirectory() as where:
            capture = str(Path(where, "session.pcap"))
            wrpcap(capture, frames)
            command = [str(TSHARK), "-r", capture, "-d", f"tcp.port=={PORT},cops", *arguments]
            return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    def seen(self, frames: list[Packet]) -> Seen:
        names = FIELDS + COMPLAINTS
        fields = [argument for name in names for argument in ("-e", name)]
        text = self.tshark(
            frames, "-Y", "cops", "-T", "fields", *fields, "-E", "occurrence=a", "-E", "aggregator=|"
        )
        columns: list[list[str]] = [[] for _ in names]
        for line in text.splitlines():
            for column, cell in zip(columns, line.split("\t"), strict=True):
                column.extend(filter(None, cell.split("|")))
        ops, kinds, lengths, sizes, c_nums, c_types = (list(map(int, column)) for column in columns[:6])
        found = list(zip(sizes, c_nums[::2], c_types, strict=True))  # a C-Num is shown twice
        return Seen(ops, kinds, lengths, found, columns[6], list(map(int, columns[7])), columns[8])

    def check(self, cable: Cable, messages: list[bytes]) -> None:
        seen = self.seen(cable.frames)
        self.assertEqual(seen.op_codes, [message[1] for message in messages])
        self.assertEqual(seen.client_types, [int.from_bytes(message[2:4], "big") for message in messages])
        self.assertEqual(seen.lengths, [len(message) for message in messages])
        walked = [(4 + len(d), n, t) for m in messages for n, t, d in objects(memoryview(m))]
        self.assertEqual(seen.objects, walked)
        self.assertEqual(seen.malformed, [])
        self.assertEqual([text for text in seen.experts if not text.startswith("Unknown C-Num ")], [])
        self.assertTrue(all(severity <= NOTE for severity in seen.severities))
        self.assertEqual(len(seen.experts), sum(n >= 64 for _, n, _ in walked))

    def test_a_whole_session_is_walked_message_by_message(self):
        cable, messages = Cable(), []
        for at in range(max(len(DIALLER), len(LISTENER))):
            for side, names in enumerate((DIALLER, LISTENER)):
                if at < len(names):
                    messages.append(wire(names[at]))
                    cable.send(side, messages[-1])
        self.check(cable, messages)

    def test_every_golden_message_is_walked_in_both_directions(self):
        cable, messages = Cable(), []
        for golden in folder("messages"):
            for side in (0, 1):
                cable.send(side, golden.wire)
                messages.append(golden.wire)
        self.check(cable, messages)

    def test_messages_are_found_in_segments_that_know_nothing_of_them(self):
        messages = [golden.wire for golden in folder("messages")]
        cable = Cable()
        cable.send(0, b"".join(messages), longest=100)
        self.check(cable, messages)

    def test_the_longest_messages_are_walked(self):
        channels = encode_routes(AddRoute, [Group(0xE1000000 + n, 0) for n in range(3_299)])
        packet = build(bytes(65_531), token=0, origin=1, group=2, source=3, sequence=4)
        messages = [wire("open"), *channels, packet, wire("keep_alive")]
        cable = Cable()
        cable.send(0, b"".join(messages))
        self.check(cable, messages)

    def test_a_reader_sees_names_timers_and_errors_in_words(self):
        cable = Cable()
        cable.send(0, wire("open_with_a_data_port"))
        cable.send(1, wire("keep_alive"))
        cable.send(1, wire("close_unable_cycle"))
        text = self.tshark(cable.frames, "-V")
        for line in (
            "Op Code: Client-Open (OPN) (6)",
            "Contents: PEP Id: berne.example",
            "Contents: KA Timer Value: 10",
            "Op Code: Keep-Alive (KA) (9)",
            "Client Type: None (0)",
            "Op Code: Client-Close (CC) (8)",
            "Error: Unable to process (server gives up on query) (4)",
            "Error Sub-code: 0x0001",
        ):
            self.assertIn(line, text)

    def test_it_would_complain_of_objects_that_lie(self):
        lying = [golden for golden in folder("malformed") if golden.name in LIARS]
        self.assertEqual(len(lying), len(LIARS))
        for golden in lying:
            cable = Cable()
            cable.send(0, golden.wire)
            text = self.tshark(cable.frames, "-V", "-Y", "cops")
            self.assertTrue("Malformed" in text or "Severity level: Error" in text, f"{golden.name}: {text}")

    def test_a_gateways_hello_is_a_hello_of_pim(self):
        hello = pim.pack(Hello(0x1122334455660000, State.FORWARDING, 3.5, 0xCAFE, 0x0A4D00FA))
        frames = [Ether(src="02:4d:43:33:44:55", dst="01:00:5e:00:00:0d") / IP(hello)]
        text = self.tshark(frames, "-V", "-o", "ip.check_checksum:TRUE")
        for said in ("Type: Hello (0)", "Holdtime: 4", "DR Priority: 0", "Generation ID: 51966", "[correct]"):
            self.assertIn(said, text)
        self.assertNotIn("Malformed", text)
