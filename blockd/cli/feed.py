"""``blockd feed``: the publisher's and co-signer's half, and a look at a feed as a subscriber has it.

    blockd feed init REPO --keys 3 --threshold 2
    blockd feed publish REPO --list domains --format domains --category gambling --basis mandated names.txt
    blockd feed cosign REPO --key 2.pem
    blockd feed verify REPO

Keys are encrypted under the passphrase in the file that BLOCKD_FEED_PASSPHRASE_FILE names. What a person reads goes to standard output,
warnings and the one line of an error to standard error; ``--json`` prints one object instead.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from blockd.cli.feed_view import pull_feed, show, verify_repo
from blockd.cli.parser import Parser, say
from blockd.errors import BlockdError, Misconfigured, Refused
from blockd.feeds import driver
from blockd.feeds.verified import ListMeta
from blockd.names import InvalidName, parse_domain
from blockd.terms import Action, Basis, Category, Format, Instant

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from blockd.cli.parser import Subparsers

NUMBERS_SHOWN = 5
PASSPHRASE_GOOD_OCTETS = 16  # the key file's own derivation is quick: the passphrase must carry the strength


def add_parser(subparsers: Subparsers) -> None:
    """Add ``feed`` and its verbs. Each leaves its handler in ``handler``: ``handler(args) -> exit code``."""
    parser = subparsers.add_parser(
        "feed",
        help="publish, co-sign and verify signed lists",
        description="The publisher's and co-signer's half, and a look at a feed as a subscriber has it.",
    )
    verbs = parser.add_subparsers(dest="feed_verb", metavar="VERB", required=True)
    _add_init(verbs)
    _add_publish(verbs)
    _add_cosign(verbs)
    refresh = _verb(verbs, "refresh", refresh_repo, "sign the timestamp anew: it lives for 24 hours; run by a timer")
    _add_repo(refresh)
    _add_rotate(verbs)
    verify = _verb(verbs, "verify", verify_repo, "look at a repository as a subscriber would, from its root.json")
    verify.add_argument("repo", metavar="REPO", type=Path, help="the repository's folder")
    _add_pull(verbs)


def _verb(verbs: Subparsers, name: str, handler: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text, description=text[:1].upper() + text[1:] + ".")
    parser.set_defaults(handler=guarded(handler))
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _add_repo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("repo", metavar="REPO", type=Path, help="the repository's folder")
    parser.add_argument("--keys-dir", type=Path, metavar="DIR", help="where the keys are (default: REPO.keys)")


def _add_init(verbs: Subparsers) -> None:
    parser = _verb(verbs, "init", init_repo, "make keys and an empty, signed repository")
    _add_repo(parser)
    parser.add_argument("--keys", type=int, default=3, metavar="N", help="how many signers there are (default: 3)")
    parser.add_argument("--threshold", type=int, metavar="M", help="how many of them must sign (default: 2, or 1 of 1)")
    parser.add_argument("--unencrypted-keys", action="store_true", help="write the keys without a passphrase: for tests and demonstrations")


def _add_publish(verbs: Subparsers) -> None:
    parser = _verb(verbs, "publish", publish_list, "sign a new version of a list, with every key in --keys-dir that opens")
    _add_repo(parser)
    parser.add_argument("--list", required=True, metavar="NAME", help="the list's name in this repository")
    parser.add_argument("--format", required=True, choices=[f.value for f in Format], help="how FILE is read")
    parser.add_argument(
        "--category", required=True, choices=[c.value for c in Category], metavar="CATEGORY", help=", ".join(c.value for c in Category)
    )
    parser.add_argument("--basis", required=True, choices=[b.value for b in Basis], help="on whose authority the list blocks")
    parser.add_argument(
        "--action",
        default=Action.STOP_PAGE.value,
        choices=[a.value for a in Action],
        help="what a gateway should answer (default: %(default)s)",
    )
    parser.add_argument("--canary", metavar="NAME", help="a listed name that gateways ask for to test themselves")
    order = parser.add_argument_group("the order that the list rests on")
    for name, text in (
        ("authority", "who ordered it"), ("reference", "its reference"), ("deadline", "by when it must be in force"), ("until", "how long it holds"),
    ):  # fmt: skip
        order.add_argument(f"--{name}", metavar="TEXT", help=text)
    parser.add_argument("--secret", action="store_true", help="encrypt the list to its recipients (age)")
    parser.add_argument("--recipient", action="append", default=[], metavar="age1...", help="a member's public key; may be given again")
    parser.add_argument("file", metavar="FILE", type=Path, help="the list, as it is to be published")


def _add_cosign(verbs: Subparsers) -> None:
    parser = _verb(verbs, "cosign", cosign_staged, "check what waits for signatures and sign it")
    _add_repo(parser)
    parser.add_argument("--key", required=True, type=Path, metavar="FILE", help="the co-signer's key")


def _add_rotate(verbs: Subparsers) -> None:
    parser = _verb(verbs, "rotate", rotate_keys, "make a new root, signed by the old and the new threshold")
    _add_repo(parser)
    parser.add_argument(
        "--role", required=True, choices=["root", "signers", "online"],
        help="root: the same keys for another year; signers: other keys or another threshold; online: the key of snapshot and timestamp",
    )  # fmt: skip
    for name, text in (("replace", "give signer N a new key"), ("remove", "drop signer N")):
        parser.add_argument(
            f"--{name}",
            action="append",
            default=[],
            metavar="N",
            help=f"{text} (N.pem in the keys' folder, or the key id's first 8 digits)",
        )
    parser.add_argument("--add", type=int, default=0, metavar="COUNT", help="make keys for so many more signers")
    parser.add_argument("--threshold", type=int, metavar="M", help="how many must sign from now on")
    parser.add_argument("--unencrypted-keys", action="store_true", help="write new keys without a passphrase")


def _add_pull(verbs: Subparsers) -> None:
    parser = _verb(verbs, "pull", pull_feed, "fetch a feed, verify it and store its lists in a folder")
    parser.add_argument("url", metavar="URL", help="where metadata/ and targets/ are")
    parser.add_argument(
        "--root", required=True, type=Path, metavar="FILE", help="the publisher's first root.json, got by a way that you trust"
    )
    parser.add_argument(
        "-o", "--output", required=True, type=Path, metavar="DIR", help="lists go to DIR/LIST/FILE, the trusted metadata to DIR/.feed"
    )
    parser.add_argument("--allow-http", action="store_true", help="fetch over plain http from other machines too")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="a file with the bearer token that the server asks of members")
    parser.add_argument("--client-certificate", type=Path, metavar="FILE", help="certificate (PEM) that names this member to the server")
    parser.add_argument("--client-key", type=Path, metavar="FILE", help="its private key (PEM)")


def guarded(handler: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """Turn errors into one line and an exit code: 2 for what a person gave wrongly, 1 for the rest."""

    def run(args: argparse.Namespace) -> int:
        try:
            return handler(args)
        except Misconfigured as error:
            for fault in error.faults:
                say(f"blockd feed: {fault}")
            return 2
        except BlockdError as error:
            say(f"blockd feed: {error}")
            return 1
        except OSError as error:
            say(f"blockd feed: {error.filename or args.feed_verb}: {error.strerror}")
            return 1

    return run


def _now() -> Instant:
    return Instant(time.time())


def _keys_dir(args: argparse.Namespace) -> Path:
    repo: Path = args.repo
    given: Path | None = args.keys_dir
    return given if given is not None else repo.absolute().with_name(f"{repo.absolute().name}.keys")


def _passphrase() -> bytes | None:
    return driver.read_passphrase(os.environ.get(driver.PASSPHRASE_VARIABLE))


def _warn(notes: Sequence[str]) -> None:
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


def init_repo(args: argparse.Namespace) -> int:
    """Run ``feed init``."""
    passphrase = _new_passphrase(args)
    keys_dir = _keys_dir(args)
    threshold = args.threshold if args.threshold is not None else min(2, args.keys)
    try:
        driver.init(args.repo, keys_dir, args.keys, threshold, passphrase, _now())
    except Refused as error:
        if error.reason == "shape":
            raise Misconfigured(str(error)) from None
        raise
    show(
        args,
        {
            "repository": str(args.repo),
            "keys": str(keys_dir),
            "signers": args.keys,
            "threshold": threshold,
            "encrypted": passphrase is not None,
        },
        [
            f"repository  {args.repo}  (serve this folder; subscribers pin {args.repo / 'root.json'})",
            f"keys        {keys_dir}  ({args.keys} signers, {threshold} must sign; {'encrypted' if passphrase else 'NOT encrypted'})",
            f"next        blockd feed publish {args.repo} --list NAME --format domains --category CATEGORY --basis BASIS FILE",
        ],
    )
    return 0


def _new_passphrase(args: argparse.Namespace) -> bytes | None:
    """Find what new keys are encrypted under. Misconfigured when there is neither a passphrase nor the word that none is wanted."""
    if args.unencrypted_keys:
        return None
    passphrase = _passphrase()
    if passphrase is not None and len(passphrase) < PASSPHRASE_GOOD_OCTETS:
        print(
            f"warning: the passphrase has fewer than {PASSPHRASE_GOOD_OCTETS} octets: openssl rand -base64 32 makes a good one",
            file=sys.stderr,
        )
    if passphrase is None:
        raise Misconfigured(
            f"keys need a passphrase: put one in a file and name it in {driver.PASSPHRASE_VARIABLE}, or say --unencrypted-keys"
        )
    return passphrase


def _list_meta(args: argparse.Namespace) -> ListMeta:
    canary = args.canary
    if canary is not None:
        try:
            canary = str(parse_domain(canary))
        except InvalidName as error:
            raise Misconfigured(f"--canary is not a domain name: {error}") from None
    if args.recipient and not args.secret:
        raise Misconfigured("--recipient goes with --secret")
    meta = ListMeta(
        format=Format(args.format), basis=Basis(args.basis), category=Category(args.category), action=Action(args.action), secret=args.secret,
        canary=canary, authority=args.authority, reference=args.reference, deadline=args.deadline, until=args.until,
    )  # fmt: skip
    driver.check_meta(meta)
    return meta


def publish_list(args: argparse.Namespace) -> int:
    """Run ``feed publish``."""
    outcome = driver.publish(args.repo, _keys_dir(args), _passphrase(), args.list, _list_meta(args), args.file, args.recipient, _now())
    _warn_rows(outcome, args.format)
    _warn(outcome.notes)
    status = outcome.roles[0]
    value = {"version": status.version, "live": status.live, "signatures": status.signatures, "threshold": status.threshold}
    lines = [_line(status)]
    if not status.live and status.signatures < status.threshold:
        lines.append(f"next        blockd feed cosign {args.repo} --key FILE  ({status.threshold - status.signatures} more)")
    show(args, value, lines)
    return 0


REASONS = {
    "character": "a character that a name cannot have",
    "address": "an IP address, not a name",
    "label": "a label over 63 octets",
    "length": "longer than a name can be",
    "root": "the root",
}
"""What the common reason words mean to a publisher; the format notes have them all."""


def _warn_rows(outcome: driver.Outcome, form: str) -> None:
    if outcome.rows is None:
        return
    for reason, count in sorted(outcome.rows.bad.items()):
        numbers = outcome.rows.numbers[reason][:NUMBERS_SHOWN]
        where = ", ".join(map(str, numbers)) + (", ..." if count > len(numbers) else "")
        meaning = f", {REASONS[reason]}" if reason in REASONS else ""
        print(f"warning: {count} bad row{'s' if count > 1 else ''}: {reason}{meaning} (line {where})", file=sys.stderr)
    if not outcome.rows.entries:
        print(f"warning: no row of this file is one that a gateway would take (format {form}): gateways hold or refuse it", file=sys.stderr)
    if outcome.rows.exceeds_budget():
        print(
            f"warning: {outcome.rows.bad_rows} of {outcome.rows.rows} rows are bad: gateways hold a list with more than 1 %",
            file=sys.stderr,
        )


def _line(status: driver.RoleStatus) -> str:
    state = "live" if status.live else "waits"
    signatures = f"{status.signatures} signature{'' if status.signatures == 1 else 's'}"
    return f"{status.role:<11} version {status.version}  {state}, {signatures}, {status.threshold} needed"


def _roles(outcome: driver.Outcome) -> dict[str, object]:
    shown = [status for status in outcome.roles if status.role not in {"targets", "root"}] or outcome.roles
    first = shown[0]
    return {
        "version": first.version, "live": all(s.live for s in outcome.roles), "signatures": first.signatures, "threshold": first.threshold,
        "roles": [asdict(status) for status in outcome.roles],
    }  # fmt: skip


def cosign_staged(args: argparse.Namespace) -> int:
    """Run ``feed cosign``."""
    outcome = driver.cosign(args.repo, args.key, _keys_dir(args), _passphrase(), _now())
    _warn(outcome.notes)
    show(args, _roles(outcome), [_line(status) for status in outcome.roles])
    return 0


def refresh_repo(args: argparse.Namespace) -> int:
    """Run ``feed refresh``."""
    outcome = driver.refresh(args.repo, _keys_dir(args), _passphrase(), _now())
    _warn(outcome.notes)
    versions = {status.role: status.version for status in outcome.roles}
    show(args, versions, [f"{role:<11} version {version}" for role, version in versions.items()])
    return 0


def rotate_keys(args: argparse.Namespace) -> int:
    """Run ``feed rotate``."""
    changes = bool(args.replace or args.remove or args.add or args.threshold is not None)
    if (args.role == "signers") != changes:
        raise Misconfigured("--role signers goes with --replace, --remove, --add or --threshold, and they with it")
    makes_keys = args.role == "online" or args.replace or args.add
    if makes_keys:
        _new_passphrase(args)
    outcome = driver.rotate(
        args.repo, _keys_dir(args), _passphrase(), _now(),
        what=args.role, replace=args.replace, remove=args.remove, add=args.add, threshold=args.threshold, encrypt=not args.unencrypted_keys,
    )  # fmt: skip
    _warn(outcome.notes)
    show(args, _roles(outcome), [_line(status) for status in outcome.roles])
    return 0


def run(args: argparse.Namespace) -> int:
    """Run the verb that was parsed."""
    handler: Callable[[argparse.Namespace], int] = args.handler
    return handler(args)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m blockd.cli.feed``, the same without the rest of blockd."""
    parser = Parser(prog="blockd")
    subparsers: Subparsers = parser.add_subparsers(dest="command", required=True)  # type: ignore[assignment]  # Parser is an ArgumentParser
    add_parser(subparsers)
    return run(parser.parse_args(["feed", *(sys.argv[1:] if argv is None else argv)]))


if __name__ == "__main__":
    sys.exit(main())
