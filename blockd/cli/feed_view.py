"""``blockd feed verify`` and ``blockd feed pull``: a feed as a subscriber has it, through the same code that a gateway uses."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from blockd.errors import BlockdError, Misconfigured, Refused
from blockd.feeds import driver
from blockd.feeds.client import Subscription
from blockd.feeds.roles import is_target_path
from blockd.terms import Instant

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from blockd.feeds.verified import Verified


@dataclass(frozen=True, slots=True)
class _Feed:
    """What a subscription needs to know."""

    name: str
    url: str
    root: Path
    token_file: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None


def _now() -> Instant:
    return Instant(time.time())


def show(args: argparse.Namespace, value: object, lines: Sequence[str]) -> None:
    """Print one JSON object, or lines for a person."""
    print(json.dumps(value) if args.json else "\n".join(lines))


def _verified_json(verified: Verified, signatures: int, threshold: int) -> dict[str, object]:
    meta = {key: getattr(value, "value", value) for key, value in asdict(verified.meta).items() if value is not None}
    return {
        "list": verified.name.partition("/")[2], "version": verified.version, "sha256": verified.sha256, "length": verified.length,
        "expires": _time(verified.expires), "signatures": signatures, "threshold": threshold, **meta,
    }  # fmt: skip


def _time(instant: float) -> str:
    return datetime.fromtimestamp(instant, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def verify_repo(args: argparse.Namespace) -> int:
    """Run ``feed verify``: exit 1 when a subscriber would refuse the feed or one of its lists."""
    repo: Path = args.repo
    if not (repo / "root.json").is_file():
        raise Misconfigured(f"{repo} is no feed repository: it has no root.json")
    with tempfile.TemporaryDirectory(prefix="blockd-verify-") as folder:
        subscription = Subscription(_Feed("feed", repo.absolute().as_uri(), repo / "root.json"), Path(folder))
        subscription.refresh(_now())
        rows, faults = _each_list(subscription)
    lines = [
        f"{r['list']:<24} version {r['version']:<6} {r['format']:<9} {r['signatures']} signatures, {r['threshold']} needed  expires {r['expires']}"
        for r in rows
    ]
    show(args, {"valid": not faults, "lists": rows, "faults": faults}, lines or ([] if faults else ["valid; no list is published yet"]))
    for fault in faults:
        print(f"blockd feed: {fault['list']}: {fault['why']}", file=sys.stderr)
    return 1 if faults else 0


def _each_list(subscription: Subscription) -> tuple[list[dict[str, object]], list[dict[str, str]]]:
    rows: list[dict[str, object]] = []
    faults: list[dict[str, str]] = []
    for name in subscription.lists():
        try:
            rows.append(_verified_json(subscription.download(name), *subscription.signers(name)))
        except BlockdError as error:
            faults.append({"list": name.partition("/")[2], "reason": getattr(error, "reason", "unavailable"), "why": str(error)})
    return rows, faults


def pull_feed(args: argparse.Namespace) -> int:
    """Run ``feed pull``: a mirror's or an auditor's copy of the lists, verified."""
    state: Path = args.output / ".feed"
    feed = _Feed("feed", args.url, args.root, args.token_file, args.client_certificate, args.client_key)
    if args.output.exists() and not args.output.is_dir():
        raise Misconfigured(f"{args.output} is not a folder")
    if args.output.is_dir() and any(args.output.iterdir()) and not state.is_dir():
        raise Refused("exists", f"{args.output} is not empty and was not made by feed pull: give another --output")
    subscription = Subscription(feed, state, allow_http=args.allow_http)
    subscription.refresh(_now())
    rows, faults = _each_list(subscription)
    for row in rows:
        name = str(row["list"])
        path = subscription.path_of(name)
        if not is_target_path(path, name):
            raise AssertionError(path)
        place = args.output / path
        place.parent.mkdir(parents=True, exist_ok=True)
        driver.copy_durable(subscription.download(name).path, place)
        row["path"] = str(place)
    show(args, {"valid": not faults, "lists": rows, "faults": faults}, [f"{row['path']}  version {row['version']}" for row in rows])
    for fault in faults:
        print(f"blockd feed: {fault['list']}: {fault['why']}", file=sys.stderr)
    return 1 if faults else 0
