"""VLC on a host, and what of a film there is in a recording.

VLC runs as nobody, for it refuses to be root, and is spoken to over its own HTTP interface.
"""

import http.client
import json
import signal
import subprocess
import time
import urllib.parse
from base64 import b64encode
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate, pairwise
from pathlib import Path
from struct import Struct
from typing import Any, NamedTuple

from multicastmw.cli.film import find_ffmpeg
from multicastmw.cli.lab import Host, LabError, wait_until
from multicastmw.cli.lab.process import Process
from tests.netns.kit import DEVICE, MEDIA, PATIENCE, TTL, Program, inside, let_pass

# Before other tests and builds: a VLC that waits for the CPU sends bursts, or lets its socket overflow.
NOBODY = ("nice", "-n", "-15", "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
HTTP = 8080
PASSWORD = "mcmw"
SAP = "Network streams (SAP)"
SAP_EVERY = 1  # seconds between announcements
STARTS_MAX = 3
LOOK_EVERY = 0.1  # seconds between questions to VLC's interface
RTP_HEADER = 12
RECORD = Struct("!QH")


def vlc(host: Host, title: str, *arguments: str) -> Process:
    """Starts VLC without a screen."""
    home = host.lab.state_dir / f"{host.name}-home"
    home.mkdir(exist_ok=True)
    home.chmod(0o777)
    at_home = ["env", "-C", str(home), f"HOME={home}"]
    command = [*NOBODY, *at_home, "cvlc", "--no-dbus", "--aout=dummy", *arguments]
    return host.spawn(command, log=f"{host.name}-{title}", title=f"VLC on {host.name}")


def sending(host: Host, film: Path, group: str, name: str, device: str = DEVICE) -> Process:
    """Streams a film once and announces it by SAP, as VLC's streaming dialogue would have it; then ends."""
    sout = f"#rtp{{dst={group},port={MEDIA},mux=ts,sap,name={name}}}"
    return vlc(
        host, "vlc-sender", "-I", "dummy", "--sout", sout, "--miface", device, "--ttl", str(TTL),
        "--sap-interval", str(SAP_EVERY), str(film), "vlc://quit",
    )  # fmt: skip


class Watcher:
    """A VLC that looks for sessions, and records what it plays.

    Now and then VLC's own HTTP interface (its liblua) ends VLC with a segmentation fault while it starts;
    then it is started once more, but not for ever.
    """

    def __init__(self, host: Host, device: str = DEVICE) -> None:
        self.host = host
        self.device = device
        self.recording = host.lab.state_dir / f"{host.name}-home" / "recording.ts"
        self._starts = 1
        self._looked_at = 0.0
        self.process = self._start()

    def _start(self) -> Process:
        return vlc(
            self.host, "vlc-watcher", "-v", "-I", "http", "--http-host", "127.0.0.1",
            "--http-port", str(HTTP), "--http-password", PASSWORD, "--services-discovery", "sap",
            "--sout", f"#standard{{access=file,mux=ts,dst={self.recording}}}",
        )  # fmt: skip

    def await_ready(self) -> None:
        """Its interface answers, and it has joined the groups of SAP."""
        wait_until(lambda: self._sap() is not None, PATIENCE, f"VLC on {self.host.name} looks for sessions")
        listing = ["ip", "maddr", "show", "dev", self.device]
        wait_until(
            lambda: "239.255.255.255" in self.host.run(listing).stdout,
            PATIENCE,
            f"VLC on {self.host.name} joins the groups of SAP",
        )

    def await_session(self, name: str) -> str:
        """The number in VLC's playlist of a session that it has found by SAP."""
        where = f"{name} in the playlist of VLC on {self.host.name}"
        return str(wait_until(lambda: self._sessions().get(name), PATIENCE, where))

    def play(self, number: str) -> None:
        self._tell("pl_play", id=number)

    def overflows(self) -> int:
        """Datagrams for which the kernel found a program's socket full, on this host."""
        lines = self.host.run(["cat", "/proc/net/snmp"]).stdout.splitlines()
        names, values = (line.split() for line in lines if line.startswith("Udp:"))
        return int(dict(zip(names, values, strict=True))["RcvbufErrors"])

    def stop(self) -> None:
        self._tell("pl_stop")

    def terminate(self) -> None:
        self.process.terminate()

    @property
    def recorded(self) -> int:
        """Bytes so far."""
        return self.recording.stat().st_size if self.recording.exists() else 0

    def _sessions(self) -> dict[str, str]:
        """Numbers by name."""
        node = self._sap() or {}
        return {leaf["name"]: leaf["id"] for leaf in tree(node) if leaf.get("type") == "leaf"}

    def _sap(self) -> dict[str, Any] | None:
        code = self.process.poll()
        if code == -signal.SIGSEGV and self._starts < STARTS_MAX:
            self._starts += 1
            self.process = self._start()
        elif code is not None:
            raise LabError(f"{self.process.title} ended with code {code}: {self.process.last_words()}")
        let_pass(max(0.0, self._looked_at + LOOK_EVERY - time.monotonic()))
        self._looked_at = time.monotonic()
        playlist = self._answer("playlist")
        return next((node for node in tree(playlist) if node["name"] == SAP), None) if playlist else None

    def _tell(self, command: str, **query: str) -> None:
        """Said until it is answered: a busy VLC closes connections; what is said twice does no harm."""
        wait_until(
            lambda: self._answer("status", command=command, **query) is not None,
            PATIENCE,
            f"VLC on {self.host.name} answers {command}",
        )

    def _answer(self, what: str, **query: str) -> dict[str, Any] | None:
        """None: it is not listening yet, or its interface is not ready."""
        try:
            return self._ask(what, **query)
        except (OSError, http.client.HTTPException, json.JSONDecodeError):
            return None

    def _ask(self, what: str, **query: str) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", HTTP, timeout=PATIENCE)
        with inside(self.host):
            connection.connect()
        try:
            credentials = b64encode(f":{PASSWORD}".encode()).decode()
            path = f"/requests/{what}.json?{urllib.parse.urlencode(query)}"
            connection.request("GET", path, headers={"Authorization": f"Basic {credentials}"})
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
            return answer
        finally:
            connection.close()


def tree(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("children", []):
        yield from tree(child)


class Sent(NamedTuple):
    """A hash of each picture, when it began to be sent (CLOCK_MONOTONIC), the longest pause in seconds."""

    pictures: list[str]
    times: list[float]
    stall: float


class Reference(Program):
    """A program that records what comes along in the group: on the sender's host, what its VLC has sent."""

    def __init__(self, host: Host, group: str, device: str = DEVICE) -> None:
        self.file = host.lab.state_dir / f"{host.name}-reference.rtp"
        self.film = self.file.with_suffix(".ts")
        super().__init__(
            host, "recorder.py", {"device": device, "group": group, "port": MEDIA, "file": str(self.file)}
        )

    def frames(self) -> "Sent":
        """What was sent; raises AssertionError where the recording is not all of it."""
        times, payloads, numbers = [], [], []
        data, at = self.file.read_bytes(), 0
        while at < len(data):
            nanoseconds, size = RECORD.unpack_from(data, at)
            packet = data[at + RECORD.size : at + RECORD.size + size]
            at += RECORD.size + size
            times.append(nanoseconds / 1e9)
            numbers.append(int.from_bytes(packet[2:4], "big"))
            payloads.append(packet[RTP_HEADER:])
        gaps = [pair for pair in pairwise(numbers) if (pair[1] - pair[0]) % 65536 != 1]
        assert not gaps, f"the reference itself has gaps: {gaps}"
        self.film.write_bytes(b"".join(payloads))
        offsets = [0, *accumulate(map(len, payloads))]
        pictures, places = hashes(self.film), positions(self.film)
        assert len(pictures) == len(places), (len(pictures), len(places))
        stall = max(later - earlier for earlier, later in pairwise(times))
        return Sent(pictures, [times[bisect_right(offsets, place) - 1] for place in places], stall)


def hashes(film: Path) -> list[str]:
    """A hash of every decoded picture, in the order in which they are shown."""
    done = subprocess.run(
        [find_ffmpeg(), "-nostdin", "-v", "error", "-i", str(film), "-map", "0:v:0",
         "-fps_mode", "passthrough", "-f", "framehash", "-hash", "md5", "-"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [line.rsplit(",", 1)[1].strip() for line in done.stdout.splitlines() if not line.startswith("#")]


def positions(film: Path) -> list[int]:
    """Where every picture begins in a transport stream, in bytes, in the same order."""
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "frame=pkt_pos", "-of", "json",
         str(film)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [int(frame["pkt_pos"]) for frame in json.loads(done.stdout)["frames"]]
