"""A run's figures into the manual and the README: `python bench/publish.py DIR`, or bench/peers.py --publish.

What is written stands between two comment lines and is written over by the next run; everything around them is a person's. A run that lacks a part that
the README quotes is refused, and so is one whose parts are of different commits: figures of one table must be of one program.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench import judge, report

if TYPE_CHECKING:
    from bench.report import Measured

FIGURES, README = Path("deploy/manual/figures.md"), Path("README.md")
PICTURE, FIGURES_CSV = Path("deploy/manual/pictures/peers.svg"), Path("deploy/manual/pictures/peers.csv")
BEGIN, END = "<!-- written by bench/publish.py: begin -->", "<!-- written by bench/publish.py: end -->"
QUOTED = f"size-{judge.MILLION}"


class Unpublishable(Exception):
    """The run can not be quoted; the text says why."""


def between(text: str, block: str) -> str:
    """`text` with `block` between the two lines. Unpublishable: they are not there once, in order."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise Unpublishable("the two comment lines are not there")
    return text[: text.index(BEGIN) + len(BEGIN)] + "\n" + block.strip("\n") + "\n" + text[text.index(END) :]


def check(measured: Measured) -> None:
    """Unpublishable: a part is missing, or the commits differ or are not clean."""
    rows = measured.rows.get(QUOTED, [])
    if not any(row.peer == judge.OURS and row.runs for row in rows) or not any(not row.problem and row.peer != judge.OURS for row in rows):
        raise Unpublishable(f"the part {QUOTED} is missing, or has no figures of blockd and a peer")
    if len(measured.commits()) != 1 or "uncommitted" in measured.commits()[0]:
        raise Unpublishable(f"its parts must be of one clean commit: {', '.join(measured.commits())}")


def _readme(measured: Measured) -> str:
    rows = measured.rows[QUOTED]
    ours = next(row for row in rows if row.peer == judge.OURS)
    others = [row for row in rows if not row.problem and not row.peer.startswith((judge.OURS, judge.CEILING))]
    machine, commit = (line.split(None, 1)[1] for line in measured.head.splitlines()[:2])
    words = []
    for mix in ("blocked", "cached", "mixed"):
        best = max(others, key=lambda row: row.per_cpu(mix) or 0)
        words.append(f"{mix} {report.thousands(ours.per_cpu(mix))} (best peer: {best.peer}, {report.thousands(best.per_cpu(mix))})")
    return (
        f"![Answers for a second of processor time: blockd, its peers and the raw UDP ceiling]({PICTURE})\n\n"
        f"One core, {judge.MILLION:,} entries, answers for a second of processor time: {'; '.join(words)}.\n"
        f"{machine}; commit {commit}; made by `make bench`.\n"
        f"[All figures, and which goals were missed]({FIGURES}).\n"
    )


def _figures(measured: Measured) -> str:
    indented = "\n".join(f"    {line}" for line in measured.head.splitlines())
    return (
        f"{indented}\n\n### What was to be reached\n\n{judge.markdown(judge.judge(measured))}\n"
        f"![Answers for a second of processor time](pictures/peers.svg)\n\n"
        f"### Side by side\n\n{report.markdown(measured)}\nEvery figure: [peers.csv](pictures/peers.csv)."
    )


def publish(folder: Path, measured: Measured, root: Path = ROOT) -> None:
    """Write all of it, or nothing: Unpublishable."""
    check(measured)
    figures = between((root / FIGURES).read_text(encoding="utf-8"), _figures(measured))
    readme = between((root / README).read_text(encoding="utf-8"), _readme(measured))
    report.write(folder, measured)
    (root / PICTURE).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folder / "peers.svg", root / PICTURE)
    shutil.copyfile(folder / "peers.csv", root / FIGURES_CSV)
    (root / FIGURES).write_text(figures, encoding="utf-8")
    (root / README).write_text(readme, encoding="utf-8")


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python bench/publish.py DIR", file=sys.stderr)
        return 2
    folder = Path(sys.argv[1])
    try:
        publish(folder, report.read(folder))
    except Unpublishable as refused:
        print(f"not published: {refused}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
