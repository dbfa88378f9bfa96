"""What the user chose and what came of it, kept in a parameter node so that it is saved with the scene.

The keys and the texts are those that desktop Slicer's ``parameterNodeWrapper`` writes for fields of the same names:
a scene saved in one face opens in the other.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

MODULE_NAME = "ProximalFemurSeg"

INPUT = "inputVolume"
PROBABILITY = "probabilityVolume"
ENDOSTEAL = "endostealProbabilityVolume"
SEGMENTATION = "segmentation"
TABLE = "resultsTable"
UNCERTAINTY = "uncertaintyVolume"
REFERENCE = "reference"
REFERENCES = (INPUT, PROBABILITY, ENDOSTEAL, SEGMENTATION, TABLE, UNCERTAINTY, REFERENCE)


@dataclass(frozen=True)
class Parameters:
    """The choices of a run.

    Attributes
    ----------
    network : str
        Name of a preset, or ``auto``: the best one for the modality.
    modality : {'auto', 'mr', 'ct'}
        What the input is.
    side : {'auto', 'left', 'right', 'both'}
        Which femur to segment.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    threshold : float
        Probability above which a voxel is bone, 0 to 1.
    thresholdMethod : {'model', 'otsu', 'roc', 'youden', 'manual'}
        How the threshold was come by; ``manual`` is the slider.
    postprocess : str
        What is done to the mask; see `postprocessing.postprocess_steps`.
    """

    network: str = "auto"
    modality: str = "auto"
    side: str = "auto"
    device: str = "auto"
    threshold: float = 0.5
    thresholdMethod: str = "model"
    postprocess: str = "auto"


def parameter_node(scene):
    """The module's parameter node; made where the scene has none."""
    node = scene.GetSingletonNode(MODULE_NAME, "vtkMRMLScriptedModuleNode")
    if node is None:
        node = scene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        node.SetSingletonTag(MODULE_NAME)
        node.SetName(scene.GenerateUniqueName(MODULE_NAME))
        node = scene.AddNode(node)
    if node.GetAttribute("ModuleName") != MODULE_NAME:
        # Closing a scene can take the attribute away while the singleton stays.
        node.SetAttribute("ModuleName", MODULE_NAME)
    return node


def read_parameters(node) -> Parameters:
    """The choices in a parameter node; the default where it says nothing (or nothing that can be read)."""
    values = {}
    for entry in fields(Parameters):
        if node.HasParameter(entry.name):
            text = node.GetParameter(entry.name)
            try:
                values[entry.name] = type(entry.default)(text)
            except ValueError:
                continue
    return Parameters(**values)


def write_parameters(node, parameters: Parameters) -> None:
    """Write the choices into a parameter node, as one modification."""
    modified = node.StartModify()
    for entry in fields(Parameters):
        node.SetParameter(entry.name, str(getattr(parameters, entry.name)))
    node.EndModify(modified)


def get_reference(node, role: str):
    """The node that the parameter node refers to as ``role`` (one of :data:`REFERENCES`), or None."""
    return node.GetNodeReference(role)


def set_reference(node, role: str, referenced) -> None:
    """Refer to a node, or to none."""
    if not node.HasParameter(role):
        # The wrapper knows by this that the reference was set, even to none.
        node.SetParameter(role, "")
    node.SetNodeReferenceID(role, referenced.GetID() if referenced is not None else None)
