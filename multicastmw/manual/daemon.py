"""mcmw(8): the node as a daemon, from the options of `twistd mcmw`."""

import inspect
from collections.abc import Iterator

from multicastmw.daemon import BAD_CONFIG, Options
from multicastmw.manual.roff import Name, Page

FILES = {
    "/etc/mcmw/node.ini": "The configuration that the unit mcmw.service runs a node with.",
    "/run/mcmw/NAME.sock": "The control socket of the node NAME, which `mcmw` talks to.",
}
SIGNALS = {
    "SIGHUP": "Reads the configuration again, and touches only what changed.",
    "SIGTERM, SIGINT": "Says Close to every peer, takes the routes back, and ends.",
}
ENVIRONMENT = {
    "NOTIFY_SOCKET": "Where a service manager waits for a word; see `sd_notify`(3).  Its status has what "
    "is wrong, how many peers are up, how many groups are wanted, and whether the kernel forwards.",
    "WATCHDOG_USEC": "How long it waits: the node says that it lives twice as often.",
}
CODES = {
    "0": "It was told to end, and has.",
    "1": "It could not start, or went wrong; the log says why.",
    str(BAD_CONFIG): "The command line or the configuration is wrong, and one line on stderr says where.",
}


def page(version: str, date: str) -> Page:
    made = Page(Name("mcmw", 8), "node of the Multicast Middleware, run by twistd", version, date)
    made.heading("SYNOPSIS")
    made.synopsis("twistd", f"[twistd's options] mcmw {Options.synopsis}")
    made.heading("DESCRIPTION")
    made.text(Options.longdesc)
    made.heading("OPTIONS")
    for term, says in _options():
        made.entry(term, says)
    for title, entries in (("SIGNALS", SIGNALS), ("ENVIRONMENT", ENVIRONMENT), ("FILES", FILES),
                           ("EXIT STATUS", CODES)):  # fmt: skip
        made.heading(title)
        for term, says in entries.items():
            made.entry(term, says)
    made.see_also([Name("mcmw", 1), Name("mcmw-node.ini", 5), Name("mcmw-check", 1), Name("twistd", 1)])
    return made


def _options() -> Iterator[tuple[str, str]]:
    """As `twistd mcmw --help` lists them."""
    options = Options()
    short = {name: sign for sign, name in options.synonyms.items() if len(sign) == 1}
    for word in options.longOpt:
        name = word.removesuffix("=")
        if options.synonyms.get(name, name) != name:
            continue
        says = inspect.cleandoc(options.docs.get(name) or "")
        value = f" {name.upper()}" if word.endswith("=") else ""
        yield (f"-{short[name]}, " if name in short else "") + f"--{name}{value}", says
