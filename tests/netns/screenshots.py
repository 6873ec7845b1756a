"""Pictures of the page for docs/screenshots, from running nodes: `make screenshots`, as root.

Figure 4's tree with a fifth node e.  a plays a film to c and d, b looks; then e's cable is pulled, and a
program on b sends with TTL 1.  What is seen is what such nodes do, and nothing is drawn by hand.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from multicastmw.cli.film import find_ffmpeg
from multicastmw.cli.lab import Host, Lab, wait_until
from tests.browser import Browser
from tests.netns.kit import MEDIA, Receiver, Sender, await_linked, node_ini

WEB = 8080
FILM, NEWS, DYING = "239.1.1.1", "239.1.1.2", "239.1.1.7"
LARGEST = 200 << 10  # bytes of a picture
HISTORY = 45.0  # seconds of the stream that its charts show


def film(path: Path) -> None:
    """Twenty seconds that a browser can show: H.264 and AAC."""
    subprocess.run(
        [find_ffmpeg(), "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i",
         "mandelbrot=size=640x360:rate=25:start_scale=3:end_scale=0.01:end_pts=500", "-f", "lavfi", "-i",
         "sine=frequency=330:beep_factor=4", "-t", "20", "-c:v", "libx264", "-preset", "veryfast",
         "-pix_fmt", "yuv420p", "-b:v", "1200k", "-maxrate", "1400k", "-bufsize", "1400k", "-g", "25",
         "-c:a", "aac", "-b:a", "96k", "-f", "mpegts", str(path)], check=True,
    )  # fmt: skip


def stream(host: Host, path: Path, group: str) -> None:
    url = f"rtp://{group}:{MEDIA}?localaddr=10.88.0.{host.index}&ttl=16&pkt_size=1328"
    host.spawn(
        [find_ffmpeg(), "-nostdin", "-v", "error", "-re", "-stream_loop", "-1", "-i", str(path), "-c", "copy",
         "-f", "rtp_mpegts", url], log=f"{host.name}-film-{group}",
    )  # fmt: skip


def start(lab: Lab) -> None:
    a, b, c, d, e = lab.hosts
    web = {"web": {"endpoint": f"tcp:{WEB}:interface=127.0.0.1"}}
    sessions = {
        "session:film": {
            "name": "The film",
            "group": FILM,
            "port": MEDIA,
            "description": "in a loop",
        },
        "session:news": {"name": "Evening news", "group": NEWS, "port": MEDIA},
    }
    e.start_node(node_ini(e))
    b.start_node(node_ini(b, (e,), web))
    for host in (a, c, d):
        host.start_node(node_ini(host, (b,), sessions if host is a else None))
    await_linked(b, "acde")


def take(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mcmw-shots-", ignore_cleanup_errors=True) as state:
        Path(state).chmod(0o755)
        clip = Path(state) / "clip.ts"
        film(clip)
        with Lab("mcmw-shots", state, "abcde") as lab:
            start(lab)
            a, b, c, d, e = lab.hosts
            Receiver(c, FILM, NEWS)
            Receiver(d, FILM, DYING)
            stream(a, clip, FILM)
            stream(a, clip, NEWS)
            browser = Browser(b, Path(state))
            try:
                shoot(browser, folder, b, e)
            finally:
                browser.close()


def shoot(browser: Browser, folder: Path, b: Host, e: Host) -> None:
    def picture(name: str) -> None:
        path = folder / f"{name}.png"
        browser.picture(path)
        small(path)
        print(f"{path}: {path.stat().st_size / 1024:.0f} KiB", file=sys.stderr)

    browser.size(1440, 860)
    browser.prefers(color_scheme="dark")
    browser.go(f"http://127.0.0.1:{WEB}/")
    browser.until("document.querySelectorAll('.strand').length >= 4", "films along the links")
    browser.until(f"performance.now() > {HISTORY * 1000}", "some history", HISTORY + 10)
    e.unplug()
    Sender(b, DYING, rate=40, ttl=1)
    browser.until(
        "/e is down/.test(document.querySelector('#attention-list').innerText)", "that e is down", 40
    )
    browser.until("/dies of its TTL/.test(document.querySelector('#attention-list').innerText)", "the TTL")
    browser.click("#tab-tree")
    picture("tree-dark")
    browser.prefers(color_scheme="light")
    browser.click("#tab-streams")
    browser.click("#panel-streams tbody tr:nth-child(2)")
    wait_until(lambda: browser.ask("document.querySelectorAll('#inspector canvas').length"), 5, "charts")
    browser.until("new Promise(done => setTimeout(() => done(true), 1500))", "a look with charts")
    picture("stream-light")
    browser.press("Escape")
    watch(b)
    browser.click("#tab-sessions")
    browser.until("document.querySelectorAll('#watched tbody tr').length", "who watches over HTTP")
    browser.until("document.querySelectorAll('.play:not([disabled])').length === 2", "the sessions")
    picture("sessions-light")
    browser.prefers(color_scheme="dark")
    browser.click("#panel-sessions tbody tr:nth-child(2) .play")
    try:
        browser.until("document.querySelector('#preview-video').currentTime > 4", "the film in the preview")
    except AssertionError as error:
        raise AssertionError(f"{error}; the page says: {browser.text('#preview')}") from error
    picture("preview-dark")
    browser.press("Escape")
    browser.size(360, 740, 2)
    browser.click("#tab-tree")
    browser.until("document.querySelector('#tree').hasAttribute('data-down')", "the narrow tree")
    picture("phone-dark")
    browser.prefers(color_scheme="light")
    browser.click("#tab-sessions")
    browser.click("#panel-sessions tbody tr:nth-child(2)")
    browser.until("document.querySelectorAll('#inspector-files a').length", "what players open")
    picture("phone-light")


def watch(host: Host) -> None:
    """A player without multicast."""
    url = f"http://127.0.0.1:{WEB}/rtp/{FILM}:{MEDIA}"
    read = f"import urllib.request as r; a = r.urlopen({url!r})\nwhile a.read(1316): pass"
    host.spawn([sys.executable, "-Ic", read], log=f"{host.name}-player")


def small(path: Path) -> None:
    """A palette of 256 colours, where the picture is larger than it may be."""
    if path.stat().st_size <= LARGEST:
        return
    fewer = path.with_suffix(".new.png")
    palette = "split[a][b];[a]palettegen=max_colors=256[p];[b][p]paletteuse=dither=none"
    subprocess.run(
        [find_ffmpeg(), "-nostdin", "-v", "error", "-y", "-i", str(path), "-vf", palette, str(fewer)],
        check=True,
    )
    fewer.replace(path)


def main(arguments: Any) -> None:
    take(Path(arguments[0] if arguments else "docs/screenshots"))


if __name__ == "__main__":
    main(sys.argv[1:])
