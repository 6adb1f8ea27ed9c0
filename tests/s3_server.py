"""An S3 server on loopback (moto's), whose faults can be turned on; shared by several tests."""

from __future__ import annotations

import os
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

SECRET = "not-to-be-seen-anywhere"


class S3Server:
    """Answers on 127.0.0.1; all buckets are gone when it ends.

    Attributes:
        log: Method and path of every request so far.
        fail_next: So many of the next requests are answered by 503, or, where `fail_unless`
            says so of the method and path, not.
        delay_s: How long each request waits first.
    """

    def __init__(self) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            def log(self, *_: Any) -> None:
                pass

        self._app = DomainDispatcherApplication(create_backend_app)
        self.log: list[str] = []
        self.fail_next = 0
        self.delay_s = 0.0
        self._server = make_server(
            "127.0.0.1", 0, self._answer, threaded=True, request_handler=Quiet
        )
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        self.log.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        time.sleep(self.delay_s)
        if self.fail_next > 0:
            self.fail_next -= 1
            start("503 Service Unavailable", [("Content-Length", "0")])
            return [b""]
        return self._app(environ, start)

    def environment(self) -> dict[str, str]:
        """Returns what a process needs to find it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def end(self) -> None:
        """Stops answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Runs a server with an empty bucket `agents`; this process's environment leads to it."""
    server = S3Server()
    try:
        with mock.patch.dict(os.environ, server.environment()):
            urllib.request.urlopen(f"{server.url}/moto-api/reset", data=b"").close()
            client().create_bucket(Bucket="agents")
            yield server
    finally:
        server.end()


def client() -> Any:
    """Returns boto3's client for the server that the environment leads to: not our code."""
    import boto3

    return boto3.client("s3")


def keys(prefix: str = "") -> list[str]:
    """Returns the keys that the bucket holds under a prefix."""
    pages = client().get_paginator("list_objects_v2").paginate(Bucket="agents", Prefix=prefix)
    return [o["Key"] for page in pages for o in page.get("Contents", [])]


def objects(prefix: str = "") -> dict[str, bytes]:
    """Returns what the bucket holds under a prefix while nobody writes: key -> bytes."""
    s3 = client()
    return {k: s3.get_object(Bucket="agents", Key=k)["Body"].read() for k in keys(prefix)}
