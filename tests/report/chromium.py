"""A headless Chromium, driven over its debugging pipe with nothing but the standard library.

Protocol: JSON messages that end in a zero byte, on file descriptors 3 (to the browser) and 4 (from
it), see https://chromedevtools.github.io/devtools-protocol/.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


def find_chromium() -> str | None:
    """Return the browser's program, or None."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if (path := shutil.which(name)) is not None:
            return path
    return None


class Browser:
    """One browser with one page. Use as a context manager."""

    def __init__(self, program: str, profile: Path, *, timeout_s: float = 40.0) -> None:
        self.timeout_s = timeout_s
        self.events: list[dict[str, Any]] = []
        self._number = 0
        self._rest = b""
        self._session: str | None = None
        from_here, self._to = os.pipe()
        self._from, from_browser = os.pipe()
        command = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        # A shell puts the pipes on descriptors 3 and 4, which is where the browser looks for them.
        line = f'exec "$@" 3<&{from_here} 4>&{from_browser}'
        self._process = subprocess.Popen(
            ["bash", "-c", line, "chromium", *command],
            pass_fds=(from_here, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(from_here)
        os.close(from_browser)

    def __enter__(self) -> Browser:
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._to)
        os.close(self._from)
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)

    def open(self, page: Path, *, width: int, height: int = 900, dark: bool = False) -> None:
        """Open a page of a given width and wait until it says that it is ready."""
        self.events.clear()
        self.resize(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=page.resolve().as_uri())
        self.wait("document.documentElement?.dataset.ready === '1'")

    def resize(self, width: int, height: int = 900) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def wait(self, condition: str) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + self.timeout_s
        while not self.evaluate(condition):
            if time.monotonic() > end:
                errors = self.evaluate("document.documentElement?.dataset.errors || ''")
                raise TimeoutError(f"not true after {self.timeout_s} s: {condition} {errors}")
            time.sleep(0.05)

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def requests(self) -> list[str]:
        """Return every address asked for since the page was opened, data: addresses left out."""
        asked = [e["params"] for e in self.events if e["method"] == "Network.requestWillBeSent"]
        addresses = [params["request"]["url"] for params in asked]
        return [address for address in addresses if not address.startswith("data:")]

    def complaints(self) -> list[str]:
        """Return errors that the page threw or the console shows."""
        found = [str(e["params"]) for e in self.events if e["method"] == "Runtime.exceptionThrown"]
        logged = [e["params"]["entry"] for e in self.events if e["method"] == "Log.entryAdded"]
        found += [str(entry) for entry in logged if entry["level"] in ("error", "warning")]
        said = [e["params"] for e in self.events if e["method"] == "Runtime.consoleAPICalled"]
        return found + [str(s["args"]) for s in said if s["type"] in ("error", "warning")]

    def screenshot(self, file: Path, *, full: bool = True) -> None:
        options: dict[str, Any] = {"format": "png", "captureBeyondViewport": full}
        if full:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            options["clip"] = {**size, "x": 0, "y": 0, "scale": 1}
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", **options)["data"]))

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result; events that come before it are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            if "method" in answer:
                self.events.append(answer)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._from], [], [], self.timeout_s)
            chunk = os.read(self._from, 1 << 20) if ready else b""
            if not chunk:
                raise TimeoutError(f"the browser did not answer within {self.timeout_s} s")
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\0")
        answer: dict[str, Any] = json.loads(line)
        return answer
