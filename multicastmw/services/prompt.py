"""The prompt of the manhole: Twisted's, made fit for a node.

Twisted's interpreter and line editor come with colours, history and answers to Deferreds.  Here they get a
greeting and a help, and what would leave the session is kept in it: a SystemExit, a Deferred that fails,
bytes that are no UTF-8 and half a line that cannot be coloured would each be a traceback in the node's log.

This module imports the reactor, by way of Twisted's: it is imported when the manhole starts.
"""

import pydoc
from typing import Any

from twisted.conch.insults import insults
from twisted.conch.manhole import ColoredManhole, ManholeInterpreter  # noqa: TID253  see above
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from multicastmw import __version__

PLAIN: Any = vars(pydoc)["plaintext"]  # which the type stubs do not know
CTRL_H = b"\x08"  # what some terminals' backspace is

HELP = """\
    node                 the node: its parts are attributes; node.config is what node.ini says
    status()             the snapshot that `mcmw show` prints; status().as_dict() as JSON has it
    room, links()        the links by node id, and by name; links()['b'].counters
    peers()              the [peer:NAME] sections' diallers by name
    router, forwarder    who wants what, and what came along
    tap                  the TAP's service; tap.querier speaks IGMP
    reactor              Twisted's; reactor.callLater(1, print, 'later')
    help(thing)          what Python knows of it
    exit(), or Ctrl-D    ends the session, not the node

The node waits while you compute: what takes long here stops its packets, and `while True: pass`
hangs it until it is killed.
"""


class Help:
    """`help`, with or without brackets."""

    def __call__(self, *things: object) -> None:
        for thing in things:
            print(pydoc.render_doc(thing, renderer=PLAIN))  # noqa: T201  stdout is the session here
        if not things:
            print(HELP)  # noqa: T201

    def __repr__(self) -> str:
        return HELP


class Interpreter(ManholeInterpreter):
    """Python, whose exits and failures stay in the session."""

    def push(self, line: bytes) -> Any:
        try:
            return super().push(line)
        except UnicodeDecodeError as error:
            self.write(f"{error}\n")
            self.resetBuffer()
            return False

    def runcode(self, *arguments: Any, **named: Any) -> None:
        try:
            super().runcode(*arguments, **named)
        except SystemExit:
            self.handler.terminal.loseConnection()

    def displayhook(self, obj: Any) -> None:
        super().displayhook(obj)
        if isinstance(getattr(obj, "result", None), Failure) and isinstance(obj, Deferred):
            obj.addErrback(_seen)

    def _ebDisplayDeferred(self, failure: Failure, number: int, obj: Any) -> None:
        super()._ebDisplayDeferred(failure, number, obj)
        _seen(failure)


def _seen(_: Failure) -> None:
    """A failure that was shown is no unhandled one any more."""


class Prompt(ColoredManhole):
    """One session."""

    namespace: dict[str, Any]

    def __init__(self, namespace: dict[str, Any]) -> None:
        leave = self._leave
        super().__init__({"__name__": "manhole", "help": Help(), "exit": leave, "quit": leave, **namespace})
        self._gone = False

    def connectionMade(self) -> None:
        super().connectionMade()
        self.interpreter = Interpreter(self, self.namespace)
        self.keyHandlers[CTRL_H] = self.handle_BACKSPACE

    def connectionLost(self, reason: Failure) -> None:
        self._gone = True
        super().connectionLost(reason)

    def initializeScreen(self) -> None:
        """A greeting, below what is on the screen already."""
        name = self.namespace["node"].config.node.name
        # Whoever speaks no telnet has its first words on this line.
        self.terminal.write(b"\r\x1b[K")
        self.terminal.write(f"mcmw {__version__}, inside node {name}.  help() says what is here.\n")
        self.terminal.write(self.ps[self.pn])
        self.setInsertMode()

    def terminalSize(self, width: int, height: int) -> None:
        """Nothing is drawn anew: the screen is not ours."""
        self.width, self.height = width, height

    def keystrokeReceived(self, key: bytes, modifier: object) -> None:
        """Keys that mean nothing here are no news for the node's log."""
        if key in self.keyHandlers or key in self._printableChars:
            super().keystrokeReceived(key, modifier)

    def characterReceived(self, character: bytes, more: bool) -> None:
        try:
            super().characterReceived(character, more)
        except Exception:  # noqa: BLE001  half a program: what the colouring makes of it is not ours to say
            self.terminal.write(character)

    def addOutput(self, data: str | bytes, isAsync: bool | None = None) -> None:
        """Answers that come when the session has ended go nowhere."""
        if not self._gone:
            super().addOutput(data, isAsync)

    def _leave(self, *_: object) -> None:
        raise SystemExit


class Terminal(insults.ServerProtocol):
    """The other end's terminal, which is left as it was found: Twisted's is wiped at the end."""

    transport: Any

    def loseConnection(self) -> None:
        self.resetModes([insults.modes.IRM])
        self.transport.loseConnection()


def terminal(namespace: dict[str, Any]) -> Terminal:
    return Terminal(Prompt, namespace)
