"""Echo requests of several lengths: which of them are answered, and what that says."""

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.cli.doctor.paths import ECHO, ECHO_REPLY, IP_HEADER, answered, echo
from multicastmw.wire.ipv4 import checksum


class Messages(SynchronousTestCase):
    def test_a_request_makes_a_packet_of_its_length_and_its_checksum_is_right(self) -> None:
        for length in (100, 1_379, 1_500):
            message = echo(ECHO, 7, 3, length)
            self.assertEqual(length, IP_HEADER + len(message))
            self.assertEqual(0, checksum(message))

    def test_an_answer_is_known_by_its_identifier_whatever_the_header_is(self) -> None:
        for header in (b"\x45" + bytes(19), b"\x46" + bytes(23)):
            self.assertEqual(3, answered(header + echo(ECHO_REPLY, 7, 3, 100), 7))
            self.assertIsNone(answered(header + echo(ECHO_REPLY, 8, 3, 100), 7))
            self.assertIsNone(answered(header + echo(ECHO, 7, 3, 100), 7))

    def test_what_is_cut_short_is_no_answer(self) -> None:
        for packet in (b"", b"\x45", b"\x4f" + bytes(27), b"\x45" + bytes(26)):
            self.assertIsNone(answered(packet, 0))
