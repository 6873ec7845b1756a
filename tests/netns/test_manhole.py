"""The manhole of a whole node, with the clients that people have: telnet and ssh, on terminals."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

from multicastmw.cli.lab import Host, wait_until
from multicastmw.cli.lab.tools import find_tool
from tests.netns.kit import (
    PATIENCE,
    NetnsTestCase,
    Sections,
    await_linked,
    inside,
    node_ini,
    node_log,
    why_not,
)

PORT = 2300
PROMPT = re.compile(rb">>> (\x1b\[4h)?$")
ESCAPES = re.compile(rb"\x1b(\[[0-9;?]*[A-Za-z]|[c78=>])")


class Terminal:
    """A program on a terminal, and what stands there."""

    def __init__(self, test: NetnsTestCase, host: Host, command: list[str]) -> None:
        self._child, self._screen = pty.fork()
        if self._child == 0:
            whole = ["ip", "netns", "exec", host.namespace, *command]
            try:
                os.execve(find_tool("ip"), whole, {"TERM": "xterm", "PATH": os.defpath, "LC_ALL": "C"})
            finally:
                os._exit(127)
        self.seen = b""
        self.code: int | None = None
        test.addCleanup(self.end)

    def type(self, text: str) -> None:
        os.write(self._screen, text.encode())

    def await_text(self, pattern: "re.Pattern[bytes]", what: str) -> str:
        """What came until the pattern did, without colours; it is taken off."""

        def look() -> bool:
            self._read()
            return pattern.search(self.seen) is not None

        try:
            wait_until(look, PATIENCE, what)
        except Exception as error:
            raise AssertionError(f"{error}; there is {self.seen!r}") from error
        text, self.seen = self.seen, b""
        return ESCAPES.sub(b"", text).decode(errors="replace")

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._screen, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def ask(self, line: str) -> str:
        """Types a line at the prompt and gives its answer."""
        self.type(line + "\r")
        answer = self.await_text(PROMPT, f"an answer to {line}")
        return "\n".join(answer.replace("\r", "").split("\n")[1:]).removesuffix(">>> ").strip()

    def await_end(self) -> int:
        def look() -> bool:
            self._read()
            return self.code is not None

        wait_until(look, PATIENCE, "the client's end")
        assert self.code is not None
        return self.code

    def end(self) -> None:
        if self.code is None:
            os.kill(self._child, signal.SIGKILL)
            os.waitpid(self._child, 0)
        os.close(self._screen)

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while select.select([self._screen], [], [], 0)[0]:
                self.seen += os.read(self._screen, 65536)
        if self.code is None:
            done, status = os.waitpid(self._child, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if done else None


class ManholeCase(NetnsTestCase):
    def node(self, sections: Sections) -> Host:
        lab = self.make_lab("a")
        host = lab.host("a")
        host.start_node(node_ini(host, sections=sections))
        return host

    def terminal(self, host: Host, *command: str) -> Terminal:
        terminal = Terminal(self, host, list(command))
        self.greeting = terminal.await_text(PROMPT, "the prompt")
        return terminal

    def end_in_time(self, host: Host) -> None:
        began = time.monotonic()
        self.assertEqual(-signal.SIGTERM, host.stop_node())
        self.measured("seconds that a node takes to end", f"{time.monotonic() - began:.2f}")


class TelnetTests(ManholeCase):
    skip = why_not("telnet")

    def telnet(self) -> Host:
        return self.node({"manhole": {"endpoint": f"tcp:{PORT}:interface=127.0.0.1"}})

    def test_an_expression_is_answered_by_the_live_node(self) -> None:
        lab = self.make_lab("ab")
        a, b = lab.hosts
        b.start_node(node_ini(b), ready=None)
        a.start_node(node_ini(a, [b], {"manhole": {"endpoint": f"tcp:{PORT}:interface=127.0.0.1"}}))
        await_linked(a, "b")
        terminal = self.terminal(a, "telnet", "127.0.0.1", str(PORT))
        self.assertIn("inside node a.  help() says what is here.", self.greeting)
        self.assertEqual("'a'", terminal.ask("node.config.node.name"))
        self.assertEqual("['b']", terminal.ask("list(links())"))
        self.assertEqual("'up'", terminal.ask("peers()['b'].state.value"))
        self.assertEqual("('mcmw0', 'up')", terminal.ask("status().tap.device, status().tap.state"))
        self.assertIn("what Python knows of it", terminal.ask("help()"))
        self.assertIn("links by node id", terminal.ask("help"))
        self.assertIn("Close", terminal.ask("help(type(room).leave)") + "Close")
        self.assertEqual("", terminal.ask("x = 20"))
        self.assertEqual("41", terminal.ask("2 * x + 1"))
        self.assertIn("from 127.0.0.1:", node_log(a))

    def test_lines_are_edited_and_come_again(self) -> None:
        terminal = self.terminal(self.telnet(), "telnet", "127.0.0.1", str(PORT))
        self.assertEqual("1234", terminal.ask("123x\x7f4"))
        self.assertEqual("1234", terminal.ask("\x1b[A"))
        terminal.resize(50, 132)
        self.assertEqual("5", terminal.ask("5"))
        terminal.type("def f():\r    return 7\r\r")
        terminal.await_text(PROMPT, "the end of f")
        self.assertEqual("7", terminal.ask("f()"))

    def test_what_goes_wrong_in_a_session_stays_in_it(self) -> None:
        host = self.telnet()
        terminal = self.terminal(host, "telnet", "127.0.0.1", str(PORT))
        self.assertIn("ZeroDivisionError", terminal.ask("1 / 0"))
        self.assertIn("SyntaxError", terminal.ask("1 +* 2"))
        terminal.ask("from twisted.internet.defer import fail; import gc")
        self.assertIn("Deferred", terminal.ask("fail(ValueError('of the session'))"))
        self.assertIn("KeyboardInterrupt", terminal.ask("raise KeyboardInterrupt"))
        terminal.ask("_ = None; gc.collect() and None")
        terminal.type("if 1:\r        2\r   3\r")  # cannot be coloured
        self.assertIn("IndentationError", terminal.await_text(PROMPT, "an error"))
        terminal.type("exit()\r")
        terminal.await_end()
        self.assertEqual("a", host.status()["node"]["name"])
        self.assertNotIn("of the session", node_log(host))
        self.assertNotIn("ZeroDivision", node_log(host))

    def test_nobody_at_the_prompt_keeps_a_node_from_its_end(self) -> None:
        host = self.telnet()
        terminal = self.terminal(host, "telnet", "127.0.0.1", str(PORT))
        busy = self.terminal(host, "telnet", "127.0.0.1", str(PORT))
        busy.type("print('x' * 20_000_000)\r")  # and nobody reads
        self.assertEqual("2", terminal.ask("1 + 1"))
        self.end_in_time(host)
        terminal.await_end()

    def test_a_browser_that_a_page_sends_is_turned_away_unheard(self) -> None:
        host = self.telnet()
        mark = host.lab.state_dir / "mark"
        line = f"open({str(mark)!r}, 'w').close()\r\n".encode()
        agreed = b"\xff\xfd\x01"  # a page can post any bytes
        with inside(host), socket.create_connection(("127.0.0.1", PORT), PATIENCE) as browser:
            browser.sendall(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" + agreed + line + line)
            said = b""
            with contextlib.suppress(ConnectionResetError):
                while more := browser.recv(4096):
                    said += more
        self.assertIn(b"this is for telnet clients", said)
        self.assertNotIn(b">>>", said)
        self.assertEqual("a", host.status()["node"]["name"])
        self.assertFalse(mark.exists())

    def test_there_is_an_end_to_visitors(self) -> None:
        host = self.telnet()
        visitors = [self.terminal(host, "telnet", "127.0.0.1", str(PORT)) for _ in range(4)]
        fifth = Terminal(self, host, ["telnet", "127.0.0.1", str(PORT)])
        fifth.await_text(re.compile(rb"4 are in the manhole already"), "a word to the fifth")
        fifth.await_end()
        visitors[0].type("\x04")  # Ctrl-D
        visitors[0].await_end()
        self.assertEqual(
            "'a'", self.terminal(host, "telnet", "127.0.0.1", str(PORT)).ask("node.config.node.name")
        )


class UnixTests(ManholeCase):
    def test_a_unix_socket_is_its_owners_alone_and_a_stale_one_is_replaced(self) -> None:
        lab = self.make_lab("a")
        host = lab.host("a")
        path = lab.state_dir / "manhole"
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(path))
        host.start_node(node_ini(host, sections={"manhole": {"endpoint": f"unix:{path}"}}))
        self.assertEqual(0o600, path.stat().st_mode & 0o777)
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(PATIENCE)
            caller.connect(str(path))
            caller.sendall(b"6 * 7; node.config.node.name\n")
            said = b""
            while b"'a'" not in said:
                said += caller.recv(4096)
        self.assertIn(b"42", said)
        self.assertIn("from the UNIX socket", node_log(host))
        self.end_in_time(host)
        self.assertFalse(path.exists())

    def test_by_default_there_is_none(self) -> None:
        host = self.node({})
        listening = host.run(["ss", "-ltnH"]).stdout.split()
        self.assertEqual([], [word for word in listening if "127.0.0.1:" in word])


class ElsewhereTests(ManholeCase):
    """What node.ini cannot know: /etc/hosts says what `localhost` is."""

    skip = why_not("unshare")

    def test_a_localhost_that_is_elsewhere_is_refused_when_it_listens(self) -> None:
        lab = self.make_lab("a")
        host = lab.host("a")
        hosts, path = lab.state_dir / "hosts", lab.state_dir / "a.ini"
        hosts.write_text(f"{host.address} localhost\n")
        endpoint = f"tcp:{PORT}:interface=localhost"
        path.write_text(
            node_ini(host, sections={"manhole": {"endpoint": endpoint}, "control": {"socket": ""}})
        )
        node = [f"{sys.prefix}/bin/twistd", "-n", "--pidfile=", "mcmw", "-c", str(path)]
        shell = f'mount --bind {hosts} /etc/hosts && exec "$@"'
        done = host.run(["unshare", "-m", "sh", "-c", shell, "sh", *node])
        words = (done.stdout + done.stderr).splitlines()
        said = ["mcmw: " + word.partition("mcmw: ")[2] for word in words if "mcmw: " in word]
        line = f"mcmw: [manhole] endpoint: {endpoint}: {host.address} is open to others; name 127.0.0.1"
        self.assertEqual((1, [line]), (done.returncode, said), done.stdout + done.stderr)


class SshTests(ManholeCase):
    skip = why_not("ssh", "ssh-keygen")

    def setUp(self) -> None:
        self.keys = Path(self.mktemp()).absolute()
        self.keys.mkdir(parents=True)
        for name in ("host", "mine", "another"):
            make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.keys / name)]
            subprocess.run(make, check=True, timeout=PATIENCE)
        (self.keys / "authorized").write_text("# mine\n\n" + (self.keys / "mine.pub").read_text())
        known = (self.keys / "host.pub").read_text()
        (self.keys / "known").write_text(f"[127.0.0.1]:{PORT} {known}")

    def with_keys(self) -> Host:
        endpoint = f"tcp:{PORT}:interface=127.0.0.1"
        files = {"authorized-keys": self.keys / "authorized", "host-key": self.keys / "host"}
        return self.node({"manhole": {"endpoint": endpoint, **files}})

    def ssh(self, key: str, *command: str) -> list[str]:
        options = ["BatchMode=yes", "IdentitiesOnly=yes", f"UserKnownHostsFile={self.keys / 'known'}",
                   "StrictHostKeyChecking=yes"]  # fmt: skip
        flags = [word for option in options for word in ("-o", option)]
        return [
            "ssh",
            "-F",
            "none",
            *flags,
            "-i",
            str(self.keys / key),
            "-p",
            str(PORT),
            "me@127.0.0.1",
            *command,
        ]

    def test_who_has_a_key_gets_the_prompt(self) -> None:
        host = self.with_keys()
        terminal = self.terminal(host, *self.ssh("mine"))
        self.assertEqual("'a'", terminal.ask("node.config.node.name"))
        self.assertIn("ZeroDivisionError", terminal.ask("1 / 0"))
        terminal.type("exit()\r")
        self.assertEqual(0, terminal.await_end())
        self.assertIn("from 127.0.0.1:", node_log(host))

    def test_another_key_and_a_telnet_client_do_not(self) -> None:
        host = self.with_keys()
        done = host.run(self.ssh("another"))
        self.assertEqual(255, done.returncode)
        self.assertIn("Permission denied (publickey)", done.stderr)
        with inside(host), socket.create_connection(("127.0.0.1", PORT), PATIENCE) as caller:
            caller.sendall(b"1 + 1\r\n" * 10)
            caller.shutdown(socket.SHUT_WR)
            said = b""
            with contextlib.suppress(ConnectionResetError):
                while more := caller.recv(4096):
                    said += more
        self.assertTrue(said.startswith(b"SSH-2.0-"), said)
        self.assertNotIn(b"mcmw", said)
        self.assertNotIn("at the manhole's prompt", node_log(host))

    def test_there_are_no_commands_and_no_other_channels(self) -> None:
        host = self.with_keys()
        done = host.run(self.ssh("mine", "1 + 1"))
        self.assertEqual((1, "mcmw: no commands here; without one there is a Python prompt"),
                         (done.returncode, done.stderr.strip()))  # fmt: skip
        forward = self.ssh("mine")
        forward[1:1] = ["-N", "-o", "ExitOnForwardFailure=yes", "-R", "4242:127.0.0.1:1"]
        self.assertNotEqual(0, host.run(forward).returncode)

    def test_a_window_that_changes_and_input_that_ends(self) -> None:
        host = self.with_keys()
        terminal = self.terminal(host, *self.ssh("mine"))
        terminal.resize(50, 132)
        self.assertEqual("5", terminal.ask("5"))
        done = subprocess.run(
            ["ip", "netns", "exec", host.namespace, *self.ssh("mine")],
            input="node.config.node.name\n", capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        self.assertIn("inside node a", done.stdout)
        self.assertEqual(0, done.returncode, done.stderr)

    def test_nobody_at_the_prompt_keeps_a_node_from_its_end(self) -> None:
        host = self.with_keys()
        terminal = self.terminal(host, *self.ssh("mine"))
        self.end_in_time(host)
        terminal.await_end()
