"""A small Django app in one file whose requests are captured: `gunicorn --bind 127.0.0.1:8080 django_app:app`"""

import os

import urllib3
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

from reassemble_emitter import Emitter
from reassemble_emitter.urllib3 import capture
from reassemble_emitter.wsgi import CaptureMiddleware

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY=os.urandom(32).hex(), DATA_UPLOAD_MAX_MEMORY_SIZE=None)

emitter = Emitter.from_env()
pool = capture(urllib3.PoolManager(), emitter)


def echo(request):
    return HttpResponse(request.body, content_type=request.headers.get("content-type"))


def call(request):
    """Asks whoever is named: the call shares this request's trace."""
    return HttpResponse(pool.request("POST", request.GET["to"], body=b"called").data)


urlpatterns = [path("echo", echo), path("call", call)]

app = CaptureMiddleware(get_wsgi_application(), emitter)
