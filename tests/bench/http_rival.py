"""A server as one writes it with FastAPI, uvicorn and onnxruntime: what `dev.py bench serving` compares with.

`python -m tests.bench.http_rival MODEL.onnx PORT`: POST /predict with the pixels of one image answers its probabilities, raw
float32. As many processes as there are cores, one thread of onnxruntime in each; no queue, no log, no other machine.
"""

import os
import sys
from typing import Annotated, Any

import numpy as np
import onnxruntime
import uvicorn
from fastapi import Body, FastAPI, Response

MODEL = "BENCH_MODEL"


def app() -> FastAPI:
    """Made in each process."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(os.environ[MODEL], options, providers=["CPUExecutionProvider"])
    made = FastAPI()

    @made.post("/predict")
    async def predict(image: Annotated[bytes, Body(media_type="application/octet-stream")]) -> Response:
        pixels: Any = np.frombuffer(image, np.uint8).reshape(1, 28, 28, 1)
        (probabilities,) = session.run(None, {"images": pixels})
        return Response(probabilities.tobytes(), media_type="application/octet-stream")

    return made


def main(model: str, port: str) -> None:
    """Serve until it is ended."""
    os.environ[MODEL] = model
    uvicorn.run(
        "tests.bench.http_rival:app",
        factory=True,
        port=int(port),
        workers=os.cpu_count(),
        log_level="error",
        access_log=False,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
