"""Writes the page: one HTML file with its data, style and script in it; nothing else is loaded.

Its own rules forbid every request and every script but its own (Content-Security-Policy), and its
script makes text of all data, never markup.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from whichgoal.compare.command import Compared
from whichgoal.redact import redact, visible_lines
from whichgoal.report.page.data import page_record
from whichgoal.storage.atomic import replacing
from whichgoal.storage.root import Storage

SCRIPTS = (
    *("dom.js", "marks.js", "charts.js", "tables.js", "film.js", "paths.js"),
    *("drawer.js", "page.js"),
)
"""The parts of the page's one script, in order."""
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<noscript>This page draws its figures by its own script, which is switched off here.</noscript>
<div id="page"></div>
<script type="application/json" id="record">{record}</script>
<script>{script}</script>
</body>
</html>
"""

_INDEX = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body><main><h1>{title}</h1>
{parts}
</main></body>
</html>
"""


def check(path: Path) -> None:
    """Raises `ValueError` where no page can be written to `path`; asked before any work."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"-o {path} given; allowed: a file that ends in .html")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"{path} cannot be written: there is no folder {path.parent}")
    if path.is_dir():
        raise ValueError(f"{path} cannot be written: it is a folder")


def write_page(compared: Compared, storage: Storage, path: Path) -> None:
    """Writes the page of a sweep, whole or not at all.

    Args:
        compared: A sweep with at least one scored agent.
        storage: Where its agents are.
        path: The HTML file.

    Raises:
        ValueError: It cannot be written; one line.
    """
    _write(page_text(page_record(compared, storage)), path)


def _write(text: str, path: Path) -> None:
    try:
        with replacing(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {error.strerror or error}") from None


def write_pages(found: Sequence[Compared], storage: Storage, path: Path) -> None:
    """Writes a page of each sweep, `NAME-SWEEP.html`, beside one that leads to them.

    Args:
        found: The sweeps, each with at least one scored agent.
        storage: Where their agents are.
        path: `NAME.html`, the page that leads to them: with their questions and answers.

    Raises:
        ValueError: One of them cannot be written; one line.
    """
    parts = []
    for compared in found:
        own = path.with_name(f"{path.stem}-{compared.sweep.name}{path.suffix}")
        write_page(compared, storage, own)
        assert compared.comparison is not None
        texts = [
            visible_lines(redact(text))
            for text in (own.name, compared.sweep.question, compared.comparison.answer)
        ]
        name, question, answer = map(html.escape, texts)
        link = html.escape(quote(own.name))
        parts.append(f'<h2><a href="{link}">{question}</a></h2><p>{answer}</p><p>{name}</p>')
    style = (files("whichgoal.report.page") / "page.css").read_text(encoding="utf-8")
    title = html.escape(visible_lines(redact(f"The sweeps of {storage}")))
    text = _INDEX.format(
        policy=html.escape(f"default-src 'none'; style-src '{_hash(style)}'; base-uri 'none'"),
        title=title,
        style=style,
        parts="\n".join(parts),
    )
    _write(text, path)


def page_text(record: Mapping[str, Any]) -> str:
    """Returns the page that shows a record (`page_record`)."""
    folder = files("whichgoal.report.page")
    style = (folder / "page.css").read_text(encoding="utf-8")
    script = "".join((folder / name).read_text(encoding="utf-8") for name in SCRIPTS)
    script = f'"use strict";\n(() => {{\n{script}}})();\n'
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    sweep = record["compare"]
    return _PAGE.format(
        policy=html.escape(policy),
        title=html.escape(f"{sweep['sweep']}: {sweep['question']}"),
        style=style,
        record=json.dumps(record, separators=(",", ":")).replace("<", "\\u003c"),
        script=script,
    )


def _hash(text: str) -> str:
    """Returns how a policy names a text: browsers run, and apply, no other."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
