"""The golden files, both ways; a verdict is what a link would make of the bytes."""

import re
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.identity import node_id
from multicastmw.wire.cops import Code, Op, Unable, message_length
from multicastmw.wire.data import HEADER_SIZE, DataHeader, build
from multicastmw.wire.errors import Malformed, PeerError
from multicastmw.wire.framing import Framer
from multicastmw.wire.messages import Close, Decoded, Open, decode, encode
from tests.wire.golden import FOLDER, Golden, IPData, each, folder

OBJECTS = {
    *("PEPID", "Node", "Keep Alive Timer", "Data Port", "Error", "Group", "Forwarding", "Packet", "Token"),
    *("Echo", "Reason", "Capabilities", "Address", "Stream", "Sequence", "Range", "Load", "Path", "Cost"),
    *("Rate", "Refusal", "Back-off", "Kind", "Sample", "Estimate", "Recovery", "Correction"),
    *("Tally", "Parity"),
}


def data_value(message: memoryview) -> IPData:
    header = DataHeader.parse(message)
    packet = bytes(message[HEADER_SIZE : HEADER_SIZE + header.packet_length - 4])
    return IPData(**{k: v for k, v in header._asdict().items() if k in IPData._fields}, packet=packet)


def received(wire: bytes) -> Any:
    """What the bytes are to a link: Decoded, or its verdict."""
    framer = Framer()
    try:
        (message,) = framer.feed(wire)
        assert len(framer) == 0, "the file has more bytes than its message"
        return Decoded(data_value(message)) if message[1] == Op.IP_DATA else decode(message)
    except PeerError as error:
        return f"error {int(error.code)}/{error.sub_code}"
    except Malformed:
        return "malformed"


@each("messages", "is_read_as_written")
def _read(self: SynchronousTestCase, golden: Golden) -> None:
    self.assertEqual(received(golden.wire), Decoded(golden.value))


@each("messages", "is_written_as_read")
def _written(self: SynchronousTestCase, golden: Golden) -> None:
    value = golden.value
    built = build(**value._asdict()) if isinstance(value, IPData) else encode(value, golden.token)
    self.assertEqual(built.hex(" ", 4), golden.wire.hex(" ", 4))


@each("skipped", "is_read_around")
def _read_around(self: SynchronousTestCase, golden: Golden) -> None:
    self.assertEqual(received(golden.wire), Decoded(golden.value, golden.skipped))


@each("malformed", "is_refused")
def _refused(self: SynchronousTestCase, golden: Golden) -> None:
    self.assertEqual(received(golden.wire), golden.verdict)


@_read
@_written
class MessageTests(SynchronousTestCase):
    """What a node writes and reads."""


@_read_around
class SkippedTests(SynchronousTestCase):
    """What a node reads and does not know all of."""


@_refused
class MalformedTests(SynchronousTestCase):
    """What a node refuses."""


class FolderTests(SynchronousTestCase):
    """The files themselves."""

    def test_every_error_has_its_close(self):
        closes = {
            g.value._replace(node=None, reason=None) for g in folder("messages") if isinstance(g.value, Close)
        }
        errors = {Close(code, 0) for code in Code if code != Code.UNABLE} | {
            Close(Code.UNABLE, sub_code) for sub_code in Unable
        }
        self.assertEqual(closes, errors)

    def test_every_object_stands_in_a_file(self):
        text = "".join(path.read_text() for path in (FOLDER / "messages").glob("*.txt"))
        self.assertEqual(set(re.findall(r"length \d+, ([A-Za-z -]+), type", text)) | {"PEPID"}, OBJECTS)

    def test_every_op_code_stands_in_a_file(self):
        self.assertEqual({g.wire[1] for g in folder("messages")}, set(Op))

    def test_every_padding_of_a_packet_stands_in_a_file(self):
        paddings = {-len(g.value.packet) % 4 for g in folder("messages") if isinstance(g.value, IPData)}
        self.assertEqual(paddings, {0, 1, 2, 3})

    def test_lengths_are_those_of_the_bytes(self):
        for golden in folder("messages") + folder("skipped"):
            self.assertEqual(message_length(golden.wire), len(golden.wire), golden.name)

    def test_node_ids_are_those_of_the_names(self):
        opens = [g.value for g in folder("messages") if isinstance(g.value, Open)]
        for name, node, *_ in opens:
            if len(name) < 255:
                self.assertEqual(node_id(name), node)

    def test_comments_say_the_lengths_that_stand_before_them(self):
        for path in FOLDER.glob("*/*.txt"):
            for digits, said in re.findall(
                r"^([0-9a-f]{8}) +message length ([\d,]+)", path.read_text(), re.M
            ):
                self.assertEqual(int(digits, 16), int(said.replace(",", "")), path.name)
            for digits, said in re.findall(
                r"^([0-9a-f]{4}) .. .. +length (\d[\d,]*)", path.read_text(), re.M
            ):
                self.assertEqual(int(digits, 16), int(said.replace(",", "")), path.name)
