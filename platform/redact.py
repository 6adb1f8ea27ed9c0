"""Keeps secrets out of all that is printed, logged or sent to MLflow, and control characters too.

Secret are the values of environment variables whose name says so, such as
`MLFLOW_TRACKING_PASSWORD`, `GITHUB_PAT` and `AWS_SECRET_ACCESS_KEY`, in every form in which a text
may hold them (escaped, quoted, base64); what stands in a text beside such a name; headers that let
one in; the user and the password in a URL; private keys; and tokens that are known by how they
begin. A value that is shorter than six characters is a word: hiding it would garble every text.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import os
import re
import shlex
import unicodedata
from collections.abc import Iterator
from urllib.parse import quote, quote_plus, unquote

MASK = "***"
_SHORTEST = 6
"""Shorter values (`AUTH_TOKEN_ON=false`) are words: hiding them would garble every text."""

_SECRET_ANYWHERE = re.compile(
    r"PASSWORD|PASSWD|PASSPHRASE|PASSCODE|SECRET|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|"
    r"(?:^|_)(?:TOKEN|PAT|CREDS?|COOKIES?|AUTHORIZATION|BEARER|JWT|DSN|WEBHOOK|SAS|MNEMONIC)(?:_|$)|"
    r"CONNECTION_?STRING|CONN_?STR|SESSION_?ID|SESSID"
)
_SECRET_AT_THE_END = re.compile(
    r"TOKENS?$|(?:^|_)(?:AUTH|PW|PASSE?S|OTP|SALT|SIGNATURE|API_KEYS|KEYS)$|PWD$|PASS$|KEY$"
)
_WORDS_OF_THEIR_OWN = re.compile(
    r"^(?:OLD)?PWD$|(?:COM|BY|ASK|SUR|TRES)PASS$|"
    r"(?:^|_)(?:MON|HOT|TUR|DON|HOC|JOC|WHIS|LAC)KEY$|(?:MAX|MIN|NUM|N|NO|OF)_(?:NEW_)?TOKENS$|SHARE_KEY$"
)
_QUALIFIERS = re.compile(
    r"(?:_(?:VALUE|B64|BASE64|DATA|PEM|JSON|RAW|STRING|ENCODED|HEADER|HASH|OLD|NEW|PREVIOUS|PROD|"
    r"PRODUCTION|DEV|STAGING|TEST|LIVE|DEFAULT|MAIN|PRIMARY|SECONDARY|RO|RW|[0-9]+))+$"
)
_ABOUT_A_SECRET = re.compile(
    r"_(?:FILE|PATH|DIR|DIRECTORY|FOLDER|MODE|TYPE|ENABLED|DISABLED|REQUIRED|NEEDED|ON|OFF|SOCK|"
    r"SOCKET|METHOD|TTL|EXPIRY|EXPIRES|TIMEOUT|LENGTH|SIZE|ALGORITHM|ALG|SCHEME|BACKEND|PROVIDER|"
    r"SCOPES?|USER|USERNAME|HOST|PORT|REGION|COUNT|LIMIT|ENDPOINT|NAME|STORE|MANAGER|HELPER)$"
)
"""A place, a switch or a name is no secret: hidden, it only makes an error useless."""

_IN_PAIRS = re.compile(r"(?i)(?:key|sig|signature|password|pwd|secret|token)=([^;&\s]+)")
"""The secrets of a connection string, such as `AccountName=agents;AccountKey=...`."""
_IN_URL = re.compile(r"(?<=://)[^/?#\s'\"]+@")
_PASSWORD_IN_URL = re.compile(r"://[^/?#\s'\":@]*:([^/?#\s'\"]+)@")

_QUOTED = r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|(?P<escaped>\\+[\"']).*?(?P=escaped)"
_NAMED = re.compile(
    r"(?P<flag>--)?(?P<name>\b[A-Za-z_][A-Za-z0-9_.-]{1,80}+)"
    r"(?P<between>(?:\\*[\"'])?\s{0,3}(?:=>|[:=])\s{0,3}[bBrRuU]?|\\*[\"'],\s?[bBrRuU]?|"
    r"(?(flag)\s+|(?!)))"
    rf"(?P<value>{_QUOTED}|[^\s;&\"'\\]+)"
)
"""A name and its value: `name=value`, `"name": "value"`, `('name', 'value')`, `--name value`."""
_HEADER = re.compile(
    r"(?i)(?P<before>\b(?:proxy-)?(?:authorization|(?:set-)?cookie)\s{0,3}[:=]\s{0,3})"
    r"(?P<value>[^\"'\r\n]+)"
)
_IN_QUERY = re.compile(
    r"(?i)(?<=[?&;])((?:[a-z-]+-)?(?:sig|signature|credential|code|key|security-token|auth)=)[^&;\s'\"]+"
)
_BASIC = re.compile(r"(?i)\b(basic\s+)([a-z0-9+/_-]{6,}={0,2})")
_BEARER = re.compile(r"(?i)\b(bearer\s+)[a-z0-9+/=._~-]{8,}")
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----"
    r"(?:(?:(?!-----).)*-----END [A-Z0-9 ]*-----|[A-Za-z0-9+/=\\\s]*)",
    re.DOTALL,
)
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:AKIA|ASIA|ABIA|ACCA|AROA|AIDA|ANPA)[A-Z0-9]{16}(?![A-Za-z0-9])|"
    r"gh[opusr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,}|gl(?:pat|dt|rt|ptt|cbt)-[\w-]{16,}|"
    r"xox[a-z]-[\w-]{10,}|xapp-[\w-]{10,}|xoxe\.[\w.-]{10,}|"
    r"sk-[A-Za-z0-9_-]{20,}|[spr]k_(?:live|test)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/=]{16,}|"
    r"(?:hf|npm|gsk|r8|secret|ntn|lin_api|dckr_pat|figd|pul|nvapi)[_-][A-Za-z0-9_-]{24,}|"
    r"pypi-[A-Za-z0-9_-]{30,}|AIza[\w-]{30,}|ya29\.[\w-]{16,}|GOCSPX-[\w-]{16,}|"
    r"do[opr]_v1_[a-f0-9]{32,}|dapi[a-f0-9]{32}|shp(?:at|ca|pa|ss)_[a-f0-9]{32}|"
    r"SG\.[\w-]{16,}\.[\w-]{16,}|hv[sbr]\.[\w-]{20,}|tskey-[\w-]{16,}|glsa_[\w]{20,}|"
    r"eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?|AGE-SECRET-KEY-1[A-Z0-9]{20,}|"
    r"[0-9]{8,10}:AA[\w-]{30,})"
)
"""Tokens that are known by how they begin: of clouds, forges, chats, model hubs."""
_HOOK = re.compile(
    r"(?i)(https://(?:hooks\.slack\.com/(?:services|workflows|triggers)|"
    r"(?:\w+\.)?discord(?:app)?\.com/api/webhooks|[\w.-]+\.webhook\.office\.com/webhookb2|"
    r"api\.telegram\.org/bot)/?)[^\s'\"<>]+"
)
_NO_VALUES = {"none", "null", "true", "false", "", MASK}
_ZERO_WIDTH_LETTERS = "\u200c\u200d"
"""Without which some languages cannot be written."""


def redact(text: str) -> str:
    """Returns the text with `***` in place of every secret.

    >>> redact("http://ann:pass@mlflow:5000 does not answer")
    'http://***@mlflow:5000 does not answer'
    """
    secrets = _secrets()
    for secret in secrets:
        text = text.replace(secret, MASK)
    if "..." in text:
        text = _without_beginnings(text, secrets)
    text = _PRIVATE_KEY.sub(MASK, text)
    text = _IN_URL.sub(f"{MASK}@", text)
    text = _HOOK.sub(rf"\1{MASK}", text)
    text = _HEADER.sub(rf"\g<before>{MASK}", text)
    text = _BEARER.sub(rf"\1{MASK}", text)
    text = _BASIC.sub(_without_login, text)
    text = _IN_QUERY.sub(rf"\1{MASK}", text)
    text = _TOKEN.sub(MASK, text)
    return _NAMED.sub(_without_value, text)


def visible(text: str) -> str:
    r"""Returns a line with its control characters written out, so that a terminal obeys none.

    >>> visible("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    if text.isprintable():
        return text
    return "".join(c if _is_shown(c) else repr(c)[1:-1] for c in text)


def joined(text: str) -> str:
    """Returns a text with surrogate pairs, two escapes as JSON writes them, as one character."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def visible_lines(text: str) -> str:
    """Returns a text of several lines as `visible` returns each of them."""
    return "\n".join(visible(line.expandtabs()) for line in text.split("\n"))


def is_secret(name: str) -> bool:
    """Returns whether the value of what has such a name, a variable or a key, is a secret.

    >>> [is_secret(name) for name in ("GITHUB_PAT", "apiKey", "num_tokens", "TOKEN_FILE")]
    [True, True, False, False]
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()
    words = re.sub(r"[^A-Z0-9]+", "_", words).strip("_")
    if _ABOUT_A_SECRET.search(words) or _WORDS_OF_THEIR_OWN.search(words):
        return False
    last = _QUALIFIERS.sub("", words)
    return bool(_SECRET_ANYWHERE.search(words) or _SECRET_AT_THE_END.search(last))


def _is_shown(character: str) -> bool:
    hidden = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    return not hidden or character in _ZERO_WIDTH_LETTERS


def _secrets() -> list[str]:
    """Returns the secrets of the environment as they may stand in a text, longest first."""
    found: set[str] = set()
    for name, value in os.environ.items():
        if is_secret(name):
            found.update((value, *_IN_PAIRS.findall(value), *_parts(value)))
        for word in _PASSWORD_IN_URL.findall(value):
            found.update((word, unquote(word)))
    forms = {form for value in found if _is_long(value) for form in _forms(value)}
    return sorted(filter(_is_long, forms), key=len, reverse=True)


def _is_long(value: str) -> bool:
    return len(value.strip()) >= _SHORTEST


def _parts(value: str) -> Iterator[str]:
    """Yields what of a secret may stand alone: its lines, and the secrets in JSON."""
    if "\n" in value:
        yield from (line for line in value.split("\n") if len(line.strip()) >= 2 * _SHORTEST)
    if value.lstrip()[:1] == "{":
        try:
            record = json.loads(value)
        except (ValueError, RecursionError):
            return
        yield from (v for k, v in record.items() if isinstance(v, str) and is_secret(k))


def _forms(value: str) -> Iterator[str]:
    """Yields how a secret may stand in a text: as it is, escaped, quoted for a URL, in base64."""
    yield from (value, value.strip(), " ".join(value.split()))
    once = (repr(value)[1:-1], json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1])
    yield from once
    yield from (json.dumps(form)[1:-1] for form in once)
    yield from (repr(form)[1:-1] for form in once)
    yield from (repr(f"\"'{form}")[4:-1] for form in (value, *once))  # as beside both quotes
    yield from (html.escape(value), html.escape(value, quote=False), shlex.quote(value)[1:-1])
    raw = value.encode("utf-8", "surrogateescape")
    yield repr(raw)[2:-1]
    yield from (quote(raw, safe=""), quote(raw), quote_plus(raw), raw.hex())
    for before in range(3):  # in base64, a secret looks otherwise behind one or two other bytes
        coded = base64.b64encode(bytes(before) + raw).decode()
        whole = coded[-(-before * 4 // 3) : (before + len(raw)) * 4 // 3]
        if len(whole) >= _SHORTEST:
            yield from (whole, whole.replace("+", "-").replace("/", "_"))


def _without_beginnings(text: str, secrets: list[str]) -> str:
    """Returns a text without secrets that were cut off: what stands before `...`."""
    for secret in secrets:
        start = text.find(secret[:_SHORTEST])
        while start >= 0:
            pairs = enumerate(zip(secret, text[start : start + len(secret)], strict=False))
            length = next((i for i, (a, b) in pairs if a != b), len(secret))
            if text.startswith("...", start + length):
                text = text[:start] + MASK + text[start + length :]
            start = text.find(secret[:_SHORTEST], start + 1)
    return text


def _without_login(found: re.Match[str]) -> str:
    """Masks what follows `Basic` if it is a user and a password, not if it is a word."""
    coded = found[2].replace("-", "+").replace("_", "/").rstrip("=")
    try:
        login = base64.b64decode(coded + "=" * (-len(coded) % 4))
    except (ValueError, binascii.Error):
        return found[0]
    return f"{found[1]}{MASK}" if b":" in login else found[0]


def _without_value(found: re.Match[str]) -> str:
    """Masks the value beside a name that says that it is a secret."""
    name, value = found["name"], found["value"]
    inner = value.strip("\\\"'").rstrip(",.)]}")
    last = name.rpartition(".")[2]
    if last.upper() in ("KEY", "KEYS", "TOKENS") or not is_secret(last):
        return found[0]
    if inner.lower() in _NO_VALUES or value.startswith("//"):
        return found[0]
    quotes = value[: len(value) - len(value.lstrip("\\\"'"))]
    flag = found["flag"] or ""
    return f"{flag}{name}{found['between']}{quotes}{MASK}{quotes}"
