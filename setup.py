"""The C core: two extension modules over the same headers. Everything else is in pyproject.toml."""

import os
from glob import glob
from pathlib import Path

from setuptools import Extension, setup
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


class BuildWithLists(build_py):
    """The data of lists/ goes into the wheel as blockd/lists/ (names/store.py finds it there)."""

    def run(self) -> None:
        """Build, then copy."""
        super().run()
        if not self.editable_mode:
            self.copy_tree("lists", str(Path(self.build_lib) / "blockd" / "lists"))


setup(
    cmdclass={"build_py": BuildWithLists},
    ext_modules=[extension(n) for n in ("table", "dns") if glob(f"blockd/native/{n}_*.c")],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
