"""List what Slicer's and CTK's public headers offer to Python, for the test host to be strict about.

    python Testing/read_public_headers.py --slicer SLICER_SOURCE --ctk CTK_SOURCE

Both are git repositories (bare ones, too). Written to Testing/Python/host/public_api.json: for every class its header,
its base class, and the names of its properties, public slots, signals and invokable methods. PythonQt reaches these and
no others.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from pathlib import Path

OUTPUT = Path(__file__).resolve().parent / "Python" / "host" / "public_api.json"
HEADERS = {
    "ctk": {
        "ctkCollapsibleButton": "Libs/Widgets/ctkCollapsibleButton.h",
        "ctkLayoutManager": "Libs/Widgets/ctkLayoutManager.h",
        "ctkPathLineEdit": "Libs/Widgets/ctkPathLineEdit.h",
        "ctkSliderWidget": "Libs/Widgets/ctkSliderWidget.h",
        "ctkVTKAbstractView": "Libs/Visualization/VTK/Widgets/ctkVTKAbstractView.h",
        "ctkVTKRenderView": "Libs/Visualization/VTK/Widgets/ctkVTKRenderView.h",
    },
    "slicer": {
        "qMRMLLayoutManager": "Libs/MRML/Widgets/qMRMLLayoutManager.h",
        "qMRMLNodeComboBox": "Libs/MRML/Widgets/qMRMLNodeComboBox.h",
        "qMRMLSegmentEditorWidget": "Modules/Loadable/Segmentations/Widgets/qMRMLSegmentEditorWidget.h",
        "qMRMLSliceWidget": "Libs/MRML/Widgets/qMRMLSliceWidget.h",
        "qMRMLTableView": "Libs/MRML/Widgets/qMRMLTableView.h",
        "qMRMLTableWidget": "Libs/MRML/Widgets/qMRMLTableWidget.h",
        "qMRMLThreeDView": "Libs/MRML/Widgets/qMRMLThreeDView.h",
        "qMRMLThreeDWidget": "Libs/MRML/Widgets/qMRMLThreeDWidget.h",
        "qMRMLWidget": "Libs/MRML/Widgets/qMRMLWidget.h",
        "qSlicerApplication": "Base/QTGUI/qSlicerApplication.h",
        "qSlicerCoreApplication": "Base/QTCore/qSlicerCoreApplication.h",
        "qSlicerDICOMExportDialog": "Modules/Scripted/DICOMLib/Widgets/qSlicerDICOMExportDialog.h",
        "qSlicerLayoutManager": "Base/QTGUI/qSlicerLayoutManager.h",
    },
}
_SECTION = re.compile(r"^\s*(public|protected|private)?\s*(slots|Q_SLOTS|signals|Q_SIGNALS)?\s*:\s*$")
_METHOD = re.compile(r"(\w+)\s*\([^;{]*\)\s*(?:const)?\s*(?:override)?\s*(?:=\s*0)?\s*[;{]")


def read_class(name: str, text: str) -> dict:
    """What a header says of a class."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    text = re.sub(r"//[^\n]*", "", text)
    found = re.search(rf"class\s+(?:\w+\s+)?{name}\s*:\s*public\s+(\w+)[^{{]*{{(.*?)\n}};", text, flags=re.DOTALL)
    base, body = found[1], found[2]
    entry = {"base": base, "properties": [], "slots": [], "signals": [], "invokables": []}
    entry["properties"] = re.findall(r"Q_PROPERTY\(\s*[\w:<>\s*]+?\s+(\w+)\s+(?:READ|MEMBER)", body)
    invokable = [_METHOD.search(declaration) for declaration in re.findall(r"Q_INVOKABLE[^;{]*[;{]", body)]
    entry["invokables"] = [match[1] for match in invokable if match]
    kind = None
    for line in re.sub(r"\(\s*\n\s*", "(", re.sub(r",\s*\n\s*", ", ", body)).splitlines():
        section = _SECTION.match(line)
        if section and (section[1] or section[2]):
            signals = section[2] in ("signals", "Q_SIGNALS")
            public_slots = section[1] == "public" and section[2] in ("slots", "Q_SLOTS")
            kind = "signals" if signals else "slots" if public_slots else None
        elif kind and _METHOD.search(line):
            entry[kind].append(_METHOD.search(line)[1])
    return {key: sorted(set(value)) if isinstance(value, list) else value for key, value in entry.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in HEADERS:
        parser.add_argument(f"--{name}", required=True, help="git repository with its source")
    folders = vars(parser.parse_args())
    api = {"sources": {}, "classes": {}}
    for source, headers in HEADERS.items():

        def git(*arguments, folder=folders[source]):
            return subprocess.run(
                ["git", "-C", folder, *arguments], capture_output=True, text=True, check=True
            ).stdout

        api["sources"][source] = git("rev-parse", "HEAD").strip()
        for name, path in headers.items():
            api["classes"][name] = {"header": f"{source}:{path}", **read_class(name, git("show", f"HEAD:{path}"))}
    OUTPUT.write_text(json.dumps(api, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
