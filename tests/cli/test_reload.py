"""`mcmw reload`: what it prints, and its exit codes, with a real control socket at the other end.

With a whole node: tests/netns/test_reload.py.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from multicastmw.cli.reload import report
from multicastmw.services.changes import Change, Effect
from multicastmw.services.control import ControlService
from multicastmw.services.reload import Outcome

CHANGES = (
    Change("tap", "mtu", "auto", "1400", Effect.RESTART),
    Change("tap", "ttl-floor", "0", "16", Effect.APPLIED),
    Change("groups", "deny", "239.255.255.250/32", "", Effect.APPLIED),
    Change("listen", "keepalive-timeout", "10", "3", Effect.APPLIED, "for links made from now on"),
    Change("qos", "dscp", "copy", "46", Effect.IGNORED, "not built in this release"),
    Change("peer:c", "endpoint", "tcp:c:4600", None, Effect.APPLIED),
    Change("peer:d", "endpoint", "tcp:d:4600", "tcp:d:4700", Effect.APPLIED),
    Change("peer:e", "endpoint", None, "tcp:e:4600", Effect.APPLIED),
)
DONE = Outcome("/etc/node.ini", changes=CHANGES, kept_peers=298, warnings=("[tap] address: not given",))
LINES = """\
read        /etc/node.ini
at restart  [tap] mtu  auto -> 1400
changed     [tap] ttl-floor  0 -> 16
changed     [groups] deny  239.255.255.250/32 -> empty
changed     [listen] keepalive-timeout  10 -> 3  (for links made from now on)
ignored     [qos] dscp  copy -> 46  (not built in this release)
removed     [peer:c]  tcp:c:4600
changed     [peer:d] endpoint  tcp:d:4600 -> tcp:d:4700
added       [peer:e]  tcp:e:4600
kept        298 peers and all other options
warning     [tap] address: not given
"""


class Reports(TestCase):
    def test_a_line_a_change_as_it_stands_in_node_ini(self) -> None:
        self.assertEqual("\n".join(report(DONE.document())) + "\n", LINES)

    def test_nothing_is_said_in_a_line(self) -> None:
        said = list(report(Outcome("/etc/node.ini", kept_peers=1).document()))
        self.assertEqual(said[1], "kept        everything, 1 peer among it: nothing has changed")

    def test_a_long_list_is_cut(self) -> None:
        long = Change("groups", "allow", "", ", ".join(["239.1.1.1"] * 100), Effect.APPLIED)
        lines = list(report(Outcome("/etc/node.ini", changes=(long,)).document()))[1:-1]
        self.assertLessEqual(len("".join(lines)), 140)
        self.assertLessEqual(max(map(len, lines)), 80)
        self.assertTrue(lines[-1].endswith("..."))

    def test_the_log_has_one_line_of_it(self) -> None:
        self.assertEqual(DONE.summary(), "changes: 6 applied, 1 waiting for a restart")
        self.assertEqual(Outcome("/etc/node.ini").summary(), "nothing has changed")


class Commands(TestCase):
    timeout = 60

    def setUp(self) -> None:
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        self.path = str(folder / "s")
        self.asked = 0
        self.outcome = DONE
        self.answer: Deferred[Outcome] | None = None  # one that comes later

    def listens(self) -> None:
        control = ControlService(self.path, dict, reactor, {"reload": self.reload})
        control.privilegedStartService()
        control.startService()
        self.addCleanup(control.stopService)

    def reload(self) -> Deferred[Outcome]:
        self.asked += 1
        return succeed(self.outcome) if self.answer is None else self.answer

    @inlineCallbacks
    def mcmw(self, *arguments: str) -> Any:
        command = ["-m", "multicastmw.cli.main", *arguments]
        out, err, code = yield getProcessOutputAndValue(sys.executable, command, env=None)
        return out.decode(), err.decode(), code

    @inlineCallbacks
    def test_what_is_done_is_printed_and_0(self) -> Any:
        self.listens()
        self.assertEqual((yield self.mcmw("--socket", self.path, "reload")), (LINES, "", 0))
        out, err, code = yield self.mcmw("--socket", self.path, "reload", "--json")
        self.assertEqual((json.loads(out), err, code), (json.loads(json.dumps(DONE.document())), "", 0))

    @inlineCallbacks
    def test_it_answers_when_it_is_done_and_not_before(self) -> Any:
        self.listens()
        self.answer = Deferred()
        asking = self.mcmw("--socket", self.path, "reload")
        from twisted.internet.task import deferLater

        while not self.asked:
            yield deferLater(reactor, 0.01)
        self.assertFalse(asking.called)
        self.answer.callback(DONE)
        self.assertEqual((yield asking)[2], 0)

    @inlineCallbacks
    def test_a_wrong_file_is_the_nodes_line_alone_and_2(self) -> Any:
        self.listens()
        line = "/n.ini: [tap] mtuu: no such option"
        self.outcome = Outcome("/n.ini", error=line)
        self.assertEqual((yield self.mcmw("--socket", self.path, "reload")), ("", line + "\n", 2))
        out, err, code = yield self.mcmw("--socket", self.path, "reload", "--json")
        self.assertEqual((json.loads(out), err, code), ({"error": line}, "", 2))

    @inlineCallbacks
    def test_a_node_that_is_not_reached_is_1(self) -> Any:
        line = f"no node is running behind {self.path}"
        self.assertEqual((yield self.mcmw("--socket", self.path, "reload")), ("", line + "\n", 1))
        ini = Path(self.path).with_name("n.ini")
        ini.write_text(f"[control]\nsocket = {self.path}\n")
        out, err, code = yield self.mcmw("-c", str(ini), "reload")
        self.assertEqual((out, err.count("\n"), code), ("", 1, 1))
        self.assertTrue(err.startswith(line), err)
        self.assertIn("--socket says where it is", err)

    @inlineCallbacks
    def test_of_a_file_that_is_wrong_already_for_the_command_the_line_is_the_same(self) -> Any:
        self.listens()
        ini = Path(self.path).with_name("n.ini")
        ini.write_text(f"[control]\nsocket = {self.path}\n[tap]\nmtuu = 1\n")
        line = f"{ini}: [tap] mtuu: no such option; did you mean mtu?"
        self.outcome = Outcome(str(ini), error=line)
        self.assertEqual((yield self.mcmw("-c", str(ini), "reload")), ("", f"{line}\n", 2))
        self.assertEqual(self.asked, 1)
        self.outcome = DONE  # it was mended meanwhile, or the node may read more than this user
        out, err, code = yield self.mcmw("-c", str(ini), "reload")
        self.assertEqual((out[: len(LINES)], err, code), (LINES, "", 0))
        said = f"warning {line} (as this command reads it; the node took it)"
        self.assertEqual(said, " ".join(out[len(LINES) :].split()))
        out, err, code = yield self.mcmw("-c", str(ini), "show", "--json")
        self.assertEqual((json.loads(out), err, code), ({"config_error": line}, "", 0))

    @inlineCallbacks
    def test_where_no_node_runs_either_the_mistake_is_what_is_said(self) -> Any:
        ini = Path(self.path).with_name("n.ini")
        ini.write_text(f"[control]\nsocket = {self.path}\n[tap]\nmtuu = 1\n")
        for command in ("reload", "show", "fastpath"):
            out, err, code = yield self.mcmw("-c", str(ini), command)
            line = f"{ini}: [tap] mtuu: no such option; did you mean mtu?; and no node is running behind"
            self.assertEqual((out, err.count("\n"), code), ("", 1, 2))
            self.assertTrue(err.startswith(line), err)

    @inlineCallbacks
    def test_a_node_that_stands_still_is_remarked_upon_and_then_4(self) -> Any:
        self.listens()
        hurried = (
            "import sys; from multicastmw.cli import client, main, reload\n"
            "client.SILENCE, reload.PATIENCE = 0.1, 0.5\nmain.main(sys.argv[1:])"
        )
        last = f"{self.path}: no answer within 0.5 s; it was asked, and does it if it runs again: "
        for option, waits in ((), True), (("--json",), False):
            self.answer = Deferred()
            out, err, code = yield getProcessOutputAndValue(
                sys.executable, ["-c", hurried, "--socket", self.path, "reload", *option], env=None
            )
            self.assertEqual(code, 4)
            said = err.decode().splitlines() if waits else [json.loads(out)["error"]]
            self.assertTrue(said[-1].startswith(last), said)
            self.assertEqual(
                said[:-1], [f"{self.path}: no answer yet; waiting for it up to 0.5 s"] if waits else []
            )
            self.answer.callback(DONE)

    @inlineCallbacks
    def test_who_hangs_up_meanwhile_does_no_harm(self) -> Any:
        import socket

        self.listens()
        self.answer = Deferred()
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(self.path)
            caller.sendall(b"POST /reload HTTP/1.1\r\nHost: n\r\nContent-Length: 0\r\n\r\n")
            from twisted.internet.task import deferLater

            while not self.asked:
                yield deferLater(reactor, 0.01)
        yield deferLater(reactor, 0.05)  # the node sees that it went
        self.answer.callback(DONE)
        self.answer = None
        self.assertEqual((yield self.mcmw("--socket", self.path, "reload"))[2], 0)
