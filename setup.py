"""Puts the weights and their cards inside the package when a wheel is built; pyproject.toml says everything else."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

MODELS = Path("ProximalFemurSeg") / "Resources" / "Models"


class BuildWithModels(build_py):
    def run(self):
        super().run()
        if self.editable_mode:  # the package in the checkout finds them where they lie
            return
        target = Path(self.build_lib) / "ProximalFemurSegLib" / "Models"
        for path in sorted(MODELS.glob("*.*")):
            self.mkpath(str(target))
            self.copy_file(str(path), str(target / path.name))


setup(cmdclass={"build_py": BuildWithModels})
