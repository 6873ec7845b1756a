from twisted.trial.unittest import TestCase

from multicastmw.core.crowds import OF_ONE_NETWORK, crowd, network_of


def who_goes(newcomer: str, *guests: str) -> list[str]:
    return crowd(guests, lambda guest: guest, newcomer)


class Networks(TestCase):
    def test_a_network_is_a_24_of_ipv4_and_a_48_of_ipv6(self) -> None:
        self.assertEqual(network_of("8.8.8.8"), network_of("8.8.8.255"))
        self.assertEqual(network_of("8.8.8.8"), network_of("::ffff:8.8.8.8"))
        self.assertNotEqual(network_of("8.8.8.8"), network_of("8.8.9.8"))
        self.assertEqual(network_of("2a00:1:2::1"), network_of("2a00:1:2:ffff::1"))
        self.assertNotEqual(network_of("2a00:1:2::1"), network_of("2a00:1:3::1"))

    def test_campuses_and_labs_have_none(self) -> None:
        for address in ("10.1.2.3", "192.168.1.1", "100.64.0.1", "169.254.1.1", "198.18.0.1", "127.0.0.1",
                        "fd00::1", "fe80::1%eth0", "::1", "simulated", ""):  # fmt: skip
            self.assertIsNone(network_of(address), address)


class Crowds(TestCase):
    def test_of_more_than_two_from_one_network_some_give_way_to_who_comes_from_elsewhere(self) -> None:
        many = [f"8.8.8.{number}" for number in range(OF_ONE_NETWORK + 1)]
        self.assertEqual(many, who_goes("9.9.9.9", "1.1.1.1", *many, "10.0.0.1"))
        self.assertEqual(many, who_goes("10.0.0.2", *many))
        self.assertEqual([], who_goes("9.9.9.9", *many[:-1]))
        self.assertEqual([], who_goes("9.9.9.9", *(f"10.0.0.{number}" for number in range(9))))

    def test_but_not_to_one_of_as_many(self) -> None:
        many = [f"8.8.8.{number}" for number in range(5)]
        self.assertEqual([], who_goes("8.8.8.9", *many))
        self.assertEqual(many, who_goes("9.9.9.3", *many, "9.9.9.1"))
        self.assertEqual([], who_goes("9.9.9.3", *many, "9.9.9.1", "9.9.9.2"))

    def test_those_of_the_largest_crowd_go_first(self) -> None:
        larger = [f"8.8.8.{number}" for number in range(4)]
        self.assertEqual(larger, who_goes("9.9.9.9", "1.1.1.1", "1.1.1.2", "1.1.1.3", *larger))
