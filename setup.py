"""The C core: two extension modules over the same headers. Everything else is in pyproject.toml."""

import os
import platform
import shutil
import subprocess
import sys
from glob import glob
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

FLAGS = ["-std=c11", "-O3", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden", "-D_GNU_SOURCE", "-DPy_LIMITED_API=0x030B0000"]
FLAGS += os.environ.get("BLOCKD_CFLAGS", "").split()
LINK = os.environ.get("BLOCKD_LDFLAGS", "").split()


def extension(name: str) -> Extension:
    """One module: its sources are native/<name>_*.c, and any header is a dependency."""
    return Extension(
        f"blockd.native._{name}",
        sources=sorted(glob(f"blockd/native/{name}_*.c")),
        depends=glob("blockd/native/*.h"),
        extra_compile_args=FLAGS,
        extra_link_args=LINK,
        py_limited_api=True,
    )


BPF_FLAGS = ["-O2", "-g", "-target", "bpf", "-mcpu=v3", "-std=c11", "-Wall", "-Wextra", "-Werror"]


class BuildWithXdp(build_ext):
    """The extension modules, and the XDP program where clang is: without it blockd works with ``xdp = "off"``."""

    def run(self) -> None:
        """Build."""
        super().run()
        root = Path() if self.inplace or self.editable_mode else Path(self.build_lib)
        clang = shutil.which(os.environ.get("BLOCKD_CLANG", "clang"))
        for source in glob("blockd/native/*.bpf.c"):
            if clang is None:
                print(f"clang is not here: {source} is not built, and blockd runs with xdp = off alone", file=sys.stderr)
                continue
            made = root / source.removesuffix(".c")
            made = made.with_name(made.name + ".o")
            machine = platform.machine()
            flags = [*BPF_FLAGS, f"-D__{machine}__", f"-I/usr/include/{machine}-linux-gnu"]
            draft = made.with_name(made.name + ".new")
            draft.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run([clang, *flags, "-c", source, "-o", str(draft)], check=True)
            draft.replace(made)


class BuildWithLists(build_py):
    """The data of lists/ goes into the wheel as blockd/lists/ (names/store.py finds it there)."""

    def run(self) -> None:
        """Build, then copy."""
        super().run()
        if not self.editable_mode:
            self.copy_tree("lists", str(Path(self.build_lib) / "blockd" / "lists"))


setup(
    cmdclass={"build_ext": BuildWithXdp, "build_py": BuildWithLists},
    ext_modules=[extension(n) for n in ("table", "dns") if glob(f"blockd/native/{n}_*.c")],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
