"""How tables look in 80 columns."""

from io import StringIO

from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.cli.text import WIDTH, Columns


def drawn(table: Columns) -> list[str]:
    console = Console(file=StringIO(), width=WIDTH, highlight=False, emoji=False, markup=False)
    console.print(table)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


class Tables(SynchronousTestCase):
    def test_a_long_reason_goes_on_in_the_next_line_and_costs_no_other_column_a_sign(self) -> None:
        why = "closed by the peer: this link would close a cycle, as it reaches london-west already"
        table = Columns("peer", "state", "data", "RTT>", "sent>", "received>", "lost>", "wants>", "why")
        table.row("paris", "up", "UDP", "12.3 ms", "12.3k", "4.56M", 0, 12, "rome, oslo")
        table.row("london-east", "standby", "", "", "", "", "", "", why)
        lines = drawn(table)
        self.assertLessEqual(max(map(len, lines)), WIDTH)
        self.assertNotIn("\u2026", "".join(lines))
        for shown in ("received", "london-east", "standby", "12.3 ms"):
            self.assertIn(shown, "".join(lines))
        reason = " ".join(line[lines[0].index("why") :].strip() for line in lines[2:])
        self.assertEqual(reason.replace(" ", ""), why.replace(" ", ""))
