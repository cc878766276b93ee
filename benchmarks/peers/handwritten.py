"""The handler that most people write first: FastAPI, UploadFile, Pillow, eager PyTorch."""

import argparse
from typing import Annotated

import uvicorn
from fastapi import FastAPI, File, Request, UploadFile
from network import build, classify, decode

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int)
parser.add_argument("--network")
parser.add_argument("--processes", type=int, default=1)
arguments = parser.parse_args()

network = build(arguments.network)
app = FastAPI()


@app.post("/multipart")
async def predict_upload(file: Annotated[UploadFile, File()]) -> dict:
    return classify(network, [decode(await file.read())])[0]


@app.post("/raw")
async def predict_raw(request: Request) -> dict:
    return classify(network, [decode(await request.body())])[0]


if __name__ == "__main__":
    uvicorn.run(
        "handwritten:app",
        port=arguments.port,
        workers=arguments.processes,
        log_level="warning",
        access_log=False,
    )
