"""Node ids and origins."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.identity import node_id, node_of, origin


class NodeIds(SynchronousTestCase):
    def test_of_a_name_as_sha256sum_says(self) -> None:
        self.assertEqual(node_id("a"), 0xCA978112CA1B_0000)

    def test_of_a_name_in_utf8(self) -> None:
        self.assertEqual(node_id("Zürich"), 0x4251685E06CA_0000)

    def test_of_a_public_key(self) -> None:
        self.assertEqual(node_id(b"\x30\x00"), 0xE4F60D0AA6D7_0000)

    @settings(deadline=None)
    @given(st.text() | st.binary())
    def test_they_have_64_bits_of_which_the_low_16_are_zero(self, who: str | bytes) -> None:
        self.assertEqual(node_id(who) & 0xFFFF, 0)
        self.assertTrue(0 <= node_id(who) < 1 << 64)

    def test_names_that_differ_in_case_are_two_nodes(self) -> None:
        self.assertNotEqual(node_id("a"), node_id("A"))


class Origins(SynchronousTestCase):
    @settings(deadline=None)
    @given(st.text(), st.integers(0, 0xFFFF))
    def test_are_the_node_id_and_the_salt(self, name: str, salt: int) -> None:
        made = origin(node_id(name), salt)
        self.assertEqual(made - node_id(name), salt)
        self.assertEqual(node_of(made), node_id(name))

    def test_a_salt_of_more_than_16_bits_is_refused(self) -> None:
        self.assertRaises(ValueError, origin, node_id("a"), 0x10000)
        self.assertRaises(ValueError, origin, node_id("a"), -1)

    def test_an_origin_is_no_node_id(self) -> None:
        self.assertRaises(ValueError, origin, origin(node_id("a"), 1), 2)
        self.assertRaises(ValueError, origin, 1 << 64, 2)
