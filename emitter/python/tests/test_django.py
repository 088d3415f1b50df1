"""Django by WSGI on gunicorn and by ASGI on uvicorn."""

import httpx
import pytest
from servers import serving

SERVERS = {
    "wsgi": ["gunicorn", "apps.django_app:wsgi_app", "--bind", "127.0.0.1:{port}", "--workers", "2", "--log-level", "critical"],
    "asgi": ["uvicorn", "apps.django_app:asgi_app", "--port", "{port}", "--log-level", "critical"],
}


@pytest.mark.parametrize("how", SERVERS)
def test_django(log, how):
    body = bytes(range(256)) * 1000
    with serving(SERVERS[how], log) as at:
        assert httpx.post(f"http://{at}/echo?a=1", content=body).content == body
        text = httpx.get(f"http://{at}/stream").content
        id = httpx.get(f"http://{at}/context").json()["id"]
        assert httpx.get(f"http://{at}/broken").status_code == 500
    echo, stream, context, broken = sorted(log.exchanges(), key=lambda e: e.req.head["ts"])
    assert echo.req.body == echo.res.body == body and echo.req.head["url"] == f"http://{at}/echo?a=1"
    assert stream.res.body == text and text.startswith(b"piece 0")
    assert context.id == id
    assert broken.res.head["status"] == 500
    assert all("truncated" not in part.tail for e in (echo, stream, context) for part in (e.req, e.res))
    assert sum(meta["finished"] for meta in log.metas()) == 4
