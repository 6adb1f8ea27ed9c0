"""Secrets are masked in every form in which a text may hold them; ordinary words never are."""

from __future__ import annotations

import os
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from planted import FORMS, SECRET_PARTS, TEXTS, VARIABLES

from whichgoal.redact import MASK, is_secret, redact, visible, visible_lines


@pytest.fixture
def planted(monkeypatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("name", VARIABLES)
def test_there_are_thirty_kinds_and_more_and_each_value_is_masked(planted, name):
    assert len(VARIABLES) > 30
    shown = redact(f"it said: {VARIABLES[name]}, and ended")
    assert "pl4nt" not in shown.lower()
    assert "planted" not in shown.lower()
    assert shown.startswith("it said: ")


@pytest.mark.parametrize("form", FORMS)
def test_a_planted_secret_is_masked_in_every_form(planted, form):
    for secret in SECRET_PARTS:
        shown = redact(f"a {FORMS[form](secret)} b")
        assert MASK in shown, (secret, shown)
        left = shown.replace(MASK, "")
        assert len(left) < len(f"a {FORMS[form](secret)} b") / 2 + 16, (secret, shown)
        assert "pl4nt" not in left, (secret, shown)


@pytest.mark.parametrize("kind", TEXTS)
def test_a_secret_that_no_variable_has_is_known_by_what_stands_beside_it(kind):
    text, secret = TEXTS[kind]
    assert secret in text
    shown = redact(text)
    assert secret not in shown, shown
    assert MASK in shown


def test_a_secret_that_was_cut_off_is_masked_too(monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", "very-long-secret-indeed")
    assert redact("'host very-long-secr... given") == f"'host {MASK}... given"
    assert redact("very-long... and very-long-secret-indeed") == f"{MASK}... and {MASK}"


@pytest.mark.parametrize(
    "name",
    [
        *(name for name in VARIABLES if name not in ("DATABASE_URL", "HTTPS_PROXY")),
        *("GITHUB_TOKEN_2", "api-key", "apiKey", "clientSecret", "X-Auth-Token", "db.password"),
        *("SSH_PRIVATE_KEY_B64", "API_KEYS", "GITLAB_TOKENS", "ENCRYPTION_KEY_OLD", "APIKEY"),
        *("OPENAI_API_KEY", "LICENSE_KEY", "BASIC_AUTH", "AUTH_HEADER", "SIGNING_SECRET"),
        *("DB_PW", "ROOT_PASSWD", "PGPASSWORD", "PHPSESSID", "SERVICE_CREDENTIALS", "TOTP_SECRET"),
    ],
)
def test_a_name_says_that_a_value_is_a_secret(name):
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        *("max_seq_len", "num_tokens", "max_tokens", "MAX_NEW_TOKENS", "key_where"),
        *("TOKENIZERS_PARALLELISM", "PWD", "OLDPWD", "PATH", "PYTHONPATH", "PATTERN", "HOME"),
        *("GIT_AUTHOR_NAME", "AUTHOR", "XAUTHORITY", "SSH_AUTH_SOCK", "SSH_ASKPASS", "GIT_ASKPASS"),
        *("MONKEY", "HOTKEY", "KEYBOARD", "KEYMAP", "COMPASS", "BYPASS", "RAY_AUTH_MODE"),
        *("TOKEN_FILE", "PASSWORD_STORE_DIR", "SECRET_NAME", "CREDENTIAL_HELPER", "KEY_PATH"),
        *("keys_and_chests", "world.keys.size", "env_steps", "capacity", "seeds", "preference"),
        *(
            "RAY_ADDRESS",
            "MLFLOW_TRACKING_URI",
            "MLFLOW_TRACKING_USERNAME",
            "AWS_REGION",
            "viewStateShareKey",
        ),
    ],
)
def test_ordinary_names_say_nothing_of_the_kind(name):
    assert not is_secret(name)


ORDINARY = [
    "sweep.yaml:8:1: key 'seeds' is given twice (first in line 7)",
    "keys_and_chests: unknown key 'kyes'; allowed: chests, keys, size; did you mean 'keys'?",
    "train: max_seq_len 48 must divide rollout_len; num_tokens=512, max_tokens: 100000",
    "--set size given; allowed: KEY=VALUE, such as size=9",
    "basic ability: 0.3; basic training; the token budget; bearer of bad news",
    "world.keys: 6 given; key: 5; keys=6; a key must be text",
    "trial 3f2a9c0d1e4b5a69788796a5b4c3d2e1 of arrow_maze, 3,014,656 env steps",
    "http://127.0.0.1:5000/#/experiments/1/runs?viewStateShareKey=9f86d081884c7d65",
    "http://host:5000/a@b, mail ann@host",
    "the pass rate, passed: 12, bypass=3, compass: north",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "token: None, password: null, secret=''",
    "sqlite:////home/a%40b/mlflow.db cannot be used: database is locked",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_texts_of_ours_stay_as_they_are(text):
    assert redact(text) == text


MORE = ["Bearer ", "-----BEGIN PRIVATE KEY-----", "...", "***", "Cookie: ", "&sig=", "--auth "]
WORDS = st.text(st.characters(exclude_categories=("Cs",)), min_size=6, max_size=30)


@settings(max_examples=60, deadline=None)
@given(WORDS, st.sampled_from(sorted(FORMS)), st.text(max_size=20), st.text(max_size=20))
def test_no_form_of_any_secret_is_left_in_a_text(secret, form, before, after):
    assume(len(secret.strip()) >= 6 and "*" not in secret and "\0" not in secret)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOME_PASSWORD", secret)
        shown = FORMS[form](secret)
        assume(len(shown.strip("'\"")) >= 6)
        assert secret not in redact(f"{before}{secret}{after}")
        found = redact(f"{before} {shown} {after}")
        assert shown not in found or len(shown.strip()) < 6
        assert MASK in found


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=12),
            st.sampled_from(
                ["password", "token", "=", ": ", '"', "'", "\\", "://", "@", "Basic ", *MORE]
            ),
        ),
        max_size=12,
    ).map("".join)
)
def test_to_mask_again_changes_nothing_and_no_text_is_refused(text):
    once = redact(text)
    assert redact(once) == once


@pytest.mark.parametrize(
    "part",
    [
        "a",
        "a=",
        'token: "',
        '\\"',
        "://a:",
        "Basic QUJD",
        "-----BEGIN PRIVATE KEY-----",
        "eyJ",
        "...",
        "--a ",
        "a.",
        "@",
        "x='",
    ],
)
def test_a_long_text_takes_no_long_time(planted, part):
    begun = time.process_time()
    redact(part * (100_000 // len(part)))
    assert time.process_time() - begun < 5


def test_control_characters_are_made_visible():
    assert visible("a\x1b[2J\x07\x9b\u202eb\u2028\ud800\ufeff\r\n") == (
        "a\\x1b[2J\\x07\\x9b\\u202eb\\u2028\\ud800\\ufeff\\r\\n"
    )
    assert visible("é ü 漢字 \u200d ok") == "é ü 漢字 \u200d ok"
    assert visible_lines("a\x1bb\n\tc") == "a\\x1bb\n        c"


@settings(max_examples=100, deadline=None)
@given(st.text())
def test_what_is_visible_can_be_printed_and_obeys_nothing(text):
    shown = visible(text)
    shown.encode()
    assert shown.isprintable() or all(ord(c) >= 0xA0 for c in shown if not c.isprintable())
    assert visible(shown) == shown


def test_the_environment_is_asked_each_time(monkeypatch):
    monkeypatch.delenv("LATE_TOKEN", raising=False)
    assert redact("late-secret") == "late-secret"
    os.environ["LATE_TOKEN"] = "late-secret"
    monkeypatch.setenv("LATE_TOKEN", "late-secret")
    assert redact("late-secret") == MASK
