"""The ceiling: an ASGI application that reads the body and sends a fixed reply."""

import argparse

import uvicorn

REPLY = b'{"class_index":0,"probabilities":[0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1]}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(REPLY))]


async def app(_scope: dict, receive, send) -> None:  # noqa: ANN001
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": REPLY})


parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int)
parser.add_argument("--network")
uvicorn.run(
    app,
    port=parser.parse_args().port,
    log_level="warning",
    access_log=False,
    lifespan="off",
    http="httptools",
    loop="uvloop",
)
