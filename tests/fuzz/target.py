"""What a target is, and the bytes of a script: how a target with a state is told what to do.

A script is a row of steps.  A step is one byte that says what happens, two for the length of what it happens
with, and that: so a mutation within one step leaves the others as they are.
"""

from collections.abc import Iterable, Iterator
from importlib import import_module
from struct import Struct
from time import thread_time
from typing import NamedTuple


class Place(NamedTuple):
    """Where a target is, and its share (in thousandths) of the executions of all.

    `guides` are packages beside ours whose branches guide the fuzzer, too.
    """

    module: str
    kind: str
    share: int
    guides: tuple[str, ...] = ()


# In the order in which all of them run.
TARGETS = {
    "wire": Place("tests.fuzz.wire", "Wire", 100),
    "cops": Place("tests.fuzz.cops", "Cops", 190),
    "data": Place("tests.fuzz.data", "Data", 60),
    "probe": Place("tests.fuzz.probe", "Questions", 20),
    "igmp": Place("tests.fuzz.igmp", "Igmp", 180),
    "querier": Place("tests.fuzz.querier", "AskingQuerier", 22),
    "fragments": Place("tests.fuzz.fragments", "Fragments", 25),
    "tap": Place("tests.fuzz.tap", "Tap", 50),
    "health": Place("tests.fuzz.health", "Health", 30),
    "link": Place("tests.fuzz.link", "Links", 23),
    "sap": Place("tests.fuzz.sap", "Sap", 60),
    "config": Place("tests.fuzz.config", "NodeIni", 40, ("configparser",)),
    "values": Place("tests.fuzz.values", "Values", 150, ("ipaddress",)),
    "certificate": Place("tests.fuzz.certificate", "Certificates", 100, ("service_identity",)),
    "control": Place("tests.fuzz.control", "Control", 20, ("twisted.web.http",)),
    "web": Place("tests.fuzz.web", "Web", 20, ("twisted.web.http",)),
}

# Processor seconds that an execution may take: hundreds of times the usual, so it fails for what grows with
# the square of its input, and not for a machine that others use, too.
SLOW = 1.0

STEP = Struct("!BH")


class Target:
    """One thing that takes bytes from outside."""

    longest = 4096  # bytes of an input
    words: tuple[bytes, ...] = ()  # what mutations may put in

    def seeds(self) -> Iterable[bytes]:
        """Inputs that are right, to begin with."""
        raise NotImplementedError

    def __call__(self, data: bytes) -> None:
        """One execution.  It raises nothing, whatever the bytes are."""
        raise NotImplementedError


class TooSlow(Exception):
    """An execution took far more time than its input is worth."""


def load(name: str) -> Target:
    """A target by its name, ready to run."""
    place = TARGETS[name]
    target = getattr(import_module(place.module), place.kind)()
    assert isinstance(target, Target)
    return target


def execute(target: Target, data: bytes) -> None:
    """Runs one input; raises what the target does, and TooSlow."""
    began = thread_time()
    target(data)
    took = thread_time() - began
    if took > SLOW:
        raise TooSlow(f"{took:.1f} s for {len(data)} bytes")


def script(*steps: tuple[int, bytes]) -> bytes:
    """The bytes of a script."""
    return b"".join(STEP.pack(what, len(with_)) + with_ for what, with_ in steps)


def steps(data: bytes) -> Iterator[tuple[int, bytes]]:
    """What a script says; a step that is cut short has what is left."""
    at = 0
    while at + STEP.size <= len(data):
        what, length = STEP.unpack_from(data, at)
        at += STEP.size
        yield what, data[at : at + length]
        at += length
