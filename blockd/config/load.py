"""From files to a :class:`Config`, or to every fault at once.

    bytes -> tree with lines -> one merged tree -> types of the schema -> checks across keys -> Config

:func:`examine` goes the whole way over the files on disk. :func:`judge` is the same without a disk: any bytes give a Config or faults.
Only a configuration without a fault becomes a Config that others see; warnings do not stop it. Each fault is ``file:line: key: what``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from blockd.config import store
from blockd.config.checks import Finding, cross_check
from blockd.config.schema import Config
from blockd.config.tree import Node, merge, parse
from blockd.config.typed import FAULTS_MAX, Reader, dotted
from blockd.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from blockd.config import lines
    from blockd.config.store import Source

ADMIN_SOCKET = "admin.sock"


@dataclass(frozen=True, slots=True)
class Report:
    """What was found. `config` is None when there are faults."""

    config: Config | None
    faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def load(path: Path) -> Config:
    """Read and check the configuration. Raises Misconfigured with every fault."""
    report = examine(path)
    if report.config is None:
        raise Misconfigured(*report.faults)
    return report.config


def check(path: Path) -> list[str]:
    """List every fault of the configuration, ``file:line: key: what``; empty when it can be used."""
    return list(examine(path).faults)


def examine(path: Path) -> Report:
    """Read the file and conf.d beside it, and look at the files that they name."""
    return judge(path, store.sources(path), probe=True)


def judge(path: Path, sources: Sequence[Source], *, probe: bool = False) -> Report:
    """Decide about the bytes of the files, the main one first. `probe`: look also at what the configuration names on this machine."""
    root, faults = _merged(sources)
    if root is None:
        return Report(None, tuple(faults))
    whole = path.absolute()
    reader = Reader(root, whole.parent, faults)
    config: Config = reader.section(Config, (), root, path=whole)
    if config.admin.socket is None:
        config = replace(config, admin=replace(config.admin, socket=config.runtime_dir / ADMIN_SOCKET))
    findings = [*cross_check(config), *(store.probe(config) if probe else ())]
    around = {wrong[:length] for wrong in reader.bad for length in range(len(wrong) + 1)}
    told = [(f, f"{root.find(f.path).place}: {dotted(f.path)}: {f.message}") for f in findings if not _rests_on(f, reader.bad, around)]
    faults = reader.faults + [said for finding, said in told if finding.fatal]
    warnings = tuple(said for finding, said in told if not finding.fatal)
    if faults:
        return Report(None, tuple(_in_order(faults)), warnings)
    return Report(config, (), warnings)


def _merged(sources: Sequence[Source]) -> tuple[Node | None, list[str]]:
    """Merge what can be read. None when some file can't be: half a configuration would only seem to have other faults."""
    faults: list[str] = []
    root: Node | None = None
    whole = True
    for source in sources:
        if source.fault:
            faults.append(source.fault)
            whole = False
            continue
        tree, wrong = parse(source.name, source.data)
        faults += wrong
        if tree is None:
            whole = False
        elif root is None:
            root = tree
        else:
            faults += merge(root, tree)
    return (root, faults) if whole else (None, faults)


def _rests_on(finding: Finding, bad: AbstractSet[lines.Path], around: AbstractSet[lines.Path]) -> bool:
    """Whether a finding is about a value that is only a stand-in: its own, one above or below it, or one that it depends on.

    `around`: the paths of `bad` and of everything that they are in.
    """
    paths = (finding.path, *finding.about)
    return any(path in around or any(path[:length] in bad for length in range(len(path))) for path in paths)


def _in_order(faults: Sequence[str]) -> list[str]:
    """Sort by file and line, files in the order of their first fault."""

    def place(fault: str) -> tuple[str, int]:
        file, _, rest = fault.partition(": ")
        name, _, line = file.rpartition(":")
        return (name, int(line)) if line.isdigit() and rest else (file, 0)

    files = list(dict.fromkeys(place(fault)[0] for fault in faults))
    ordered = sorted(dict.fromkeys(faults), key=lambda fault: (files.index(place(fault)[0]), place(fault)[1]))
    if len(ordered) >= FAULTS_MAX:
        ordered = [*ordered[:FAULTS_MAX], f"and more: only the first {FAULTS_MAX} faults are shown"]
    return ordered
