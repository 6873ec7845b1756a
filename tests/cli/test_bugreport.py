"""`mcmw bugreport`: everything that is needed, and no secret."""

import json
import tempfile
import zipfile
from pathlib import Path

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.cli.bugreport import bugreport, clean, gather
from multicastmw.cli.main import Failure, Target

KEY = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIP\n-----END PRIVATE KEY-----"


class Secrets(SynchronousTestCase):
    def test_what_is_one_is_left_out_and_the_rest_is_there(self) -> None:
        text = (
            f"[web]\ntoken = abc123\npassword: hunter2\n[node]\nname = b\n{KEY}\nprivate-key = /etc/b.key\n"
        )
        self.assertEqual(
            "[web]\ntoken = (left out)\npassword: (left out)\n[node]\nname = b\n(a key, left out)\n"
            "private-key = (left out)\n",
            clean(text),
        )

    def test_a_text_without_end_is_cut(self) -> None:
        self.assertEqual(1 << 20, len(clean("x" * (2 << 20))))


class Reports(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        (self.folder / "node.ini").write_text(
            f"[node]\nname = b\n[control]\nsocket = {self.folder}/none.sock\n"
        )

    def test_also_where_no_node_answers(self) -> None:
        parts = gather(Target(config=str(self.folder / "node.ini")))
        self.assertIn("no node is running", parts["status.txt"])
        self.assertIn("name = b", parts["node.ini"])
        self.assertIn("twisted ", parts["versions.txt"])
        self.assertIn("mcmw ", parts["versions.txt"])
        self.assertTrue(any(name.startswith("host/") for name in parts))

    def test_a_file_that_is_there_is_kept(self) -> None:
        path = self.folder / "report.zip"
        target = Target(config=str(self.folder / "node.ini"))
        done = CliRunner().invoke(bugreport, ["-o", str(path), "--json"], obj=target)
        found = json.loads(done.output)
        with zipfile.ZipFile(path) as archive:
            self.assertEqual(found["parts"], sorted(archive.namelist()))
        before = path.read_bytes()
        done = CliRunner().invoke(bugreport, ["-o", str(path)], obj=target, standalone_mode=False)
        self.assertIsInstance(done.exception, Failure)
        self.assertEqual(before, path.read_bytes())
