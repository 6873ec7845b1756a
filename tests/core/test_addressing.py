"""Channels to overlay addresses: the wire's mapping, a consecutive range, the paper's modulo."""

from hashlib import blake2b

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.addressing import (
    ANY,
    IPV4,
    IPV6,
    Channel,
    Consecutive,
    Identity,
    Mapping,
    Modulo,
    ipv4,
    ipv6,
    ipv6_key,
)
from multicastmw.wire.ipv4 import number

GROUP = number("239.1.2.3")
SOURCE = number("10.88.0.2")
GROUP6 = 0xFF3E << 112 | 0x1234
groups = st.integers(0xE0000000, 0xEFFFFFFF)
addresses = st.integers(1, 0xFFFFFFFF)
groups6 = st.integers(0xFF << 120, (1 << 128) - 1)
addresses6 = st.integers(1, (1 << 128) - 1)


def all_mappings() -> list[Mapping]:
    return [
        Identity(), Identity(IPV6), Consecutive(GROUP, 10), Consecutive(GROUP6, 10, IPV6),
        Modulo(1000), Modulo(1000, IPV6),
    ]  # fmt: skip


class IdentityOnIpv4(SynchronousTestCase):
    def test_keys_are_the_addresses(self) -> None:
        self.assertEqual(Identity().channel(GROUP, SOURCE), Channel(0xEF010203, 0x0A580002))

    def test_two_groups_never_share_a_key(self) -> None:
        self.assertTrue(Identity().exact)

    @settings(deadline=None)
    @given(groups, addresses)
    def test_the_short_way_is_the_same(self, group: int, source: int) -> None:
        self.assertEqual(ipv4(group, source), Identity(IPV4).channel(group, source))

    def test_no_source_is_any_source(self) -> None:
        self.assertEqual([ipv4(GROUP).source, ipv4(GROUP, 0).source, ipv4(GROUP, None).source], [ANY] * 3)

    def test_unicast_is_not_carried(self) -> None:
        self.assertIn(GROUP, Identity())
        self.assertNotIn(SOURCE, Identity())
        self.assertNotIn(number("223.255.255.255"), Identity())
        self.assertNotIn(number("240.0.0.0"), Identity())


class IdentityOnIpv6(SynchronousTestCase):
    def test_keys_are_the_hash_that_every_node_computes(self) -> None:
        digest = blake2b(bytes.fromhex("ff3e0000000000000000000000001234"), digest_size=8).digest()
        self.assertEqual(ipv6(GROUP6).group, int.from_bytes(digest, "big"))
        # Frozen: nodes of two releases must agree.
        self.assertEqual(ipv6_key(1), 0xBE28C32B13FEBF82)

    def test_two_groups_may_share_a_key(self) -> None:
        self.assertFalse(Identity(IPV6).exact)

    @settings(deadline=None)
    @given(groups6, addresses6)
    def test_both_keys_fit_64_bits_and_no_source_looks_like_any(self, group: int, source: int) -> None:
        channel = ipv6(group, source)
        self.assertEqual(channel, Identity(IPV6).channel(group, source))
        for key in channel:
            self.assertTrue(0 < key < 1 << 64)

    def test_no_source_is_any_source(self) -> None:
        self.assertEqual([ipv6(GROUP6).source, ipv6(GROUP6, 0).source, ipv6(GROUP6, None).source], [ANY] * 3)

    def test_a_small_ipv6_address_is_not_taken_for_ipv4(self) -> None:
        self.assertNotEqual(ipv6(GROUP6, 1).source, ipv4(GROUP, 1).source)

    def test_an_address_of_more_than_128_bits_is_refused(self) -> None:
        self.assertRaises(OverflowError, ipv6, 1 << 128)


class ConsecutiveGroups(SynchronousTestCase):
    def test_the_first_is_0_and_the_last_is_n_less_1(self) -> None:
        mapping = Consecutive(GROUP, 256)
        self.assertEqual([mapping.group_key(GROUP), mapping.group_key(GROUP + 255)], [0, 255])

    def test_neighbours_are_not_carried(self) -> None:
        mapping = Consecutive(GROUP, 256)
        for group in (GROUP - 1, GROUP + 256, SOURCE):
            self.assertNotIn(group, mapping)
            self.assertRaises(ValueError, mapping.group_key, group)
            self.assertRaises(ValueError, mapping.channel, group, SOURCE)

    @settings(deadline=None)
    @given(st.integers(1, 1 << 28), st.data())
    def test_it_is_one_to_one(self, count: int, data: st.DataObject) -> None:
        base = data.draw(st.integers(0xE0000000, 0xF0000000 - count))
        mapping = Consecutive(base, count)
        key = data.draw(st.integers(0, count - 1))
        self.assertIn(base + key, mapping)
        self.assertEqual(mapping.group_key(base + key), key)
        self.assertTrue(mapping.exact)

    def test_ipv6_groups_can_be_consecutive(self) -> None:
        mapping = Consecutive(GROUP6, 4, IPV6)
        self.assertEqual(mapping.channel(GROUP6 + 3, 1), Channel(3, ipv6_key(1)))

    def test_a_range_that_is_not_all_groups_is_refused(self) -> None:
        for base, count in (
            (SOURCE, 4),
            (0xDFFFFFFF, 2),
            (0xEFFFFFFF, 2),
            (GROUP, 0),
            (GROUP, -1),
            (GROUP6, 2),
        ):
            self.assertRaises(ValueError, Consecutive, base, count)
        self.assertRaises(ValueError, Consecutive, 0xFF << 120, (1 << 64) + 1, IPV6)


class PapersModulo(SynchronousTestCase):
    """A = (A_ip - 0xe0000000) mod n (Milić, Brogle, Braun)."""

    def test_examples(self) -> None:
        for address, n, key in (
            ("224.0.0.0", 1000, 0),
            ("224.0.0.1", 1000, 1),
            ("224.0.3.231", 1000, 999),
            ("224.0.3.232", 1000, 0),  # 1000: the first that wraps
            ("239.255.255.255", 1 << 16, 0xFFFF),
            ("239.255.255.255", 1000, 455),  # 268,435,455
            ("239.255.255.255", 1, 0),
            ("239.255.255.255", 1 << 28, (1 << 28) - 1),
        ):
            self.assertEqual(Modulo(n).group_key(number(address)), key, (address, n))

    @settings(deadline=None)
    @given(groups, st.integers(1, 1 << 40))
    def test_keys_are_in_the_space_and_differ_by_whole_rounds(self, group: int, n: int) -> None:
        key = Modulo(n).group_key(group)
        self.assertTrue(0 <= key < n)
        self.assertEqual((group - 0xE0000000 - key) % n, 0)

    @settings(deadline=None)
    @given(groups, st.integers(1, (1 << 28) - 1))
    def test_groups_n_apart_collide_and_it_says_so(self, group: int, n: int) -> None:
        mapping = Modulo(n)
        other = group + n if group + n <= 0xEFFFFFFF else group - n
        if other in mapping:
            self.assertEqual(mapping.group_key(group), mapping.group_key(other))
        self.assertFalse(mapping.exact)

    def test_it_is_exact_from_2_to_the_28_on(self) -> None:
        self.assertEqual([Modulo((1 << 28) - 1).exact, Modulo(1 << 28).exact], [False, True])
        self.assertEqual([Modulo(1 << 64, IPV6).exact, Modulo(1 << 28, IPV6).exact], [False, False])

    def test_the_source_keeps_its_bits(self) -> None:
        self.assertEqual(Modulo(2).channel(GROUP, SOURCE), Channel(1, SOURCE))
        self.assertEqual(Modulo(2).channel(GROUP), Channel(1, ANY))

    def test_what_is_no_group_is_refused(self) -> None:
        for address in (SOURCE, 0xDFFFFFFF, 0xF0000000, GROUP6):
            self.assertNotIn(address, Modulo(10))
            self.assertRaises(ValueError, Modulo(10).group_key, address)

    def test_an_empty_or_too_large_space_is_refused(self) -> None:
        for n in (0, -1, (1 << 64) + 1):
            self.assertRaises(ValueError, Modulo, n)


class AllMappings(SynchronousTestCase):
    @settings(deadline=None)
    @given(st.data())
    def test_what_they_carry_gets_a_64_bit_key(self, data: st.DataObject) -> None:
        for mapping in all_mappings():
            group = data.draw(st.sampled_from([GROUP, GROUP6, GROUP + 9, GROUP6 + 9]) | groups | groups6)
            if group in mapping:
                key = mapping.group_key(group)
                self.assertTrue(0 <= key < 1 << 64)
                self.assertEqual(mapping.channel(group), (key, ANY))
                self.assertEqual(mapping.channel(group, 7), (key, mapping.source_key(7)))
