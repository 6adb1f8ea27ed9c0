"""Keeps secrets out of all that is printed, logged or sent to MLflow.

Secret are the values of environment variables whose name says so, such as
`MLFLOW_TRACKING_PASSWORD`, `MLFLOW_TRACKING_TOKEN` and `AWS_SECRET_ACCESS_KEY`, and the user and
password that stand in a URL.
"""

from __future__ import annotations

import os
import re
from urllib.parse import quote

MASK = "***"
_SECRET = re.compile(
    r"PASSWORD|PASSWD|PASSPHRASE|TOKEN|SECRET|CREDENTIAL|ACCESS_KEY|API_?KEY|PRIVATE_KEY"
)
_SHORTEST = 4
"""Shorter values are no secrets (`AUTH_TOKEN_ON=1`), and hiding them would garble every text."""
_IN_URL = re.compile(r"(?<=://)[^/?#\s'\"]+@")


def redacted(text: str) -> str:
    """Returns the text with `***` in place of every secret.

    >>> redacted("http://ann:pass@mlflow:5000 does not answer")
    'http://***@mlflow:5000 does not answer'
    """
    for secret in _secrets():
        text = text.replace(secret, MASK)
    return _IN_URL.sub(f"{MASK}@", text)


def _secrets() -> list[str]:
    """Returns the secrets of the environment as they may stand in a text, longest first."""
    values = {
        value
        for name, value in os.environ.items()
        if _SECRET.search(name.upper()) and len(value) >= _SHORTEST
    }
    return sorted(values | {quote(value, safe="") for value in values}, key=len, reverse=True)
