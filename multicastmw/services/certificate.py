"""Watches over the node's own certificate: renewed files are taken, and its end is said before it comes."""

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.task import LoopingCall

from multicastmw.core.events import CertificateAge, Tell
from multicastmw.core.expiry import Expiry, Validity, date, verdict

# What we chose.
LOOK = 3600.0  # seconds; what is the same is said once a day


class CertificateService(Service):
    """Looks at the start, every hour, and when it is told to; `wall` is the wall clock in seconds."""

    def __init__(self, credentials: Any, tell: Tell, reactor: Any, wall: Callable[[], float]) -> None:
        self._credentials = credentials
        self._tell = tell
        self._wall = wall
        self._expiry = Expiry()
        self._signers: list[tuple[str, Validity]] = credentials.signers()
        self._looks = LoopingCall(self.look)
        self._looks.clock = reactor

    def startService(self) -> None:
        super().startService()
        self._looks.start(LOOK)

    def stopService(self) -> None:
        super().stopService()
        if self._looks.running:
            self._looks.stop()

    def look(self) -> bool:
        """Takes what is new on disk, and says what is to be said of it; True if another is in use now."""
        before = self._credentials.certificate
        self._credentials.context()
        if words := self._expiry.look(self._credentials.validity, self._wall()):
            self._tell(CertificateAge(self._credentials.path, words))
        self._signers = self._credentials.signers()
        return self._credentials.certificate is not before

    @property
    def valid_until(self) -> str:
        """As people read it."""
        return date(self._credentials.validity.ends)

    @property
    def left(self) -> float:
        """Seconds until then."""
        return float(self._credentials.validity.ends - self._wall())

    @property
    def not_renewed(self) -> str:
        """Why new files are not in use; empty: those on disk are."""
        return str(self._credentials.trouble)

    def warnings(self) -> tuple[str, ...]:
        """What a status shows of it."""
        ages = [(self._credentials.path, self._credentials.validity)]
        ages += [(f"the authority {name}", validity) for name, validity in self._signers]
        said = ((what, verdict(validity, self._wall())) for what, validity in ages)
        found = [f"[tls] {what} {words}" for what, words in said if words]
        if self.not_renewed:
            found.append(f"[tls] {self.not_renewed}; what was there before stays in use")
        return tuple(found)
