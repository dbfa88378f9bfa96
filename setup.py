"""Puts weights, cards and recipes inside the package when a wheel is built; pyproject.toml says everything else."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

RESOURCES = Path("ProximalFemurSeg") / "Resources"


class BuildWithResources(build_py):
    def run(self):
        super().run()
        if self.editable_mode:  # the package in the checkout finds them where they lie
            return
        for folder in ("Models", "Recipes"):
            target = Path(self.build_lib) / "ProximalFemurSegLib" / folder
            for path in sorted((RESOURCES / folder).glob("*.*")):
                self.mkpath(str(target))
                self.copy_file(str(path), str(target / path.name))


setup(cmdclass={"build_py": BuildWithResources})
