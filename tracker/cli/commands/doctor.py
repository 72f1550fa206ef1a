"""token-tracker doctor: why recording does or doesn't work here, and what differs from there."""

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
from tracker.diagnostics.compare_reports import ComparisonLine, compare_reports, recommendations_of
from tracker.diagnostics.env_file import deployed_environment, read_env_file
from tracker.diagnostics.fetch_report import fetch_report, is_private_url
from tracker.errors import DatabaseError, SettingError
from tracker.settings import DATABASE_URL_NAMES


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("doctor", help="why recording does or doesn't work, and what to do")
    parser.add_argument("--json", action="store_true", help="the whole report as one JSON document")
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--against", metavar="URL", help="a deployed debug report; its token in TRACKER_DEBUG_TOKEN")
    other.add_argument("--env-file", type=Path, metavar="FILE", help="variables that a platform's CLI has pulled")
    parser.add_argument("--private", action="store_true", help="let --against lead into a private network")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    pulled = read_env_file(arguments.env_file) if arguments.env_file else None
    there: Mapping[str, Any] | None = None
    if arguments.against:
        # Who writes localhost or a private address has asked for it; a name that merely leads there hasn't.
        private = arguments.private or is_private_url(arguments.against)
        there = fetch_report(arguments.against, os.environ.get("TRACKER_DEBUG_TOKEN"), private=private)
    elif pulled is not None:
        there = report_module.build_report(deployed_environment(pulled, os.environ)).as_dict()
    here = report_module.build_report(url=_embedded()).as_dict()
    lines = compare_reports(here, there) if there is not None else ()
    if arguments.json:
        answer = here if there is None else {"here": here, "there": there, "lines": [line.as_dict() for line in lines]}
        print(json.dumps(answer, ensure_ascii=False, default=str))
    else:
        _show(here, there, lines)
    return _status(here, there)


def _embedded() -> DatabaseUrl | None:
    """The embedded database where no other is named and this machine may have one; None else."""
    if any(os.environ.get(name) for name in DATABASE_URL_NAMES):
        return None
    try:
        found = locate(settings_module.load(strict=False))
    except (SettingError, DatabaseError):
        return None
    print(f"DATABASE_URL is not set: using the embedded database in {found.url.host}.", file=sys.stderr)
    return found.url


def _status(here: Mapping[str, Any], there: Mapping[str, Any] | None) -> int:
    """2 where the variables were found wrong before anything could be tried, else 1 where something isn't fine."""
    if here["database"]["connectionStatus"] == "not_configured":
        print("token-tracker: " + here["recommendations"][0]["cause"], file=sys.stderr)
        return 2
    malformed = [shape for shape in here["variables"] if shape["code"] == "setting_malformed"]
    if malformed:
        print("token-tracker: " + malformed[0]["sentence"], file=sys.stderr)
        return 2
    fine = here["healthy"] and (there is None or bool(there.get("healthy", _seems_healthy(there))))
    return 0 if fine else 1


def _seems_healthy(there: Mapping[str, Any]) -> bool:
    """The app's own route has no such key: what it says about its database decides."""
    lines = {line.key: line.there for line in compare_reports({}, there)}
    return lines.get("database.connectionStatus") == "connected" and lines.get("database.tableExists") != "no"


def _show(here: Mapping[str, Any], there: Mapping[str, Any] | None, lines: tuple[ComparisonLine, ...]) -> None:
    if there is None:
        _summary(here)
        _recommendations(recommendations_of(here), "Recommendations")
        return
    different = [line for line in lines if line.differs]
    _title(f"Differences ({len(different)}): here | there")
    for line in different:
        print(f"{_sign(line.weight)} {line.key}: {terminal_text(line.here)} | {terminal_text(line.there)}")
        print(f"    {line.explains}")
    print(f"{len(lines) - len(different)} other lines are the same.")
    _recommendations(recommendations_of(there), "Recommendations there")
    _recommendations(recommendations_of(here), "Recommendations here")


def _summary(here: Mapping[str, Any]) -> None:
    runtime, database, usage = here["runtime"], here["database"], here["tokenUsage"]
    target = database["target"]
    _title(f"{'Healthy' if here['healthy'] else 'Not healthy'} ({here['tookMs']:.0f} ms)")
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
        print("Commits      not waited for (synchronous_commit = off); each insert of a record asks for it itself")
    if usage["total"] is not None:
        print(f"Usage        {usage['total']} calls recorded")
    outbox = here["outbox"]
    print(f"Outbox       {outbox['waiting']} waiting, {outbox['setAside']} set aside")
    for damaged in outbox.get("damaged", []):
        print(f"  {terminal_text(damaged)}: damaged; recover it with token-tracker outbox drain --from PATH")
    for file in outbox["files"]:
        if file.get("waiting") or file.get("setAside"):
            print(f"  {terminal_text(file['path'])}: {file['waiting']} waiting, {file['setAside']} set aside")


def _recommendations(found: list[dict[str, str]], title: str) -> None:
    print()
    _title(title if found else f"{title}: none")
    for number, item in enumerate(found, start=1):
        print(f"{number}. {_sign(item['severity'])} {terminal_text(item['cause'])}")
        for name in ("evidence", "remedy"):
            if item[name]:
                print(f"   {name}: {terminal_text(item[name])}")


def _title(text: str) -> None:
    print(text)


def _sign(weight: str) -> str:
    return {"error": "[error]", "warning": "[warning]"}.get(weight, "[info]")
