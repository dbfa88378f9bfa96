"""A page in headless Chromium, driven over its debugging protocol; nothing has to be installed beside the browser."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
import subprocess
import time
from pathlib import Path

import aiohttp

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
    "about:blank",
)


def find_chromium():
    """Path of a Chromium, or None."""
    return next((path for path in map(shutil.which, _NAMES) if path), None)


class Page:
    """One page; used in an ``async with`` block.

    Parameters
    ----------
    folder : pathlib.Path
        For the browser's own files.
    size : tuple of int
        Of the window, in pixels.

    Attributes
    ----------
    requests, errors : list of str
        Addresses that were asked for, and what the page complained of.
    """

    def __init__(self, folder: Path, size=(1400, 860)):
        self._folder, self._size = folder, size
        self.requests, self.errors = [], []
        self._answers, self._count = {}, 0

    async def __aenter__(self):
        profile = self._folder / "profile"
        command = [find_chromium(), f"--user-data-dir={profile}", "--window-size={},{}".format(*self._size), *_FLAGS]
        self._log = open(self._folder / "chromium.log", "wb")
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        port_file = profile / "DevToolsActivePort"
        await self.wait(lambda: port_file.is_file() and port_file.read_text().count("\n"), "the browser")
        port = port_file.read_text().split()[0]
        self._session = aiohttp.ClientSession()
        async with self._session.get(f"http://127.0.0.1:{port}/json") as answer:
            pages = await answer.json()
        address = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
        self._socket = await self._session.ws_connect(address, max_msg_size=0)
        self._reader = asyncio.ensure_future(self._read())
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            await self.send(f"{domain}.enable")
        return self

    async def __aexit__(self, *exception):
        self._reader.cancel()
        await self._socket.close()
        await self._session.close()
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self._process.kill()
        self._log.close()

    async def send(self, method: str, **parameters):
        """Ask something of the browser; gives its answer."""
        self._count += 1
        number, answer = self._count, asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        await self._socket.send_str(json.dumps({"id": number, "method": method, "params": parameters}))
        return await asyncio.wait_for(answer, 60)

    async def open(self, address: str):
        await self.send("Page.navigate", url=address)

    async def value(self, script: str):
        """What a JavaScript expression gives."""
        answer = await self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def text(self, test_id: str):
        """Text of an element, None where it is not there."""
        return await self.value(f"document.querySelector('[data-testid=\"{test_id}\"]')?.innerText ?? null")

    async def until(self, script: str, seconds=120):
        """Wait for an expression to become true."""
        end = time.monotonic() + seconds
        while not await self.value(f"Boolean({script})"):
            assert time.monotonic() < end, f"waited in vain for {script}; errors: {self.errors}"
            await asyncio.sleep(0.2)

    async def click(self, test_id: str):
        await self.until(f"document.querySelector('[data-testid=\"{test_id}\"]:not([disabled])')")
        await self.value(f"document.querySelector('[data-testid=\"{test_id}\"]').click()")

    async def choose_file(self, test_id: str, path):
        """Put a file into a file field."""
        document = await self.send("DOM.getDocument")
        selector = f'[data-testid="{test_id}"] input[type=file], input[type=file][data-testid="{test_id}"]'
        found = await self.send("DOM.querySelector", nodeId=document["root"]["nodeId"], selector=selector)
        await self.send("DOM.setFileInputFiles", nodeId=found["nodeId"], files=[str(path)])

    async def press(self, key: str):
        """A key, in the element that has the focus."""
        codes = {"ArrowRight": 39, "ArrowLeft": 37}
        for kind in ("keyDown", "keyUp"):
            await self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key])

    async def open_section(self, title: str, holding: str):
        """Open a section of the panel unless it shows the element that it holds."""
        if await self.text(holding) is None:
            panel = f"[...document.querySelectorAll('.v-expansion-panel')].find(e => e.innerText.startsWith('{title}'))"
            await self.value(f"{panel}.querySelector('button').click()")

    async def box(self, selector: str, number=0):
        """Left, top, width and height of an element, in pixels."""
        return await self.value(
            f"(r => [r.left, r.top, r.width, r.height])(document.querySelectorAll('{selector}')[{number}]"
            ".getBoundingClientRect())"
        )

    async def save_to(self, folder):
        """Where downloads go."""
        await self.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    async def drag(self, start, stop, steps=8):
        """Press the left button at a place, move it to another and let go."""
        await self._mouse("mousePressed", start, buttons=1)
        for step in range(1, steps + 1):
            share = step / steps
            await self._mouse("mouseMoved", [a + share * (b - a) for a, b in zip(start, stop)], buttons=1)
            await asyncio.sleep(0.05)
        await self._mouse("mouseReleased", stop)

    async def move(self, place):
        await self._mouse("mouseMoved", place)

    async def picture(self) -> bytes:
        """The page as PNG."""
        return base64.b64decode((await self.send("Page.captureScreenshot", format="png"))["data"])

    async def _mouse(self, kind, place, buttons=0):
        button = "none" if kind == "mouseMoved" and not buttons else "left"
        await self.send(
            "Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button=button, buttons=buttons, clickCount=1
        )

    async def _read(self):
        async for message in self._socket:
            said = json.loads(message.data)
            if "id" in said:
                answer = self._answers.pop(said["id"])
                if not answer.done():
                    answer.set_result(said.get("result", said.get("error")))
            elif said["method"] == "Network.requestWillBeSent":
                self.requests.append(said["params"]["request"]["url"])
            elif said["method"] == "Network.webSocketCreated":
                self.requests.append(said["params"]["url"])
            elif said["method"] == "Runtime.exceptionThrown":
                self.errors.append(said["params"]["exceptionDetails"]["text"])
            elif said["method"] == "Log.entryAdded" and said["params"]["entry"]["level"] == "error":
                self.errors.append(said["params"]["entry"]["text"])

    @staticmethod
    async def wait(true, what, seconds=120):
        """Wait for something that is not in the page."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"waited in vain for {what}"
            await asyncio.sleep(0.1)
