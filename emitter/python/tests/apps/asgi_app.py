"""A FastAPI app whose requests are captured."""

import asyncio

import httpx
from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import Response, StreamingResponse

from reassemble_emitter import Emitter, current_context
from reassemble_emitter.asgi import CaptureMiddleware
from reassemble_emitter.httpx import AsyncCaptureTransport

inner = FastAPI()
emitter = Emitter.from_env()
client = httpx.AsyncClient(transport=AsyncCaptureTransport(emitter))


@inner.get("/hello/{name}")
async def hello(name: str):
    return {"hello": name, "token": "s3cret"}


@inner.post("/echo")
async def echo(request: Request):
    return Response(await request.body(), media_type="application/octet-stream")


@inner.post("/upload")
async def upload(request: Request):
    size = 0
    async for piece in request.stream():
        size += len(piece)
    return {"size": size}


@inner.post("/ignore")
async def ignore():
    return {"read": False}


@inner.get("/stream")
async def stream():
    async def pieces():
        for n in range(5):
            yield f"piece {n}\n".encode()
            await asyncio.sleep(0)

    return StreamingResponse(pieces(), media_type="text/plain")


@inner.get("/endless")
async def endless():
    async def pieces():
        while True:
            yield b"x" * 1024
            await asyncio.sleep(0.01)

    return StreamingResponse(pieces(), media_type="text/plain")


@inner.get("/broken")
async def broken():
    raise KeyError("token=s3cret")


@inner.get("/broken-stream")
async def broken_stream():
    async def pieces():
        yield b"start"
        raise RuntimeError("s3cret")

    return StreamingResponse(pieces(), media_type="text/plain")


@inner.get("/context")
async def context():
    here = current_context()
    return {"id": here.id, "trace": str(here.trace)}


@inner.api_route("/ask", methods=["GET", "POST"])
async def ask(request: Request, path: str):
    content = await request.body() or None
    answer = await client.request(request.method, str(request.base_url)[:-1] + path, content=content)
    return Response(answer.content, media_type=answer.headers["content-type"])


@inner.get("/nothing")
async def nothing():
    return Response(status_code=204)


@inner.websocket("/socket")
async def socket(websocket: WebSocket):
    await websocket.accept()
    await websocket.send_text("hello " + await websocket.receive_text())
    await websocket.close()


app = CaptureMiddleware(inner, emitter)
