"""Pictures a second of the page while a large overlay's figures change each second.

`python -m bench.page --nodes 300 --groups 500`: serves a status that nobody's node has, opens the page in
Chromium without a screen, and counts requestAnimationFrame in each view, and with a stream's charts open.
The longest pause between two pictures is what a person would see as a jerk.  `empty` is a page with nothing
in it in the same browser: what this machine can do at all.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.browser import Browser

COUNT = """new Promise(done => {
  const began = performance.now(); let last = began, frames = 0, longest = 0;
  const look = now => { frames += 1; longest = Math.max(longest, now - last); last = now;
    now - began < %d ? requestAnimationFrame(look) : done([frames * 1000 / (now - began), longest]); };
  requestAnimationFrame(look); })"""
SETTLE = "new Promise(done => setTimeout(done, 2000))"  # a view is made once, and then kept up to date
VIEWS = ("tree", "streams", "groups", "nodes", "events")
MESH = "mesh"  # and its view


def measure(
    nodes: int, groups: int, seconds: float, views: Sequence[str], mesh: bool = False
) -> dict[str, dict[str, float]]:
    told = ["--nodes", str(nodes), "--groups", str(groups), *(["--mesh"] if mesh else [])]
    serving = subprocess.Popen(
        [sys.executable, "-m", "tests.web.synthetic", *told], stdout=subprocess.PIPE, text=True
    )
    assert serving.stdout
    url = f"http://127.0.0.1:{serving.stdout.readline().split()[0]}/"
    found = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = Browser(folder=Path(folder))
        try:
            count = COUNT % (seconds * 1000)
            found["empty"] = browser.ask(count)
            browser.go(url)
            browser.until("document.querySelectorAll('.lane').length", "the tree")
            for view in views:
                browser.click(f"#tab-{view}")
                browser.ask(SETTLE)
                found[view] = browser.ask(count)
            browser.click("#tab-streams")
            browser.click("#panel-streams tbody tr")
            browser.ask(SETTLE)
            found["streams and charts"] = browser.ask(count)
        finally:
            browser.close()
            serving.send_signal(signal.SIGTERM)
            serving.wait()
    return {
        view: {"pictures a second": round(rate, 1), "longest pause, ms": round(pause, 1)}
        for view, (rate, pause) in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.page", description=__doc__)
    parser.add_argument("--nodes", type=int, default=300)
    parser.add_argument("--groups", type=int, default=500)
    parser.add_argument("--view", choices=(*VIEWS, MESH), action="append", help="only these")
    parser.add_argument("--mesh", action="store_true", help="all are neighbours in a mesh; its view, too")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each view is counted")
    told = parser.parse_args()
    views = told.view or (*VIEWS, *([MESH] if told.mesh else []))
    print(json.dumps(measure(told.nodes, told.groups, told.seconds, views, told.mesh), indent=1))


if __name__ == "__main__":
    main()
