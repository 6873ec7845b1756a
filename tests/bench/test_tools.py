"""The source and the sink over the loopback: are they right about each other?"""

import atexit
import functools
import json
import signal
import socket
import struct
import subprocess
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

from twisted.trial.unittest import SkipTest, TestCase

from bench.race.built import Tools, build
from multicastmw.cli.lab import NotPossibleHere

GROUP = "239.9.9.8"
STAMP = struct.Struct("=IIQq")
MARK = 0x52414345


@functools.cache
def built() -> Tools:
    """Compiled once for all tests, which under trial have no class's set-up."""
    folder = Path(mkdtemp(prefix="mcmw-race-"))
    atexit.register(rmtree, folder)
    return build(folder)


class LoopbackTests(TestCase):
    def setUp(self) -> None:
        try:
            self.tools = built()
        except NotPossibleHere as error:
            raise SkipTest(str(error)) from None
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("", 0))
            self.port = probe.getsockname()[1]
        command = [str(self.tools.sink), "lo", GROUP, str(self.port)]
        self.sink = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.sink.stdout is not None
        if self.sink.stdout.readline() != "ready\n":
            complaint = self.sink.communicate()[1].strip()
            raise SkipTest(f"no multicast on the loopback, or no root: {complaint}")
        self.addCleanup(self.end_sink)

    def end_sink(self) -> None:
        self.sink.terminate()
        self.sink.communicate(timeout=10)
        self.assertEqual(0, self.sink.returncode)

    def send(self, run: int, size: int, rate: float, seconds: float) -> dict[str, Any]:
        command = [str(self.tools.source), "lo", GROUP, str(self.port), str(run), str(size), str(rate),
                   str(seconds)]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        said: dict[str, Any] = json.loads(done.stdout)
        return said

    def report(self) -> dict[str, Any]:
        """The loopback delivers inside `send`: all is in the sink's queue when the source has ended."""
        self.sink.send_signal(signal.SIGUSR1)
        assert self.sink.stdout is not None
        told: dict[str, Any] = json.loads(self.sink.stdout.readline())
        return told

    def throw(self, *packets: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thrower:
            own = socket.inet_aton("127.0.0.1")
            thrower.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
            for packet in packets:
                thrower.sendto(packet, (GROUP, self.port))

    def test_what_is_sent_is_received_once_in_order_and_with_a_delay(self) -> None:
        said = self.send(1, 1316, 2_000, 0.5)
        told = self.report()
        self.assertEqual(
            (1, said["sent"], said["sent"] * 1316), (told["run"], told["received"], told["bytes"])
        )
        self.assertEqual([0, 0, 0], [told[key] for key in ("duplicates", "disordered", "foreign")])
        self.assertEqual(told["received"], sum(count for _, count in told["delays_ns"]))
        bounds = [bound for bound, _ in told["delays_ns"]]
        self.assertEqual(sorted(set(bounds)), bounds)
        self.assertLessEqual(bounds[-1], told["longest_ns"])
        self.assertGreater(bounds[-1] * (1 + 1 / 64) + 1, told["longest_ns"])

    def test_no_more_is_sent_than_was_due(self) -> None:
        for rate, seconds in ((10.0, 0.3), (1_000.0, 0.3), (20_000.0, 0.2)):
            said = self.send(1, 200, rate, seconds)
            self.assertLessEqual(said["sent"] + said["let_off"], rate * said["seconds"] + 33)
            self.assertGreaterEqual(said["sent"], 1)

    def test_a_new_run_is_a_new_count(self) -> None:
        self.send(1, 200, 500, 0.2)
        said = self.send(2, 200, 500, 0.2)
        told = self.report()
        self.assertEqual((2, said["sent"]), (told["run"], told["received"]))

    def test_loss_duplicates_and_disorder_are_told_apart(self) -> None:
        # 0 1 5 3 3 4, then one of run 6, that is over, and two that are nobody's
        self.throw(*(STAMP.pack(MARK, 7, number, 0) for number in (0, 1, 5, 3, 3, 4)),
                   STAMP.pack(MARK, 6, 0, 0), b"short", STAMP.pack(1, 7, 9, 0))  # fmt: skip
        told = self.report()
        self.assertEqual(
            {"received": 5, "duplicates": 1, "disordered": 2, "foreign": 3},
            {key: told[key] for key in ("received", "duplicates", "disordered", "foreign")},
        )

    def test_a_number_from_nowhere_is_counted_and_harms_nothing(self) -> None:
        self.throw(STAMP.pack(MARK, 1, 2**26 - 1, 2**62), STAMP.pack(MARK, 1, 2**63, 0))
        told = self.report()
        self.assertEqual((1, 1, 0), (told["received"], told["foreign"], told["longest_ns"]))
        said = self.send(2, 200, 500, 0.1)
        self.assertEqual(said["sent"], self.report()["received"])

    def test_the_sources_limits_are_said_in_one_line(self) -> None:
        for told in (["23", "100", "1"], ["1316", "0", "1"], ["1316", "1e9", "1"], ["1316", "100", "9999"]):
            command = [str(self.tools.source), "lo", GROUP, str(self.port), "1", *told]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            self.assertEqual((2, 1), (done.returncode, done.stderr.count("\n")), done.stderr)

    def test_a_device_that_there_is_not_is_said(self) -> None:
        command = [str(self.tools.source), "none0", GROUP, str(self.port), "1", "200", "1", "1"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual((1, "source: none0: No such device\n"), (done.returncode, done.stderr))
