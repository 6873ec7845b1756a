"""How a long command tells what it is doing."""

import io

from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.cli.announcer import Lines


class PlainLines(SynchronousTestCase):
    def told(self, hosts: str) -> list[str]:
        out = io.StringIO()
        with Lines(Console(file=out, width=80)).bars("a plays", dict.fromkeys(hosts, 2_820)) as tell:
            for count in (100, 1_436, 1_440):
                tell(dict.fromkeys(hosts, count))
        return out.getvalue().splitlines()

    def test_a_quarter_is_told_once(self) -> None:
        self.assertEqual(["a plays", "  a 1,436 of 2,820, b 1,436 of 2,820"], self.told("ab"))

    def test_the_counts_of_many_hosts_have_room_in_80_columns(self) -> None:
        _, first, second = self.told("abcdef")
        self.assertLessEqual(len(first), 80)
        self.assertTrue(first.endswith("d 1,436 of 2,820,"), first)
        self.assertEqual("    e 1,436 of 2,820, f 1,436 of 2,820", second)
