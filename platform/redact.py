"""Keeps secrets out of all that is printed, logged or sent to MLflow.

Secret are the values of environment variables whose name says so, such as
`MLFLOW_TRACKING_PASSWORD`, `MLFLOW_TRACKING_TOKEN` and `AWS_SECRET_ACCESS_KEY`, the keys in
connection strings, and the user and password that stand in a URL.
"""

from __future__ import annotations

import os
import re
from urllib.parse import quote

MASK = "***"
_SECRET = re.compile(
    r"PASSWORD|PASSWD|PASSPHRASE|_PASS$|_PWD$|SECRET|CREDENTIAL|TOKEN(_|$)|CONNECTION_?STRING|"
    r"(^|_)KEY$|ACCESS_KEY|API_?KEY|PRIVATE_KEY"
)
_IN_PAIRS = re.compile(r"(?i)(?:key|signature|password|pwd|secret|token)=([^;]+)")
"""The secrets of a connection string, such as `AccountName=agents;AccountKey=...`."""
_SHORTEST = 6
"""Shorter values (`AUTH_TOKEN_ON=false`) are words: hiding them would garble every text."""
_IN_URL = re.compile(r"(?<=://)[^/?#\s'\"]+@")


def redact(text: str) -> str:
    """Returns the text with `***` in place of every secret.

    >>> redact("http://ann:pass@mlflow:5000 does not answer")
    'http://***@mlflow:5000 does not answer'
    """
    for secret in _secrets():
        text = text.replace(secret, MASK)
    return _IN_URL.sub(f"{MASK}@", text)


def _secrets() -> list[str]:
    """Returns the secrets of the environment as they may stand in a text, longest first."""
    values = {value for name, value in os.environ.items() if _SECRET.search(name.upper())}
    values |= {part for value in values for part in _IN_PAIRS.findall(value)}
    values = {value for value in values if len(value) >= _SHORTEST}
    return sorted(values | {quote(value, safe="") for value in values}, key=len, reverse=True)
