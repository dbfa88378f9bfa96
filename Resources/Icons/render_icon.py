"""Render ProximalFemurSeg.svg to the 128 x 128 PNG that Slicer shows; needs PySide6."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QImage, QPainter
from PySide6.QtSvg import QSvgRenderer

HERE = Path(__file__).parent
PNG = HERE.parents[1] / "ProximalFemurSeg" / "Resources" / "Icons" / "ProximalFemurSeg.png"

if __name__ == "__main__":
    application = QGuiApplication([])
    image = QImage(128, 128, QImage.Format.Format_ARGB32)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    QSvgRenderer(str(HERE / "ProximalFemurSeg.svg")).render(painter)
    painter.end()
    PNG.parent.mkdir(parents=True, exist_ok=True)
    if not image.save(str(PNG)):
        raise SystemExit(f"Could not write {PNG}.")
