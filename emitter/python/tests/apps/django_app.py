"""A Django app whose requests are captured, by WSGI and by ASGI."""

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

from reassemble_emitter import Emitter, asgi, current_context, wsgi


def echo(request):
    return HttpResponse(request.body, content_type="application/octet-stream")


def stream(request):
    return StreamingHttpResponse((b"piece %d\n" % n for n in range(5)), content_type="text/plain")


async def context(request):
    return JsonResponse({"id": current_context().id})


def broken(request):
    raise KeyError("s3cret")


urlpatterns = [path("echo", echo), path("stream", stream), path("context", context), path("broken", broken)]
settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="test", USE_TZ=True, LOGGING_CONFIG=None)
django.setup()

emitter = Emitter.from_env()
wsgi_app = wsgi.CaptureMiddleware(get_wsgi_application(), emitter)
asgi_app = asgi.CaptureMiddleware(get_asgi_application(), emitter)
