"""A real Chromium without a window, driven over its debugging pipe.

The protocol: https://chromedevtools.github.io/devtools-protocol. Messages are JSON, each ended by a
NUL, on the descriptors 3 (to the browser) and 4 (from it) of `--remote-debugging-pipe`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

Message = dict[str, Any]
NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
OPTIONS: Final = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-default-apps", "--disable-extensions", "--mute-audio", "--no-pings"),
    # The same letters everywhere: no hinting, no smoothing by the order of a screen's colours.
    *("--font-render-hinting=none", "--disable-lcd-text", "--force-device-scale-factor=1"),
    "--disable-dev-shm-usage",
)


class Page:
    """One page: what it asked for, and what it wrote to its console, is noted from the start."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self.session = session
        self.requests: list[str] = []
        self.blocked: list[str] = []
        """what the page asked for, and its policy did not let it have"""
        self._by_id: dict[str, str] = {}
        self.console: list[str] = []
        self.dialogs: list[str] = []
        browser.pages[session] = self
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> Message:
        return self._browser.send(method, self.session, **params)

    def note(self, message: Message) -> None:
        """Take an event of the browser."""
        params = message.get("params", {})
        match message["method"]:
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
                self._by_id[params["requestId"]] = self.requests[-1]
            case "Network.loadingFailed" if params.get("blockedReason") == "csp":
                self.blocked.append(self._by_id[params["requestId"]])
            case "Runtime.consoleAPICalled":
                self.console.append(json.dumps(params["args"]))
            case "Runtime.exceptionThrown":
                self.console.append(json.dumps(params["exceptionDetails"]))
            case "Log.entryAdded":
                self.console.append(params["entry"]["text"])
            case "Page.javascriptDialogOpening":
                self.dialogs.append(params["message"])
            case _:
                pass

    def open(self, path: Path, width: int = 1400, *, dark: bool = False) -> None:
        """Open a file at a width in pixels and in a colour scheme, and wait until it is loaded."""
        scheme = "dark" if dark else "light"
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.send("Emulation.setEmulatedMedia", features=features)
        self.size(width, 1000)
        self.send("Page.navigate", url=path.as_uri())
        self._browser.wait("Page.loadEventFired", self.session)

    def size(self, width: int, height: int) -> None:
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip

    def evaluate(self, expression: str) -> Any:
        """The value of an expression, as JSON has it. Runs beside the page's own policy."""
        answer = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def picture(self, height: int | None = None, *, small: bool = False) -> bytes:
        """A picture of the page, all of it or its first `height` pixels: a PNG, or a WebP of a third
        of the size whose colours are not exact."""
        metrics = self.send("Page.getLayoutMetrics")["cssContentSize"]
        shown = min(height or metrics["height"], metrics["height"])
        clip = {"x": 0, "y": 0, "width": metrics["width"], "height": shown, "scale": 1}
        form = {"format": "webp", "quality": 80} if small else {"format": "png"}
        answer = self.send("Page.captureScreenshot", captureBeyondViewport=True, clip=clip, **form)
        return b64decode(answer["data"])


class Browser:
    """The browser's process and its pipe."""

    def __init__(self, process: subprocess.Popen[bytes], write: int, read: int) -> None:
        self._process = process
        self._write, self._read = write, read
        self._buffer = b""
        self._last = 0
        self._events: list[Message] = []
        self.pages: dict[str, Page] = {}

    def new_page(self) -> Page:
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Page(self, session)

    def send(self, method: str, session: str | None = None, **params: Any) -> Message:
        """The answer to a command.

        Raises:
            AssertionError: the browser refused it, or has gone.
        """
        self._last += 1
        message: Message = {"id": self._last, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        while True:
            answer = self._next()
            if answer.get("id") == self._last:
                assert "error" not in answer, (method, answer)
                return answer["result"]

    def wait(self, event: str, session: str) -> Message:
        """The next such event of a page, which may have come already."""
        while True:
            for place, message in enumerate(self._events):
                if message["method"] == event and message.get("sessionId") == session:
                    del self._events[: place + 1]
                    return message
            self._next()

    def _next(self) -> Message:
        while b"\0" not in self._buffer:
            data = os.read(self._read, 1 << 20)
            assert data, "the browser has gone"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: Message = json.loads(line)
        if "method" in message:
            page = self.pages.get(message.get("sessionId", ""))
            if page is not None:
                page.note(message)
            self._events.append(message)
        return message


def program() -> str:
    """The browser on this machine.

    Raises:
        AssertionError: there is none.
    """
    paths = [path for name in NAMES if (path := shutil.which(name))]
    assert paths, "no Chromium: run tools/test-components.sh"
    return paths[0]


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """A browser with a profile of its own in `folder`."""
    to_browser, write = os.pipe()
    read, from_browser = os.pipe()
    profile = folder / "profile"
    command = [program(), *OPTIONS, f"--user-data-dir={profile}", "--remote-debugging-pipe"]

    # The browser expects the two at exactly these numbers.
    script = f'exec 3<&{to_browser} 4>&{from_browser}; exec "$@"'
    environment = {**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config")}
    process = subprocess.Popen(
        ["bash", "-c", script, "bash", *command],
        pass_fds=(to_browser, from_browser), env=environment,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(to_browser)
    os.close(from_browser)
    browser = Browser(process, write, read)
    try:
        yield browser
    finally:
        os.close(write)
        process.terminate()
        process.wait(60)
        os.close(read)
