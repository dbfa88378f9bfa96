#!/usr/bin/env python3
"""Set up this checkout and run it; Python is all that must be there.

    python3 run.py demo       make a sample hip, segment it and measure it
    python3 run.py test       run every test
    python3 run.py serve      open the application in a browser
    python3 run.py segment scan.nii.gz --output result
                              or any other command of proximal-femur-seg (--help lists them)

The first run creates a virtual environment in .venv and installs what is needed; later runs start at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "installed.json"
CONSTRAINTS = ROOT / "constraints.txt"
OLDEST_PYTHON = (3, 11)  # of the versions pinned in constraints.txt
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"

COVERED = {"": {""}, "web": {"", "web"}, "test": {"", "test", "web"}}  # an extra of the package to what it brings along

# What the wheels of VTK, Slicer and Qt expect of the system to draw without a screen.
DRAWING_LIBRARIES = (
    "fonts-dejavu-core",
    "libdbus-1-3",
    "libegl-mesa0",
    "libegl1",
    "libfontconfig1",
    "libgl1",
    "libgl1-mesa-dri",
    "libglib2.0-0",
    "libxkbcommon0",
    "libxrender1",
)


class SetupError(Exception):
    """The message says in one sentence what to do."""


def say(text: str, end: str = "\n") -> None:
    print(text, end=end, file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(title: str):
    """Say what is being done, and how long it took."""
    say(f"{title} ... ", end="")
    start = time.monotonic()
    try:
        yield
    except BaseException:
        say("failed")
        raise
    say(f"{time.monotonic() - start:.0f} s")


def environment() -> dict:
    """This process's environment without what would lead the virtual environment's Python or pip elsewhere."""
    misleading = {"PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "PIP_PREFIX", "PIP_TARGET", "PIP_USER"}
    return {name: value for name, value in os.environ.items() if name not in misleading}


def quietly(command: list, **variables: str) -> subprocess.CompletedProcess:
    """Run a command and keep what it prints."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env={**environment(), **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )


def pip_install(*arguments: str, **variables: str) -> subprocess.CompletedProcess:
    # Python compiles what it imports; compiling all of torch beforehand takes longer than installing it.
    options = ["--disable-pip-version-check", "--no-compile", "--no-input", "--quiet"]
    return quietly([PYTHON, "-m", "pip", "install", *options, *arguments], **variables)


def must_pip_install(*arguments: str) -> None:
    result = pip_install(*arguments)
    if result.returncode:
        raise SetupError(f"{result.stdout.strip()}\npip could not install {arguments[-1]}; what it said is above.")


def apt_install(packages) -> bool:
    """Install Debian packages where that is possible without asking; True if all are there afterwards."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-query"):
        return False
    missing = [package for package in packages if not _is_installed(package)]
    if not missing:
        return True
    if os.geteuid() != 0:
        return False
    install = ["apt-get", "install", "--yes", "-qq", "--no-install-recommends", *missing]
    with step(f"Installing the system packages {', '.join(missing)}"):
        if quietly(install, DEBIAN_FRONTEND="noninteractive").returncode:
            quietly(["apt-get", "update", "-qq"])
            quietly(install, DEBIAN_FRONTEND="noninteractive")
    return all(_is_installed(package) for package in missing)


def _is_installed(package: str) -> bool:
    return "ok installed" in quietly(["dpkg-query", "--show", "--showformat=${Status}", package]).stdout


def create_environment() -> None:
    """Make .venv with a working pip in it."""
    if PYTHON.exists() and quietly([PYTHON, "-m", "pip", "--version"]).returncode == 0:
        return
    if find_spec("ensurepip") is None and not apt_install(["python3-venv"]):
        raise SetupError(
            "Python's venv module is not complete on this machine; install it "
            "(Debian and Ubuntu: sudo apt install python3-venv) and run this command again."
        )
    with step("Creating the virtual environment .venv"):
        result = quietly([sys.executable, "-m", "venv", "--clear", VENV])
        if result.returncode:
            raise SetupError(f"{result.stdout.strip()}\nThe virtual environment {VENV} could not be created.")


def has_nvidia_gpu() -> bool:
    return bool(shutil.which("nvidia-smi")) and "GPU " in quietly(["nvidia-smi", "-L"]).stdout


def account_pip_settings() -> dict:
    """pip's settings of the account that runs this, where HOME points elsewhere (sudo, containers, CI)."""
    if os.name == "nt":
        return {}
    import pwd

    with contextlib.suppress(KeyError):
        home = Path(pwd.getpwuid(os.getuid()).pw_dir)
        for settings in (home / ".config" / "pip" / "pip.conf", home / ".pip" / "pip.conf"):
            if os.access(settings, os.R_OK):
                return {"PIP_CONFIG_FILE": str(settings)}
    return {}


def install_torch() -> None:
    """Install PyTorch before anything else asks for it: on Linux the default build brings gigabytes of CUDA.

    A wheel that pip's settings find on this machine comes first; then the CPU build; the default build where there is
    a GPU, or where the CPU build cannot be had.
    """
    torch = next(line for line in CONSTRAINTS.read_text().split() if line.startswith("torch=="))
    with step(f"Installing PyTorch ({torch})"):
        # Without dependencies, which need an index; they come with the package, whose torch is then this one.
        for settings in ({}, account_pip_settings()):
            if pip_install("--no-index", "--no-deps", torch, **settings).returncode == 0:
                return
        if sys.platform == "linux" and not has_nvidia_gpu():
            if pip_install("--retries=1", f"--index-url={TORCH_CPU_INDEX}", torch).returncode == 0:
                return
        must_pip_install(torch)


def install(extra: str) -> None:
    """Bring .venv to what this checkout asks for, unless it is there already."""
    sources = (ROOT / "pyproject.toml", CONSTRAINTS, Path(__file__))
    wanted = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    with contextlib.suppress(OSError, ValueError):
        installed = json.loads(STAMP.read_text())
        if installed["checkout"] == wanted and str(ROOT) == installed["root"] and extra in installed["extras"]:
            there = "import ProximalFemurSegLib; from importlib.util import find_spec; assert find_spec('torch')"
            if quietly([PYTHON, "-c", there]).returncode == 0:
                return
    say(f"Setting up in {VENV}; this is needed once and takes a few minutes.")
    create_environment()
    install_torch()
    with step("Installing what the tests need" if extra == "test" else "Installing the program"):
        must_pip_install("--constraint", str(CONSTRAINTS), "--editable", f".[{extra}]" if extra else ".")
    extras = sorted(COVERED[extra])
    STAMP.write_text(json.dumps({"checkout": wanted, "root": str(ROOT), "extras": extras}))


def replace_process(command: list, **defaults: str) -> int:
    """Hand over to the program, so that signals and the exit status are its own."""
    command, variables = [str(part) for part in command], {**defaults, **environment()}
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "nt":
        return subprocess.call(command, env=variables)
    os.execve(command[0], command, variables)


def main(arguments: list) -> int:
    if sys.version_info < OLDEST_PYTHON:
        needed = ".".join(map(str, OLDEST_PYTHON))
        raise SetupError(f"This needs Python {needed} or later; this is Python {sys.version.split()[0]}.")
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__.strip())
        return 0 if arguments else 2
    if arguments[0] == "test":
        install("test")
        if not apt_install(DRAWING_LIBRARIES):
            say(f"Tests that draw are skipped where the system lacks one of: {' '.join(DRAWING_LIBRARIES)}.")
        os.chdir(ROOT)
        # The tests' arrays are tiny: threads would spend their time waiting for each other.
        return replace_process([PYTHON, "-m", "pytest", *arguments[1:]], OMP_NUM_THREADS="1")
    serving = arguments[0] == "serve"
    install("web" if serving else "")
    if serving and not apt_install(DRAWING_LIBRARIES):
        say(f"If nothing can be drawn, install what the system lacks of: {' '.join(DRAWING_LIBRARIES)}.")
    return replace_process([PYTHON, "-m", "ProximalFemurSegLib", *arguments])


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SetupError as error:
        sys.exit(f"\n{error}")
    except KeyboardInterrupt:
        sys.exit(130)
