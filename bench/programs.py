"""The benchmark's own C programs: compiled once into a folder, started on a core, talked to through files and JSON."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).resolve().parent
SERVER_CORE, CLIENT_CORE = 0, 1
FLAGS = ("-std=c11", "-O2", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror")


def build(folder: Path, name: str, *flags: str, compiler: str = "cc") -> Path:
    """The program bench/NAME.c, compiled into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    subprocess.run([compiler, *FLAGS, *flags, "-o", str(program), str(HERE / f"{name}.c")], check=True)
    return program


def on_core(core: int, *command: str | Path) -> list[str]:
    """The command, bound to one core from its first instruction."""
    return ["taskset", "-c", str(core % (os.cpu_count() or 1)), *map(str, command)]


@dataclass
class Responder:
    """The ceiling or the upstream, running: ``with Responder(build(folder, "upstream"), core=1) as up: up.port``."""

    program: Path
    core: int
    port: int = 0
    process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(on_core(self.core, self.program, "127.0.0.1", str(self.port)), stdout=subprocess.PIPE, text=True)
        if self.process.stdout is None:
            raise RuntimeError("no pipe")
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            raise RuntimeError(f"{self.program.name} did not start")
        self.port = int(line)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.stdout is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of the generator saw (bench/load_count.h prints it)."""

    seconds: float
    cpu_seconds: float
    idle_share: float  # of the generator: near 0 means that the generator, not the server, was the limit
    rate: float  # answers a second
    sent: int
    answered: int
    lost: int
    late: int
    mismatch: int
    refused: int
    p50_us: float
    p99_us: float
    max_us: float
    gap_max_ms: float
    classes: dict[str, dict[str, Any]]

    def right(self) -> float:
        """Share of the answers that are what their class asks for: NXDOMAIN for blocked names, NOERROR with an answer for the others."""
        good = 0
        for name, seen in self.classes.items():
            good += seen["rcodes"].get("3", 0) if name == "blocked" else seen["rcodes"].get("0", 0) - seen["empty"]
        return good / self.answered if self.answered else 0.0


def command(program: Path, queries: Path, port: int, *, core: int = CLIENT_CORE, **options: object) -> list[str]:
    """The generator's command line: ``seconds=2, mix=(10, 900, 90)`` become ``--seconds 2 --mix 10,900,90``."""
    words: list[str] = []
    for name, value in options.items():
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        words += [f"--{name.replace('_', '-')}", text]
    return on_core(core, program, "--queries", queries, "--port", str(port), *words)


def result(output: str) -> Load:
    """The generator's JSON."""
    return Load(**json.loads(output))


def load(program: Path, queries: Path, port: int, *, core: int = CLIENT_CORE, **options: object) -> Load:
    """Run the generator and wait for it."""
    done = subprocess.run(command(program, queries, port, core=core, **options), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the generator ended with {done.returncode}: {done.stderr.strip()}")
    return result(done.stdout)


def median_by(runs: Sequence[Load]) -> Load:
    """The run with the middle rate."""
    return sorted(runs, key=lambda run: run.rate)[len(runs) // 2]
