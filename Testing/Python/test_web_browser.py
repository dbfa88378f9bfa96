"""The application in a real browser: a file is sent, segmented, the threshold moved, painted, undone, downloaded."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest

pytest.importorskip("trame_slicer", reason="trame-slicer is not installed: nothing can be served")

from chromium import Page, find_chromium  # noqa: E402
from ProximalFemurSegLib.desktop.stand_in import ball_image  # noqa: E402
from ProximalFemurSegLib.volume_io import read_labels, write_volume  # noqa: E402

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="Chromium is not installed: no page can be opened")

HERE = Path(__file__).resolve().parent
IMAGE = ball_image(shape=(30, 36, 42))
VOXEL_CM3 = IMAGE.grid.voxel_volume_mm3 / 1000


@pytest.fixture
def server(tmp_path):
    """Address and process of an application without an image."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / "serve_stand_in.py"), "serve", "--port", "0"],
        env={**os.environ, "PYTHONPATH": str(HERE.parents[1] / "ProximalFemurSeg")},
        stdout=subprocess.PIPE,
        stderr=(tmp_path / "server.log").open("wb"),
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        line = process.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert address, (tmp_path / "server.log").read_text()
        yield address[0], process
    finally:
        process.kill()
        process.wait()


async def volume_is(page, voxels):
    """Wait until the table says the volume of so many voxels."""
    shown = "Number(document.querySelector('[data-testid=volumes-table] td:nth-child(3)')?.innerText)"
    await page.until(f"Math.abs({shown} - {voxels * VOXEL_CM3}) < 0.06")


async def work(page, address, image, folder):
    """Do everything; the result's archive lies in the folder then."""
    values = IMAGE.array
    await page.open(address)
    await page.until("document.querySelector('[data-testid=apply]')")
    assert await page.value("document.querySelector('[data-testid=apply]').disabled")
    await page.choose_file("image-file", image)
    await page.click("apply")
    await volume_is(page, np.count_nonzero(values > 40))
    assert await page.text("status") == "Done."

    # As a user of a keyboard has it.
    await page.open_section("Threshold", "threshold")
    await page.value("document.querySelector('[data-testid=threshold] [role=slider]').focus()")
    for _ in range(10):
        await page.press("ArrowRight")
    await volume_is(page, np.count_nonzero(values > 50))
    assert await page.text("threshold-value") == "0.50"

    # A stroke through the axial slice, and back.
    await page.open_section("Correction", "paint")
    await page.click("paint")
    left, top, width, height = await page.box("img")
    start, stop = (left + 0.3 * width, top + 0.5 * height), (left + 0.5 * width, top + 0.3 * height)
    await page.move(start)
    await page.drag(start, stop)
    await page.until("document.querySelector('[data-testid=volumes-summary]').innerText.includes('Edited by hand')")
    await page.click("undo")
    await volume_is(page, np.count_nonzero(values > 50))
    await page.until("!document.querySelector('[data-testid=volumes-summary]').innerText.includes('Edited by hand')")

    await page.save_to(folder)
    await page.click("download")
    await page.wait(lambda: (folder / "ball-femur.zip").is_file(), "the archive")


def test_from_a_file_to_its_results(server, tmp_path):
    address, process = server
    image = tmp_path / "ball.nii.gz"
    write_volume(IMAGE, image)

    async def main():
        async with Page(tmp_path) as page:
            await work(page, address, image, tmp_path)
            return page.requests

    with pytest.raises(HTTPError, match="403"):
        urlopen(Request(f"{address}index.html", headers={"Origin": "http://another.example"}), timeout=60)

    requests = asyncio.run(main())
    with zipfile.ZipFile(tmp_path / "ball-femur.zip") as files:
        files.extract("segmentation.nii.gz", tmp_path)
    found = read_labels(tmp_path / "segmentation.nii.gz")
    assert np.array_equal(found.array > 0, IMAGE.array > 50) and found.grid.is_close(IMAGE.grid)

    # The page asks no other computer for anything.
    own = (address, address.replace("http", "ws"), "data:", "blob:", "chrome:", "about:")
    assert [url for url in requests if not url.startswith(own)] == []

    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert (tmp_path / "server.log").read_text().rstrip().endswith("The browser application has ended.")
