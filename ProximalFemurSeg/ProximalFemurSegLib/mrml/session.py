"""One user's work on one scene: choose, run, load, move the threshold. A face shows it and passes clicks on."""

from __future__ import annotations

from dataclasses import replace

from ..errors import BadInputError, ProximalFemurSegError
from ..presenter import NetworkEntry, PanelState
from ..running.options import RunOptions
from ..running.runner import Job, Runner, State, Status
from . import parameters as p
from .adapter import Adapter
from .edited_volumes import measure_segmentation
from .live_mask import LiveMask
from .result_nodes import ResultNodes, load_result, load_steps, overall_threshold, volume_of, write_measurements
from .segmentation_node import content_time
from .stored_probabilities import has_description, probabilities_from_nodes
from .uncertainty_node import mark_former, put_uncertainty, stored_spread
from .volume_node import volume_from_node

MANUAL = "manual"


def prepare(input_node, parameters: p.Parameters, uncertainty: str = "entropy") -> Job:
    """The job of segmenting a volume node; its voxels are shared, and nothing in the scene is changed.

    Raises
    ------
    BadInputError
        If the volume or the choices cannot be used.
    """
    volume = volume_from_node(input_node)
    modality = parameters.modality
    if modality == "auto":
        # A file on the way to a child process does not carry what DICOM said.
        modality = volume.metadata.get("modality", "auto").lower()
    manual = parameters.thresholdMethod == MANUAL
    options = RunOptions(
        network=parameters.network,
        modality=modality,
        side=parameters.side,
        device=parameters.device,
        threshold=parameters.threshold if manual else parameters.thresholdMethod,
        postprocess=parameters.postprocess,
        uncertainty=uncertainty,
    )
    problem = options.check()
    if problem:
        raise BadInputError(problem)
    return Job(volume, options)


class Session:
    """Prepare, run and load as separate steps, the runner injected.

    Parameters
    ----------
    adapter : Adapter
        The scene, and what the application around it can do.
    runner : Runner
        Carries out the runs.
    apply_threshold : callable, optional
        Used instead of ``inference.apply_threshold``.

    Attributes
    ----------
    live : LiveMask or None
        The result whose threshold can be moved.
    """

    def __init__(self, adapter: Adapter, runner: Runner, apply_threshold=None):
        self.live: LiveMask | None = None
        self._adapter, self._runner = adapter, runner
        self._apply_threshold = apply_threshold
        self._status = Status(State.IDLE)
        self._input_id = None
        self._previous: ResultNodes | None = None
        self._counted = (None, {})
        self._loading = None

    def use(self, runner: Runner) -> None:
        """Carry out the runs to come with another runner."""
        self.cancel()
        self._runner.close()
        self._runner = runner

    @property
    def parameter_node(self):
        """The scene's parameter node of this module."""
        return p.parameter_node(self._adapter.scene)

    @property
    def status(self) -> Status:
        """Of the run, as of the last :meth:`poll`."""
        return self._status

    def start(self, uncertainty: str = "entropy") -> None:
        """Run what the parameter node says.

        Parameters
        ----------
        uncertainty : {'entropy', 'variants', 'folds'}
            Where it is to come from; see `inference.segment`.

        Raises
        ------
        BadInputError
            If no volume is chosen, or it cannot be used; then nothing is started.
        """
        node = self.parameter_node
        input_node = p.get_reference(node, p.INPUT)
        if input_node is None:
            raise BadInputError("Choose a hip MR or CT volume first.")
        job = prepare(input_node, p.read_parameters(node), uncertainty)
        self._previous = ResultNodes.from_parameter_node(node)
        self._input_id = input_node.GetID()
        self._status = Status(State.RUNNING)
        self._runner.start(job)

    def poll(self) -> Status:
        """Look at the run; when it is done, its result goes into the scene, a step at every look."""
        if self._status.state is not State.RUNNING:
            return self._status
        input_node = self._adapter.scene.GetNodeByID(self._input_id)
        if input_node is None:
            self._runner.cancel()
            self._status = Status(State.FAILED, message="The volume was removed from the scene, so the run was ended.")
            return self._status
        status = self._runner.poll()
        if status.state is State.DONE:
            status = self._load(input_node, status)
        self._status = status
        if status.over:
            self._loading = None
        return status

    def cancel(self) -> None:
        """End the run; the scene stays as it was. A result that is on its way into the scene still gets there."""
        if self._status.state is State.RUNNING and self._loading is None:
            self._runner.cancel()
            self._status = Status(State.CANCELLED)

    def forget(self) -> None:
        """The scene is being closed: end the run, hold on to no node."""
        self._loading = None
        self.cancel()
        self.live, self._counted = None, (None, {})
        self._previous = None
        self._status = Status(State.IDLE)

    def rest(self) -> None:
        """The user turned to something else: give back memory and GPU, unless a run is going on."""
        if self._status.state is not State.RUNNING:
            self._runner.rest()

    def close(self) -> None:
        """Give back everything that the runner holds."""
        self.forget()
        self._runner.close()

    def restore(self) -> None:
        """Find the result that the parameter node refers to, as after a scene was opened; none is no error."""
        nodes = ResultNodes.from_parameter_node(self.parameter_node)
        known = self.live is not None and self.live.nodes == nodes
        if known:
            return
        self.live = None
        if nodes.input is None or nodes.segmentation is None or not has_description(nodes.probability):
            return
        if volume_of(nodes.segmentation) is not nodes.input:
            # The user chose another volume, to segment that next.
            return
        try:
            probabilities = probabilities_from_nodes(nodes.input, nodes.probability, nodes.endosteal)
        except ProximalFemurSegError:
            return
        probabilities.spread = stored_spread(p.get_reference(self.parameter_node, p.UNCERTAINTY), probabilities)
        self.live = self._live_mask(nodes, probabilities)

    @property
    def threshold(self) -> float | None:
        """Of the outermost mask as it is now; None if there is no result, or somebody edited it."""
        if self.live is None or self.live.result is None:
            return None
        return overall_threshold(self.live.result)

    def move_threshold(self, threshold) -> float | None:
        """Move the threshold to a probability, or to ``model``, ``otsu``, ``roc`` or ``youden``.

        Returns
        -------
        float or None
            The threshold of the outermost mask; None if there is nothing whose threshold could be moved.

        Raises
        ------
        BadInputError
            If the segmentation was edited, or there is no such threshold.
        """
        if self.live is None:
            return None
        value = self.live.move_to(threshold)
        self._remember_threshold(threshold, value)
        return value

    def settle(self) -> None:
        """The masks stay as they are for now: bring surface, table and threshold up to them."""
        if self.live is not None:
            followed = self.live.follow()
            if followed is not None:
                self._remember_threshold(followed, followed)
                write_measurements(self._adapter, self.live.nodes, self.live.measurements())
            self.live.settle()
            if self.live.nodes.table is not None:
                self.live.nodes.to_parameter_node(self.parameter_node)

    def renew(self) -> None:
        """Another segmentation from the map, beside the edited one."""
        if self.live is None:
            return
        nodes = self.live.renew(self._wanted_threshold())
        nodes.to_parameter_node(self.parameter_node)
        self._adapter.show_result(nodes)

    def revert(self) -> None:
        """The network's masks again, in place of the edited ones; an undo brings the edits back."""
        if self.live is not None:
            self.live.revert(self._wanted_threshold())

    def set_postprocess(self, steps: str) -> None:
        """Do something else to the thresholded masks from now on, and at once where nobody edited them.

        Raises
        ------
        BadInputError
            If there are no such steps.
        """
        from ..postprocessing import postprocess_steps

        postprocess_steps(steps)
        self.parameter_node.SetParameter("postprocess", steps)
        if self.live is not None:
            self.live.postprocess = steps
            if not self.live.edited:
                self.live.move_to(self._wanted_threshold())

    def network_labels(self):
        """(K, J, I) labels as the network's maps give them, whatever was edited; None if there is no result."""
        return None if self.live is None else self.live.compute(self._wanted_threshold()).labels.array

    def _wanted_threshold(self):
        parameters = p.read_parameters(self.parameter_node)
        return parameters.threshold if parameters.thresholdMethod == MANUAL else parameters.thresholdMethod

    def measurements(self) -> dict:
        """Of the result as it is shown, or else of any segmentation that was chosen; empty if there is neither."""
        if self.live is None:
            return self._measure_chosen()
        if self.live.result is None:
            # After a scene was opened: the masks are there, their numbers are made from the same maps.
            self.live.follow()
        return self.live.measurements()

    def _measure_chosen(self):
        node = self.parameter_node
        segmentation = p.get_reference(node, p.SEGMENTATION)
        if segmentation is None or segmentation.GetSegmentation().GetNumberOfSegments() == 0:
            return {}
        volume = volume_of(segmentation) or p.get_reference(node, p.INPUT)
        if volume is None or volume.GetImageData() is None:
            return {}
        chosen = p.get_reference(node, p.INPUT)
        when = (volume.GetID(), chosen and chosen.GetID(), *content_time(segmentation))
        if when != self._counted[0]:
            try:
                rows = measure_segmentation(ResultNodes(input=volume, segmentation=segmentation))
            except ProximalFemurSegError as error:
                self._counted = (when, {"messages": [str(error)]})
            else:
                self._counted = (when, {"volumes": rows})
                if chosen is not None and chosen is not volume:
                    said = f"These are the volumes of '{segmentation.GetName()}', which is of '{volume.GetName()}'."
                    self._counted[1]["messages"] = [said]
        return self._counted[1]

    def panel_state(self, network: NetworkEntry | None = None) -> PanelState:
        """What a panel has to show."""
        input_node = p.get_reference(self.parameter_node, p.INPUT)
        # How a run ended says nothing of another image.
        other = input_node is not None and self._input_id not in (None, input_node.GetID())
        status = Status(State.IDLE) if other and self._status.over else self._status
        state = PanelState(network=network, status=status)
        if input_node is not None:
            problem = ""
            try:
                volume_from_node(input_node)
            except ProximalFemurSegError as error:
                problem = str(error)
            state = replace(state, input_name=input_node.GetName(), input_problem=problem)
        if self.live is not None:
            state = replace(state, has_result=True, edited=self.live.edited)
        return state

    def is_own_map(self, node) -> bool:
        """True if a volume holds probabilities or uncertainties that came from here: nothing to be segmented."""
        roles = (p.PROBABILITY, p.ENDOSTEAL, p.UNCERTAINTY)
        maps = [p.get_reference(self.parameter_node, role) for role in roles]
        return node is not None and (node in maps or has_description(node))

    def _load(self, input_node, status: Status) -> Status:
        result = self._runner.result()
        try:
            if self._loading is None:
                self._loading = self._load_steps(input_node, result)
            if next(self._loading, None) is not None:
                return Status(State.RUNNING, replace(status.progress, stage="loading the result"))
        except ProximalFemurSegError as error:
            return Status(State.FAILED, message=str(error), log=status.log)
        return status

    def _load_steps(self, input_node, result):
        for nodes in load_steps(self._adapter, input_node, result, self._previous):
            yield nodes
        # Known before the parameter node speaks of it: whoever hears that would make the masks from the maps again.
        self.live = self._live_mask(nodes, result.probabilities)
        self.live.result = result
        node = self.parameter_node
        modified = node.StartModify()
        nodes.to_parameter_node(node)
        uncertainty_node = p.get_reference(node, p.UNCERTAINTY)
        if result.probabilities.spread is not None:
            # It cannot be made from the maps again: it is kept with the scene, shown or not.
            scene = self._adapter.scene
            uncertainty_node = put_uncertainty(scene, input_node, result.probabilities, uncertainty_node)
            p.set_reference(node, p.UNCERTAINTY, uncertainty_node)
        else:
            mark_former(uncertainty_node)
        node.SetParameter("threshold", str(overall_threshold(result)))
        node.EndModify(modified)
        yield nodes
        self._adapter.show_result(nodes)

    def _live_mask(self, nodes, probabilities):
        steps = p.read_parameters(self.parameter_node).postprocess
        return LiveMask(self._adapter, nodes, probabilities, steps, self._apply_threshold)

    def _remember_threshold(self, asked, value) -> None:
        method = asked if isinstance(asked, str) else MANUAL
        node = self.parameter_node
        modified = node.StartModify()
        node.SetParameter("threshold", str(value))
        node.SetParameter("thresholdMethod", method)
        node.EndModify(modified)


def segment_volume_node(adapter: Adapter, input_node, runner: Runner, parameters: p.Parameters | None = None):
    """Segment a volume node and wait for it: for scripts and batch work.

    Parameters
    ----------
    adapter : Adapter
    input_node : vtkMRMLScalarVolumeNode
    runner : Runner
        For example an ``InProcessRunner``.
    parameters : Parameters, optional
        The choices; the defaults if left out.

    Returns
    -------
    ResultNodes

    Raises
    ------
    ProximalFemurSegError
        With the reason, if it cannot be done.
    """
    import time

    from ..errors import CancelledError

    runner.start(prepare(input_node, parameters or p.Parameters()))
    status = runner.poll()
    while not status.over:
        time.sleep(0.05)
        status = runner.poll()
    if status.state is State.CANCELLED:
        raise CancelledError("The segmentation was cancelled.")
    if status.state is State.FAILED:
        raise ProximalFemurSegError(status.message)
    return load_result(adapter, input_node, runner.result())
