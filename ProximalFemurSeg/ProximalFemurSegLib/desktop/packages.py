"""The Python packages that a run needs beyond Slicer's own: what is missing, and how it gets here after asking."""

from __future__ import annotations

import importlib.util
import subprocess

from ..errors import ProximalFemurSegError

REQUIRED = {
    "torch": "torch",
    "click": "click",
    "safetensors": "safetensors",
    "SimpleITK": "SimpleITK",
    "scipy": "scipy",
    "PIL": "pillow",
}
"""Import name to the name in the package index."""


def missing_packages() -> list[str]:
    """Import names of what is not installed; nothing is imported to find out."""
    importlib.invalidate_caches()
    return [name for name in REQUIRED if importlib.util.find_spec(name) is None]


def torch_is_missing() -> bool:
    """True while the networks cannot run for want of PyTorch; nothing is imported to find out."""
    return importlib.util.find_spec("torch") is None


def ensure_packages(translate=lambda text: text) -> bool:
    """Install what is missing, after asking.

    torch comes through the PyTorch extension, which picks the build for the computer's GPU and driver; everything else
    through Slicer's own installer.

    Returns
    -------
    bool
        False if the user declined, or something is still missing.

    Raises
    ------
    ProximalFemurSegError
        If the PyTorch extension is not there, or what is missing could not be installed.
    """
    missing = missing_packages()
    if "torch" in missing and not _install_torch(translate):
        return False
    others = [REQUIRED[name] for name in missing if name != "torch"]
    if others and not _install(others, translate):
        return False
    return not missing_packages()


def _install_torch(_) -> bool:
    try:
        import PyTorchUtils
    except ModuleNotFoundError:
        raise ProximalFemurSegError(
            _(
                "The networks need PyTorch. Install the extension 'PyTorch' in the Extensions Manager, restart Slicer, "
                "and press Apply again. Everything else of this module works without it."
            )
        ) from None
    import slicer

    # The extension would ask as well, but not say how large it is, which decides for many.
    question = _(
        "The networks need PyTorch, which is not installed. The PyTorch extension will download the build for this "
        "computer: about 200 MB for the processor alone, 2 to 3 GB with support for an NVIDIA GPU. Install it now?"
    )
    if not slicer.util.confirmOkCancelDisplay(question):
        return False
    try:
        return PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=False) is not None
    except Exception as error:  # of pip, of the extension, or of the import of what was half installed
        raise _not_installed("PyTorch", error, _) from error


def _install(requirements, _) -> bool:
    import slicer

    try:
        from slicer.packaging import pip_ensure
    except ImportError:  # Slicer before 5.11
        names = ", ".join(requirements)
        question = _("The segmentation needs these Python packages (less than 20 MB): {names}. Install them now?")
        if not slicer.util.confirmOkCancelDisplay(question.format(names=names)):
            return False
        try:
            slicer.util.pip_install(" ".join(requirements))
        except subprocess.CalledProcessError as error:
            raise _not_installed(names, error, _) from error
        return True
    try:
        pip_ensure(requirements, requester="ProximalFemurSeg")
    except RuntimeError:  # the user declined
        return False
    except subprocess.CalledProcessError as error:
        raise _not_installed(", ".join(requirements), error, _) from error
    return True


def _not_installed(name, error, _):
    message = _(
        "{name} could not be installed ({error}). The Python console (View > Python Console) has what the installer "
        "said. Check the connection to the internet and the space on the disk, and press Apply again. Everything else "
        "of this module works without it."
    )
    return ProximalFemurSegError(message.format(name=name, error=str(error).rstrip(".")))
