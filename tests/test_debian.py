"""etc/debian: what the package's files say fits the rest.  `make try-deb` builds and installs it."""

import re
import shutil
from pathlib import Path
from subprocess import run

from twisted.trial.unittest import SkipTest, SynchronousTestCase

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "etc" / "debian"
SCRIPTS = ("build", "try", "postinst", "prerm", "postrm")


class DebianTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.build = (FOLDER / "build").read_text()

    def test_the_shell_understands_every_script_and_each_may_be_run(self) -> None:
        for name in SCRIPTS:
            done = run(["sh", "-n", str(FOLDER / name)], capture_output=True, text=True, check=False)
            self.assertEqual((0, ""), (done.returncode, done.stderr), name)
            self.assertTrue((FOLDER / name).stat().st_mode & 0o111, name)

    def test_shellcheck_has_nothing_to_say(self) -> None:
        if not shutil.which("shellcheck"):
            raise SkipTest("no shellcheck")
        done = run(["shellcheck", *(str(FOLDER / name) for name in SCRIPTS)], capture_output=True, text=True,
                   check=False)  # fmt: skip
        self.assertEqual((0, ""), (done.returncode, done.stdout))

    def test_every_blank_of_the_control_file_is_filled_in(self) -> None:
        blanks = set(re.findall("@[A-Z]+@", (FOLDER / "control.in").read_text()))
        filled = set(re.findall(r"s\|(@[A-Z]+@)\|", self.build))
        self.assertEqual(blanks, filled)

    def test_what_it_takes_from_the_source_is_there(self) -> None:
        copied = re.search(r"^cp -r (.*) \"\$work", self.build, re.MULTILINE)
        assert copied
        named = (
            copied[1].split()
            + re.findall(r"(?<![/\w])etc/[\w./-]+\w", self.build)
            + ["README.rst", "LICENSE"]
        )
        for name in named:
            self.assertTrue((ROOT / name).exists(), name)

    def test_the_unit_s_programs_are_those_of_the_package(self) -> None:
        unit = (ROOT / "etc" / "mcmw.service").read_text()
        self.assertIn('sed "s|/opt/mcmw/|$home/|g" etc/mcmw.service', self.build)
        programs = re.findall(r"(/\S+) ?", "\n".join(re.findall(r"^Exec\w+=(\S+)", unit, re.MULTILINE)))
        self.assertTrue(programs)
        for program in programs:
            self.assertTrue(program.startswith("/opt/mcmw/bin/"), program)

    def test_an_installation_starts_nothing(self) -> None:
        for word in ("enable", "systemctl start", " restart"):
            script = (FOLDER / "postinst").read_text()
            commands = [line for line in script.splitlines() if not line.lstrip().startswith(("#", "echo"))]
            self.assertNotIn(word, "\n".join(commands))

    def test_its_packages_are_debian_s(self) -> None:
        if not shutil.which("apt-cache"):
            raise SkipTest("no apt-cache")
        control = (FOLDER / "control.in").read_text()
        lines = re.findall(r"^(?:Depends|Recommends|Suggests): (.*)$", control, re.MULTILINE)
        names = {re.sub(r" \(.*\)", "", name).strip() for line in lines for name in line.split(",")}
        known = run(["apt-cache", "pkgnames"], capture_output=True, text=True, check=False).stdout.split()
        if "python3-dev" not in known:
            raise SkipTest("apt has no lists: apt-get update")
        self.assertEqual(set(), names - set(known))
