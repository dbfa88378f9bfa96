"""CT or MR: what the file says, or else what the values look like."""

from __future__ import annotations

import numpy as np

from ..errors import BadInputError
from ..volume import Volume

_SAMPLES_PER_AXIS = 128


def detect_modality(volume: Volume, request: str = "auto") -> tuple[str, str]:
    """Whether an image is CT or MR.

    CT is in Hounsfield units: air is -1000 and fat about -100, while MR magnitudes are not negative.

    Parameters
    ----------
    volume : Volume
        The image; ``metadata["modality"]`` is believed when it is CT or MR.
    request : {'auto', 'ct', 'mr'}
        What the user says goes.

    Returns
    -------
    modality : str
        'ct' or 'mr'.
    reason : str
        One sentence for the user.

    Raises
    ------
    BadInputError
        If the request is none of the three.
    """
    asked = str(request).strip().lower()
    if asked not in ("auto", "ct", "mr"):
        raise BadInputError(f"There is no modality '{request}'; choose auto, ct or mr.")
    # Every n-th voxel along the array's own axes, so that huge scans are judged as fast as small ones.
    step = tuple(slice(None, None, max(1, n // _SAMPLES_PER_AXIS)) for n in volume.array.shape)
    values = np.asarray(volume.array[step], dtype=np.float32)
    values = values[np.isfinite(values)]
    lowest, highest = (float(v) for v in np.percentile(values, (0.5, 99.5))) if values.size else (0.0, 0.0)
    looks_like_ct = lowest <= -50 and highest >= 100 and highest - lowest >= 300
    shown = f"its values run from {lowest:.0f} to {highest:.0f}"

    if asked != "auto":
        reason = f"The image is taken as {asked.upper()}, as asked."
        modality = asked
    elif str(volume.metadata.get("modality", "")).upper() in ("CT", "MR"):
        modality = str(volume.metadata["modality"]).lower()
        reason = f"The image is {modality.upper()}: its header says so."
    elif looks_like_ct:
        return "ct", f"The image is taken as CT: {shown}, as Hounsfield units do (--modality mr says otherwise)."
    else:
        return "mr", f"The image is taken as MR: {shown}, not as Hounsfield units do (--modality ct says otherwise)."
    if modality == "ct" and not looks_like_ct:
        reason += f" But {shown}, which is unlike Hounsfield units: check the rescale intercept."
    return modality, reason
