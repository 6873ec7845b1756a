"""Which node a command is for, where none is named."""

import socket
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.cli import which
from multicastmw.cli.main import Failure, Target


class OfThoseThatRun(SynchronousTestCase):
    def setUp(self) -> None:
        self.run_folder = Path(self.mktemp())
        self.run_folder.mkdir(parents=True)
        self.patch(which, "RUN", self.run_folder)

    def node(self, name: str, lives: bool = True) -> Path:
        """A node's socket; of one that was killed, nobody is behind it any more."""
        path = self.run_folder / f"{name}.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        if lives:
            listener.listen()
            self.addCleanup(listener.close)
        else:
            listener.close()
        return path

    def chosen(self) -> Path:
        return which.control_of(Target(None, None)).path

    def test_the_only_one_is_meant(self) -> None:
        path = self.node("a")
        self.assertEqual(path, self.chosen())

    def test_one_that_was_killed_and_has_another_name_now_is_one_node(self) -> None:
        self.node("c", lives=False)
        path = self.node("c3")
        self.assertEqual(path, self.chosen())

    def test_of_several_one_has_to_be_named(self) -> None:
        for name in "ab":
            self.node(name)
        self.node("c", lives=False)
        self.assertIn("several nodes run here (a, b);", str(self.assertRaises(Failure, self.chosen)))

    def test_where_all_were_killed_it_is_said_of_one_that_it_does_not_run(self) -> None:
        paths = [self.node(name, lives=False) for name in "ab"]
        self.assertEqual(paths[0], self.chosen())

    def test_where_none_ever_was_it_says_so(self) -> None:
        self.assertIn("no node runs here", str(self.assertRaises(Failure, self.chosen)))
