"""blockd's TUF client behind the command line of tuf-conformance (its CLIENT-CLI.md): init, refresh, download.

python -m pytest tuf_conformance --entrypoint tests/feeds/conformance_client.py
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from blockd.errors import BlockdError
from blockd.feeds.client import client
from blockd.feeds.metadata import LengthOrHashMismatchError


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--metadata-dir", required=True, type=Path)
    parser.add_argument("--metadata-url", default="https://unused.invalid/")
    parser.add_argument("--target-name")
    parser.add_argument("--target-base-url")
    parser.add_argument("--target-dir", type=Path)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("init").add_argument("trusted_root", type=Path)
    verbs.add_parser("refresh")
    verbs.add_parser("download")
    args = parser.parse_args()
    feed = client(args.metadata_dir, args.metadata_url)
    try:
        if args.verb == "init":
            feed.init(args.trusted_root.read_bytes())
            return 0
        feed.refresh()
        if args.verb == "download":
            download(feed, args)
    except BlockdError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def download(feed, args) -> None:
    target = feed.target(args.target_name)
    if target is None:
        raise BlockdError("there is no such target")
    path = args.target_dir / quote(args.target_name, safe="")
    try:
        with path.open("rb") as file:
            target.verify_length_and_hashes(file)
    except (OSError, LengthOrHashMismatchError):
        feed.download(target, path, args.target_base_url)


if __name__ == "__main__":
    sys.exit(main())
