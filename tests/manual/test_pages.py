"""The manual pages: man and mandoc have no complaint, and they say what --help and node.ini say."""

import os
import re
import shutil
from pathlib import Path
from subprocess import run

import click
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from multicastmw.cli.main import COMMANDS, mcmw
from multicastmw.manual.__main__ import pages, today
from multicastmw.manual.ini import EXAMPLE, comments_of, page
from multicastmw.manual.roff import Name, Page, escaped
from multicastmw.sections import NAMED, SECTIONS, options

DATE = "2026-11-28"
ENGLISH = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MAN_KEEP_FORMATTING": ""}


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise SkipTest(f"no {name} here")
    return found


class PagesCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.pages = {page.name: page for page in pages(DATE)}
        for made in self.pages.values():
            (self.folder / made.name.file).write_text(made.render(), encoding="ascii")

    def shown(self, file: str) -> str:
        """As a terminal of 80 columns has it, without bold."""
        command = [tool("man"), "--warnings", "-E", "UTF-8", "-l", "-P", "cat", str(self.folder / file)]
        done = run(command, capture_output=True, text=True, check=True, env=ENGLISH)
        self.assertEqual("", done.stderr, file)
        return re.sub("\x1b\\[[0-9;]*m|.\x08", "", done.stdout)


class Complaints(PagesCase):
    def test_man_has_none_and_every_line_fits(self) -> None:
        for name in self.pages:
            for line in self.shown(name.file).splitlines():
                self.assertLessEqual(len(line), 80, f"{name.file}: {line}")

    def test_mandoc_has_none(self) -> None:
        files = sorted(str(path) for path in self.folder.iterdir())
        done = run([tool("mandoc"), "-T", "lint", "-W", "warning", *files], capture_output=True, text=True,
                   check=False)  # fmt: skip
        self.assertEqual((0, ""), (done.returncode, done.stdout + done.stderr))

    def test_mandoc_would_have_some(self) -> None:
        (self.folder / "bad.1").write_text(".TH X 1\n.RS\ntext\n")
        done = run([tool("mandoc"), "-T", "lint", "-W", "warning", str(self.folder / "bad.1")],
                   capture_output=True, text=True, check=False)  # fmt: skip
        self.assertNotEqual(0, done.returncode)


class Contents(PagesCase):
    def test_there_is_one_for_each_command_and_for_those_within(self) -> None:
        names = {name.name for name in self.pages if name.section == 1}
        self.assertLessEqual({"mcmw", "mcmw-peer-add", "mcmw-keys-node"}, names)
        self.assertLessEqual({f"mcmw-{name}" for name in COMMANDS}, names)
        self.assertIn(Name("mcmw", 8), self.pages)
        self.assertIn(Name("mcmw-node.ini", 5), self.pages)

    def test_an_option_is_there_with_its_help_and_its_default(self) -> None:
        text = " ".join(self.shown("mcmw-show.1").split())
        for words in ("--every SECONDS", "default: 2.0", "mcmw [--socket PATH | -c NODE.INI] show [OPTIONS]",
                      "mcmw-show - show what a running node does"):  # fmt: skip
            self.assertIn(words, text)

    def test_every_option_of_every_command_is_there(self) -> None:
        context = click.Context(mcmw, info_name="mcmw")
        for name in COMMANDS:
            command = mcmw.get_command(context, name)
            assert command is not None
            text = self.pages[Name(f"mcmw-{name}", 1)].render()
            for parameter in command.params:
                for word in parameter.opts if isinstance(parameter, click.Option) else ():
                    self.assertIn(escaped(word), text, name)

    def test_exit_codes_have_a_section_of_their_own(self) -> None:
        text = self.shown("mcmw-doctor.1")
        status = text[text.index("EXIT STATUS") :]
        self.assertRegex(status, r"\n +5 +something does not work")
        self.assertNotIn("Exit codes:", text)

    def test_literal_blocks_stay_as_they_are(self) -> None:
        self.assertRegex(
            self.shown("mcmw-show.1"), r"\n +node    the node, its TAP and its querier, and what"
        )

    def test_pages_refer_to_pages_that_are_there(self) -> None:
        known = {(name.name, str(name.section)) for name in self.pages} | {("twistd", "1")}
        for made in self.pages.values():
            found = re.findall(r"^\.BR (\S+) \((\d)\)", made.render(), re.MULTILINE)
            self.assertTrue(found, made.name)
            for name, section in found:
                self.assertIn((name.replace(r"\-", "-"), section), known)

    def test_the_daemon_has_its_options_and_its_signals(self) -> None:
        text = self.shown("mcmw.8")
        for words in ("twistd [twistd's options] mcmw -c NODE.INI", "-c, --config CONFIG", "--version",
                      "SIGHUP", "sd_notify", "WATCHDOG_USEC"):  # fmt: skip
            self.assertIn(words, text)


class NodeIni(PagesCase):
    def test_every_option_is_there_with_its_default(self) -> None:
        text = self.shown("mcmw-node.ini.5")
        for name, section in (SECTIONS | NAMED).items():
            title = f"[{name}:NAME]" if name in NAMED else f"[{name}]"
            below = text[text.index(f"   {title}\n") :]
            for option, _, about in options(section):
                default = "(no default)" if about.default is None else about.default or "(empty)"
                self.assertIn(f"\n       {option} = {default}\n", below, title)

    def test_it_says_what_the_example_says_and_without_it_what_the_table_says(self) -> None:
        long = page("1", DATE).render()
        short = page("1", DATE, Path("/nowhere")).render()
        self.assertIn(escaped("--miface"), long)
        self.assertNotIn("miface", short)
        self.assertIn("The name of the TAP device.", short)

    def test_every_option_has_its_comment(self) -> None:
        comments = comments_of(EXAMPLE.read_text().splitlines())
        for name, section in (SECTIONS | NAMED).items():
            for option, _, about in options(section):
                self.assertTrue(comments[name, option].startswith(about.help.split(".")[0]), (name, option))


class Roff(SynchronousTestCase):
    def page(self) -> Page:
        return Page(Name("x", 1), "Does it.", "1", DATE)

    def test_nothing_in_a_text_is_taken_for_a_request(self) -> None:
        made = self.page()
        made.text(".so /etc/passwd\n\n'quoted' \\fB\n\n\b\n.TP\n\n`.x`")
        lines = made.render().splitlines()[4:]
        self.assertEqual(
            [], [line for line in lines if re.match(r"['.](?!PP$|RS|RE$|nf$|fi$|in|nh$|ad|SH)", line)]
        )
        self.assertIn(r"\&.so /etc/passwd", lines)
        self.assertIn(r"\(aqquoted\(aq \efB", lines)

    def test_signs_that_would_become_others(self) -> None:
        self.assertEqual(r"\-\-all \(ti \(ha \(dq \[u00E9] \[u1F600]", escaped('--all ~ ^ " é \U0001f600'))

    def test_the_date_is_that_of_the_source_where_it_is_given(self) -> None:
        self.patch(os, "environ", {"SOURCE_DATE_EPOCH": "86400"})
        self.assertEqual("1970-01-02", today())
