"""What the regions of a CT's femur may cost: under 3 seconds of one core and under 1 GB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

_SCRIPT = """
import json, os, sys, time
import numpy as np
from scipy import ndimage
from region_bones import in_bone
from ProximalFemurSegLib.regions import measure_regions
from ProximalFemurSegLib.volume import Grid, Volume

# The size of the paper's crops (QCT-2021): 192 x 192 x 240 voxels of 0.8 x 0.8 x 1 mm. Slice by slice, so that making
# the bone takes less memory than dividing it.
grid = Grid.from_parts((240, 192, 192), (0.8, 0.8, 1.0), (-100.0, -77.0, -205.0))
rows, columns = np.mgrid[:192, :192]
bone = np.stack([in_bone(grid.ijk_to_ras(np.stack([columns, rows, np.full_like(rows, k)], axis=-1)), -195.0)
                 for k in range(240)])
inner = ndimage.binary_erosion(bone, iterations=3)
before = time.process_time()
ndimage.gaussian_filter(bone.astype(np.float32), 1.5, truncate=3.0)
blur = time.process_time() - before
before = time.process_time()
result = measure_regions(Volume(bone, grid), Volume(inner, grid))
seconds = time.process_time() - before
# Not getrusage: there a process inherits the peak of the one that started it.
status = open("/proc/self/status").read() if os.path.exists("/proc/self/status") else "VmHWM: 0 kB"
print(json.dumps({
    "seconds": seconds,
    "blur": blur,
    "megabytes": float(status.split("VmHWM:")[1].split()[0]) / 1024,
    "refused": result.femora[0].division.refused,
    "thickness": result.femora[0].thickness is not None,
    "torch": "torch" in sys.modules,
}))
"""


def test_regions_of_a_ct_crop_on_one_core():
    here = Path(__file__).parent
    library = here.parent.parent / "ProximalFemurSeg"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(library), str(here), os.environ.get("PYTHONPATH", "")]),
        **{name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")},
    }
    done = subprocess.run([sys.executable, "-c", _SCRIPT], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    cost = json.loads(done.stdout)
    assert cost["refused"] == {} and cost["thickness"] and not cost["torch"]
    # On a slow or busy machine, as much as 12 times a blur of the same volume: that takes 0.25 s where this takes 0.8.
    assert cost["seconds"] < max(3.0, 12 * cost["blur"]), cost
    assert cost["megabytes"] < 1000, cost
