"""etc/container: what the image file names is there.  It is not built here, which takes a runtime."""

import re
import shutil
import sys
from configparser import ConfigParser
from pathlib import Path
from subprocess import run

from twisted.trial.unittest import SkipTest, SynchronousTestCase

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "etc" / "container"
OPT = "/opt/mcmw/"


def steps() -> list[tuple[str, str]]:
    """Instructions of the Containerfile and their arguments."""
    text = re.sub(r"^#.*\n", "", (FOLDER / "Containerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(line.split()[0], line.partition(" ")[2]) for line in lines if line.strip()]


def copied() -> set[str]:
    """What goes from the repository into the build."""
    arguments = [text.split() for step, text in steps() if step == "COPY" and "--from" not in text]
    return {name for words in arguments for name in words[:-1]}


class ContainerTests(SynchronousTestCase):
    def test_what_is_copied_is_there_and_is_all_that_the_build_reads(self) -> None:
        for name in copied():
            self.assertTrue((ROOT / name).exists(), name)
        setup = ConfigParser(interpolation=None)
        setup.read(ROOT / "setup.cfg")
        metadata = setup["metadata"]
        needed = {"setup.cfg", "pyproject.toml", "setup.py", metadata["license_files"]}
        needed.add(metadata["long_description"].removeprefix("file: "))
        needed |= {name.partition(".")[0].rstrip("*") for name in
                   setup["options.packages.find"]["include"].split()}  # fmt: skip
        self.assertEqual(needed - copied(), set())

    def test_debian_has_its_packages(self) -> None:
        if not shutil.which("apt-cache"):
            raise SkipTest("no apt-cache")
        installed = [re.findall(r"apt-get install (.*?)(?:&&|$)", text) for _, text in steps()]
        names = {word for found in installed for text in found for word in text.split() if word[0] != "-"}
        self.assertIn("python3-venv", names)
        known = run(["apt-cache", "pkgnames"], capture_output=True, text=True, check=False).stdout.split()
        if "python3-dev" not in known:
            raise SkipTest("apt has no lists: apt-get update")
        self.assertEqual(names - set(known), set())

    def test_the_programs_that_it_runs_are_those_of_an_installation(self) -> None:
        text = "\n".join(text for _, text in steps())
        names = set(re.findall(rf"{OPT}bin/([\w.-]+)", text))
        made = set(re.findall(rf"cp \S+ {OPT}bin/([\w.-]+)", text))  # by the file itself
        self.assertLessEqual({"pip", "twistd", "mcmw", "python3"} | made, names)
        for name in names - made:
            self.assertTrue((Path(sys.prefix) / "bin" / name).exists(), name)

    def test_a_compose_file_builds_the_same_for_the_same_user(self) -> None:
        compose = (FOLDER / "compose.yaml").read_text()
        context = re.search(r"context: (\S+)", compose)
        dockerfile = re.search(r"dockerfile: (\S+)", compose)
        assert context and dockerfile
        self.assertEqual((FOLDER / context[1]).resolve(), ROOT)
        self.assertTrue((FOLDER / context[1] / dockerfile[1]).exists())
        user = re.search(r"--uid (\d+)", (FOLDER / "Containerfile").read_text())
        assert user
        self.assertIn(f"uid={user[1]},gid=", compose)
