"""`twistd mcmw`: a node for a right configuration, one line for a wrong one."""

import contextlib
import io
import sys
from pathlib import Path
from subprocess import PIPE, Popen, run
from tempfile import TemporaryDirectory
from types import ModuleType
from unittest.mock import patch

from twisted.application.service import Service
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.config import Config
from multicastmw.daemon import Options, makeService
from tests.mistakes import MISTAKES

ROOT = Path(__file__).parent.parent
TWISTD = [str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile=", "mcmw"]
# Each of these is a way of its own out of configparser, of our parsers or of Twisted's.
TOLD_BY_TWISTD = MISTAKES[::6]
COMMAND_LINES = [
    ([], "mcmw: -c NODE.INI is missing (see twistd mcmw --help)"),
    (["-c"], "mcmw: option -c requires argument (see twistd mcmw --help)"),
    (["-c", "/nowhere/node.ini"], "/nowhere/node.ini: cannot be read: No such file or directory"),
    (["-c", "/"], "/: cannot be read: Is a directory"),
    (["-c", "/x", "b"], "mcmw: unexpected argument 'b'; -c gives the file (see twistd mcmw --help)"),
    (["-x"], "mcmw: option -x not recognized (see twistd mcmw --help)"),
    (["--confg", "b"], "mcmw: option --confg not recognized (see twistd mcmw --help)"),
]


class CommandLineTests(SynchronousTestCase):
    """The real twistd, in a process of its own."""

    def said(self, command_lines: list[list[str]]) -> list[tuple[str, str, int]]:
        """What each writes to stdout and stderr, and its exit code; they run side by side."""
        started = [
            Popen([*TWISTD, *each], cwd=ROOT, stdout=PIPE, stderr=PIPE, text=True) for each in command_lines
        ]
        return [(*process.communicate(timeout=60), process.returncode) for process in started]

    def test_a_wrong_configuration_is_one_line_on_stderr_and_exit_code_2(self) -> None:
        scratch = TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        folder = Path(scratch.name)
        expected = []
        for number, (text, line) in enumerate(TOLD_BY_TWISTD):
            path = folder / f"{number}.ini"
            path.write_text(text)
            expected.append(("", f"{path}: {line}\n", 2))
        paths = [["-c", str(folder / f"{number}.ini")] for number in range(len(expected))]
        self.assertEqual(self.said(paths), expected)

    def test_keys_that_are_not_there_are_one_line_on_stderr_and_exit_code_2(self) -> None:
        """Whoever is to have TLS and cannot never talks in the clear."""
        scratch = TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        path = Path(scratch.name) / "node.ini"
        path.write_text("[tls]\ncertificate = /nowhere/a.pem\nprivate-key = /a\nauthorities = /b\n")
        line = "mcmw: [tls] /nowhere/a.pem: No such file or directory\n"
        self.assertEqual(self.said([["-c", str(path)]]), [("", line, 2)])

    def test_a_wrong_command_line_is_one_line_on_stderr_and_exit_code_2(self) -> None:
        said = self.said([arguments for arguments, _ in COMMAND_LINES])
        self.assertEqual(said, [("", f"{line}\n", 2) for _, line in COMMAND_LINES])

    def test_help_and_version_are_on_stdout_and_exit_with_0(self) -> None:
        (help_, no_error, code), version = self.said([["--help"], ["--version"]])
        self.assertTrue(help_.startswith("Usage: twistd [options] mcmw -c NODE.INI"), help_)
        self.assertEqual((no_error, code), ("", 0))
        self.assertLessEqual(max(map(len, help_.splitlines())), 80)
        self.assertEqual(version[0].split()[0], "mcmw")

    def test_the_plugin_is_found_without_importing_the_package(self) -> None:
        code = "import sys; from twisted.plugin import getPlugins; from twisted.application.service import "
        code += "IServiceMaker; assert 'mcmw' in [p.tapname for p in getPlugins(IServiceMaker)]; "
        code += "assert 'multicastmw' not in sys.modules"
        self.assertEqual(run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode, 0)


class ServiceTests(SynchronousTestCase):
    def parsed(self, *arguments: str) -> Options:
        options = Options()
        options.parseOptions(list(arguments))
        return options

    def test_the_configuration_is_read_while_the_command_line_is(self) -> None:
        path = str(ROOT / "etc" / "lab" / "a.ini")
        for arguments in (["-c", path], ["--config", path], [f"--config={path}"]):
            self.assertEqual(self.parsed(*arguments).config.node.name, "a")

    def test_the_service_is_the_node_of_that_configuration(self) -> None:
        made: list[Config] = []

        def make_node(config: Config, path: str) -> Service:
            made.append(config)
            return Service()

        stand_in = ModuleType("multicastmw.services.node")
        stand_in.make_node = make_node  # type: ignore[attr-defined]
        options = self.parsed("-c", str(ROOT / "etc" / "lab" / "b.ini"))
        with patch.dict(sys.modules, {"multicastmw.services.node": stand_in}):
            service = makeService(options)
        self.assertIsInstance(service, Service)
        self.assertEqual(made, [options.config])

    def test_a_mistake_leaves_with_exit_code_2(self) -> None:
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors):
            code = self.assertRaises(SystemExit, self.parsed, "-c", "/nowhere/node.ini").code
        self.assertEqual((code, errors.getvalue().count("\n")), (2, 1))
