"""Brushes, a clock, the way back, and what was changed."""

from __future__ import annotations

import qt
import slicer

from ... import presenter
from ...mrml.by_hand import begin_by_hand, discard, nothing_drawn
from ...mrml.changes import show_changes
from ...mrml.correction_session import CorrectionSession, correction_records, export_records, show_records
from ...mrml.result_nodes import hide
from ...presenter import tr as _
from .section import Section

_CLOCK_MILLISECONDS = 1000


class CorrectionSection(Section):
    def setup(self):
        self._editor, self._correction, self._changes = None, None, None
        self._clock = qt.QTimer()
        self._clock.setInterval(_CLOCK_MILLISECONDS)
        self._clock.timeout.connect(self._show_clock)
        self.ui.readerEdit.text = qt.QSettings().value("ProximalFemurSeg/Reader") or ""
        self.ui.correctionButton.connect("clicked(bool)", self.on_start_or_finish)
        self.ui.byHandCheckBox.connect("toggled(bool)", lambda checked: self.panel.refresh())
        self.ui.saveTimesButton.connect("clicked(bool)", self.on_save_times)
        self.ui.revertButton.connect("clicked(bool)", self.on_revert)
        self.ui.changesButton.connect("toggled(bool)", self.on_changes)
        self.ui.correctionCollapsibleButton.connect("contentsCollapsed(bool)", self.on_collapsed)

    @property
    def editor(self):
        """The embedded editor; made when it is first needed, for it takes a moment."""
        if self._editor is None:
            editor = slicer.qMRMLSegmentEditorWidget()
            editor.setMRMLScene(slicer.mrmlScene)
            editor.segmentationNodeSelectorVisible = False
            editor.sourceVolumeNodeSelectorVisible = False
            editor.switchToSegmentationsButtonVisible = False
            editor.setMaximumNumberOfUndoStates(20)
            self.ui.editorContainer.layout().addWidget(editor)
            self._editor = editor
            self.logic.adapter.editors.append(editor)
        return self._editor

    def on_start_or_finish(self):
        if self._correction is None:
            self.attempt(_("The correction could not be started."), self._start)
        else:
            self.attempt(_("The correction could not be finished."), self._finish, wait=True)
        self.panel.refresh()

    def _start(self):
        reader = self.ui.readerEdit.text.strip()
        qt.QSettings().setValue("ProximalFemurSeg/Reader", reader)
        if self.ui.byHandCheckBox.checked:
            self._correction = self._begin_by_hand(reader or _("reader"))
        else:
            nodes = self.session.live.nodes
            network = self.session.live.probabilities.network
            self._correction = CorrectionSession.begin(
                self.logic.adapter, nodes.segmentation, nodes.input.GetName(), reader or _("reader"), network
            )
        self._open_editor()

    def _begin_by_hand(self, reader):
        live, parameters = self.session.live, self.parameters
        sides = live.result.sides if live is not None and live.result is not None else None
        correction = begin_by_hand(self.logic.adapter, parameters.inputVolume, reader, sides)
        # Who sees what the network found does not draw from nothing.
        hide(parameters.segmentation)
        self.logic.adapter.show_probability(parameters.probabilityVolume, 0.0)
        return correction

    def _finish(self):
        # The clock stops before the brushes are put away.
        correction = self._correction
        if nothing_drawn(correction):
            discard(correction)
            said = _("Nothing was drawn, and no time is kept.")
        else:
            said = presenter.correction_text(correction.finish())
            show_records(self.logic.adapter)
        self._correction = None
        self._close_editor()
        if correction.from_nothing:
            self._show_network_again()
        slicer.util.showStatusMessage(said, 5000)

    def _show_network_again(self):
        segmentation = self.parameters.segmentation
        if segmentation is not None and segmentation.GetDisplayNode() is not None:
            segmentation.GetDisplayNode().SetVisibility(True)
        self.panel.show()

    def on_save_times(self):
        folder = qt.QFileDialog.getExistingDirectory(None, _("Folder for the records of all readers"))
        if folder:
            saved = self.attempt(_("The times could not be saved."), export_records, slicer.mrmlScene, folder)
            if saved:
                slicer.util.showStatusMessage(_("{count} saved.").format(count=len(saved)), 5000)

    def _open_editor(self):
        segmentation, volume = self._correction.segmentation, self.parameters.inputVolume
        editor = self.editor
        editor.setMRMLSegmentEditorNode(self._editor_node())
        editor.setSegmentationNode(segmentation)
        editor.setSourceVolumeNode(volume)
        editor.setupViewObservations()
        editor.installKeyboardShortcuts()
        self.ui.editorContainer.visible = True
        self._clock.start()

    def _close_editor(self):
        self._clock.stop()
        self.ui.editorContainer.visible = False
        if self._editor is not None:
            self._editor.setActiveEffectByName("")
            self._editor.uninstallKeyboardShortcuts()
            self._editor.removeViewObservations()
            self._editor.setSegmentationNode(None)

    @staticmethod
    def _editor_node():
        """The editor's settings; one node for all, as Slicer's own Segment Editor does it."""
        node = slicer.mrmlScene.GetSingletonNode("ProximalFemurSeg", "vtkMRMLSegmentEditorNode")
        if node is None:
            node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
            node.UnRegister(None)
            node.SetSingletonTag("ProximalFemurSeg")
            node = slicer.mrmlScene.AddNode(node)
            # One bone's voxels go over to the other, those of a reference in another node stay untouched.
            node.SetOverwriteMode(node.OverwriteAllSegments)
        return node

    def on_revert(self):
        question = _("Replace the masks by those of the network? Undo in the editor brings your edits back.")
        if slicer.util.confirmOkCancelDisplay(question):
            self.attempt(_("The network's masks could not be brought back."), self.session.revert, wait=True)
            self.panel.watch()
            self.panel.refresh()

    def on_changes(self, shown):
        self._hide_changes()
        if shown:
            self._changes = self.attempt(_("The changes could not be shown."), self._make_changes, wait=True)

    def _make_changes(self):
        return show_changes(self.logic.adapter, self.session.live.nodes, self.session.network_labels())

    def _hide_changes(self):
        if self._changes is not None and self._changes.GetScene() is not None:
            slicer.mrmlScene.RemoveNode(self._changes)
        self._changes = None

    def on_collapsed(self, collapsed):
        if self._correction is not None:
            self._correction.pause() if collapsed else self._correction.resume()

    def _show_clock(self):
        working = self._correction is not None
        self.ui.activeTimeLabel.text = presenter.clock_text(self._correction.active_s) if working else ""

    def refresh(self):
        if self._correction is None:
            self._take_up()
        if self._correction is not None and self._correction.lost:
            # What was timed is gone; the clock goes with it.
            self._correction.abandon()
            self._correction = None
            self._close_editor()
        live, working = self.session.live, self._correction is not None
        by_hand = self.ui.byHandCheckBox.checked and self.parameters.inputVolume is not None
        edited = live is not None and live.edited
        self.ui.correctionButton.text = _("Finish") if working else _("Start")
        self.ui.correctionButton.enabled = working or ((live is not None or by_hand) and not self.logic.running)
        self.ui.readerEdit.enabled = self.ui.byHandCheckBox.enabled = not working
        self.ui.revertButton.enabled = edited and not self.logic.running
        self.ui.changesButton.enabled = edited or self._changes is not None
        if self._changes is None and self.ui.changesButton.checked:
            self.ui.changesButton.checked = False
        self._show_clock()
        records = correction_records(slicer.mrmlScene)
        self.ui.correctionNoteLabel.text = "\n".join(presenter.correction_text(record) for record in records)
        self.ui.correctionNoteLabel.visible = self.ui.saveTimesButton.visible = bool(records)

    def _take_up(self):
        """A correction that was going on when the scene was saved, or the module left, goes on."""
        correction = CorrectionSession.restore(self.logic.adapter)
        if correction is not None and (correction.from_nothing or self.session.live is not None):
            self._correction = correction
            self._open_editor()

    def leave(self):
        if self._correction is not None:
            self._correction.pause()
            self._correction.close()
            self._correction = None
        self._hide_changes()
        self._close_editor()

    def close(self):
        super().close()
        if self._editor is not None:
            self.logic.adapter.editors.remove(self._editor)
            self._editor.setMRMLScene(None)
            self._editor = None
