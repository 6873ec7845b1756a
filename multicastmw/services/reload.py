"""Reads node.ini again, on SIGHUP and when `mcmw reload` asks, and changes only what changed.

    read (a thread) ── compare ── check what may fail ── apply ── the links of removed peers are gone
         wrong: nothing is changed          refused: the same

What would end a start in one line refuses a reload with the same line: a port that another has, a key that
does not fit.  All that may fail so is tried before anything is changed.  Reloads run one after the other, and
those that were asked for during one are all answered by the next, which reads the file after they came.
Peers are added and removed a few a turn of the reactor, so that packets pass in between.
"""

import os
import pwd
import signal
import socket
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from multicastmw.config import Config, ConfigError, load
from multicastmw.core.admission import Admission
from multicastmw.core.events import NeedsRestart, NotReloaded, Reconfigured, Reloaded
from multicastmw.core.link import LEAVE_WITHIN, Link
from multicastmw.net.clockwork import wall
from multicastmw.sections import GroupsConfig
from multicastmw.services.changes import TLS_FILES, Change, Effect, Plan, compare
from multicastmw.services.errors import CannotStart

if TYPE_CHECKING:
    from multicastmw.services.node import NodeService

# What we chose.
TURN = 0.002  # seconds of adding and removing peers between two looks at what else there is to do
SWITCH = 0.001  # seconds after which the thread that reads gives way, where Python has 5 ms
TOLD = 50  # changes that the log names one by one
GONE_WITHIN = LEAVE_WITHIN + 1.0  # seconds that an answer waits for the links of removed peers
LOOK_AGAIN = 0.01


@dataclass(frozen=True)
class Outcome:
    """What a reload did; with an `error` it did nothing."""

    file: str
    error: str = ""
    changes: tuple[Change, ...] = ()
    kept_peers: int = 0
    links_closed: int = 0
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0

    def document(self) -> dict[str, Any]:
        """As JSON takes it."""
        if self.error:
            return {"ok": False, "file": self.file, "error": self.error}
        return {
            "ok": True,
            "file": self.file,
            "changes": [asdict(change) | {"what": change.what} for change in self.changes],
            "kept_peers": self.kept_peers,
            "links_closed": self.links_closed,
            "warnings": list(self.warnings),
            "seconds": round(self.seconds, 4),
        }

    def summary(self) -> str:
        """A line for the log."""
        found = [
            f"{sum(change.effect is effect for change in self.changes)} {words}"
            for effect, words in ((Effect.APPLIED, "applied"), (Effect.RESTART, "waiting for a restart"))
            if any(change.effect is effect for change in self.changes)
        ]
        return f"changes: {', '.join(found)}" if found else "nothing has changed"


class ReloadService(Service):
    """Keeps a node as its file says; `path` is absolute, for a daemon may be anywhere."""

    def __init__(self, path: str, node: "NodeService", reactor: Any) -> None:
        self.path = path
        self.pending: tuple[Change, ...] = ()  # what waits for a restart
        self.refused: tuple[float, str] | None = None  # the last one, by the wall clock, until one is good
        self._node = node
        self._reactor = reactor
        self._log = Logger(namespace="mcmw")
        self._waiting: list[Deferred[Outcome]] = []
        self._busy = False
        self._signal_before: Any = None

    # --- being asked

    def privilegedStartService(self) -> None:
        """Before there are links, for SIGHUP ends a process that does not expect it."""
        super().privilegedStartService()
        self._signal_before = signal.signal(signal.SIGHUP, self._signalled)

    def stopService(self) -> None:
        super().stopService()
        if self._signal_before is not None:
            signal.signal(signal.SIGHUP, self._signal_before)
            self._signal_before = None

    def _signalled(self, *_: object) -> None:
        self._reactor.callFromThread(self.reload)

    def reload(self) -> Deferred[Outcome]:
        """Fires when the file's changes are applied, or are not to be."""
        waiter: Deferred[Outcome] = Deferred()
        self._waiting.append(waiter)
        if not self._busy:
            self._busy = True
            Deferred.fromCoroutine(self._all())
        return waiter

    async def _all(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            self._node.notify.reloading()
            try:
                outcome = await self._one()
            except Exception:  # noqa: BLE001  a mistake of ours costs one reload, and not those to come
                self._log.failure("a reload failed", Failure())
                outcome = Outcome(
                    self.path, error=f"{self.path}: the node failed at it, and its log says why"
                )
            self.refused = (wall(), outcome.error) if outcome.error else None
            self._node.notify.reloaded()
            for waiter in waiting:
                waiter.callback(outcome)
        self._busy = False

    # --- doing it

    async def _one(self) -> Outcome:
        node, began = self._node, self._reactor.seconds()
        try:
            wanted = await self._read()
            # The peers that run are those that are dialled, whatever became of an earlier reload.
            running = replace(node.config, peers=tuple(dialler.config for dialler in node.diallers))
            plan, credentials = self._with_keys(compare(running, wanted))
            await self._move(plan)
        except (ConfigError, CannotStart) as error:
            why = self._said(error)
            node.tell(NotReloaded(why))
            return Outcome(self.path, error=why)
        plan = self._apply(plan, credentials)
        closed = await self._change_peers(plan)
        await self._gone(closed)
        warnings = plan.config.warnings + node.certificate_warnings()
        seconds = self._reactor.seconds() - began
        outcome = Outcome(self.path, "", plan.changes, plan.kept_peers, len(closed), warnings, seconds)
        self._tell(outcome)
        return outcome

    async def _move(self, plan: Plan) -> None:
        """To other ports; raises CannotStart, and then they are as before."""
        node, before = self._node, self._node.config.web
        if plan.touches("web") or node.web.why:
            await node.web.move(plan.config.web)
        if not plan.touches("listen", "endpoint"):
            return
        try:
            await node.listen_at(plan.config.listen.endpoint)
        except CannotStart:
            if plan.touches("web"):
                await node.web.move_back(before)
            raise

    async def _read(self) -> Config:
        """In a thread, as a disk may be slow and a file long; packets wait for it a millisecond at most.

        A file that says nothing is right at a start; here a full disk or an editor has left it for a moment,
        and every link would go for it.
        """
        before = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH)
        try:
            pool = self._reactor.getThreadPool()
            return await deferToThreadPool(
                self._reactor, pool, load, self.path, socket.gethostname(), may_be_empty=False
            )
        finally:
            sys.setswitchinterval(before)

    def _said(self, error: ConfigError | CannotStart) -> str:
        if isinstance(error, CannotStart):
            return f"{self.path}: {error}"
        if not _may_read(self.path):
            return f"{error} (this node runs as {_user()})"  # it may have been root when it was started
        return str(error)

    def _tell(self, outcome: Outcome) -> None:
        node = self._node
        node.tell(Reloaded(self.path, outcome.summary()))
        for change in outcome.changes[:TOLD]:
            kind = NeedsRestart if change.effect is Effect.RESTART else Reconfigured
            node.tell(kind(change.sentence()))
        if len(outcome.changes) > TOLD:
            node.tell(Reconfigured(f"and {len(outcome.changes) - TOLD} more changes"))

    def _with_keys(self, plan: Plan) -> tuple[Plan, Any]:
        """And what other files of [tls] hold; another key than the one that is in use is another node's."""
        if not plan.touches("tls", *TLS_FILES):
            return plan, None
        credentials = self._node.read_credentials(plan.config)
        if credentials.node != self._node.credentials.node:
            return plan.postponed("tls", "another key is another node", *TLS_FILES), None
        return plan, credentials

    def _apply(self, plan: Plan, credentials: Any) -> Plan:
        """Everything but the peers."""
        node = self._node
        if plan.touches("tap", "groups", "persist"):
            try:
                node.tap.reconfigure(plan.config.tap)
            except OSError as error:
                plan = plan.postponed("tap", f"the kernel says: {error.strerror}", "groups", "persist")
        config = plan.config
        before, node.config = node.config, config
        node.tap.config = config.tap
        node.journal.set_level(config.log.level)
        if credentials:
            node.credentials.adopt(credentials)
        node.room.keep_alive_is(config.listen.keepalive_timeout)
        node.destination.ttl_floor = config.tap.ttl_floor
        if plan.touches("tap", "reassemble"):
            node.destination.reassemble(config.tap.reassemble, self._reactor.seconds())
        if plan.touches("igmp"):
            node.tap.ask_by(*node.igmp_settings())
        if plan.touches("groups"):
            node.sessions.admit_by(config.groups)  # its last words reach programs here, too
            self._change_groups(before.groups, config.groups)
        if before.sessions != config.sessions:
            node.sessions.announce(config.sessions)
        if plan.touches("fastpath"):
            node.fastpath.run_as(config.fastpath.mode)
        if node.mesh and (plan.touches("overlay") or plan.touches("listen", "endpoint")):
            node.mesh.reconfigure()
        if plan.touches("recovery"):
            node.fec.run_as(config.recovery.fec)
        node.fastpath.settings_changed()
        plan = replace(plan, changes=plan.changes + node.look_at_certificate())
        for warning in config.warnings:
            if warning not in before.warnings:
                node.warn(warning)
        self.pending = tuple(change for change in plan.changes if change.effect is Effect.RESTART)
        return plan

    def _change_groups(self, before: GroupsConfig, after: GroupsConfig) -> None:
        destination = self._node.destination
        for pin in before.pin:
            if pin not in after.pin:
                destination.unwant(pin.group, pin.source)
        if (before.allow, before.deny) != (after.allow, after.deny):
            destination.admit_by(Admission(after.allow, after.deny))
            self._node.probing.look()
            self._node.web.admit_again()
        for pin in after.pin:
            if pin not in before.pin:
                destination.want(pin.group, pin.source)

    async def _change_peers(self, plan: Plan) -> list[Link]:
        """Gives the links that were closed."""
        node, closed = self._node, []
        coming = {peer.name: peer for peer in plan.added}
        leaving = dict.fromkeys(peer.name for peer in plan.removed)
        yields_at = self._reactor.seconds() + TURN
        for name in dict.fromkeys([*leaving, *coming]):  # who leaves makes room
            if not node.running:
                break
            if name in leaving:
                closed += node.undial(name)
            if name in coming:
                node.dial(coming[name])
            if self._reactor.seconds() >= yields_at:
                await deferLater(self._reactor, 0)
                yields_at = self._reactor.seconds() + TURN
        return closed

    async def _gone(self, links: Iterable[Link]) -> None:
        """Until their connections are closed; a peer that does not read is cut off after a second."""
        until = self._reactor.seconds() + GONE_WITHIN
        left = set(links)
        while left and self._reactor.seconds() < until:
            left &= set(self._node.room.links)
            await deferLater(self._reactor, LOOK_AGAIN if left else 0)


def _may_read(path: str) -> bool:
    """False for what is there and is closed to us."""
    try:
        os.stat(path)
    except PermissionError:
        return False
    except OSError:
        return True
    return os.access(path, os.R_OK, effective_ids=True)


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user {os.geteuid()}"
