"""`dev.py bench drawn`: are digits read that are drawn small, large, thick, in a corner, or dark on light?

Trains on the sample of MNIST, draws each test image anew in these ways, and lets the cluster predict the PNGs. The part that
is read rightly is printed for each way, beside that of the test images as they are.
"""

import argparse
import io
import json
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from backend.client import ClusterClient
from backend.predictions import Batch, predict
from shared.datasets import load_inputs, load_outputs
from shared.messages import PredictInput
from tests.live.cluster import LiveCluster
from tests.live.conftest import SAMPLES
from tests.live.test_training import finished, train

CANVAS = 200
AT_ONCE = 200
TRAINING_S = 600.0
"""On two cores of a quiet machine it takes 20 s."""
JOB: dict[str, Any] = {
    "arch": "cnn",
    "epochs": 25,
    "shift": 1,
    "rotation": 12.0,
    "thickness": 0.5,
    "steps_per_round": 29,
    "seed": 1,
}


def main(arguments: list[str]) -> int:
    """Print the figures, with --json as one document."""
    parser = argparse.ArgumentParser(prog="dev.py bench drawn", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--arch", default=JOB["arch"])
    parser.add_argument("--epochs", type=int, default=JOB["epochs"])
    parser.add_argument("--shift", type=int, default=JOB["shift"], help="pixels, while it trains")
    parser.add_argument("--rotation", type=float, default=JOB["rotation"], help="degrees, while it trains")
    parser.add_argument("--thickness", type=float, default=JOB["thickness"], help="the part of thicker ones")
    parser.add_argument("--seed", type=int, default=JOB["seed"], help="of training, and of the drawings")
    parser.add_argument("--steps-per-round", type=int, default=JOB["steps_per_round"])
    options = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="minka-bench-") as directory,
        LiveCluster(Path(directory), 1, cores=2) as cluster,
    ):
        report = measure(cluster, **{name: getattr(options, name) for name in JOB})
    for name, part in report.items() if not options.json else ():
        print(f"{name:10} {part:.2%}")
    if options.json:
        print(json.dumps(report))
    return 0


def measure(cluster: LiveCluster, **job: Any) -> dict[str, float]:
    """The part of the test images that is read rightly, drawn in each way; `job` goes before `JOB`."""
    job = JOB | job
    images = load_inputs(SAMPLES / "mnist-test-images.idx.gz", "images")
    labels = load_outputs(SAMPLES / "mnist-test-labels.idx.gz", "labels")
    chance = random.Random(job["seed"])
    report = {}
    with cluster.client(timeout_s=60.0) as client:
        model = finished(client, train(client, **job), TRAINING_S)
        for name, way in WAYS.items():
            drawn = [way(Image.fromarray(image[..., 0]), chance) for image in images]
            report[name] = right(client, model["id"], drawn, labels)
    return report


def right(client: ClusterClient, model: str, drawn: list[Image.Image], labels: list[str]) -> float:
    """The part of these that the cluster reads rightly."""
    said = [output["label"] for found in predict(client, model, batches(drawn)) for output in found.outputs()]
    return float(np.mean([one == label for one, label in zip(said, labels, strict=True)]))


def batches(drawn: list[Image.Image]) -> Iterator[Batch]:
    """As PNG files."""
    for start in range(0, len(drawn), AT_ONCE):
        files = [png(image) for image in drawn[start : start + AT_ONCE]]
        yield [PredictInput("image", len(file)) for file in files], b"".join(files)


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def placed(image: Image.Image, side: int, chance: random.Random, *, corner: bool = False) -> Image.Image:
    """The digit `side` pixels high, anywhere on the canvas, or in one of its corners."""
    paper = Image.new("L", (CANVAS, CANVAS), 0)
    room = CANVAS - side
    left, top = (
        (chance.choice((0, room)), chance.choice((0, room)))
        if corner
        else (chance.randint(0, room), chance.randint(0, room))
    )
    paper.paste(image.resize((side, side), Image.Resampling.BICUBIC), (left, top))
    return paper


def any_way(image: Image.Image, chance: random.Random) -> Image.Image:
    return chance.choice([way for name, way in WAYS.items() if name not in ("as it is", "any")])(
        image, chance
    )


WAYS: dict[str, Callable[[Image.Image, random.Random], Image.Image]] = {
    "as it is": lambda image, _: image,
    "small": lambda image, chance: placed(image, chance.randint(24, 40), chance),
    "large": lambda image, chance: placed(image, chance.randint(120, CANVAS), chance),
    "corner": lambda image, chance: placed(image, chance.randint(40, 80), chance, corner=True),
    "thick": lambda image, chance: placed(
        image.filter(ImageFilter.MaxFilter(3)), chance.randint(60, 120), chance
    ),
    "dark": lambda image, chance: ImageOps.invert(placed(image, chance.randint(40, 120), chance)),
    "any": any_way,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
