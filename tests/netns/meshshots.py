"""A mesh of six nodes in as many towns: its pictures on the page, and what `mcmw show` says of it.

    python -m tests.netns.meshshots docs/screenshots        as root; what the commands print goes to stdout

berlin sends a film and can feed one node, as its uplink is short; the others want it.  The page is prague's.
"""

import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from bench.wan.internet import DelayedInternet
from multicastmw.cli.lab import Host, Lab, wait_until
from tests.browser import Browser
from tests.netns.kit import PORT, Receiver, let_pass, mcmw, node_ini
from tests.netns.screenshots import FILM, WEB, film, small, stream

TOWNS = {
    "berlin": (0, 0), "prague": (4, 1), "vienna": (8, 2), "zurich": (3, 7), "madrid": (12, 16),
    "oslo": (3, -9),
}  # fmt: skip
SHORT = 3_000  # kbit/s: slots for one child, with a film of 1.5 Mbit/s
LONG = 6_000
LOSS = 0.005
SETTLED = 40.0  # seconds for a tree to settle


def delays() -> dict[tuple[str, str], float]:
    """Milliseconds one way, as far apart as the towns are on the page above."""
    return {
        (one, other): (1 + (abs(x - u) ** 2 + abs(y - v) ** 2) ** 0.5) / 1000
        for one, (x, y) in TOWNS.items()
        for other, (u, v) in TOWNS.items()
        if one < other
    }


def start(host: Host, seed: Host) -> None:
    options: dict[str, object] = {"engine": "mesh", "uplink": SHORT if host.name == "berlin" else LONG}
    options |= {"role": "relay"} if host is seed else {"seeds": f"tcp:{seed.address}:{PORT}"}
    session = (
        {"session:film": {"name": "The film", "group": FILM, "port": 5004}} if host.name == "berlin" else {}
    )
    web = {"web": {"endpoint": f"tcp:{WEB}:interface=127.0.0.1"}}
    host.start_node(node_ini(host, (), {"overlay": options, **session, **web}))


def stream_at(host: Host) -> dict[str, Any] | None:
    status = host.status()
    return next(
        (each for each in status["mesh"]["streams"] if each["group"] == FILM and not each["shared"]), None
    )


def way_to(host: Host) -> list[str]:
    found = stream_at(host)
    return found["path"] if found else []


def in_the_middle(host: Host) -> tuple[bool, int]:
    """A way of several links from the origin, and somebody behind it."""
    found = stream_at(host)
    return bool(found and found["children"]), len(way_to(host))


def say(host: Host, *arguments: str) -> None:
    code, out, error = mcmw(host, *arguments)
    print(
        f"\n{host.name}# mcmw {' '.join(arguments)}\n{out or error}" + (f"exit code {code}" if code else "")
    )


def take(folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="mcmw-shots-", ignore_cleanup_errors=True) as state:
        Path(state).chmod(0o755)
        clip = Path(state) / "clip.ts"
        film(clip)
        internet = partial(DelayedInternet, delays=delays(), loss=LOSS)
        with Lab("mcmw-mshots", state, TOWNS, internet) as lab:
            berlin, *others = lab.hosts
            for host in (others[0], berlin, *others[1:]):
                start(host, others[0])
            for host in others:
                Receiver(host, FILM)
            stream(berlin, clip, FILM)
            wait_until(lambda: all(map(way_to, others)), 60, "the film everywhere")
            let_pass(SETTLED)
            shown = max(others, key=in_the_middle)
            browser = Browser(shown, Path(state))
            try:
                shoot(browser, folder)
            finally:
                browser.close()
            for arguments in (("show", "mesh"), ("show", "tree"), ("show", "peers")):
                say(shown, *arguments)
            say(berlin, "show", "tree")


def shoot(browser: Browser, folder: Path) -> None:
    browser.size(1440, 860)
    browser.prefers(color_scheme="dark")
    browser.go(f"http://127.0.0.1:{WEB}/")
    browser.until("document.querySelectorAll('.lane').length", "the links")
    browser.click("#tab-mesh")
    browser.until("document.querySelectorAll('.streamway .hops li').length > 1", "a way of some links", 60)
    picture(browser, folder / "mesh-dark.png")
    browser.size(360, 740, 2)
    browser.prefers(color_scheme="light")
    browser.until("document.querySelector('.streamway').hasAttribute('data-down')", "the narrow way")
    browser.ask("document.querySelector('#way-title').scrollIntoView()")
    picture(browser, folder / "mesh-phone-light.png")


def picture(browser: Browser, path: Path) -> None:
    browser.picture(path)
    small(path)
    print(f"{path}: {path.stat().st_size / 1024:.0f} KiB", file=sys.stderr)


if __name__ == "__main__":
    take(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/screenshots"))
