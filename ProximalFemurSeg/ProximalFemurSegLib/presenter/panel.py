"""What can be pressed, and what is said of a run, in every state of things."""

from __future__ import annotations

from dataclasses import dataclass

from ..running.progress import Progress
from ..running.runner import State, Status
from .networks import NetworkEntry
from .wording import sentence, word
from .wording import tr as _


@dataclass(frozen=True)
class PanelState:
    """All that decides what the panel shows.

    Attributes
    ----------
    input_name : str
        Name of the chosen volume, empty if there is none.
    input_problem : str
        Why that volume cannot be segmented, one sentence; empty if it can.
    network : NetworkEntry or None
        The chosen line of the network menu.
    status : Status
        Of the run.
    has_result : bool
        True if there is a probability map from which a mask can be made.
    edited : bool
        True if the segmentation is no longer what the program made of that map.
    """

    input_name: str = ""
    input_problem: str = ""
    network: NetworkEntry | None = None
    status: Status = Status(State.IDLE)
    has_result: bool = False
    edited: bool = False


@dataclass(frozen=True)
class PanelView:
    """What the panel shows.

    Attributes
    ----------
    apply_enabled, cancel_enabled, choices_enabled, threshold_enabled : bool
        Buttons, input widgets, threshold slider.
    apply_tooltip : str
        What Apply does, or why it cannot.
    progress_visible : bool
    progress_percent : int or None
        0 to 100; None where the end is not known (a busy bar).
    status_text : str
        What is going on, with the seconds left, or how the last run ended.
    renew_visible : bool
        Whether to offer a new segmentation from the map beside the edited one.
    threshold_hint : str
        Why the threshold cannot be moved; empty if it can.
    """

    apply_enabled: bool
    cancel_enabled: bool
    choices_enabled: bool
    threshold_enabled: bool
    apply_tooltip: str
    progress_visible: bool
    progress_percent: int | None
    status_text: str
    renew_visible: bool
    threshold_hint: str


def present(state: PanelState) -> PanelView:
    """The panel for a state of things."""
    running = state.status.state is State.RUNNING
    obstacle = _obstacle(state, running)
    return PanelView(
        apply_enabled=not obstacle,
        cancel_enabled=running,
        choices_enabled=not running,
        threshold_enabled=state.has_result and not state.edited and not running,
        apply_tooltip=obstacle or _("Segment the femur in '{name}'").format(name=state.input_name),
        progress_visible=running,
        progress_percent=progress_percent(state.status.progress),
        status_text=status_text(state.status),
        renew_visible=state.has_result and state.edited and not running,
        threshold_hint=_threshold_hint(state, running),
    )


def _obstacle(state, running):
    if running:
        return _("A segmentation is running; cancel it first.")
    if not state.input_name:
        return _("Choose a hip MR or CT volume first.")
    if state.input_problem:
        return state.input_problem
    if state.network is not None and not state.network.available:
        return _("The network {name} has no trained weights here; choose another.").format(name=state.network.name)
    return ""


def _threshold_hint(state, running):
    if running:
        return _("A segmentation is running.")
    if not state.has_result:
        return _("Press Apply first: the threshold works on the probability map.")
    if state.edited:
        return _("Edited by hand: the threshold leaves it as it is.")
    return ""


def status_text(status: Status) -> str:
    """One line about a run."""
    if status.state is State.RUNNING:
        left = status.progress.seconds_left
        stage = stage_title(status.progress.stage)
        # A step that is over has no time left; the next one is about to be told.
        return f"{stage} \N{EM DASH} {time_left(left)}" if left else f"{stage}..."
    if status.state is State.CANCELLED:
        return _("Cancelled; nothing was changed.")
    if status.state is State.FAILED:
        return status.message
    return _("Done.") if status.state is State.DONE else ""


def stage_title(stage: str) -> str:
    """What a step of a run is called for the user.

    Examples
    --------
    >>> stage_title("periosteal, left femur"), stage_title("writing the results"), stage_title("")
    ('Network for the whole bone, left femur', 'Writing the results', 'Running')
    >>> stage_title("fold 2 of 4: periosteal, left femur")
    'Fold 2 of 4: network for the whole bone, left femur'
    """
    run, colon, stage = stage.rpartition(": ")
    if run:
        title = stage_title(stage)
        return f"{sentence(word(run))}: {title[:1].lower()}{title[1:]}"
    role, comma, rest = stage.partition(",")
    titles = {
        "": _("Running"),
        "bone": _("Network for the bone"),
        "periosteal": _("Network for the whole bone"),
        "endosteal": _("Network for the inside of the cortex"),
    }
    return titles[role] + comma + rest if role in titles else sentence(word(stage))


def time_left(seconds: float) -> str:
    """How long it still takes, for people.

    Examples
    --------
    >>> time_left(4.2), time_left(125)
    ('5 s left', '2 min 05 s left')
    """
    whole = max(0, -int(-seconds // 1))
    if whole < 60:
        return _("{seconds} s left").format(seconds=whole)
    return _("{minutes} min {seconds:02d} s left").format(minutes=whole // 60, seconds=whole % 60)


def progress_percent(progress: Progress) -> int | None:
    """0 to 100 of the whole run where that is known, else of the present step; None where neither is."""
    fraction = progress.fraction if progress.overall is None else progress.overall
    return None if fraction is None else round(100 * fraction)
