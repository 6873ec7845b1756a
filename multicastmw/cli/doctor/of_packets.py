"""Checks of what became of packets.

Counts are of all the time since the node was started.  So that what is mended is not found for ever, the
status of some seconds before is held against that of now: where packets passed meanwhile and none came to
harm, it is mended; where nothing passed, nobody can tell, and the count stands.
"""

from multicastmw.cli.doctor.facts import Facts, address_of
from multicastmw.cli.doctor.finding import NAMED, Check, Status, fail, ok, warn
from multicastmw.cli.text import amount, some
from multicastmw.core.fastpath.tables import AROUND

TAP_LEAST = 576  # that [tap] mtu may be


def is_over(harmed: int, passed: int, harmed_before: int | None, passed_before: int | None) -> bool:
    """Did packets pass since then without harm?  None: nobody looked before."""
    if harmed_before is None or passed_before is None:
        return False
    return harmed == harmed_before and passed > passed_before


def ttl(status: Status, facts: Facts) -> Check:
    before = {(route["group"], route["source"]): route for route in facts.earlier.get("routes", ())}
    died, here, past = dict[str, int](), False, 0
    for route in status["routes"]:
        count, own = route["died_of_ttl"], route["sent_from_here"] is not None
        earlier = before.get((route["group"], route["source"]), {})
        old = earlier.get("died_of_ttl")
        raised = own and status["tap"]["ttl_floor"] > 1 and count == old
        if raised or is_over(count, route["packets"], old, earlier.get("packets")):
            past += count
        elif count:
            died[route["group"]] = died.get(route["group"], 0) + count
            here = here or own
    if not died:
        return ok("ttl", f"{amount(past)} packets died of their TTL, and none does now" if past else
                  "no packet died of its TTL")  # fmt: skip
    return fail(
        "ttl", f"{amount(sum(died.values()))} packets to {some(sorted(died), NAMED)} died of their TTL",
        "each node takes one off, and many programs send with TTL 1: have them send with more "
        "(vlc --ttl 16, ffmpeg ...?ttl=16), or raise it",
        "[tap] ttl-floor = 16" + ("" if here else " at the node where they are sent"),
    )  # fmt: skip


def mtu(status: Status, facts: Facts) -> Check:
    tap, before = status["tap"], facts.earlier.get("tap", {}).get("counters", {})
    counters, longest = tap["counters"], tap["longest"]
    if facts.swallowed:
        return _swallowed(status, facts)
    split = counters["fragments_made"]
    over = is_over(split, counters["received"], before.get("fragments_made"), before.get("received"))
    if not split or over:
        past = f"; {amount(split)} pieces were made, and none is now" if split else ""
        return ok("mtu", f"IP packets of up to {longest} bytes go in one piece{past}")
    return warn(
        "mtu", f"packets were longer than {longest} bytes: {amount(split)} pieces were made",
        "a lost piece is a lost packet, and the kernel does not forward them",
        "send 1316 bytes of payload, as ?pkt_size=1316 has it",
    )  # fmt: skip


def _swallowed(status: Status, facts: Facts) -> Check:
    """Long packets vanish on the way to some peers."""
    names = [peer["name"] for peer in status["peers"] if address_of(peer) in facts.swallowed]
    most = min(facts.swallowed.values())
    tap = most - AROUND
    return fail(
        "mtu", f"packets of more than {most} bytes vanish on the way to {some(names, NAMED)}",
        "a tunnel or a line on the way takes no longer ones, and nobody says so: links are up, and films "
        "do not come",
        f"[tap] mtu = {tap} at all who send" if tap >= TAP_LEAST
        else "the MTU of what is on the way",
    )  # fmt: skip


def buffers(status: Status, facts: Facts) -> Check:
    """The TAP's queue, and the sockets that peers' datagrams come in at."""
    tap, before = status["tap"], facts.earlier.get("tap", {})
    at_tap, at_peers = tap["kernel_drops"], sum(peer["kernel_drops"] for peer in status["peers"])
    taken, taken_before = tap["counters"]["received"], before.get("counters", {}).get("received")
    from_programs = at_tap and not is_over(at_tap, taken, before.get("kernel_drops"), taken_before)
    earlier = facts.earlier.get("peers")
    dropped = sum(peer["kernel_drops"] for peer in earlier) if earlier else None
    from_peers = at_peers and not is_over(
        at_peers, _received(status["peers"]), dropped, _received(earlier) if earlier else None
    )
    if not from_programs and not from_peers:
        past = f"; {amount(at_tap + at_peers)} packets were before" if at_tap + at_peers else ""
        return ok("buffers", f"nothing is lost for want of room{past}")
    slow = not status["fastpath"]["on"]
    if from_programs:
        mend = f"ip link set {tap['device']} txqueuelen 10000"
    else:
        mend = "mcmw fastpath on" if slow else "sysctl -w net.core.rmem_max=8388608"
    return warn(
        "buffers", f"no room: {amount(at_tap)} packets of programs here, {amount(at_peers)} of peers",
        "they came faster than the node took them"
        + ("; where the kernel forwards (mcmw fastpath), it need not" if slow and from_programs else ""),
        mend,
    )  # fmt: skip


def _received(peers: list[Status]) -> int:
    return sum(peer["counters"].get("received", 0) for peer in peers)
