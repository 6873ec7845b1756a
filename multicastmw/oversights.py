"""What [overlay] and [recovery] accept and cannot mean: a line each, which no start fails of."""

from collections.abc import Iterator
from ipaddress import IPv4Network, ip_address
from typing import TYPE_CHECKING

from multicastmw import endpoints
from multicastmw.core.admission import Admission

if TYPE_CHECKING:
    from multicastmw.config import Config
    from multicastmw.sections import GroupsConfig

LEAST_UPLINK = 64  # kbit/s: a voice; who says less has most likely said Mbit/s


def of_overlay(config: "Config") -> Iterator[str]:
    """What is accepted of [overlay] and does nothing, or other than was meant."""
    overlay = config.overlay
    if overlay.engine == "mesh":
        yield from _of_ways_in(config)
        yield from _of_a_relay(config)
        yield from _of_seeds(config)
        yield from _of_feeds(config)
        if overlay.uplink is not None and 0 < overlay.uplink < LEAST_UPLINK:
            yield f"[overlay] uplink = {overlay.uplink}: kbit/s are meant, and few streams need so little"
    elif said := _said(config):
        yield f"[overlay] {', '.join(said)}: ignored, as engine is static, and meant for engine = mesh"


def of_recovery(config: "Config") -> Iterator[str]:
    """The same of [recovery]."""
    deadline, hold = config.recovery.deadline, config.recovery.hold
    if 0 < deadline < hold:
        yield (
            f"[recovery] hold = {hold:g}: nothing is asked for again after deadline = {deadline:g},"
            " so the rest is waited in vain"
        )


def _said(config: "Config") -> list[str]:
    """Options that only a mesh has, where they ask for something: not uplink, which bounds what a static link
    has sent again, and parity."""
    overlay = config.overlay
    found = {
        "seeds": bool(overlay.seeds),
        "role": overlay.role != "member",
        "max-children": overlay.max_children is not None,
        "feeds": overlay.feeds != 1,
        "feeds-groups": bool(overlay.feeds_groups),
        "rotate": bool(overlay.rotate),
    }
    return [name for name, is_said in found.items() if is_said]


def _of_ways_in(config: "Config") -> Iterator[str]:
    if config.overlay.seeds or config.peers:
        return
    if not config.listen.endpoint:
        yield "[overlay] seeds: empty, as [listen] endpoint is: this node finds nobody, and nobody finds it"
    elif config.overlay.role != "relay":
        yield "[overlay] seeds: empty, so this node finds nobody until another one names it as a seed"


def _of_a_relay(config: "Config") -> Iterator[str]:
    overlay = config.overlay
    if overlay.role != "relay":
        return
    endpoint = config.listen.endpoint
    interface = endpoints.listened(endpoint).get("interface", "") if endpoint else ""
    if not endpoint:
        yield "[overlay] role = relay: nobody can dial this node, as [listen] endpoint is empty"
    elif interface == "localhost" or endpoints.is_loopback(interface):
        yield f"[overlay] role = relay: nobody else can dial this node at {interface}: [listen] endpoint"
    for option, value in (("uplink", overlay.uplink), ("max-children", overlay.max_children)):
        if value == 0:
            yield f"[overlay] role = relay: with {option} = 0 it carries nothing for anybody"


def _of_seeds(config: "Config") -> Iterator[str]:
    seeds = config.overlay.seeds
    for seed in dict.fromkeys(seeds):
        if seeds.count(seed) > 1:
            yield f"[overlay] seeds: {seed} is there {seeds.count(seed)} times"
        if why := _wrong_with(seed, config):
            yield f"[overlay] seeds: {seed}: {why}"


def _of_feeds(config: "Config") -> Iterator[str]:
    """Groups that are to have two feeds, and that this node has nothing to do with."""
    overlay = config.overlay
    if overlay.feeds_groups and overlay.feeds < 2:
        yield "[overlay] feeds-groups: says nothing without feeds = 2"
    for prefix in overlay.feeds_groups:
        if not any(prefix.overlaps(routed) for routed in config.tap.groups):
            yield f"[overlay] feeds-groups: {prefix} is no group that programs here can have: [tap] groups"
        elif _is_kept_out(prefix, config.groups):
            yield f"[overlay] feeds-groups: {prefix} is kept out by [groups] allow and deny"


def _is_kept_out(prefix: IPv4Network, groups: "GroupsConfig") -> bool:
    """All of it; where only some of it is, that may be meant."""
    if any(allowed.subnet_of(prefix) for allowed in groups.allow):
        return False
    denied = [each for each in groups.deny if prefix.subnet_of(each)]
    return not Admission(groups.allow, denied).admits(int(prefix.network_address))


def _wrong_with(seed: str, config: "Config") -> str:
    tap = config.tap
    if seed.startswith(endpoints.LAN):
        return "the TAP is no LAN where others are" if seed == f"{endpoints.LAN}{tap.device}" else ""
    host = "" if seed.startswith(endpoints.SRV) else endpoints.dialled(seed).get("host", "")
    if not endpoints.is_address(host):
        return ""
    address = ip_address(host)
    if address.is_multicast:
        return "a group's address, and no node's; lan: asks the LAN by multicast"
    if tap.address and address in tap.address.network:
        return f"it is in the network of the TAP ({tap.address.network}), which only links lead to"
    return ""
