"""token-tracker doctor: report why recording fails on this machine, and compare with a deployment."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracker import settings as settings_module
from tracker.cli.terminal import terminal_text
from tracker.database.locate import locate
from tracker.database.url import DatabaseUrl
from tracker.diagnostics import report as report_module
from tracker.diagnostics.compare_reports import CONNECTED, NO, ComparisonLine, compare_reports, recommendations_of
from tracker.diagnostics.env_file import deployed_environment, read_env_file
from tracker.diagnostics.fetch_report import fetch_report, is_private_url
from tracker.errors import DatabaseError, SettingError
from tracker.settings import DATABASE_URL_NAMES


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("doctor", help="check why recording does or doesn't work, with remedies")
    parser.add_argument("--json", action="store_true", help="the whole report as one JSON document")
    other = parser.add_mutually_exclusive_group()
    other.add_argument(
        "--against",
        metavar="URL",
        help="compare with the debug report at this URL; reads its token from TRACKER_DEBUG_TOKEN",
    )
    other.add_argument(
        "--env-file",
        type=Path,
        metavar="FILE",
        help="compare with the variables that a platform's CLI wrote to this file",
    )
    parser.add_argument("--private", action="store_true", help="let --against connect to a private network")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    pulled = read_env_file(arguments.env_file) if arguments.env_file else None
    remote: Mapping[str, Any] | None = None
    if arguments.against:
        # An explicit localhost or private address is intended; a public name that resolves to one may not be.
        private = arguments.private or is_private_url(arguments.against)
        remote = fetch_report(arguments.against, os.environ.get("TRACKER_DEBUG_TOKEN"), private=private)
    elif pulled is not None:
        remote = report_module.build_report(deployed_environment(pulled, os.environ)).as_dict()
    local = report_module.build_report(url=_embedded()).as_dict()
    lines = compare_reports(local, remote) if remote is not None else ()
    if arguments.json:
        document = (
            local if remote is None else {"here": local, "there": remote, "lines": [line.as_dict() for line in lines]}
        )
        print(json.dumps(document, ensure_ascii=False, default=str))
    else:
        _show(local, remote, lines)
    return _status(local, remote)


def _embedded() -> DatabaseUrl | None:
    """The embedded database if no other one is configured and this machine can run it; else None."""
    if any(os.environ.get(name) for name in DATABASE_URL_NAMES):
        return None
    try:
        database = locate(settings_module.load(strict=False))
    except (SettingError, DatabaseError):
        return None
    print(f"DATABASE_URL is not set: using the embedded database in {database.url.host}.", file=sys.stderr)
    return database.url


def _status(local: Mapping[str, Any], remote: Mapping[str, Any] | None) -> int:
    """The exit status: 2 for missing or malformed variables, 1 for any other problem, 0 without one."""
    if local["database"]["connectionStatus"] == "not_configured":
        print("token-tracker: " + local["recommendations"][0]["cause"], file=sys.stderr)
        return 2
    malformed = [problem for problem in local["variables"] if problem["code"] == "setting_malformed"]
    if malformed:
        print("token-tracker: " + malformed[0]["sentence"], file=sys.stderr)
        return 2
    fine = local["healthy"] and (remote is None or bool(remote.get("healthy", _seems_healthy(remote))))
    return 0 if fine else 1


def _seems_healthy(remote: Mapping[str, Any]) -> bool:
    """Whether a report without the key `healthy`, as an application's own route returns it, has a working database."""
    lines = {line.key: line.there for line in compare_reports({}, remote)}
    return lines.get("database.connectionStatus") == CONNECTED and lines.get("database.tableExists") != NO


def _show(local: Mapping[str, Any], remote: Mapping[str, Any] | None, lines: tuple[ComparisonLine, ...]) -> None:
    if remote is None:
        _summary(local)
        _recommendations(recommendations_of(local), "Recommendations")
        return
    different = [line for line in lines if line.differs]
    _title(f"Differences ({len(different)}): this machine | deployment")
    for line in different:
        print(f"{_sign(line.weight)} {line.key}: {terminal_text(line.here)} | {terminal_text(line.there)}")
        print(f"    {line.explains}")
    print(f"{len(lines) - len(different)} other lines are the same.")
    _recommendations(recommendations_of(remote), "Recommendations for the deployment")
    _recommendations(recommendations_of(local), "Recommendations for this machine")


def _summary(local: Mapping[str, Any]) -> None:
    runtime, database, usage = local["runtime"], local["database"], local["tokenUsage"]
    target = database["target"]
    _title(f"{'Healthy' if local['healthy'] else 'Not healthy'} ({local['tookMs']:.0f} ms)")
    platform, environment = terminal_text(runtime["platform"]), terminal_text(runtime["environment"])
    print(f"Runtime      {platform}, {environment}, mode {runtime['mode']}")
    if target is not None:
        print(
            f"Database     {terminal_text(target['host'])}:{target['port']}/{terminal_text(target['database'])}", end=""
        )
        print(f", PostgreSQL {database['serverVersion']}" if database["serverVersion"] else "")
    for step in database["steps"]:
        state = {True: "ok", False: "FAILED", None: "-"}[step["ok"]]
        took = f"{step['ms']:8.1f} ms" if step["ms"] is not None else " " * 11
        print(f"  {step['name']:<8} {state:<7}{took}  {terminal_text(step['detail'])}".rstrip())
    if database["tableExists"] is not None:
        print(f"Table        {'exists' if database['tableExists'] else 'missing'}, insert "
              f"{'allowed' if database['insertAllowed'] else 'not allowed'}")  # fmt: skip
    if database.get("synchronousCommit") == "off":
        print("Commits      asynchronous (synchronous_commit = off); each insert of a record turns it on for itself")
    if usage["total"] is not None:
        print(f"Usage        {usage['total']} calls recorded")
    outbox = local["outbox"]
    print(f"Outbox       {outbox['waiting']} waiting, {outbox['setAside']} dead letters")
    for damaged in outbox.get("damaged", []):
        print(f"  {terminal_text(damaged)}: damaged; recover it with token-tracker outbox drain --from PATH")
    for file in outbox["files"]:
        if file.get("waiting") or file.get("setAside"):
            print(f"  {terminal_text(file['path'])}: {file['waiting']} waiting, {file['setAside']} dead letters")


def _recommendations(items: list[dict[str, str]], title: str) -> None:
    print()
    _title(title if items else f"{title}: none")
    for number, item in enumerate(items, start=1):
        print(f"{number}. {_sign(item['severity'])} {terminal_text(item['cause'])}")
        for name in ("evidence", "remedy"):
            if item[name]:
                print(f"   {name}: {terminal_text(item[name])}")


def _title(text: str) -> None:
    print(text)


def _sign(weight: str) -> str:
    return {"error": "[error]", "warning": "[warning]"}.get(weight, "[info]")
