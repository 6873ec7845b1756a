"""The main job: VLC on one host sends a film with SAP, VLC on three others finds, plays and records it.

What counts is what the sender's VLC has put onto its TAP, which a program beside it on that host records.
Of that, each of the three must have every picture, the same to the last bit, once and in order, but for the
first second after it joined, and but for what VLC itself holds back when a stream just ends.

VLC leaves its sockets the kernel's default buffer, some 105 packets.  Where a VLC gets no CPU for most of a
second, the sender's clock jumps or a receiver's buffer overflows, behind our back and in front of it.  The
reference and the kernel show it, and such an attempt says nothing about us: it is made again.  So is one
whose recording has a hole although every packet came to the host and none was lost at VLC's socket.
"""

import time
from collections.abc import Callable, Mapping

import pytest

from multicastmw.cli import film as films
from multicastmw.cli.lab import wait_until
from tests.netns.kit import DEVICE, PATIENCE, Figure4, NetnsTestCase, route_of, wanters, why_not
from tests.netns.vlc import Reference, Sent, Watcher, hashes, sending

GROUP = "239.255.12.42"
NAME = "The-Film"
SECONDS = 14
FRAMES = SECONDS * films.FRAME_RATE
FIRST = 1.0  # seconds after its join that a receiver may lack (a GOP of it is 0.6)
UNSENT = 75  # pictures at the end of the film that VLC never sends, for it ends when it has read them
HELD_BACK = 25  # pictures that VLC keeps for ones that never come
ATTEMPTS = 3
STALL = 0.3  # seconds without a packet; the film has one each 8 ms
AT_LEAST = 150  # pictures that every receiver must have in common with the sender


class VlcFailed(Exception):
    """What VLC itself did not do."""


class VlcCase(NetnsTestCase):
    """A film between VLCs."""

    skip = why_not("cvlc", "ffmpeg", "ffprobe", "setpriv")

    def until_vlc_keeps_up(self, attempt: Callable[[], None]) -> None:
        """An attempt in which VLC itself failed, though every packet reached it, is made again."""
        for left in reversed(range(ATTEMPTS)):
            try:
                attempt()
                return
            except VlcFailed as failed:
                if not left:
                    self.fail(f"in each of {ATTEMPTS} attempts VLC failed: {failed}")
                self.measured("made again, for VLC failed", failed)

    def judge(self, watchers: Mapping[str, Watcher], sent: Sent, joined: Mapping[str, float]) -> None:
        """Every packet came, that was looked at; raises VlcFailed where a recording is not whole."""
        overflows = sum(watcher.overflows() for watcher in watchers.values())
        for watcher in watchers.values():
            watcher.terminate()
        if sent.stall >= STALL or overflows:
            raise VlcFailed(f"it got no CPU: {sent.stall} s of silence, {overflows} overflows")
        for name, watcher in watchers.items():
            try:
                self.compare(name, sent, hashes(watcher.recording), joined[name])
            except self.failureException as broken:
                raise VlcFailed(str(broken)) from broken

    def await_quiet(self, watchers: list[Watcher]) -> None:
        """No recording has grown for a second."""

        def grown() -> bool:
            sizes = [watcher.recorded for watcher in watchers]
            if sizes != last["sizes"]:
                last.update(sizes=sizes, since=time.monotonic())
            return time.monotonic() - last["since"] > 1

        last: dict = {"sizes": [], "since": 0.0}
        wait_until(grown, PATIENCE, "the recordings' end")

    def compare(self, name: str, reference: Sent, got: list[str], joined: float) -> None:
        """Is the recording one unbroken piece of what was sent, and is it all that was due?"""
        sent = reference.pictures
        self.assertGreater(len(got), AT_LEAST, f"{name} recorded {len(got)} pictures")
        due = next(number for number, at in enumerate(reference.times) if at >= joined + FIRST)
        # Before that a decoder may miss what its first pictures refer to.
        start = got.index(sent[due]) if sent[due] in got else self.fail(f"{name} has not picture {due}")
        length = len(got) - start
        self.assertLess(start, due + 1)
        end = next(
            (n for n in range(length) if got[start + n : start + n + 1] != sent[due + n : due + n + 1]),
            length,
        )
        lacking = len(sent) - (due + end)
        self.measured(
            f"{name}: pictures of {len(sent)}: the first recorded, the last, lacking at the end",
            (due - start, due + end - 1, lacking),
        )
        self.assertLess(lacking, HELD_BACK, f"{name}: broken at picture {due + end} of {len(sent)}")


@pytest.mark.xdist_group("vlc")  # two at once starve each other
class VlcTests(VlcCase):
    """Figure 4 with VLC on all four hosts."""

    def test_three_vlcs_find_the_session_by_sap_and_record_every_frame(self) -> None:
        self.until_vlc_keeps_up(self.attempt)

    def attempt(self) -> None:
        network = Figure4(self)
        watchers = {host.name: Watcher(host) for host in (network.b, network.c, network.d)}
        sent, joined = self.perform(network, watchers)
        self.judge(watchers, sent, joined)

    def perform(self, network: Figure4, watchers: dict[str, Watcher]) -> tuple[Sent, dict[str, float]]:
        """Sends the film; gives what was sent, and when the watchers had joined."""
        film = network.lab.state_dir / "film.ts"
        films.draw(film, SECONDS)
        reference = Reference(network.a, GROUP)
        for watcher in watchers.values():
            watcher.await_ready()
        for watcher in watchers.values():
            watcher.host.await_status(
                lambda status: DEVICE in wanters(status, "239.255.255.255"), PATIENCE, "VLC's join of SAP"
            )

        sender = sending(network.a, film, GROUP, NAME)
        began = time.monotonic()
        joined = {}
        for name, watcher in watchers.items():
            watcher.play(watcher.await_session(NAME))
            watcher.host.await_status(lambda status: DEVICE in wanters(status, GROUP), PATIENCE, "VLC's join")
            joined[name] = time.monotonic()
        took = time.monotonic() - began
        self.measured("seconds until the last of three has listed and joined", f"{took:.1f}")
        self.assertEqual(0, sender.wait(SECONDS + PATIENCE))
        self.await_quiet(list(watchers.values()))
        for watcher in watchers.values():
            watcher.stop()
        self.await_quiet(list(watchers.values()))
        reference.stop()
        self.same_packets(network, reference.state)
        sent = reference.frames()
        self.measured("pictures that the film has, and that VLC has sent", (FRAMES, len(sent.pictures)))
        self.assertGreater(len(sent.pictures), FRAMES - UNSENT)
        return sent, joined

    def same_packets(self, network: Figure4, recorded: dict) -> None:
        """The nodes' own view: what was sent once somebody wanted it is everywhere, up to the last packet."""
        origin = route_of(network.a.status(), GROUP)
        sent = recorded["packets"] + recorded["control"]
        self.assertEqual(sent, origin["packets"])
        wanted = sent - origin["to_nobody"]
        for host in (network.b, network.c, network.d):
            (stream,) = route_of(host.status(), GROUP)["streams"]
            counts = (stream["received"], stream["lost"], stream["duplicates"], stream["reordered"])
            self.assertEqual((wanted, 0, 0, 0), counts, host.name)
        self.measured(
            "packets of RTP and RTCP sent, and those of them that every node received", (sent, wanted)
        )
