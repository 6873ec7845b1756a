"""What ends a start: said in one line, where a traceback would help nobody."""


class CannotStart(Exception):
    """A port or a socket is another's; the text says which and what to do."""
