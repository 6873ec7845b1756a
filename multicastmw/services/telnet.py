"""The manhole over telnet (RFC 854).

On TCP nobody may say a word before he has agreed to our echoing, as a telnet client does by itself: a browser
that some web page sends to a port of the loopback begins with a request, and the lines that it posts would be
carried out.  On a UNIX socket no browser comes, and `socat` will do.
"""

from collections.abc import Callable
from typing import Any

from twisted.conch.telnet import ECHO, IAC, LINEMODE, NAWS, SGA, TelnetBootstrapProtocol, TelnetTransport
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure


class Telnet(TelnetTransport):
    """Telnet, where what is no telnet ends the connection and not in the node's log."""

    transport: Any
    is_deaf = False

    def dataReceived(self, data: bytes) -> None:
        if self.is_deaf:
            return
        try:
            super().dataReceived(data)
        except Exception as error:  # noqa: BLE001  whatever Twisted makes of it
            if not self.is_deaf:
                self.send_away(f"that was no telnet: {error!r}")

    def send_away(self, why: str) -> None:
        """Whatever comes after this is not listened to, not even an agreement."""
        self.is_deaf = True
        self.transport.send_away(why)

    def write(self, data: bytes) -> None:
        """The terminal ends its lines itself."""
        self.transport.write(data.replace(IAC, IAC + IAC))


class Conversation(TelnetBootstrapProtocol):
    """Agrees on a terminal, then opens the prompt."""

    transport: Any

    def __init__(self, open_prompt: Callable[[], Any], wants_telnet: bool) -> None:
        self._open_prompt = open_prompt
        self._wants_telnet = wants_telnet
        self.protocol = None

    def connectionMade(self) -> None:
        self.transport.negotiationMap[NAWS] = self.telnet_NAWS
        self.transport.negotiationMap[LINEMODE] = self.telnet_LINEMODE
        for option in (LINEMODE, NAWS, SGA):
            self.transport.do(option).addErrback(_refused)
        echoing = self.transport.will(ECHO)
        if self._wants_telnet:
            echoing.addCallbacks(self._agreed, self._no_telnet)
        else:
            echoing.addErrback(_refused)
            self._agreed()
        self.transport.will(SGA).addErrback(_refused)

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def _agreed(self, _: object = None) -> None:
        if self.transport.is_deaf:
            return
        try:
            prompt = self._open_prompt()
        except Exception as error:  # noqa: BLE001  whatever it is, who came is told
            self.transport.send_away(f"the prompt cannot be made: {error!r}")
            return
        self.protocol = prompt
        self.transport.transport.come_in()
        self.protocol.makeConnection(self)

    def _no_telnet(self, _: Failure | None = None) -> None:
        self.transport.send_away("this is for telnet clients that let the other side echo")

    def dataReceived(self, data: bytes) -> None:
        if self.protocol:
            self.protocol.dataReceived(data)
        else:
            self._no_telnet()

    def telnet_NAWS(self, data: list[bytes]) -> None:
        if self.protocol:
            super().telnet_NAWS(data)


def _refused(_: Failure) -> None:
    """A terminal that cannot do this is a terminal."""


def conversations(namespace: Callable[[], dict[str, Any]], wants_telnet: bool) -> Factory:
    """What speaks telnet with those who come."""

    def open_prompt() -> Any:
        from multicastmw.services.prompt import terminal

        return terminal(namespace())

    class Conversations(Factory):
        noisy = False

        def buildProtocol(self, address: Any) -> Any:
            return Telnet(Conversation, open_prompt, wants_telnet)

    return Conversations()
