"""Debian's Chromium without a window, driven over DevTools: a page as a person sees it."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import aiohttp

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")


class Chromium:
    """A browser with one page. Scripts are JavaScript expressions; promises are waited for."""

    def __init__(self, profile: Path, width: int = 1500, height: int = 950) -> None:
        assert PROGRAM is not None
        self._loop = asyncio.new_event_loop()
        self._profile = profile
        self._log = open(profile.with_suffix(".log"), "w")  # noqa: SIM115
        self._process = subprocess.Popen(
            [
                *(
                    PROGRAM,
                    "--headless",
                    "--no-sandbox",
                    "--disable-gpu",
                    "--disable-dev-shm-usage",
                ),
                *("--no-first-run", "--disable-background-networking", "--disable-sync"),
                *("--remote-debugging-port=0", f"--user-data-dir={profile}"),
                *(f"--window-size={width},{height}", "about:blank"),
            ],
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        self._asked = 0
        self.heard: list[dict[str, Any]] = []
        """The browser's own messages, in order: requests, errors, logs, once `listen`ed to."""
        try:
            self._loop.run_until_complete(self._connect())
            self._ask("Page.enable")
        except BaseException:
            self.close()
            raise

    async def _connect(self) -> None:
        port_file = self._profile / "DevToolsActivePort"
        until = time.monotonic() + 60
        while not port_file.exists() or not port_file.read_text().strip():
            assert self._process.poll() is None, "Chromium does not start"
            assert time.monotonic() < until, "Chromium does not open its port"
            await asyncio.sleep(0.1)
        port = port_file.read_text().split()[0]
        self._session = aiohttp.ClientSession()
        async with self._session.get(f"http://127.0.0.1:{port}/json") as answer:
            (page,) = [one for one in await answer.json() if one["type"] == "page"]
        self._socket = await self._session.ws_connect(
            page["webSocketDebuggerUrl"], max_msg_size=0, timeout=aiohttp.ClientWSTimeout(60)
        )

    def open(self, url: str) -> None:
        """Goes to an address, and does not wait for what scripts load there."""
        self._ask("Page.navigate", url=url)

    def listen(self) -> None:
        """Keeps what the page asks the network for, and what it writes to the console."""
        for domain in ("Network", "Runtime", "Log"):
            self._ask(f"{domain}.enable")

    def resize(self, width: int, height: int = 950) -> None:
        """Makes the page so wide and high, without scroll bars, as on a phone or in a window."""
        self._ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def press(self, key: str) -> None:
        """Presses a key, such as `Enter` or `ArrowRight`, in whatever has the focus."""
        text = {"text": "\r"} if key == "Enter" else {}
        self._ask("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, **text)
        self._ask("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)

    def run(self, script: str) -> Any:
        """Returns what a script comes to in the page."""
        found = self._ask(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait_for(self, script: str, timeout_s: float = 90) -> Any:
        """Returns what a script comes to, as soon as it is true."""
        until = time.monotonic() + timeout_s
        while not (found := self.run(f"document.body && ({script})")):
            assert time.monotonic() < until, f"{script} is not true of: {self.text()[:3000]}"
            time.sleep(0.2)
        return found

    def text(self) -> str:
        """Returns what can be read on the page."""
        return self.run("document.body ? document.body.innerText : ''")

    def screenshot(self, path: Path) -> None:
        """Writes what can be seen as a PNG."""
        found = self._ask("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(found["data"]))

    def close(self) -> None:
        """Ends it, with all of its processes."""
        if hasattr(self, "_socket"):
            self._loop.run_until_complete(self._socket.close())
        if hasattr(self, "_session"):
            self._loop.run_until_complete(self._session.close())
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._log.close()
        self._loop.close()

    def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        return self._loop.run_until_complete(self._answer(method, params))

    async def _answer(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self._asked += 1
        await self._socket.send_str(
            json.dumps({"id": self._asked, "method": method, "params": params})
        )
        while True:
            message = json.loads(await self._socket.receive_str(timeout=60))
            if "method" in message:
                self.heard.append(message)
            if message.get("id") == self._asked:
                assert "error" not in message, message
                return message["result"]
