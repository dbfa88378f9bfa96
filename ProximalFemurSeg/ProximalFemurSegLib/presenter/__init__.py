"""What a panel shows: from the state of things to enabled buttons, texts and table rows, without any widget.

Desktop and browser show the same; so it is worked out, and tested, once.
"""

from .devices import DeviceEntry, device_entries, device_note
from .networks import NetworkEntry, fold_count, network_card, network_entries
from .panel import PanelState, PanelView, present, progress_percent, stage_title, status_text, time_left
from .regions import (
    DISTAL_CHOICES,
    NECK_CHOICES,
    definition_text,
    distal_title,
    geometry_table,
    neck_title,
    regions_note,
    regions_table,
)
from .results import (
    POSTPROCESSING,
    ResultTable,
    clock_text,
    comparison_table,
    correction_text,
    postprocess_title,
    result_messages,
    result_summary,
    result_table,
    slice_text,
    table_text,
)
from .wording import set_translator, tr

__all__ = [
    "DISTAL_CHOICES",
    "NECK_CHOICES",
    "POSTPROCESSING",
    "DeviceEntry",
    "NetworkEntry",
    "PanelState",
    "PanelView",
    "ResultTable",
    "clock_text",
    "comparison_table",
    "correction_text",
    "device_entries",
    "device_note",
    "definition_text",
    "distal_title",
    "fold_count",
    "geometry_table",
    "neck_title",
    "network_card",
    "network_entries",
    "postprocess_title",
    "present",
    "progress_percent",
    "regions_note",
    "regions_table",
    "result_messages",
    "result_summary",
    "result_table",
    "set_translator",
    "slice_text",
    "stage_title",
    "status_text",
    "table_text",
    "time_left",
    "tr",
]
