"""The compiled machines are the same machines."""

import importlib.util
import json
import os
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from unittest.mock import patch

from twisted.trial import unittest

from simulator import compiled
from simulator.runs import workers

FOUND = """
import json, sys
from simulator import compiled
compiled.use() if sys.argv[1] == "compiled" else None
from simulator import loop
from simulator.runs import run
from simulator.scenario import Shape
found = run("few", Shape(40, 1, join=4.0, settle=14.0), ("crash", "churn"))
json.dump([loop.__file__, found], sys.stdout)
"""


def found(how):
    """The file of the loop, and figures of forty nodes."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", FOUND, how]
    ran = subprocess.run(command, capture_output=True, check=True, text=True, env=environment)
    return json.loads(ran.stdout)


def file_of_the_loop():
    """As a process of the runs imports it."""
    return importlib.import_module("simulator.loop").__file__


class Compiled(unittest.TestCase):
    if not compiled.is_current():
        skip = "they are not compiled: python -m simulator.compiled"

    def test_the_same_seed_gives_the_same_figures_compiled_and_as_python(self):
        file, figures = found("compiled")
        self.assertTrue(file.endswith(EXTENSION_SUFFIXES[0]), file)
        as_python, the_same = found("plain")
        self.assertTrue(as_python.endswith(".py"), as_python)
        self.assertEqual(figures, the_same)

    def test_the_processes_of_the_runs_use_what_is_compiled(self):
        for plain, suffix in ((False, EXTENSION_SUFFIXES[0]), (True, ".py")):
            with workers(1, plain) as pool:
                file = pool.submit(file_of_the_loop).result()
            self.assertTrue(file.endswith(suffix), file)


TRANSLATED = """
import sys
from simulator import compiled
compiled.translate(sys.argv[2:], sys.argv[1])
"""


class Translated(unittest.TestCase):
    """To C and no further, which takes seconds: whatever mypyc refuses, it refuses here."""

    if missing := [module for module in ("mypyc", "setuptools") if importlib.util.find_spec(module) is None]:
        skip = f"there is no {', no '.join(missing)}"

    def translated(self, names, folder):
        """The exit code, and what mypyc said."""
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", TRANSLATED, str(Path(self.mktemp()).resolve()), *names]
        ran = subprocess.run(
            command, cwd=folder, env=environment, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return ran.returncode, ran.stdout

    def test_mypyc_takes_all_that_is_to_be_compiled(self):
        names = [str(source.relative_to(compiled.ROOT)) for source in compiled.sources()]
        code, said = self.translated(names, compiled.ROOT)
        self.assertEqual(0, code, said)

    def test_what_it_refuses_is_an_error_and_has_its_line(self):
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        (folder / "wire.py").write_text("class Wire:\n    is_seed = is_named = False\n")
        code, said = self.translated(["wire.py"], folder)
        self.assertEqual(1, code)
        self.assertIn("wire.py:2: error: ", said)


class Folder(unittest.TestCase):
    """What was compiled earlier."""

    def setUp(self):
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()

    def test_what_is_older_than_a_source_is_not_used(self):
        (self.folder / compiled.STAMP).write_text("of other sources")
        self.assertFalse(compiled.use(self.folder))

    def test_where_nothing_was_compiled_nothing_is_used(self):
        self.assertFalse(compiled.use(self.folder / "none"))

    def test_what_is_current_is_found_before_the_sources(self):
        (self.folder / compiled.STAMP).write_text(compiled.state())
        made = self.folder / ("simulator/loop" + EXTENSION_SUFFIXES[0])
        made.parent.mkdir()
        made.touch()
        with patch.object(sys, "meta_path", list(sys.meta_path)):
            self.assertTrue(compiled.use(self.folder))
            spec = sys.meta_path[0].find_spec("simulator.loop", None)
            self.assertEqual(spec.origin, str(made))
            self.assertIsNone(sys.meta_path[0].find_spec("simulator.table", None))
        self.assertNotEqual(importlib.util.find_spec("simulator.loop").origin, str(made))

    def test_every_source_that_is_to_be_compiled_is_there(self):
        for source in compiled.sources():
            self.assertTrue(source.is_file(), source)
        self.assertGreater(len(compiled.sources()), 20)


class WithoutACompiler(unittest.TestCase):
    def test_it_is_said_and_nothing_fails(self):
        said = []
        with (
            patch.object(compiled, "is_current", lambda: False),
            patch.object(compiled.shutil, "which", lambda name: None),
            patch.object(compiled.sys.stderr, "write", said.append),
        ):
            compiled.main()
        self.assertIn("no C compiler", "".join(said))
