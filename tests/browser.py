"""Chromium without a screen, spoken to over two pipes (DevTools protocol): what the page's tests look with.

It runs as nobody, for it refuses to be root with its sandbox, in the network namespace of a host if one is
given.  Every request that it makes and everything that it complains of is kept.
"""

import atexit
import base64
import fcntl
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from multicastmw.cli.lab import Host
from multicastmw.cli.lab.process import Process

PATIENCE = 60.0  # seconds for what takes a fraction of one on an idle machine
PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FIRST_FREE = 10  # descriptors below are those of the pipes' other ends
EXEC = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4);"
    "os.execvp(sys.argv[3], sys.argv[3:])"
)
QUIET = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--no-default-browser-check", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-default-apps", "--disable-extensions", "--disable-domain-reliability",
    "--no-pings", "--no-proxy-server", "--mute-audio", "--autoplay-policy=no-user-gesture-required",
    "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
KEYS = {
    "Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40,
    "Home": 36, "End": 35,
}  # fmt: skip


SHARED: "list[Browser]" = []


class BrowserError(Exception):
    """The browser could not do what it was told; the text is its own."""


class Browser:
    """One window with one page."""

    def __init__(self, host: Host | None = None, folder: Path | None = None) -> None:
        if PROGRAM is None:
            raise BrowserError("chromium is missing: apt install chromium")
        self._own = None if folder else tempfile.mkdtemp(prefix="mcmw-browser-")
        self._home = Path(folder or self._own or "") / "browser"
        self._home.mkdir(exist_ok=True)
        for path in (self._home.parent, self._home):
            path.chmod(0o777)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._answers: dict[int, queue.Queue[dict[str, Any]]] = {}
        self._count = 0
        self._session = ""
        self._start(host)
        self._open()

    def _start(self, host: Host | None) -> None:
        to_read, to_write = _pipe(), _pipe()
        command = [
            sys.executable, "-ISc", EXEC, str(to_read[0]), str(to_write[1]),
            "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups",
            "env", "-C", str(self._home), f"HOME={self._home}",
            str(PROGRAM), *QUIET, f"--user-data-dir={self._home / 'profile'}", "about:blank",
        ]  # fmt: skip
        if os.geteuid():
            command[5:9] = []
        if host is not None:
            command = ["ip", "netns", "exec", host.namespace, *command]
        log = self._home / "browser.log"
        with log.open("wb") as errors:
            self._popen = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, start_new_session=True,
                pass_fds=(to_read[0], to_write[1]),
            )  # fmt: skip
        if host is not None:
            host.lab.own(Process(self._popen, "chromium", log, log))
        os.close(to_read[0])
        os.close(to_write[1])
        self._in, self._out = to_read[1], to_write[0]
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _open(self) -> None:
        self._target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=self._target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.size(1440, 900)

    def fresh(self) -> None:
        """A new window, and nothing known of the old one's; what pages have kept stays, by their origins."""
        self._session = ""
        self.call("Target.closeTarget", targetId=self._target)
        self.requests.clear()
        self.complaints.clear()
        self._open()

    # --- the protocol

    def _read(self) -> None:
        left = b""
        while chunk := os.read(self._out, 1 << 20):
            *messages, left = (left + chunk).split(b"\0")
            for message in messages:
                self._received(json.loads(message))
        for answer in list(self._answers.values()):
            answer.put({"error": {"message": "the browser ended"}})

    def _received(self, message: dict[str, Any]) -> None:
        if "id" in message:
            if answer := self._answers.get(message["id"]):
                answer.put(message)
            return
        told = message.get("params", {})
        match message["method"]:
            case "Network.requestWillBeSent":
                self.requests.append(told["request"]["url"])
            case "Runtime.exceptionThrown":
                details = told["exceptionDetails"]
                self.complaints.append(details.get("exception", {}).get("description") or details["text"])
            case "Log.entryAdded":
                entry = told["entry"]
                if entry["level"] == "error":
                    self.complaints.append(f"{entry['text']} {entry.get('url', '')}")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._count += 1
        number = self._count
        answer = self._answers[number] = queue.Queue()
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._in, data) :]
        try:
            said = answer.get(timeout=PATIENCE)
        except queue.Empty:
            raise BrowserError(f"no answer to {method} within {PATIENCE:g} s") from None
        finally:
            del self._answers[number]
        if "error" in said:
            raise BrowserError(f"{method}: {said['error']['message']}")
        result: dict[str, Any] = said["result"]
        return result

    # --- what a person does

    def go(self, url: str) -> None:
        said = self.call("Page.navigate", url=url)
        if text := said.get("errorText"):
            raise BrowserError(f"{url}: {text}")

    def reload(self) -> None:
        self.call("Page.reload")

    def size(self, width: int, height: int, scale: float = 1.0) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )

    def prefers(self, **features: str) -> None:
        """Media features, as in color_scheme="dark"."""
        told = [
            {"name": f"prefers-{name.replace('_', '-')}", "value": value} for name, value in features.items()
        ]
        self.call("Emulation.setEmulatedMedia", features=told)

    def press(self, *keys: str, shift: bool = False) -> None:
        """Keys by their names, as KeyboardEvent.key has them."""
        for key in keys:
            told: dict[str, Any] = {"key": key, "modifiers": 8 if shift else 0}
            if key in KEYS:
                told |= {"windowsVirtualKeyCode": KEYS[key], "code": key}
            if len(key) == 1 or key == "Enter":
                told["text"] = "\r" if key == "Enter" else key
            self.call("Input.dispatchKeyEvent", type="keyDown", **told)
            self.call(
                "Input.dispatchKeyEvent", type="keyUp", **{k: v for k, v in told.items() if k != "text"}
            )

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    # --- what a person sees

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited."""
        said = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if details := said.get("exceptionDetails"):
            raise BrowserError(
                f"{expression}: {details.get('exception', {}).get('description') or details['text']}"
            )
        return said["result"].get("value")

    def until(self, expression: str, what: str, timeout: float = PATIENCE) -> Any:
        """The first value that is true."""
        until = time.monotonic() + timeout
        while not (value := self.ask(expression)):
            if time.monotonic() >= until:
                raise AssertionError(f"not seen within {timeout:g} s: {what}")
            time.sleep(0.03)
        return value

    def sees(self, selector: str) -> None:
        """Scrolls to it, and waits until it is laid out; what is out of sight may have no text yet."""
        found = json.dumps(selector)
        self.until(
            f"(seen => {{ seen?.scrollIntoView({{block: 'nearest'}});"
            " return seen?.checkVisibility({contentVisibilityAuto: true}) && seen.innerText; })"
            f"(document.querySelector({found}))",
            f"{selector} in sight",
        )

    def text(self, selector: str) -> str:
        return str(self.ask(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def texts(self, selector: str) -> list[str]:
        found: list[str] = self.ask(
            f"[...document.querySelectorAll({json.dumps(selector)})].map(each => each.innerText)"
        )
        return found

    def click(self, selector: str) -> None:
        self.ask(f"document.querySelector({json.dumps(selector)}).click()")

    def picture(self, path: Path) -> None:
        """What is in the window, as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    # --- its end

    def close(self) -> None:
        if self._popen.poll() is None:
            session, self._session = self._session, ""
            try:
                self.call("Browser.close")
            except (BrowserError, OSError):
                self._session = session
            try:
                self._popen.wait(10)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
        self._reader.join(10)
        for descriptor in (self._in, self._out):
            os.close(descriptor)
        if self._own:
            shutil.rmtree(self._own, ignore_errors=True)


def shared() -> Browser:
    """The one of this process, with a fresh window: starting one takes seconds."""
    if not SHARED:
        SHARED.append(Browser())
        atexit.register(SHARED[0].close)
    else:
        SHARED[0].fresh()
    return SHARED[0]


def _pipe() -> tuple[int, int]:
    """To read from and to write to, out of the way of the numbers that the browser wants them at."""
    ends = os.pipe()
    moved = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE) for end in ends)
    for end in ends:
        os.close(end)
    return moved[0], moved[1]


def why_not() -> str | None:
    """The reason why there is no browser here, None if there is one."""
    return None if PROGRAM else "chromium is missing: apt install chromium"
