"""Whose fault it is, said by the type: these two are the remote side's."""


class Malformed(Exception):
    """Bytes from outside that are not what they claim to be; the text says what was wrong with them."""


class PeerError(Exception):
    """A peer broke the protocol; it carries the answer that the peer is owed (RFC 2748, 2.2.8).

    `node` is the name of the node that the answer is about, where there is one; `reason` is said to the
    people at the other side.
    """

    def __init__(
        self, code: int, sub_code: int, why: str, node: str | None = None, reason: str | None = None
    ) -> None:
        super().__init__(why)
        self.code = code
        self.sub_code = sub_code
        self.node = node
        self.reason = reason
