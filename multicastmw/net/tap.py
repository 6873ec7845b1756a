"""The TAP device: opened by pytun, read and written without it.

pytun's own read and write copy, and its descriptor blocks; so it only opens the device, and frames move by
`os.readv` straight to where a message's header will stand in front of them.
"""

import os
from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from multicastmw.core.packet import FRAME_START, Packet
from multicastmw.net.clockwork import wall_us

# What we chose: frames of one wake-up, so that links get their turn (0.5 to 1 ms of work).
BATCH = 64


class FrameTaker(Protocol):
    """Who gets what the TAP gives."""

    @property
    def woke(self) -> Callable[[float], None]:
        """Called with the time before the frames of one wake-up."""

    @property
    def done(self) -> Callable[[], None]:
        """Called after them."""

    @property
    def began(self) -> Callable[[], None]:
        """Called before the first of them is read."""

    @property
    def ended(self) -> Callable[[bool], None]:
        """Called after the last; is there no other?"""

    def frame_received(self, packet: Packet, size: int, origin_time: int) -> None: ...


class TapDevice:
    """An open TAP.  Raises OSError where the device cannot be opened (EPERM, EBUSY, no /dev/net/tun)."""

    def __init__(self, name: str) -> None:
        import pytun

        try:
            self._device = pytun.TunTapDevice(name=name, flags=pytun.IFF_TAP | pytun.IFF_NO_PI)
        except pytun.Error as error:
            raise OSError(*error.args) from error
        self.name = name
        self._descriptor: int = self._device.fileno()
        os.set_blocking(self._descriptor, False)
        os.set_inheritable(self._descriptor, False)

    def persist(self, wanted: bool) -> None:
        """Does the device stay when the node ends?"""
        self._device.persist(wanted)

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        self._device.close()

    def write(self, frame: tuple[bytes, memoryview]) -> int:
        """An Ethernet header and an IP packet; raises OSError (EIO while the interface is down)."""
        return os.writev(self._descriptor, frame)


@implementer(IReadDescriptor)
class TapReader:
    """Frames from a TAP to its taker, in batches; `broken` is told when the device is no more."""

    def __init__(
        self,
        device: TapDevice,
        reactor: IReactorFDSet,
        clock: Callable[[], float],
        taker: FrameTaker,
        broken: Callable[[str], None],
    ) -> None:
        self._descriptor = device.fileno()
        self._reactor = reactor
        self._clock = clock
        self._taker = taker
        self._broken = broken
        self._packet = Packet()
        self._where = (self._packet.view[FRAME_START:],)

    def start(self) -> None:
        self._reactor.addReader(self)

    def stop(self) -> None:
        self._reactor.removeReader(self)

    def fileno(self) -> int:
        return self._descriptor

    def logPrefix(self) -> str:
        return "tap"

    def doRead(self) -> None:
        """Frames until there is none, or the batch is full."""
        packet, descriptor, where = self._packet, self._descriptor, self._where
        take = self._taker.frame_received
        packet.now = self._clock()
        self._taker.woke(packet.now)
        origin_time = wall_us()
        readv = os.readv
        drained = False
        self._taker.began()
        try:
            for _ in range(BATCH):
                take(packet, readv(descriptor, where), origin_time)
        except BlockingIOError:
            drained = True
        except OSError as error:
            self.stop()
            self._broken(error.strerror or str(error))
        self._taker.ended(drained)
        self._taker.done()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor saw the descriptor die."""
        self._broken("the interface is gone")
