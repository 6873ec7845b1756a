"""Labs on disk, while others come and go beside one."""

import shutil
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from multicastmw.cli.lab import registry


class Registry(SynchronousTestCase):
    def setUp(self) -> None:
        self.base = Path(self.mktemp())

    def test_a_lab_that_goes_while_it_is_looked_at_is_nobody_s(self) -> None:
        going = registry.enter("other", self.base)
        own = registry._own

        def looks(folder: Path) -> int | None:
            if folder == going.folder:
                shutil.rmtree(folder)  # its owner has just ended
            return own(folder)

        with mock.patch.object(registry, "_own", looks):
            entry = registry.enter("mine", self.base)
        self.assertEqual(["mine"], [path.name.split("-")[0] for path in self.base.iterdir() if path.is_dir()])
        entry.let_go()
        going.let_go()

    def test_one_whose_record_goes_is_left_alone(self) -> None:
        self.assertIsNone(registry._read(self.base / "lab.json"))
