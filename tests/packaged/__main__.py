"""Drives the packaged programs as a person does: `python -m tests.packaged FOLDER`, which holds what `dev.py package` made.

A cluster of packaged workers trains on the sample digits; the packaged window opens on it under Xvfb; a stroke is drawn
there with the mouse, and the workers hold the record of the prediction. A second argument names the file of a picture of
it. Exits with 1 at the first step that fails.
"""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image, ImageChops, ImageGrab, ImageStat
from playwright.sync_api import Locator, Page, sync_playwright

from tests.browser.chromium import ARGUMENTS, CHROMIUM

T = TypeVar("T")

SAMPLES = Path(__file__).parents[2] / "packaging" / "samples"
ROLES = {
    "--inputs": "mnist-train-images.idx.gz",
    "--outputs": "mnist-train-labels.idx.gz",
    "--test-inputs": "mnist-test-images.idx.gz",
    "--test-outputs": "mnist-test-labels.idx.gz",
}
SCREEN, WINDOW = (1280, 900), (1180, 800)
WITHIN_S = 90.0
LOOK_S = 0.1
STARTS = 3
ALIKE = 2.0
"""Grey levels that two pictures of the same page are apart, at most, on the average: a pointer, a clock."""


def main() -> int:
    built, picture = Path(sys.argv[1]), Path(sys.argv[2]) if sys.argv[2:] else None
    suffix = ".exe" if sys.platform == "win32" else ""
    with tempfile.TemporaryDirectory(prefix="minka-packaged-") as folder:
        minka = built / "Minka" / f"minka{suffix}"
        with running_cluster(minka, Path(folder)) as environment:
            try_commands(minka, environment, Path(folder))
            try_headless_worker(built / "minka-worker" / f"minka-worker{suffix}")
            with screen() as shown:
                window = minka.with_name(f"minka-desktop{suffix}")
                try_window(window, minka, environment | shown, picture)
    return 0


def say(program: Path, environment: dict[str, str], *arguments: str) -> Any:
    """What the program answers, as JSON."""
    ran = subprocess.run(
        [program, *arguments, "--json"], env=environment, capture_output=True, text=True, timeout=WITHIN_S
    )
    if ran.returncode:
        raise SystemExit(f"{program.name} {' '.join(arguments)}: {ran.stdout}{ran.stderr}")
    return json.loads(ran.stdout)


@contextlib.contextmanager
def running_cluster(minka: Path, folder: Path) -> Iterator[dict[str, str]]:
    """The environment in which `minka` finds three packaged workers, which end with the block."""
    home = folder / "home"
    home.mkdir()
    environment = os.environ | {"HOME": str(home), "XDG_RUNTIME_DIR": str(home)}
    data = str(folder / "cluster")
    started = say(minka, environment, "cluster", "up", "--workers", "3", "--data", data)
    environment["MINKA_CLUSTER"] = ",".join(worker["address"] for worker in started["workers"])
    environment["MINKA_KEYS"] = started["keys"]
    try:
        yield environment
    finally:
        say(minka, environment, "cluster", "down", "--data", data)


def try_commands(minka: Path, environment: dict[str, str], folder: Path) -> None:
    """Files there and back, training, a prediction."""
    files = {
        role: say(minka, environment, "put", str(SAMPLES / name))["files"][0] for role, name in ROLES.items()
    }
    ids = [part for role, file in files.items() for part in (role, str(file["id"]))]
    row = say(minka, environment, "train", "--name", "digits", "--epochs", "3", "--seed", "7", *ids)
    model = row["model"]
    expect(row["status"] == "done", f"training ended as {row['status']}: {row.get('error')}")
    got = folder / "got"
    say(minka, environment, "get", str(files["--inputs"]["id"]), "--output", str(got))
    expect(got.read_bytes() == (SAMPLES / ROLES["--inputs"]).read_bytes(), "a file came back changed")
    answer = say(minka, environment, "predict", model, "--inputs", str(SAMPLES / ROLES["--test-inputs"]))
    print(f"packaged workers trained {model} and answered {len(answer['outputs'])} predictions")


def try_headless_worker(program: Path) -> None:
    ran = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=WITHIN_S)
    expect(ran.returncode == 0 and "minka-worker" in ran.stdout, f"the headless worker says {ran.stderr}")


@contextlib.contextmanager
def screen() -> Iterator[dict[str, str]]:
    """The environment that leads to a screen of its own under X; other systems have theirs."""
    if sys.platform != "linux":
        yield {}
        return
    width, height = SCREEN
    command = [
        "Xvfb",
        "-displayfd",
        "1",
        "-screen",
        "0",
        f"{width}x{height}x24",
        "-noreset",
        "-nolisten",
        "tcp",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        try:
            yield {"DISPLAY": f":{server.stdout.readline().strip()}"}
        finally:
            server.terminate()


@contextlib.contextmanager
def twin(program: Path, environment: dict[str, str]) -> Iterator[Page]:
    """The page that the window shows, of the same size, in a browser: it tells where things are, and how they look."""
    command = [program, "desktop", "--browser"]
    with (
        subprocess.Popen(
            command, env=environment | {"BROWSER": "true"}, stderr=subprocess.PIPE, text=True
        ) as served,
        sync_playwright() as player,
    ):
        assert served.stderr is not None
        address = next(word for line in served.stderr for word in line.split() if word.startswith("http"))
        browser = player.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": WINDOW[0], "height": WINDOW[1]})
        page.goto(address)
        page.get_by_text("mnist-train-images.idx.gz").first.wait_for()
        try:
            yield page
        finally:
            browser.close()
            served.send_signal(signal.SIGINT)
            served.wait(WITHIN_S)
    expect(served.returncode == 0, f"the page for browsers ended with {served.returncode}")


def try_window(program: Path, minka: Path, environment: dict[str, str], picture: Path | None) -> None:
    """How soon the window shows the page, from start to start; then a stroke of the mouse becomes a prediction."""
    times_s = []
    with twin(minka, environment) as page:
        files = picture_of(page)
        for start in range(STARTS):
            began = time.monotonic()
            with subprocess.Popen([program], env=environment, stderr=subprocess.DEVNULL) as window:
                try:
                    until("the window shows the cluster's files", lambda: looks_like(files, environment))
                    times_s.append(time.monotonic() - began)
                    if start == STARTS - 1:
                        draw(page, minka, environment)
                        if picture is not None:
                            seen(environment).save(picture)
                finally:
                    window.terminate()
                    window.wait(WITHIN_S)
            expect(window.returncode == 0, f"the window ended with {window.returncode}")
    told = ", ".join(f"{seconds:.1f}" for seconds in times_s)
    print(f"the window showed the cluster's files {told} s after its start")


def draw(page: Page, minka: Path, environment: dict[str, str]) -> None:
    """A stroke on the pad, where the browser has it; the answer's record is on the cluster."""

    def predictions() -> int:
        records = say(minka, environment, "records", "--tail", "50")["records"]
        return sum(record["kind"] == "predict" for record in records)

    before = predictions()
    link = page.locator("a[href='#/try']")
    hand(environment, "mousemove", *map(str, center(link, environment)), "click", "1")
    link.click()
    page.locator("#pad").wait_for()
    pad = picture_of(page)
    until("the window shows the pad", lambda: looks_like(pad, environment))
    x, y = center(page.locator("#pad"), environment)
    steps = [part for down in range(-90, 100, 10) for part in ("mousemove", str(x), str(y + down))]
    hand(environment, *steps[:3], "mousedown", "1")
    hand(environment, *steps[3:], "mouseup", "1")
    until("the cluster has the record", lambda: predictions() > before)
    print("a stroke drawn in the window was predicted, and recorded by the cluster")


def center(part: Locator, environment: dict[str, str]) -> tuple[int, int]:
    """On the screen."""
    box, (left, top) = part.bounding_box(), corner(environment)
    assert box is not None
    return round(left + box["x"] + box["width"] / 2), round(top + box["y"] + box["height"] / 2)


def corner(environment: dict[str, str]) -> tuple[int, int]:
    """Where the window stands on the screen; (0, 0) as long as there is none."""
    asked = ["xdotool", "search", "--onlyvisible", "--name", "Minka", "getwindowgeometry", "--shell"]
    said = subprocess.run(asked, env=environment, check=False, capture_output=True, text=True).stdout
    places = dict(line.split("=") for line in said.split())
    return int(places.get("X", 0)), int(places.get("Y", 0))


def hand(environment: dict[str, str], *arguments: str) -> None:
    """What the mouse does."""
    subprocess.run(["xdotool", *arguments], env=environment, check=True, capture_output=True)


def picture_of(page: Page) -> Image.Image:
    """What the browser shows."""
    return Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("L")


def looks_like(page: Image.Image, environment: dict[str, str]) -> bool:
    """Whether the window on the screen shows the same."""
    return ImageStat.Stat(ImageChops.difference(page, seen(environment).convert("L"))).mean[0] < ALIKE


def seen(environment: dict[str, str]) -> Image.Image:
    """The part of the screen where the window stands."""
    left, top = corner(environment)
    box = (left, top, left + WINDOW[0], top + WINDOW[1])
    return ImageGrab.grab(xdisplay=environment["DISPLAY"]).crop(box)


def until(what: str, look: Callable[[], T]) -> T:
    """The first true value that `look` gives."""
    deadline = time.monotonic() + WITHIN_S
    while not (seen := look()):
        expect(time.monotonic() < deadline, f"not within {WITHIN_S:g} s: {what}")
        time.sleep(LOOK_S)
    return seen


def expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise SystemExit(f"The packaged programs fail: {otherwise}")


if __name__ == "__main__":
    sys.exit(main())
