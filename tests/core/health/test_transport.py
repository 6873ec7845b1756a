"""A film, and the same one damaged on purpose: what must be found, and no more."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.core.health.transport import PIDS_MAX, TransportStream
from multicastmw.wire.mpegts import PACKET, PAT_PID, SDT_PID, has_clock_reference
from tests.core.health.film import (
    AUDIO,
    NAME,
    NULL,
    PER_DATAGRAM,
    PROVIDER,
    VIDEO,
    Film,
    continuity_breaks,
    film,
    is_plain,
    pid_of,
    pids,
    why_not,
    with_later_clock,
    withheld,
)
from tests.core.health.passing import Passing, errors

PMT = 0x1000  # where ffmpeg puts it


def has_clock(payload: bytes) -> bool:
    return any(has_clock_reference(payload, at) for at in range(0, len(payload), PACKET))


class FilmCase(SynchronousTestCase):
    skip = why_not()

    def found(self, damaged: Film, lost: tuple[int, ...] = ()) -> dict[str, tuple[int, int]]:
        self.passing = Passing()
        self.passing.play(damaged.datagrams(), lost)
        return errors(self.passing.status())


class WholeTests(FilmCase):
    def test_nothing_is_wrong_with_a_film_that_comes_whole(self) -> None:
        self.assertEqual({}, self.found(film()))
        status = self.passing.status()
        self.assertEqual(("ok", "", "ts", "a"), (status.health, status.reason, status.kind, status.node))
        self.assertEqual((0, 0), (status.source_errors, status.way_errors))
        (programme,) = status.programmes
        self.assertEqual((NAME, PROVIDER, 1, PMT), (programme.name, programme.provider, programme.number,
                                                    programme.pmt_pid))  # fmt: skip
        self.assertEqual([(VIDEO, "MPEG-2 video"), (AUDIO, "MPEG-1 audio")],
                         [(each.pid, each.codec) for each in programme.streams])  # fmt: skip
        self.assertEqual(VIDEO, programme.pcr_pid)
        assert status.bitrate and status.transport
        self.assertApproximates(900_000, status.bitrate, 30_000)

    def test_every_packet_is_counted_by_its_pid(self) -> None:
        self.found(film())
        transport = self.passing.status().transport
        assert transport
        packets = b"".join(payload for _, payload in film().datagrams())
        by_pid: dict[int, int] = {}
        for at in range(0, len(packets), PACKET):
            pid = pid_of(packets[at : at + PACKET])
            by_pid[pid] = by_pid.get(pid, 0) + 1
        nulls = by_pid.pop(0x1FFF)
        self.assertEqual({f"{pid}": count for pid, count in by_pid.items()}, dict(transport.pids))
        self.assertAlmostEqual(nulls / transport.packets, transport.null_share, places=3)

    def test_a_film_that_is_sent_on_time_has_nearly_no_jitter(self) -> None:
        self.found(film())
        transport = self.passing.status().transport
        assert transport and transport.pcr_jitter is not None and transport.pcr_jitter_source is not None
        self.assertLess(transport.pcr_jitter, 0.012)  # up to seven packets wait for their datagram
        self.assertAlmostEqual(transport.pcr_jitter, transport.pcr_jitter_source, places=4)

    def test_dvb_descriptors_are_read(self) -> None:
        options = ("-c:a", "ac3", "-mpegts_flags", "+system_b")
        self.assertEqual({}, self.found(film(*options)))
        self.assertEqual(("MPEG-2 video", "AC-3"), self.passing.status().codecs)

    def test_a_name_that_is_not_ascii(self) -> None:
        self.assertEqual({}, self.found(film("-metadata", "service_name=Zürich 1 \u2013 \u20ac")))
        self.assertEqual("Zürich 1 \u2013 \u20ac", self.passing.status().programmes[0].name)


class SmallTests(FilmCase):
    def test_one_packet_a_datagram_is_a_transport_stream_too(self) -> None:
        self.passing = Passing()
        self.passing.play(list(zip(film().due, film().packets, strict=True))[:3000])
        status = self.passing.status()
        self.assertEqual(("ts", {}, NAME), (status.kind, errors(status), status.programmes[0].name))


class DamagedTests(FilmCase):
    """Of each kind one, in the middle of the film; the way is well."""

    def test_a_packet_that_was_never_sent(self) -> None:
        at = film().find(lambda packet: is_plain(packet, VIDEO), 4.0)
        self.assertEqual({"Continuity_count_error": (1, 0)}, self.found(film().without(at)))
        status = self.passing.status()
        self.assertEqual((1, 0, "bad"), (status.source_errors, status.way_errors, status.health))
        self.assertEqual("Continuity_count_error: the source 1", status.reason)

    def test_a_packet_twice_is_allowed_and_three_times_is_not(self) -> None:
        at = film().find(lambda packet: is_plain(packet, VIDEO), 4.0)
        # Only where no other packet of the PID is in between is it the same one again.
        first = next(
            i for i in range(at, len(film().packets) - 2)
            if is_plain(film().packets[i], VIDEO) and film().packets[i + 1] == film().packets[i + 2] == NULL
        )  # fmt: skip
        twice = film().put(first + 1, film().packets[first])
        self.assertEqual({}, self.found(twice))
        thrice = twice.put(first + 2, film().packets[first])
        self.assertEqual({"Continuity_count_error": (1, 0)}, self.found(thrice))

    def test_a_sync_byte_with_a_wrong_bit(self) -> None:
        at = film().find(lambda packet: is_plain(packet, VIDEO), 4.0)
        damaged = film().put(at, b"\x46" + film().packets[at][1:])
        self.assertEqual({"Sync_byte_error": (1, 0), "Continuity_count_error": (1, 0)}, self.found(damaged))

    def test_two_wrong_sync_bytes_in_a_row_are_no_sync(self) -> None:
        at = film().find(lambda packet: is_plain(packet, VIDEO), 4.0)
        damaged = film()
        for each in (at, at + 1):
            damaged = damaged.put(each, b"\x46" + film().packets[each][1:])
        self.assertEqual({"TS_sync_loss": (1, 0), "Sync_byte_error": (2, 0)}, self.found(damaged))
        transport = self.passing.status().transport
        assert transport and transport.synced

    def test_wrong_sync_bytes_that_are_apart_lose_no_sync(self) -> None:
        damaged, places = film(), []
        for after in (3.0, 4.0, 5.0):
            places.append(film().find(lambda packet: is_plain(packet, VIDEO), after))
            damaged = damaged.put(places[-1], b"\x46" + film().packets[places[-1]][1:])
        self.assertEqual({"Sync_byte_error": (3, 0), "Continuity_count_error": (3, 0)}, self.found(damaged))

    def test_the_transport_error_bit(self) -> None:
        at = film().find(lambda packet: is_plain(packet, VIDEO), 4.0)
        packet = film().packets[at]
        damaged = film().put(at, packet[:1] + bytes((packet[1] | 0x80,)) + packet[2:])
        self.assertEqual({"Transport_error": (1, 0)}, self.found(damaged))
        self.assertEqual("warn", self.passing.status().health)

    def test_a_pat_that_is_withheld(self) -> None:
        self.assertEqual({"PAT_error": (1, 0)}, self.found(withheld(film(), PAT_PID, 4.0, 4.6)))
        self.assertEqual({}, self.found(withheld(film(), PAT_PID, 4.0, 4.3)))

    def test_a_pmt_that_is_withheld(self) -> None:
        self.assertEqual({"PMT_error": (1, 0)}, self.found(withheld(film(), PMT, 4.0, 4.6)))

    def test_sound_that_is_withheld(self) -> None:
        self.assertEqual({"PID_error": (1, 0)}, self.found(withheld(film(), AUDIO, 1.5, 7.5)))
        self.assertEqual({}, self.found(withheld(film(), AUDIO, 1.5, 5.5)))

    def test_names_that_are_withheld_are_no_error(self) -> None:
        self.assertEqual({}, self.found(withheld(film(), SDT_PID, 2.0, 8.0)))

    def test_a_bit_in_a_table(self) -> None:
        for pid in (PAT_PID, PMT, SDT_PID):
            at = film().find(lambda packet, pid=pid: pid_of(packet) == pid, 4.0)  # type: ignore[misc]
            packet = film().packets[at]
            damaged = film().put(at, packet[:14] + bytes((packet[14] ^ 4,)) + packet[15:])
            self.assertEqual({"CRC_error": (1, 0)}, self.found(damaged), pid)

    def test_a_scrambled_pat(self) -> None:
        at = film().find(lambda packet: pid_of(packet) == PAT_PID, 4.0)
        packet = film().packets[at]
        damaged = film().put(at, packet[:3] + bytes((packet[3] | 0x80,)) + packet[4:])
        self.assertEqual({"PAT_error": (1, 0)}, self.found(damaged))

    def test_a_clock_that_jumps(self) -> None:
        jumped = {"PCR_discontinuity_indicator_error": (1, 0)}
        self.assertEqual(jumped, self.found(with_later_clock(film(), 4.0, 1.0)))
        self.assertEqual(jumped, self.found(with_later_clock(film(), 4.0, -1.0)))
        self.assertEqual({}, self.found(with_later_clock(film(), 4.0, 0.05)))

    def test_a_clock_that_says_so_may_jump(self) -> None:
        later = with_later_clock(film(), 4.0, 1.0)
        at = later.find(lambda packet: packet[3] & 0x20 and packet[5] & 0x10, 4.0)
        packet = later.packets[at]
        self.assertEqual({}, self.found(later.put(at, packet[:5] + bytes((packet[5] | 0x80,)) + packet[6:])))

    def test_clock_references_that_are_missing(self) -> None:
        def change(packet: bytes, due: float) -> bytes:
            if 4.0 <= due < 4.2 and packet[3] & 0x20 and packet[4] >= 7 and packet[5] & 0x10:
                return packet[:5] + bytes((packet[5] & ~0x10,)) + packet[6:]
            return packet

        self.assertEqual(
            {"PCR_repetition_error": (1, 0), "PCR_discontinuity_indicator_error": (1, 0)},
            self.found(film().changed(change)),
        )


class OnTheWayTests(FilmCase):
    """The source is well."""

    def test_a_datagram_that_the_way_lost(self) -> None:
        datagrams = film().datagrams()
        lost = next(
            at for at, (due, payload) in enumerate(datagrams) if due > 4 and continuity_breaks(payload) == 2
        )
        self.assertEqual({"Continuity_count_error": (0, 2)}, self.found(film(), (lost,)))
        status = self.passing.status()
        assert status.overlay
        self.assertEqual((0, 2, 1), (status.source_errors, status.way_errors, status.overlay.lost))
        self.assertEqual(("bad", "Continuity_count_error: the way 2"), (status.health, status.reason))

    def test_whatever_the_way_loses_the_source_had_none(self) -> None:
        datagrams = film().datagrams()
        lost = tuple(range(50, len(datagrams) - 50, 37))
        breaks = sum(continuity_breaks(datagrams[at][1]) for at in lost)
        found = self.found(film(), lost)
        self.assertEqual((0, breaks), found["Continuity_count_error"])
        self.assertEqual({0}, {source for source, _ in found.values()})
        overlay = self.passing.status().overlay
        assert overlay
        self.assertEqual(len(lost), overlay.lost)

    def test_a_packet_that_was_never_sent_is_the_sources_though_the_way_lost_another(self) -> None:
        at = film().find(lambda packet: is_plain(packet, VIDEO), 4.0)
        damaged = film().without(at)
        datagrams = damaged.datagrams()
        lost = next(
            i for i, (due, payload) in enumerate(datagrams) if due > 6 and continuity_breaks(payload) == 1
        )
        self.assertEqual({"Continuity_count_error": (1, 1)}, self.found(damaged, (lost,)))
        self.assertEqual("Continuity_count_error: the source 1, the way 1", self.passing.status().reason)

    def test_a_hole_that_took_nothing_of_a_pid_excuses_nothing(self) -> None:
        """The way loses something else; a moment later the source leaves out a piece of a picture."""
        packets = film().packets
        first = next(
            at
            for at in range(0, len(packets), PER_DATAGRAM)
            if film().due[at] > 4
            and all(is_plain(packet, VIDEO) for packet in packets[at : at + PER_DATAGRAM + 2])
        )
        damaged = film().without(first + PER_DATAGRAM)
        self.passing = Passing()
        for number, (due, payload) in enumerate(damaged.datagrams()):
            if number == first // PER_DATAGRAM:
                self.passing.send(b"lost", due, port=9)
            self.passing.arrive(self.passing.send(payload, due), due)
        self.assertEqual({"Continuity_count_error": (1, 0)}, errors(self.passing.status()))

    def test_a_datagram_that_the_way_brings_late(self) -> None:
        self.passing = Passing()
        datagrams = film().datagrams()
        messages = [(self.passing.send(payload, due), due) for due, payload in datagrams]
        at = next(
            at
            for at, (due, payload) in enumerate(datagrams)
            if due > 4 and pids(payload) == pids(datagrams[at + 1][1]) == {VIDEO}
        )
        messages[at : at + 2] = reversed(messages[at : at + 2])
        for message, due in messages:
            self.passing.arrive(message, due)
        found = errors(self.passing.status())
        self.assertEqual(0, found["Continuity_count_error"][0])
        self.assertGreater(found["Continuity_count_error"][1], 0)
        overlay = self.passing.status().overlay
        assert overlay
        self.assertEqual((0, 1), (overlay.lost, overlay.reordered))

    def test_a_pause_that_the_way_makes_is_not_the_sources(self) -> None:
        self.passing = Passing()
        for due, payload in film().datagrams():
            self.passing.arrive(self.passing.send(payload, due), max(due, 4.8) if due > 4.0 else due)
        found = errors(self.passing.status())
        self.assertEqual({(0, 1)}, {found["PAT_error"], found["PMT_error"], found["PCR_repetition_error"]})
        overlay = self.passing.status().overlay
        assert overlay
        self.assertAlmostEqual(0.8, overlay.delay_max, places=1)

    def test_a_source_at_the_limit_is_not_made_the_ways_fault_by_a_little(self) -> None:
        clocks = [due for due, payload in film().datagrams() if has_clock(payload)]
        before, begin = next((a, b) for a, b in pairwise(clocks) if b > 4.0)
        later = 0.098 - (begin - before)  # so that two of them are so far apart at the origin
        for late, who in ((0.004, (1, 0)), (0.02, (0, 1))):
            self.passing = Passing()
            for due, payload in film().datagrams():
                at = due + later if due >= begin else due
                self.passing.arrive(self.passing.send(payload, at), at + (late if due >= begin else 0.0))
            self.assertEqual({"PCR_repetition_error": who}, errors(self.passing.status()))

    def test_a_pause_that_the_source_makes_is_the_sources(self) -> None:
        self.passing = Passing()
        for due, payload in film().datagrams():
            at = due + 0.8 if due > 4.0 else due
            self.passing.arrive(self.passing.send(payload, at), at)
        found = errors(self.passing.status())
        self.assertEqual({(1, 0)}, {found["PAT_error"], found["PMT_error"], found["PCR_repetition_error"]})

    def test_where_the_kernel_numbers_from_now_on_nothing_is_wrong(self) -> None:
        self.passing = Passing()
        for due, payload in film().datagrams():
            self.passing.count = int(due) % 2
            self.passing.arrive(self.passing.send(payload, due), due)
        status = self.passing.status()
        assert status.overlay
        self.assertEqual(({}, 0, 0), (errors(status), status.overlay.lost, status.overlay.duplicates))

    def test_what_the_overlay_brings_twice_is_looked_at_once(self) -> None:
        self.passing = Passing()
        for due, payload in film().datagrams():
            message = self.passing.send(payload, due)
            self.passing.arrive(message, due)
            self.passing.arrive(message, due)
        status = self.passing.status()
        assert status.overlay
        self.assertEqual(({}, len(film().datagrams())), (errors(status), status.overlay.duplicates))


class NoiseTests(SynchronousTestCase):
    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.binary(min_size=184, max_size=PACKET - 1), max_size=30), st.booleans())
    def test_whatever_is_in_packets_is_taken(self, rests: list[bytes], synced: bool) -> None:
        ts = TransportStream(0.0, 0, 0)
        data = b"".join(
            (b"\x47" + rest).ljust(PACKET, b"\0") if synced else rest.ljust(PACKET, b"\0") for rest in rests
        )
        for turn in range(3):
            ts.accept(data, 0, len(data), turn * 0.3, turn, turn)
        self.assertEqual(3 * len(rests), ts.packets)
        ts.counts()
        ts.jitter()

    def test_pids_are_bounded(self) -> None:
        ts = TransportStream(0.0, 0, 0)
        for pid in range(0x1FFF):
            packet = bytes((0x47, pid >> 8, pid & 255, 0x10)).ljust(PACKET, b"\0")
            ts.accept(packet, 0, PACKET, pid / 1000, 0, 0)
        self.assertEqual(
            PIDS_MAX, len(ts.counts()) + sum(pid not in ts.counts() for pid in (PAT_PID, SDT_PID))
        )
        self.assertEqual(0x1FFF - PIDS_MAX, ts.over_bound)
