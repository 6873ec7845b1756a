"""docs/overlay.rst has the numbers that the machines have."""

import re

from twisted.trial.unittest import TestCase

from multicastmw.core.mesh import (
    allowance,
    brood,
    callback,
    circle,
    conduct,
    destination,
    feed,
    meeting,
    mesh,
    neighbour,
    registering,
    rendezvous,
    seedtimes,
    settings,
    silence,
    tail,
)
from multicastmw.sections import OverlayConfig, options
from tests.wire.golden import FOLDER

PAGE = " ".join((FOLDER.parent.parent / "docs" / "overlay.rst").read_text(encoding="utf-8").split())
WORDS = {2: "two", 3: "three", 4: "four", 5: "five", 8: "eight", 10: "ten", 12: "twelve"}


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def word(number: float) -> str:
    return WORDS[int(number)]


SAID = (
    # malice
    f"of at least {word(conduct.FALSE_LEAST)} that were dialled within {word(conduct.COUNTS / 60)} minutes",
    # for operators
    f"without it {settings.UPLINK_USUAL:,} are taken for granted",
    f"the node leaves {word(destination.LEAVE_AFTER)} seconds later",
    f"again after half a second, and then ever later, up to {seedtimes.ALONE_MOST:.0f} s",
    # announcements
    f"in rounds, {settings.HAVE_LEAST:g} to {settings.HAVE_MOST:g} s apart: as often as "
    f"{settings.HAVE_BITS / 1000:g} kbit/s",
    # membership
    f"linked: {settings.OWN} at least",
    f"{settings.NEAR} of them near ones",
    f"{settings.OUTBOUND} random ones of its own choice",
    f"{word(settings.OUTBOUND).capitalize()} of them a node has chosen itself",
    f"{settings.LINKS_LEAST} to {settings.LINKS_MOST} in all",
    f"passive {settings.PASSIVE} members",
    f"six steps away every {settings.SHUFFLE:.0f} s",
    f"tried again {settings.TRY_AGAIN:.0f} seconds later",
    # trees
    f"names up to {word(brood.OTHERS)} others",
    f"for {word(settings.PARTING)} seconds at most",
    f"had {word(settings.BETTER_TIMES)} beacons earlier",
    f"then not again for {word(settings.SWITCH_REST)} seconds, or {word(settings.SWITCH_REST_YOUNG)} in",
    f"(below {settings.SLOW:.0f} packets/s, such as SAP)",
    # shared trees
    f"again after {ms(registering.PATIENCE)} and {registering.PATIENCE_TRIPS} round trips, "
    f"{word(registering.TRIES)} times",
    f"A node sends a point {neighbour.REGISTERS * allowance.OWN_SHARE:.0f} of these a second",
    f"a point takes {rendezvous.TALKERS_OF_ONE} streams of one node",
    f"longer than {registering.LONGEST:,} bytes, has less than {registering.HOPS_LEAST + 1} hops left",
    # repair
    f"nothing came for {word(settings.SILENT_PACKETS)} packets' time, or {ms(settings.SILENT_LEAST)}",
    f"tell the children to wait, for {settings.DEFER} s",
    f"{word(silence.LEAPS)} in {word(silence.LEAP_REST)} seconds at most",
    f"ask the {word(settings.POLLED)} nearest for the next packet",
    f"more than {ms(silence.FAR)} away there and back",
    f"a round trip and {ms(silence.ANSWER)} after the nearest were asked",
    f"every {word(silence.ALONE_REST)} seconds at most",
    f"After {ms(settings.TOTAL_SILENCE)} who hears nothing from anybody",
    f"dials {word(circle.SEARCHED)} more",
    f"relays have named (the last {circle.NAMED})",
    # recovery
    f"(**Nack**) {ms(settings.GUARD)} after",
    f"as long as they do, {ms(settings.GUARD_MOST)} at most",
    f"at most {word(settings.NACK_TRIES)} times",
    f"{word(settings.NACK_SOON)} times as soon as an answer could be there",
    f"so the child waits {ms(settings.GAP_WAIT)}",
    f"less than {tail.RATE:.0f} packets a second, what is not here {ms(tail.WAIT)} later",
    f"keeps {word(settings.KEPT_SECONDS)} seconds of each stream ({settings.KEPT_BYTES >> 20} MiB at most, "
    f"{settings.KEPT_BYTES_ALL >> 20} MiB over all)",
    f"or {mesh.RESENT_LEAST * 8 / 1000:.0f} kbit/s where that is more",
    f"a quarter of {settings.UPLINK_USUAL // 1000} Mbit/s for its own streams, "
    f"and {mesh.RESENT_LEAST * 8 / 1000:.0f} kbit/s for those of others",
    # rendezvous
    f"with probability {settings.REGISTRATIONS}/N",
    f"every {word(meeting.ASK_AGAIN[1])} seconds until a relay answers",
    # NAT
    f"{callback.DIALS} a second at most and nobody twice in {callback.DIAL_REST:.0f} s",
    # bad input
    f"{allowance.NACKS}/s together, as many again for each {allowance.STREAMS_MORE} streams",
    f"each Nack at most {settings.AT_ONCE} packets",
    f"{allowance.HAVES}/s, as many again for each 8 streams; "
    f"{allowance.HAVES * (1 + mesh.FEEDS_MAX // allowance.STREAMS_MORE):,}/s about streams",
    f"{neighbour.PEERS}/s, {8 * neighbour.PEERS} at once",
    f"up to {neighbour.PEERS * neighbour.PEERS_TIMES}/s",
    f"{neighbour.FINDS}/s, {2 * neighbour.FINDS} at once, of a relay; "
    f"{neighbour.FINDS / mesh.FIND_ELSEWHERE:.0f}/s, "
    f"{2 * neighbour.FINDS / mesh.FIND_ELSEWHERE:.0f} at once, of another node. "
    f"A node asks at most {meeting.ASKS} times a second",
    f"{neighbour.STREAMS}/s, {neighbour.STREAMS_AT_ONCE} at once; {mesh.UNHEARD_MAX} of which no packet",
    f"forgotten after {mesh.FORGET_UNHEARD:.0f} s; {mesh.FEEDS_MAX:,} streams in all",
    f"{rendezvous.TALKERS_OF_ONE} streams of one node, {rendezvous.TALKERS_MAX:,} in all",
    f"{mesh.SERVED_FOR_ONE}, if nobody can dial it; {mesh.SERVED_MOST} for all",
    f"{circle.SAMPLES_TAKEN} of one message",
    f"that this node is in {mesh.CIRCLES_MAX:,}, and as many streams",
    # malice
    f"earns {conduct.FED} a second, up to {conduct.BALANCE_MOST:.0f}; a packet sent when it was asked for, "
    f"{conduct.DELIVERED:.0f}",
    f"P3 {conduct.DROPPED:.0f} a parent",
    f"{conduct.LED_AWAY:.0f} a parent's packet",
    f"{conduct.UNANSWERED:.0f} it said that it has more",
    f"{conduct.PROMISED:.0f} for a second in which",
    f"Below {neighbour.SCORE_LEAST:.0f} a node is **left alone**, for {settings.MISBEHAVED_BACK_OFF:.0f} s",
    f"nine in ten of at least {word(conduct.FALSE_LEAST)}",
    f"asked for packets in the last {word(feed.ANSWERS)} seconds",
    f"further than {feed.NEAR_NUMBERS:,} numbers and {word(feed.NEAR_SECONDS)} seconds",
)


class OverlayPageTest(TestCase):
    def test_it_says_what_the_machines_do(self) -> None:
        self.assertEqual([], [said for said in SAID if said not in PAGE])

    def test_every_option_of_the_section_is_in_its_table(self) -> None:
        named = set(re.findall(r"``([a-z-]+)`` ", PAGE))
        self.assertEqual(set(), {name for name, _, _ in options(OverlayConfig)} - {"engine"} - named)
