"""Settings by calls and by the environment."""

import pytest

from reassemble_emitter import Emitter, Settings, SettingsError
from reassemble_emitter.filters import MAX_ENDPOINTS, Filter, RateLimit, endpoint, path_of

SECRET = "8d0f3c2e9a7b465180d2b6f4c1e3a597"


def test_variables_set_what_they_name():
    settings = Settings(skip_paths=["/a"]).env(
        {
            "OTEL_SERVICE_NAME": "other",
            "CAPTURE_SERVICE": "shop",
            "CAPTURE_OUTPUT": "/var/log/x",
            "CAPTURE_LINE_LIMIT": "64KiB",
            "CAPTURE_BODY_LIMIT": "8MiB",
            "CAPTURE_QUEUE_LIMIT": "64 KiB",
            "CAPTURE_SAMPLE_RATE": "0.25",
            "CAPTURE_SAMPLE_BY": "id",
            "CAPTURE_RATE_LIMIT": "2.5",
            "CAPTURE_ERRORS": "always",
            "CAPTURE_SKIP_PATHS": "/health, /assets/*,",
            "CAPTURE_REDACT_BODIES": "off",
            "CAPTURE_REDACT_BUFFER": "1KiB",
            "CAPTURE_ONLY_METHODS": "",
            "CAPTURE_SIGNING_KEY": SECRET,
        }
    )
    expected = Settings(
        service="shop", output="/var/log/x", line_limit=65536, body_limit=8 << 20, queue_limit=65536, sample_rate=0.25, sample_by="id",
        rate_limit=2.5, errors="always", skip_paths=("/a", "/health", "/assets/*"), redact_bodies=False, redact_buffer=1024, signing_key=SECRET,
    )
    assert settings == expected
    assert SECRET not in repr(settings)


def test_what_is_applied_later_wins():
    environ = {"CAPTURE_SAMPLE_RATE": "0.5", "OTEL_SERVICE_NAME": "otel"}
    assert Settings(sample_rate=0.1).env(environ).sample_rate == 0.5
    assert Settings().env(environ).set(sample_rate=0.1).sample_rate == 0.1
    assert Settings(service="call").env(environ).service == "call"
    assert Settings().env(environ).service == "otel"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LINE_LIMIT", "511"), ("LINE_LIMIT", "262145"), ("BODY_LIMIT", "8MB"), ("QUEUE_LIMIT", "-1"), ("SAMPLE_RATE", "2"),
        ("SAMPLE_RATE", "nan"), ("SAMPLE_BY", "path"), ("RATE_LIMIT", "0"), ("ERRORS", "never"), ("REDACT_BODIES", "yes"),
    ],
)
def test_wrong_values_are_named(name, value):
    with pytest.raises(SettingsError, match=f'^CAPTURE_{name}="{value}" is not '):
        Settings().env({f"CAPTURE_{name}": value})


def test_the_secret_comes_from_a_variable_or_a_file(tmp_path):
    good, short = tmp_path / "good", tmp_path / "short"
    good.write_text(SECRET + "\n")
    short.write_text("hunter2\n")
    assert Settings().env({"CAPTURE_SIGNING_KEY_FILE": str(good)}).signing_key == SECRET
    for environ in (
        {"CAPTURE_SIGNING_KEY_FILE": str(short)},
        {"CAPTURE_SIGNING_KEY_FILE": str(tmp_path / "none")},
        {"CAPTURE_SIGNING_KEY": "hunter2"},
        {"CAPTURE_SIGNING_KEY": SECRET, "CAPTURE_SIGNING_KEY_FILE": str(good)},
    ):
        with pytest.raises(SettingsError) as fault:
            Settings().env(environ)
        assert "hunter2" not in str(fault.value)


@pytest.mark.parametrize("output", ["/no/such/folder/x", "fd:9999", "fd:x"])
def test_an_output_that_cannot_be_is_told_at_once(output):
    with pytest.raises(SettingsError):
        Emitter(Settings(output=output))


def test_skipping_wins_over_letting_in():
    paths = Filter(["/api/*"], ["/api/health"])
    assert [paths.lets(path) for path in ("/api/orders", "/api/health", "/api/healthy", "/", "/API/x")] == [True, False, True, False, False]
    types = Filter([], ["image/*"], ignore_case=True)
    assert [types.lets_content_type(t) for t in ("Image/PNG; q=1", "text/html", "")] == [False, True, True]


def test_endpoints_are_paths_without_what_varies():
    assert endpoint("GET", path_of("https://h:1/orders/17/items/" + "x" * 33 + "?a=1")) == "GET /orders/*/items/*"
    assert endpoint("GET", path_of("/a/b#c")) == "GET /a/b"
    assert path_of("https://h") == "/"


def test_a_bucket_holds_a_second_and_fills_again():
    now = [0.0]
    limit = RateLimit(2, lambda: now[0])
    assert [limit.takes("a") for _ in range(3)] == [True, True, False]
    assert limit.takes("b")
    now[0] = 0.5
    assert [limit.takes("a") for _ in range(2)] == [True, False]
    now[0] = 100
    assert [limit.takes("a") for _ in range(3)] == [True, True, False]


def test_later_endpoints_share_a_bucket():
    limit = RateLimit(0.5, lambda: 0.0)
    assert all(limit.takes(str(n)) for n in range(MAX_ENDPOINTS))
    assert limit.takes("one more") and not limit.takes("and another")
