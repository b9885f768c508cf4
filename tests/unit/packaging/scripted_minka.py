"""Stands in for the command line: answers as CONTRACT says, and writes down what it was asked.

Environment: ``ASKED`` is the file to write into; ``TRAINING`` is how it goes: "well", "badly", "forever", or
"never" because the cluster does not start.
"""

import json
import os
import sys
import threading
from pathlib import Path

FILES = [
    {"id": number, "name": f"file-{number}", "bytes": 10, "digest": f"{number:064x}"} for number in range(4)
]
MODEL = {
    "model": "m-1",
    "status": "done",
    "digest": "ab" * 32,
    "test_accuracy": 0.931,
    "seconds": 2.5,
    "images_per_second": 28_800.0,
}
WORKERS = [
    {
        "id": f"w{number}",
        "address": f"127.0.0.1:700{number}",
        "monitor": f"127.0.0.1:800{number}",
        "pid": number,
    }
    for number in (1, 2, 3)
]


def answer(arguments: list[str]) -> object:
    """The JSON document for one command."""
    match arguments:
        case ["cluster", "up", *_]:
            if os.environ["TRAINING"] == "never":
                print("minka: Worker w1 ended at once", file=sys.stderr)
                sys.exit(1)
            data = Path(arguments[arguments.index("--data") + 1])
            data.mkdir()
            (data / "cluster.json").write_text("{}\n", encoding="utf-8")
            return {"workers": WORKERS, "leader": "w2", "keys": "client.keys"}
        case ["cluster", "down", *_]:
            return {"stopped": ["w1", "w2", "w3"]}
        case ["put", *_]:
            return {"files": FILES}
        case ["train", *_]:
            if os.environ["TRAINING"] == "badly":
                print("minka train: the labels do not match the images", file=sys.stderr)
                sys.exit(1)
            if os.environ["TRAINING"] == "forever":
                threading.Event().wait()
            return MODEL
        case ["predict", *_]:
            outputs = [{"label": "7", "probabilities": {"7": 0.995, "2": 0.005}}] * 8
            return {
                "model": "m-1",
                "digest": "ab" * 32,
                "term": 2,
                "index": 31,
                "worker": "w2",
                "outputs": outputs,
            }
        case ["verify", *_]:
            holders = {worker["id"]: "ok" for worker in WORKERS}
            rows = [*FILES, {"id": "m-1", "digest": "ab" * 32}]
            return {"equal": True, "files": [{**row, "holders": holders} for row in rows]}
        case _:
            return {}


def main() -> None:
    """Write the command down, then answer it."""
    with Path(os.environ["ASKED"]).open("a", encoding="utf-8") as file:
        file.write(" ".join(sys.argv[1:]) + "\n")
    print(json.dumps(answer(sys.argv[1:])))


if __name__ == "__main__":
    main()
