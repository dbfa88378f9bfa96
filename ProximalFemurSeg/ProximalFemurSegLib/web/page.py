"""The page: four views, and beside them the panel from the image to the files."""

from __future__ import annotations

from trame.ui.vuetify3 import VAppLayout
from trame.widgets import client, html
from trame.widgets import vuetify3 as v

from .controller import Controller

TITLE = "Proximal femur"
_STYLE = """
html { overflow: hidden; }
.panel { font-size: 0.85rem; }
.panel .v-expansion-panel-title { min-height: 36px !important; padding: 6px 16px; }
.panel .v-expansion-panel-text__wrapper { padding: 4px 16px 10px; }
.panel .v-btn { text-transform: none; letter-spacing: normal; }
.panel td, .panel th { padding: 0 6px !important; font-size: 0.8rem; }
.note { opacity: 0.75; font-size: 0.78rem; white-space: pre-line; }
.edge { position: absolute; color: #f0e68c; font: 600 14px sans-serif; text-shadow: 0 0 3px #000; }
.edge { pointer-events: none; }
"""
_EDGES = {
    "left": "left: 6px; top: 50%;",
    "right": "right: 6px; top: 50%;",
    "top": "left: 50%; top: 4px;",
    "bottom": "left: 50%; bottom: 34px;",
}
_MODALITIES = [{"title": t, "value": v} for t, v in (("Automatic", "auto"), ("MR", "mr"), ("CT", "ct"))]
_SIDES = [{"title": t, "value": t.lower()} for t in ("Left", "Right", "Both")]
_SIDES.insert(0, _MODALITIES[0])
_METHODS = {"model": "Model", "otsu": "Otsu", "youden": "Youden", "roc": "ROC"}
_DENSE = {"density": "compact", "hide_details": True, "variant": "outlined"}


def letters_key(view_id: str) -> str:
    """Name in trame's state of the letters around a slice."""
    return f"{view_id}_letters"


def draw_letters(server, view_id: str) -> None:
    """Over a slice: the patient's directions at its edges, and where it lies."""
    key = letters_key(view_id)
    for edge, place in _EDGES.items():
        html.Div(f"{{{{ {key}.{edge} }}}}", classes="edge", style=place)
    html.Div(f"{{{{ {key}.place }}}}", classes="edge", style="right: 6px; bottom: 34px; font-weight: 400;")


class Page:
    """Builds the page.

    Parameters
    ----------
    controller : Controller
    layouts : trame_slicer.core.LayoutManager
        Whose views fill the page.
    """

    def __init__(self, controller: Controller, layouts):
        self.controller = controller
        with VAppLayout(controller.server, template_name="main") as self.layout:
            self.layout.root.theme = "dark"
            client.Style(_STYLE)
            self._bar()
            with v.VNavigationDrawer(permanent=True, width=370, classes="panel"):
                self._problem()
                with v.VExpansionPanels(
                    v_model=("open_panels", ["Image", "Segmentation", "Volumes"]), multiple=True, variant="accordion"
                ):
                    self._image()
                    self._run()
                    self._mask()
                    self._brushes()
                    self._volumes()
                    self._regions()
                    self._comparison()
                    self._display()
                self._files()
            with v.VMain():
                self.content = html.Div(classes="d-flex flex-row fill-height align-stretch")
                with self.content:
                    layouts.initialize_layout_grid(self.layout)

    def _bar(self):
        with v.VAppBar(density="compact"):
            v.VToolbarTitle(TITLE + "{{ image_name ? ': ' + image_name : '' }}")
            v.VChip("Research use only", color="warning", size="small", classes="mr-2")
            html.Span("One case at a time: every tab at this address shows this one.", classes="note mr-4")

    def _problem(self):
        v.VAlert(
            "{{ problem }}",
            v_if=("problem",),
            type="error",
            density="compact",
            closable=True,
            click_close="problem = ''",
            raw_attrs=['data-testid="problem"'],
        )

    def _section(self, title: str):
        panel = v.VExpansionPanel(value=title)
        with panel:
            v.VExpansionPanelTitle(title)
            return v.VExpansionPanelText()

    def _image(self):
        control = self.controller
        with self._section("Image"):
            self._file_input("NIfTI, NRRD or MetaImage", control.upload_image, "image-file")
            with html.Div(v_if=("samples.length",), classes="mt-2 d-flex align-center"):
                html.Span("Sample:", classes="mr-2")
                v.VBtn(
                    "{{ name }}",
                    v_for="name in samples",
                    key="name",
                    size="small",
                    classes="mr-2",
                    disabled=("reading || view.cancel_enabled",),
                    click=(control.open_sample, "[name]"),
                )
            v.VProgressLinear(indeterminate=True, v_if=("reading",), classes="mt-2")
            html.Div("{{ messages.join('\\n') }}", v_if=("messages.length",), classes="note mt-2")

    def _file_input(self, label: str, function, test_id: str):
        name = self.controller.server.controller.trigger_name(function)
        v.VFileInput(
            label=label,
            change=f"reading = true; trigger('{name}', [$event.target.files])",
            disabled=("reading || view.cancel_enabled",),
            prepend_icon="",
            prepend_inner_icon="mdi-file-upload",
            raw_attrs=[f'data-testid="{test_id}"'],
            **_DENSE,
        )

    def _run(self):
        control, enabled = self.controller, ("!view.choices_enabled",)
        with self._section("Segmentation"):
            v.VSelect(label="Network", items=("networks",), v_model=("network",), disabled=enabled, **_DENSE)
            html.Div("{{ network_note }}", classes="note my-1")
            with html.Div(classes="d-flex mt-2"):
                v.VSelect(
                    label="Image",
                    items=("modalities", _MODALITIES),
                    v_model=("modality",),
                    disabled=enabled,
                    classes="mr-2",
                    **_DENSE,
                )
                v.VSelect(
                    label="Side",
                    items=("sides", _SIDES),
                    v_model=("side",),
                    disabled=enabled,
                    **_DENSE,
                )
            v.VSelect(
                label="Device", items=("devices",), v_model=("device",), disabled=enabled, classes="mt-2", **_DENSE
            )
            html.Div("{{ device_note }}", classes="note my-1")
            with html.Div(classes="d-flex my-2"):
                v.VBtn(
                    "Apply",
                    color="primary",
                    click=control.start,
                    disabled=("!view.apply_enabled",),
                    title=("view.apply_tooltip",),
                    classes="mr-2",
                    raw_attrs=['data-testid="apply"'],
                )
                v.VBtn(
                    "Cancel",
                    click=control.cancel,
                    disabled=("!view.cancel_enabled",),
                    raw_attrs=['data-testid="cancel"'],
                )
            v.VProgressLinear(
                v_if=("view.progress_visible",),
                model_value=("view.progress_percent || 0",),
                indeterminate=("view.progress_percent === null",),
                height=6,
            )
            html.Div("{{ view.status_text }}", classes="note", raw_attrs=['data-testid="status"'])

    def _mask(self):
        control = self.controller
        with self._section("Threshold"):
            with v.VSlider(
                v_model=("threshold",),
                min=0.01,
                max=0.99,
                step=0.01,
                disabled=("!view.threshold_enabled",),
                hide_details=True,
                density="compact",
                raw_attrs=['data-testid="threshold"'],
            ):
                with v.Template(v_slot_append=True):
                    html.Span("{{ Number(threshold).toFixed(2) }}", raw_attrs=['data-testid="threshold-value"'])
            with html.Div(classes="d-flex"):
                for method, title in _METHODS.items():
                    v.VBtn(
                        title,
                        size="x-small",
                        classes="mr-1",
                        click=(control.move_threshold, f"['{method}']"),
                        disabled=(f"!view.threshold_enabled || !methods.includes('{method}')",),
                    )
            html.Div("{{ view.threshold_hint }}", v_if=("view.threshold_hint",), classes="note mt-1")
            v.VBtn(
                "New segmentation from the map",
                size="small",
                v_if=("view.renew_visible",),
                click=control.renew,
                classes="mt-1",
            )

    def _brushes(self):
        control = self.controller
        with self._section("Correction"):
            with html.Div(classes="d-flex align-center"):
                with v.VBtnToggle(v_model=("tool",), mandatory=True, density="compact", disabled=("!has_result",)):
                    for tool, icon, title in (
                        ("look", "mdi-cursor-default", "Look"),
                        ("paint", "mdi-brush", "Paint"),
                        ("erase", "mdi-eraser", "Erase"),
                    ):
                        v.VBtn(title, value=tool, size="small", prepend_icon=icon, raw_attrs=[f'data-testid="{tool}"'])
                v.VSpacer()
                for what, function in (("undo", control.undo), ("redo", control.redo)):
                    v.VBtn(
                        icon=f"mdi-{what}",
                        size="small",
                        variant="text",
                        click=function,
                        disabled=(f"!can_{what}",),
                        title=what.capitalize(),
                        raw_attrs=[f'data-testid="{what}"'],
                    )
            v.VSelect(
                label="Bone",
                items=("segments",),
                v_model=("segment",),
                classes="mt-2",
                disabled=("!has_result",),
                **_DENSE,
            )
            v.VSlider(
                label=("`${brush_mm} mm`",),
                v_model=("brush_mm",),
                min=1,
                max=30,
                step=1,
                hide_details=True,
                density="compact",
            )
            v.VCheckbox(
                label="Ball: reaches into the neighbouring slices",
                v_model=("sphere",),
                hide_details=True,
                density="compact",
            )

    def _volumes(self):
        with self._section("Volumes"):
            self._table("volumes", "volumes-table")
            html.Div(
                "{{ volumes.notes.concat([summary], said).filter(Boolean).join('\\n') }}",
                classes="note mt-1",
                raw_attrs=['data-testid="volumes-summary"'],
            )

    def _regions(self):
        control = self.controller
        with self._section("Regions"):
            v.VSelect(label="Neck", items=("necks",), v_model=("neck",), **_DENSE)
            v.VSelect(label="Shaft", items=("distals",), v_model=("distal",), classes="mt-2", **_DENSE)
            v.VBtn(
                "Divide",
                size="small",
                classes="my-2",
                click=control.divide,
                disabled=("!has_result || view.cancel_enabled",),
                raw_attrs=['data-testid="divide"'],
            )
            with html.Div(v_for="(table, number) in region_tables", key="number"):
                self._table("table", "regions-table")
            html.Div("{{ regions_note }}", classes="note")

    def _comparison(self):
        control = self.controller
        with self._section("Comparison"):
            self._file_input("Reference: a label map", control.upload_reference, "reference-file")
            with html.Div(classes="d-flex my-2"):
                v.VBtn(
                    "Truth of {{ sample }}",
                    v_if=("sample",),
                    size="small",
                    classes="mr-2",
                    click=control.take_sample_truth,
                )
                v.VBtn(
                    "Compare",
                    size="small",
                    click=control.compare,
                    disabled=("!has_result || !reference_name || comparing",),
                    raw_attrs=['data-testid="compare"'],
                )
            html.Div("{{ reference_name ? 'Reference: ' + reference_name : '' }}", classes="note")
            self._table("comparison", "comparison-table")
            html.Div("{{ comparing ? 'Comparing...' : comparison_note }}", classes="note")

    def _display(self):
        with self._section("Display"):
            v.VCheckbox(
                label="Probability map over the slices",
                v_model=("show_map",),
                hide_details=True,
                density="compact",
                raw_attrs=['data-testid="show-map"'],
            )
            v.VSlider(
                label="Opacity",
                v_model=("overlay",),
                min=0,
                max=1,
                step=0.05,
                hide_details=True,
                density="compact",
                disabled=("!show_map",),
            )
            for name, title in (
                ("fill", "Masks filled"),
                ("surface", "Surface in 3D"),
                ("regions", "Regions and landmarks"),
                ("distances", "Distances on the surface"),
            ):
                v.VCheckbox(label=title, v_model=(name,), hide_details=True, density="compact")
            html.Div("Grey values from {{ Math.round(window[0]) }} to {{ Math.round(window[1]) }}", classes="mt-2")
            v.VRangeSlider(
                v_model=("window",),
                min=("window_range[0]",),
                max=("window_range[1]",),
                hide_details=True,
                density="compact",
                step=("(window_range[1] - window_range[0]) / 500",),
            )

    def _files(self):
        name = self.controller.server.controller.trigger_name(self.controller.download)
        archive = "image_name.replace(/\\.[^]*/, '') + '-femur.zip'"
        v.VBtn(
            "Download the results",
            block=True,
            classes="my-3",
            prepend_icon="mdi-download",
            variant="tonal",
            disabled=("!has_result || packing",),
            loading=("packing",),
            click=f"utils.download({archive}, trigger('{name}'), 'application/zip')",
            raw_attrs=['data-testid="download"'],
        )

    def _table(self, name: str, test_id: str):
        with v.VTable(v_if=(f"{name}.rows.length",), density="compact", raw_attrs=[f'data-testid="{test_id}"']):
            with html.Thead(), html.Tr():
                html.Th("{{ title }}", v_for=f"title in {name}.header", key="title")
            with html.Tbody():
                with html.Tr(v_for=f"(row, r) in {name}.rows", key="r"):
                    html.Td("{{ cell }}", v_for="(cell, c) in row", key="c")
