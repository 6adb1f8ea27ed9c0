"""Secrets of many kinds, made up, as they stand in an environment and in texts."""

from __future__ import annotations

import base64
import html
import json
import shlex
from collections.abc import Callable
from urllib.parse import quote, quote_plus

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.Zm9vYmFyYmF6cXV4"
PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\n"
    "MIIEpAIBAAKCAQEA7bq3vkz1mPlanted0\n"
    "q2Wf9sZxPlantedLineTwo8y7u6t5r4==\n"
    "-----END RSA PRIVATE KEY-----"
)

VARIABLES = {
    "MLFLOW_TRACKING_PASSWORD": "pl4nt-mlflow",
    "MLFLOW_TRACKING_TOKEN": "pl4nt-mlflow-token",
    "AWS_ACCESS_KEY_ID": "AKIAPLANTED0PLANTED1",
    "AWS_SECRET_ACCESS_KEY": "pl4nt/aws+secret=key",
    "AWS_SESSION_TOKEN": "pl4nt//aws++session==",
    "GITHUB_PAT": "pl4nt_github_pat",
    "GH_TOKEN": "pl4nt_gh_token",
    "PGPASS": "pl4nt pg pass",
    "PGPASSWORD": 'pl4nt"pg"password',
    "SSHPASS": "pl4nt'ssh'pass",
    "MYSQL_PWD": "pl4nt\\mysql\\pwd",
    "REDIS_AUTH": "pl4nt&redis<auth>",
    "REDISCLI_AUTH": "pl4nt\tredis\tcli",
    "AUTHORIZATION": "Bearer pl4nt-bearer",
    "HTTP_COOKIE": "sid=pl4nt-cookie; theme=dark",
    "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T0PL/B0PL/pl4ntslack",
    "SENTRY_DSN": "https://pl4ntsentry@o1.ingest.example/2",
    "DATABASE_URL": "postgres://ann:pl4nt-db@db.example/agents",
    "HTTPS_PROXY": "http://ann:pl4nt%2Fproxy@proxy.example:3128",
    "AZURE_STORAGE_CONNECTION_STRING": "AccountName=a;AccountKey=pl4ntazure==;X=y",
    "AZURE_STORAGE_SAS_TOKEN": "sv=2022&sig=pl4nt%2Fsas",
    "GOOGLE_CREDENTIALS": '{"type": "service_account", "private_key_id": "pl4nt-google-id", '
    '"private_key": "pl4nt-google-key"}',
    "DEPLOY_KEY_PEM": PEM,
    "WANDB_API_KEY": "pl4ntwandb0123456789",
    "HF_TOKEN": "hf_pl4nt",
    "npm_config__authToken": "pl4nt-npm",
    "KAGGLE_KEY": "pl4ntkaggle",
    "DOCKER_AUTH_CONFIG_JSON_SECRET": "pl4nt-docker",
    "VAULT_PASSPHRASE": "pl4nt pässphrase €",
    "JUPYTER_TOKEN": "pl4nt-jupyter",
    "SESSION_COOKIE": "pl4nt-session",
    "APP_JWT": JWT,
    "SMTP_PASS": "pl4nt$smtp`x`",
    "FTP_CREDS": "ann:pl4nt-ftp",
    "TELEGRAM_BOT_TOKEN_2": "pl4nt-telegram",
    "WEBHOOK": "https://example.com/pl4nt-hook",
}
"""Environment variables; what is secret in each value holds `pl4nt`, in whatever case."""

SECRET_PARTS = [
    *(value for name, value in VARIABLES.items() if name not in ("DATABASE_URL", "HTTPS_PROXY")),
    "pl4nt-db",
    "pl4nt/proxy",
    "pl4ntazure==",
    "pl4nt-google-key",
    "pl4nt-google-id",
    "q2Wf9sZxPlantedLineTwo8y7u6t5r4==",
]


FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "repr": lambda s: repr(s)[1:-1],
    "repr of a dict": lambda s: str({"x": s}),
    "JSON": lambda s: json.dumps({"x": s}),
    "JSON with its letters": lambda s: json.dumps([s], ensure_ascii=False),
    "JSON in JSON": lambda s: json.dumps(json.dumps([s])),
    "repr of JSON": lambda s: repr(json.dumps([s])),
    "bytes": lambda s: repr(s.encode()),
    "quoted": lambda s: quote(s, safe=""),
    "quoted path": quote,
    "quoted form": quote_plus,
    "HTML": html.escape,
    "shell": shlex.quote,
    "hex": lambda s: s.encode().hex(),
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64 of a login": lambda s: base64.b64encode(f"ann:{s}".encode()).decode(),
    "base64 of a longer login": lambda s: base64.b64encode(f"anna:{s}".encode()).decode(),
    "base64 for URLs": lambda s: base64.urlsafe_b64encode(f"bob:{s}".encode()).decode(),
    "on one line": lambda s: " ".join(s.split()),
}
"""Form -> a text that holds a secret in it."""


def basic(login: str) -> str:
    return base64.b64encode(login.encode()).decode()


TEXTS = {
    "url": ("https://ann:s3cr3t@host/x", "s3cr3t"),
    "user only": ("https://s3cr3ttoken@host/x", "s3cr3t"),
    "url in quotes": ("'s3://k3y:s3cr3t@minio:9000'", "s3cr3t"),
    "basic": (f"Authorization: Basic {basic('ann:s3cr3t')}", basic("ann:s3cr3t")),
    "basic alone": (f"sent Basic {basic('ann:s3cr3t')} and got 401", basic("ann:s3cr3t")),
    "basic in a dict": (
        str({"Authorization": f"Basic {basic('ann:s3cr3t')}"}),
        basic("ann:s3")[:8],
    ),
    "basic in bytes": (str([(b"authorization", f"Basic {basic('a:s3cr3t')}".encode())]), "YTpzM2"),
    "bearer": ("authorization: bearer s3cr3t-s3cr3t", "s3cr3t"),
    "bearer alone": ("curl -H 'Bearer s3cr3t-s3cr3t'", "s3cr3t"),
    "token header": ("Authorization: token s3cr3t", "s3cr3t"),
    "proxy": ("Proxy-Authorization: Digest user=ann, response=s3cr3t", "s3cr3t"),
    "cookie": ("Cookie: theme=dark; sid=s3cr3t; x=y", "s3cr3t"),
    "set-cookie": ('"Set-Cookie": "sid=s3cr3t; HttpOnly"', "s3cr3t"),
    "api key header": ("X-Api-Key: s3cr3t", "s3cr3t"),
    "auth token header": ("{'X-Auth-Token': 's3cr3t'}", "s3cr3t"),
    "assignment": ("export GITHUB_PAT=s3cr3t", "s3cr3t"),
    "spaces": ("password = s3cr3t", "s3cr3t"),
    "json": ('{"user": "ann", "password": "s3\\"cr3t", "n": 1}', "cr3t"),
    "json in json": ('"{\\"api_key\\": \\"s3cr3t\\"}"', "s3cr3t"),
    "repr": ("{'user': 'ann', 'clientSecret': 's3\\'cr3t'}", "cr3t"),
    "yaml": ("access_token: s3cr3t", "s3cr3t"),
    "flag": ("mlflow --password s3cr3t --port 5000", "s3cr3t"),
    "flag with =": ("redis-cli --auth-token=s3cr3t", "s3cr3t"),
    "comma": ("password=s3,cr3t", "cr3t"),
    "connection string": ("AccountName=a;AccountKey=s3cr3t==;Suffix=net", "s3cr3t"),
    "query": ("https://h/x?user=a&access_token=s3cr3t&y=1", "s3cr3t"),
    "presigned": ("https://b.s3/x?X-Amz-Credential=s3cr3t1&X-Amz-Signature=s3cr3t2", "s3cr3t"),
    "sas": ("https://a.blob.core.windows.net/c?sv=1&sig=s3cr3t", "s3cr3t"),
    "pem": (f"key:\n{PEM}\nend", "q2Wf9sZx"),
    "pem on one line": (repr(PEM), "q2Wf9sZx"),
    "pem cut off": (PEM[:90], "MIIEpAIB"),
    "aws id": ("user AKIAIOSFODNN7EXAMPLE is", "AKIAIOSFODNN7EXAMPLE"),
    "github": ("ghp_" + "a1B2" * 9, "a1B2"),
    "github fine": ("github_pat_11AAAA_" + "a1B2" * 9, "a1B2"),
    "gitlab": ("glpat-" + "a1B2" * 5, "a1B2"),
    "slack": ("xoxb-123456789012-a1B2a1B2", "a1B2"),
    "slack hook": ("post to https://hooks.slack.com/services/T1/B2/a1B2a1B2 failed", "a1B2"),
    "discord hook": ("https://discord.com/api/webhooks/123/a1B2a1B2", "a1B2"),
    "openai": ("sk-proj-" + "a1B2" * 6, "a1B2"),
    "stripe": ("sk_live_" + "a1B2" * 6, "a1B2"),
    "hugging face": ("hf_" + "a1B2" * 9, "a1B2"),
    "google": ("AIza" + "a1B2" * 9, "a1B2"),
    "npm": ("npm_" + "a1B2" * 9, "a1B2"),
    "pypi": ("pypi-AgEIcHlwaS5vcmc" + "a1B2" * 9, "a1B2"),
    "jwt": (f"got {JWT}.", "Zm9vYmFy"),
    "telegram": ("https://api.telegram.org/bot123456789:AAa1B2a1B2/send", "a1B2"),
}
"""Kind -> a text with a secret that no variable has, and the secret or a part of it."""
