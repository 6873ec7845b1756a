"""`make install`, as far as it can be told without installing; `make walk` installs in earnest."""

import re
from pathlib import Path
from subprocess import CompletedProcess, run
from tempfile import mkdtemp

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parents[1]


def make(*arguments: str) -> CompletedProcess[str]:
    return run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


class Installing(SynchronousTestCase):
    def test_for_another_root_it_is_refused_with_one_line_that_names_the_package(self) -> None:
        elsewhere = mkdtemp()
        self.addCleanup(Path(elsewhere).rmdir)  # so it is empty
        done = make("--silent", "install", f"DESTDIR={elsewhere}", f"OPT={elsewhere}/opt")
        self.assertEqual((2, ""), (done.returncode, done.stdout))
        self.assertIn("make deb makes a package", done.stderr.splitlines()[0])

    def test_the_shell_understands_each_line_and_whatever_makes_files_has_a_umask(self) -> None:
        lines = re.split(r"(?<!\\)\n", make("--dry-run", "--no-print-directory", "install").stdout)
        for line in lines:
            done = run(["sh", "-n"], input=line, capture_output=True, text=True, check=False)
            self.assertEqual((0, ""), (done.returncode, done.stderr), line)
        made = [line for line in lines if re.search(r"venv |pip |twistd|install -[dD] |multicastmw", line)]
        made = [line for line in made if not line.startswith("missing=")]
        self.assertEqual(6, len(made))
        self.assertEqual([True] * 6, [line.startswith("umask 022; ") for line in made])

    def test_git_takes_no_private_key(self) -> None:
        done = run(["git", "check-ignore", "authority.key", "a/a.key"], cwd=ROOT, capture_output=True,
                   text=True, check=False)  # fmt: skip
        if done.returncode == 128:
            return self.skipTest("not in a clone")
        self.assertEqual("authority.key\na/a.key\n", done.stdout)
        return None
