"""Writes captures: what a real instrumentation exports over OTLP while a real client calls the local API.

    PYTHON tests/instrumentations/capture.py FILE [SCENARIO …]     # FILE: a name in scenarios/, without .py
    NODE_MODULES=DIRECTORY PYTHON tests/instrumentations/capture.py ai_sdk.mjs

PYTHON is an environment that has the library, its clients and opentelemetry-exporter-otlp-proto-http. Each scenario
runs in a process of its own; its expected rows are what the local API answered, never what our reader makes of it.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import zlib
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from typing import Any

from expectations import expected

HERE = Path(__file__).parent
CASES = HERE.parent / "cases" / "instrumentations"
MAX_TEXT_CHARACTERS = 800
_KEYS = (
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "GEMINI_API_KEY",
    "CO_API_KEY",
    "GROQ_API_KEY",
    "MISTRAL_API_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
)
_KEPT_RESOURCE = re.compile(
    r"service\.(name|version)|telemetry\.sdk|deployment|environment|openinference|langfuse|ai\.|user|session"
)
# Long texts without the usage of a single call: what a whole run took and gave, and schemas.
_WHOLE_RUN = (
    "logfire.json_schema",
    "model_request_parameters",
    "pydantic_ai.all_messages",
    "traceloop.entity.input",
    "traceloop.entity.output",
    "gen_ai.task.input",
    "gen_ai.task.output",
)
_MACHINE = re.compile(r"(/(?:work|root|home|tmp|usr|opt)/[^\s\"'\\,:)]*|[A-Za-z0-9_.-]+\.internal)")


class Context:
    """What a scenario gets: the local API's address, a tracer provider that exports, and what to expect of its rows."""

    def __init__(self, api: str, endpoint: str) -> None:
        self.api = api
        self.endpoint = endpoint
        self.fields: dict[str, Any] = {}
        self.lacks: list[str] = []
        self._provider: Any = None

    def provider(self, **resource: Any) -> Any:
        """The process's tracer provider, set as the global one, with an exporter to the capturing receiver."""
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor

        if self._provider is None:
            self._provider = TracerProvider(resource=Resource({"service.name": "app", **resource}))
            self._provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(self.endpoint)))
            trace.set_tracer_provider(self._provider)
        return self._provider

    def expect(self, **fields: Any) -> None:
        """Fields that each row of this scenario has, such as user_id."""
        self.fields |= fields

    def lack(self, *sentences: str) -> None:
        """State what the library's spans do not contain."""
        self.lacks += sentences


class Receiver(ThreadingHTTPServer):
    """Accepts OTLP/HTTP exports and keeps them undecoded."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receive)
        self.bodies: list[bytes] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/traces"


class _Receive(BaseHTTPRequestHandler):
    server: Receiver
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._reply(b"{}")

    def do_POST(self) -> None:
        body = self._body()
        if self.headers.get("Content-Encoding") in ("gzip", "deflate"):
            body = zlib.decompress(body, 47)
        if self.path.endswith("/v1/traces") or self.path.endswith("/otel/v1/traces"):
            self.server.bodies.append(body)
            self._reply(b"", "application/x-protobuf")
        else:
            self._reply(b"{}")

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().strip() or b"0", 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        return body

    def _reply(self, payload: bytes, kind: str = "application/json") -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)


# --- spans --------------------------------------------------------------------------------------------------------


def decode(bodies: list[bytes]) -> list[dict[str, Any]]:
    """The spans of protobuf exports, in the order in which they arrived."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    spans = []
    for body in bodies:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            about = {k: v for k, v in _attributes(resource.resource.attributes).items() if _KEPT_RESOURCE.match(k)}
            for group in resource.scope_spans:
                scope = {"name": group.scope.name, "version": group.scope.version}
                spans += [_span(span, scope, about) for span in group.spans]
    return spans


def _span(span: Any, scope: dict[str, str], resource: dict[str, Any]) -> dict[str, Any]:
    return {
        "scope": scope,
        "name": span.name,
        "trace": span.trace_id.hex(),
        "span": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "kind": span.kind,
        "start_ns": span.start_time_unix_nano,
        "end_ns": span.end_time_unix_nano,
        "status": {"code": span.status.code, "message": _clean_text("", span.status.message)},
        "attributes": _attributes(span.attributes),
        "events": [
            {"name": event.name, "time_ns": event.time_unix_nano, "attributes": _attributes(event.attributes)}
            for event in span.events
        ],
        "resource": resource,
    }


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _clean(pair.key, _value(pair.value)) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: _value(pair.value) for pair in value.kvlist_value.values}
    return None if kind is None else value.bytes_value.hex() if kind == "bytes_value" else getattr(value, kind)


def _clean(key: str, value: Any) -> Any:
    """The value without what belongs to this machine, and without long texts."""
    if isinstance(value, list):
        return [_clean(key, one) for one in value]
    if isinstance(value, dict):
        return {name: _clean(name, one) for name, one in value.items()}
    if key in ("server.port", "net.peer.port") and isinstance(value, int):
        return 8080
    return _clean_text(key, value) if isinstance(value, str) else value


def _clean_text(key: str, text: str) -> str:
    if "stacktrace" in key or "traceback" in key.lower():
        text = text.strip().partition("\n")[0][:300]
    text = re.sub(r"(127\.0\.0\.1|localhost):\d+", r"\1:8080", text)
    text = re.sub(r"%2F(?:work|root|tmp)[^\s\"]*", "PATH", _MACHINE.sub("PATH", text))
    if key in _WHOLE_RUN:
        return text if len(text) < 300 else text[:200] + "…"
    # A text with counts is kept whole: it may be the only copy of a call's usage.
    kept = len(text) <= MAX_TEXT_CHARACTERS or (re.search("token", text, re.IGNORECASE) and len(text) < 6000)
    return text if kept else text[:200] + "…"


# --- running ------------------------------------------------------------------------------------------------------


def scenario_names(file: str) -> list[str]:
    """The names in a scenario file's SCENARIOS; the functions of a .mjs file."""
    if file.endswith(".mjs"):
        text = (HERE / "scenarios" / file).read_text()
        return re.findall(r"^async function (\w+)\(", text, re.MULTILINE)
    return list(_module(file).SCENARIOS)


def release_line(version: str) -> str:
    """What the releases that replace each other have in common: "2." of 2.14.0, "0.62." of 0.62.4."""
    major, minor = version.split(".")[:2]
    return f"{major}." if major != "0" else f"0.{minor}."


def library_of(file: str) -> str:
    """The distribution that a scenario file is about."""
    return str(_module(file).LIBRARY)


def _module(file: str) -> Any:
    sys.path.insert(0, str(HERE / "scenarios"))
    return importlib.import_module(file)


def capture(file: str, scenario: str) -> Path | None:
    """Run one scenario in a process of its own and write its capture."""
    sys.path.insert(0, str(HERE))
    from local_api import LocalApi

    CASES.mkdir(parents=True, exist_ok=True)
    with LocalApi() as api, Receiver() as receiver, tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "about.json"
        arguments = [file, receiver.endpoint, str(out), f"{scenario}={api.url}"]
        command = [sys.executable, __file__, "--run", *arguments]
        if file.endswith(".mjs"):
            script = Path(os.environ["NODE_MODULES"]).parent / file
            shutil.copy(HERE / "scenarios" / file, script)
            command = ["node", str(script), *arguments[1:]]
        env = environment(os.environ, receiver.endpoint)
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode or not out.exists():
            print(f"FAILED {file} {scenario}: {(done.stderr + done.stdout)[-300:]}")
            return None
        about = json.loads(out.read_text())
        return _write(scenario, about, api.calls, decode(receiver.bodies), done.stderr)


def environment(given: Mapping[str, str], endpoint: str) -> dict[str, str]:
    """The environment of a process that runs scenarios: keys for the clients, and where exporters send."""
    return {
        **{key: value for key, value in given.items() if not key.startswith("OTEL_")},
        **dict.fromkeys(_KEYS, "key"),
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint.removesuffix("/v1/traces"),
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": endpoint,
        "AWS_REGION": "us-east-1",
        "NO_PROXY": "127.0.0.1,localhost",
        "PYTHONWARNINGS": "ignore",
        # Libraries that ask a server at import wait for it.
        "LITELLM_LOCAL_MODEL_COST_MAP": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "CREWAI_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
    }


def _write(
    scenario: str,
    about: dict[str, Any],
    calls: list[dict[str, Any]],
    spans: list[dict[str, Any]],
    stderr: str,
) -> Path:
    items = expected(calls, about["fields"], spans)
    library, version = about["library"], about["version"]
    case = {
        "library": library,
        "version": version,
        "scenario": scenario,
        "packages": about["packages"],
        "spans": spans,
        "expected": items,
        "lacks": about["lacks"],
    }
    name = library.removeprefix("@").replace("/", "-")
    for old in CASES.glob(f"{name}-{release_line(version)}*-{scenario}.json"):
        old.unlink()  # an earlier release of the same line
    path = CASES / f"{name}-{version}-{scenario}.json"
    path.write_text(json.dumps(case, ensure_ascii=False, indent=1) + "\n")
    lacks = sorted({lack for item in items for lack in item.get("lacks", ())})
    print(f"{path.name}: {len(spans)} spans, {len(items)} calls, {path.stat().st_size} bytes, lacks {lacks}")
    if os.environ.get("VERBOSE"):
        print(stderr[-2000:])
    return path


def run(file: str, endpoint: str, out: str, *scenarios: str) -> None:
    """Run scenarios (NAME=API) of a file, flush their spans, and write the versions to `out` unless it is "-"."""
    module = _module(file)
    context = Context("", endpoint)
    if hasattr(module, "setup"):
        module.setup(context)
    for scenario in scenarios:
        name, _, context.api = scenario.partition("=")
        result = module.SCENARIOS[name](context)
        if inspect.isawaitable(result):
            asyncio.run(result)  # type: ignore[arg-type]
    from opentelemetry import trace

    for provider in filter(None, (context._provider, trace.get_tracer_provider())):
        getattr(provider, "force_flush", lambda: None)()
    if out != "-":
        names = (module.LIBRARY, *getattr(module, "PACKAGES", ()))
        packages = {name: metadata.version(name) for name in names}
        about = {"library": module.LIBRARY, "version": packages[module.LIBRARY], "packages": packages}
        Path(out).write_text(json.dumps({**about, "fields": context.fields, "lacks": context.lacks}))


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--run"]:
        run(*arguments[1:])
        return 0
    file, *names = arguments
    written = [capture(file, name) for name in names or scenario_names(file)]
    return 0 if all(written) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
