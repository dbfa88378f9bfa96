"""The module's own test inside desktop Slicer, from a shell; the exit status is 0 if all of it passed.

    Slicer --testing --no-splash --additional-module-paths ProximalFemurSeg --python-script Testing/slicer_self_test.py

The panel is worked as a user works it: Apply, threshold, correction, regions, cancel, closing the scene in mid-run,
and, where torch and the sample data are there, a real network in the child process.
"""

import sys
import traceback

import slicer

try:
    slicer.util.selectModule("ProximalFemurSeg")
    slicer.selfTests["ProximalFemurSeg"]()
except Exception:
    traceback.print_exc()
    slicer.util.exit(1)
else:
    print("ProximalFemurSeg: the self-test passed.", file=sys.stderr)
    slicer.util.exit(0)
