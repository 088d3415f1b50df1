#!/usr/bin/env python3
"""Records shop.plain.log: three real shops (samples/shop) that call each other, asked for everything they have.

    cargo build -p shop && python3 record.py target/debug/shop && python3 make.py

Not deterministic: ids and times are those of the recording. The last request is cut off by a SIGKILL, so one exchange is incomplete.
"""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

LOG = Path(__file__).resolve().parent / "shop.plain.log"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-{:016x}-01"


def start(binary, service, supplier=None, line_limit=4096):
    """Starts a shop; returns it and its address."""
    arguments = [binary, "--listen", "127.0.0.1:0", "--log", str(LOG)] + (["--supplier", supplier] if supplier else [])
    environment = {"CAPTURE_SERVICE": service, "CAPTURE_LINE_LIMIT": str(line_limit), "CAPTURE_SKIP_BODY_TYPES": "", "PATH": os.environ["PATH"]}
    shop = subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True)
    return shop, shop.stderr.readline().split()[-1]


def ask(url, method="GET", body=None, **headers):
    request = urllib.request.Request(url, data=body, method=method, headers={name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.urlopen(request) as response:
            response.read()
    except urllib.error.HTTPError as error:
        error.read()


def visit(storefront, checkout, catalog):
    for visitor in range(4):
        trace = TRACE.format(visitor + 1)
        ask(storefront + "/items", traceparent=trace, Cookie="session=s3cret", Accept="application/json")
        ask(storefront + "/image", traceparent=trace)
        ask(storefront + f"/stream?pieces=8&size=60&delay_ms=5&token=t0ps3cret{visitor}", traceparent=trace)
        for item in ("tea", "kettle"):
            order = json.dumps({"item": item, "qty": visitor + 1}).encode()
            ask(checkout + "/orders", "POST", order, Content_Type="application/json", Authorization="Bearer s3cret", traceparent=trace)
        ask(checkout + f"/items/{visitor}", "DELETE", traceparent=trace)
    note = ("Přijela konvice ☕ — \"as described\"\n" * 60).encode()
    ask(storefront + "/echo", "POST", note, Content_Type="text/plain; charset=utf-8")
    # A line over 16 KiB, in ASCII: Docker cuts such lines anywhere, and a character that it cuts is lost.
    ask(catalog + "/echo", "POST", b"The kettle has come, \"as described\".\n" * 600, Content_Type="text/plain")
    ask(catalog + "/blob?size=20000&seed=7")
    ask(catalog + "/blob?size=0&seed=7")
    ask(storefront + "/upload", "POST", bytes(range(256)) * 24, Content_Type="application/octet-stream")
    ask(storefront + "/error")
    ask(checkout + "/error")
    ask(checkout + "/nothing/here?q=1")


def cut_off(checkout):
    with contextlib.suppress(http.client.HTTPException, OSError):
        ask(checkout + "/stream?pieces=5000&size=80&delay_ms=1")


def main():
    LOG.unlink(missing_ok=True)
    binary = sys.argv[1]
    catalog, catalog_url = start(binary, "catalog", line_limit=65536)
    storefront, storefront_url = start(binary, "storefront", supplier=catalog_url)
    checkout, checkout_url = start(binary, "checkout", supplier=catalog_url)
    visit(storefront_url, checkout_url, catalog_url)
    time.sleep(0.5)
    threading.Thread(target=cut_off, args=[checkout_url], daemon=True).start()
    time.sleep(0.3)
    checkout.send_signal(signal.SIGKILL)
    for shop in (storefront, catalog):
        shop.send_signal(signal.SIGTERM)
        shop.wait()
    checkout.wait()
    print(f"{LOG.stat().st_size} {LOG.name}")


if __name__ == "__main__":
    main()
