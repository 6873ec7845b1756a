"""The Debian package, built and installed into a copy of this machine that is thrown away."""

import shutil
from pathlib import Path
from subprocess import PIPE, STDOUT, run

import pytest
from twisted.trial.unittest import TestCase

from tests.netns.machine import no_lab

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "etc" / "debian"
RELEASE_S = Path("/usr/bin/python3")  # what the package runs on


def why_not() -> str | None:
    missing = [name for name in ("dpkg-deb", "unshare", "cc") if not shutil.which(name)]
    if missing or not RELEASE_S.exists():
        return f"not here: {', '.join(missing) or RELEASE_S}"
    return no_lab()


@pytest.mark.slow
class Package(TestCase):
    skip = why_not()

    def test_what_is_in_it_works_and_goes_again(self) -> None:
        folder = Path(self.mktemp()).absolute()
        built = run([str(FOLDER / "build"), str(folder)], stdout=PIPE, stderr=STDOUT, text=True, check=False)
        self.assertEqual(0, built.returncode, built.stdout)
        (package,) = folder.glob("mcmw_*.deb")
        tried = run([str(FOLDER / "try"), str(package)], stdout=PIPE, stderr=STDOUT, text=True, check=False)
        self.assertEqual(0, tried.returncode, tried.stdout)
        said = [line.removeprefix("ok: ") for line in tried.stdout.splitlines() if line.startswith("ok: ")]
        for words in (
            "nothing was started", "a node runs, and is well", "a purge leaves nothing",
            "node.ini is root's and the node's, and nobody else's", "an upgrade shuts node.ini",
        ):  # fmt: skip
            self.assertIn(words, said)
