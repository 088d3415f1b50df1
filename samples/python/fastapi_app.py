"""A small FastAPI app whose requests and calls are captured: `PORT=8080 python fastapi_app.py`"""

import os

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response

from reassemble_emitter import Emitter
from reassemble_emitter.asgi import CaptureMiddleware
from reassemble_emitter.httpx import AsyncCaptureTransport

emitter = Emitter.from_env()
api = FastAPI()
client = httpx.AsyncClient(transport=AsyncCaptureTransport(emitter))


@api.post("/echo")
async def echo(request: Request):
    return Response(await request.body(), media_type=request.headers.get("content-type"))


@api.get("/call")
async def call(to: str):
    """Asks whoever is named: the call shares this request's trace."""
    answer = await client.post(to, content=b"called")
    return Response(answer.content)


app = CaptureMiddleware(api, emitter)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
