"""Pictures of every page in both looks, of a real cluster that has been used: `dev.py screenshots`.

Arguments: the folder to write them to; [--language es]; [--size 1180x800].
"""

import argparse
import io
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from backend.client import ClusterClient
from backend.desktop.bridge import Bridge, DownloadsFolder
from backend.desktop.gallery import png
from backend.desktop.link import Target
from backend.transfers import add_example
from shared.datasets import load_inputs, load_outputs
from tests.browser.chromium import ARGUMENTS, CHROMIUM
from tests.browser.hands import PAGES, draw_seven, drop, visit
from tests.live.cluster import LiveCluster

SAMPLES = Path(__file__).parents[2] / "packaging" / "samples"
WITHIN_MS = 120_000
EXAMPLES = 60
PERSON = "ana@lab-3"
COLOURS = 128
"""A page has few colours: the pictures are a third as large."""


def main() -> int:
    options = _options()
    width, height = (int(part) for part in options.size.split("x"))
    options.folder.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=WITHIN_MS)
    with _used_cluster() as bridge, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for scheme in ("light", "dark"):
            context = browser.new_context(
                viewport={"width": width, "height": height},
                device_scale_factor=options.scale,
                locale="es-PE" if options.language == "es" else "en-US",
                color_scheme=scheme,
                reduced_motion="reduce",
            )
            page = context.new_page()
            page.goto(bridge.address)
            if scheme == "light":
                _use(page)
            for name in PAGES:
                _show(page, name)
                _write(page.screenshot(), options.folder / f"app-{name}-{scheme}.png")
            context.close()
        browser.close()
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev.py screenshots", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--language", choices=("en", "es"), default="en")
    parser.add_argument("--size", default="1180x800")
    parser.add_argument("--scale", type=float, default=1.0)
    return parser.parse_args()


@contextmanager
def _used_cluster() -> Iterator[Bridge]:
    """A bridge on three workers, with a data set that has grown."""
    with (
        tempfile.TemporaryDirectory(prefix="minka-") as folder,
        LiveCluster(Path(folder), 3) as cluster,
        cluster.client(name=PERSON) as client,
    ):
        images = load_inputs(SAMPLES / "mnist-test-images.idx.gz", "images")
        labels = load_outputs(SAMPLES / "mnist-test-labels.idx.gz", "labels")
        for image, label in zip(images[:EXAMPLES], labels, strict=False):
            add_example(client, png(image), "digits of our class", label)
        addresses = tuple(("127.0.0.1", port) for port in cluster.ports.values())
        target = Target(addresses, cluster.client_key)
        with Bridge(lambda: target, _as_a_person, DownloadsFolder(Path(folder))) as bridge:
            yield bridge


def _as_a_person(target: Target, timeout_s: float) -> ClusterClient:
    return ClusterClient(target.addresses, target.key, timeout_s, PERSON)


def _use(page: Page) -> None:
    """What a person does before there is anything to show."""
    expect(page.locator("#link-state")).to_contain_text("3")
    drop(page, sorted(SAMPLES.glob("*.gz")))
    expect(page.locator("#rows tr")).to_have_count(4)
    for name, arch, epochs in (("digits", "mlp", "6"), ("digits", "cnn", "4")):
        visit(page, "train")
        expect(page.locator("[name=test_outputs] option:checked")).to_contain_text("mnist-test-labels")
        page.locator(f"[name=arch][value={arch}]").check()
        page.locator("[name=name]").fill(name)
        page.locator("[name=epochs]").fill(epochs)
        page.locator("#form [type=submit]").click()
        expect(page.locator("#progress h2")).to_have_text(name)
        expect(page.locator("#progress [data-tone=good]").first).to_be_visible()
        page.reload()
    visit(page, "models")
    page.locator("[data-form=evaluate] [type=submit]").click()
    expect(page.locator("#evaluation .confusion")).to_be_visible()
    page.locator("[name=alias]").fill("best")
    page.locator("[data-form=promote] [type=submit]").click()
    expect(page.locator("#aliases .chip")).to_be_visible()


def _show(page: Page, name: str) -> None:
    visit(page, "datasets/digits of our class" if name == "datasets" else name)
    if name == "datasets":
        expect(page.locator("#thumbs img[src]")).to_have_count(48)
    if name == "models":
        page.locator("#compare-with").select_option(index=1)
        expect(page.locator(".compare-table")).to_be_visible()
    if name == "try":
        expect(page.locator("#model")).not_to_have_value("")
        draw_seven(page)
        expect(page.locator("#verdict .big")).to_have_text("7")
    if name == "cluster":
        expect(page.locator("#figures")).to_contain_text(
            "equal" if page.locator("[lang=en]").count() else "iguales"
        )
    if name in ("files", "records"):
        expect(page.locator("#rows tr").first).to_be_visible()


def _write(picture: bytes, path: Path) -> None:
    with Image.open(io.BytesIO(picture)) as image:
        image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
