"""How long a reader works on a case, and what a draft saves: the comparison of ISMRM-2017 for one's own readers.

A record says who did what on which case, how long hands were on it, and what was changed. It is one small JSON file; a
folder of them is a cohort. Records of the task ``correction`` start from a draft, those of ``manual`` from nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np

from ..errors import BadInputError
from ..volume import Grid
from ..whole_file import write_whole_text
from .overlap import Confusion, count_confusion
from .statistics import Summary, bootstrap_interval, signed_rank_p, summarise
from .surface import surface_distances

CORRECTION, MANUAL = "correction", "manual"
TASKS = (CORRECTION, MANUAL)
_FORMAT = "proximal-femur-correction-time"
_VERSION = 1
IDLE_LIMIT_S = 30.0


@dataclass
class ActivityClock:
    """Adds up the time that a reader is at work, from moments at which something was done.

    The time between two such moments counts if it is no longer than the idle limit; of a longer one nothing counts, for
    nobody can tell which part of it was thought and which was coffee.

    Parameters
    ----------
    idle_limit_s : float
        Seconds; longer gaps are left out.

    Examples
    --------
    >>> clock = ActivityClock(idle_limit_s=30)
    >>> for second in (0, 10, 25, 300, 310):
    ...     clock.act(second)
    >>> clock.active_s, clock.idle_s
    (35.0, 275.0)
    """

    idle_limit_s: float = IDLE_LIMIT_S
    active_s: float = 0.0
    idle_s: float = 0.0
    _last: float | None = field(default=None, repr=False)

    def act(self, now_s: float) -> None:
        """Something was done, at a time in seconds of a clock that never goes back (`time.monotonic`).

        Raises
        ------
        ValueError
            A time before the last one.
        """
        if self._last is not None:
            gap = float(now_s) - self._last
            if gap < 0:
                raise ValueError(f"Time went back by {-gap:g} s.")
            if gap <= self.idle_limit_s:
                self.active_s += gap
            else:
                self.idle_s += gap
        self._last = float(now_s)

    def pause(self) -> None:
        """The case was left; what comes before the next action counts neither as active nor as idle."""
        self._last = None


@dataclass(frozen=True)
class CorrectionRecord:
    """One reader's work on one case.

    Parameters
    ----------
    subject, reader : str
        Whose image, and who worked on it.
    task : {'correction', 'manual'}
        From a draft, or from nothing.
    started : str
        Date and time with its offset, as ISO 8601.
    active_s, idle_s : float
        Seconds at work, and seconds of gaps longer than the limit, which are no work.
    idle_limit_s : float
        The longest gap that still counts as work.
    voxels_added, voxels_removed : int
        From the draft to the finished mask.
    dice, asd_mm : float or None
        Of the draft against the finished mask; None where not defined, as for a manual segmentation.
    network : str
        What made the draft; empty for a manual segmentation.
    """

    subject: str
    reader: str
    task: str
    started: str
    active_s: float
    idle_s: float
    idle_limit_s: float
    voxels_added: int
    voxels_removed: int
    dice: float | None = None
    asd_mm: float | None = None
    network: str = ""

    def __post_init__(self):
        problem = _problem(self)
        if problem:
            raise ValueError(problem)

    @property
    def start(self) -> datetime:
        """When work began."""
        return _moment(self.started)


def _moment(text: str) -> datetime:
    # Python before 3.11 does not know the Z of Zulu time.
    moment = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    if moment.utcoffset() is None:
        raise ValueError(f"The time '{text}' lacks its offset from UTC.")
    return moment


def _problem(record: CorrectionRecord) -> str:
    """What is wrong with a record, in words; empty if nothing is."""
    for name in ("subject", "reader"):
        if not isinstance(getattr(record, name), str) or not getattr(record, name).strip():
            return f"it names no {name}"
    if record.task not in TASKS:
        return f"its task is '{record.task}', and not one of {', '.join(TASKS)}"
    try:
        _moment(record.started)
    except (TypeError, ValueError, AttributeError):
        return f"its start '{record.started}' is no date and time with an offset, such as 2024-05-01T09:30:00+02:00"
    for name in ("active_s", "idle_s", "idle_limit_s", "voxels_added", "voxels_removed"):
        value = getattr(record, name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
            return f"its {name} is {value!r}, and must be a number that is not negative"
    for name in ("dice", "asd_mm"):
        value = getattr(record, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0):
            return f"its {name} is {value!r}, and must be a number that is not negative, or null"
    return ""


def describe_correction(
    subject: str,
    reader: str,
    started: datetime,
    clock: ActivityClock,
    finished: np.ndarray | Sequence[np.ndarray],
    grid: Grid,
    draft: np.ndarray | Sequence[np.ndarray] | None = None,
    network: str = "",
) -> CorrectionRecord:
    """The record of a case that is finished.

    Parameters
    ----------
    subject, reader : str
        Whose image, and who worked on it.
    started : datetime
        When; a time without an offset is taken for this computer's.
    clock : ActivityClock
        That ran meanwhile.
    finished : numpy.ndarray or sequence of numpy.ndarray
        (K, J, I) bool, the mask as it is now; or one mask a structure. A voxel that went from one structure to another
        was removed from the one and added to the other; DSC and ASD are of the counts and surfaces of all together.
    grid : Grid
        Of the masks.
    draft : numpy.ndarray or sequence of numpy.ndarray, optional
        The same before, in the same order; None for a segmentation from nothing.
    network : str
        What made the draft.
    """
    after = _several(finished)
    before = [np.zeros(grid.shape, bool)] * len(after) if draft is None else _several(draft)
    changes = sum(map(count_confusion, before, after), Confusion(0, 0, 0, 0))
    asd = math.nan if draft is None else _pooled_asd(before, after, grid)
    return CorrectionRecord(
        subject=subject,
        reader=reader,
        task=MANUAL if draft is None else CORRECTION,
        started=(started if started.utcoffset() is not None else started.astimezone()).isoformat(timespec="seconds"),
        active_s=round(clock.active_s, 3),
        idle_s=round(clock.idle_s, 3),
        idle_limit_s=clock.idle_limit_s,
        voxels_added=changes.false_negatives,
        voxels_removed=changes.false_positives,
        dice=None if draft is None else changes.dice,
        asd_mm=None if math.isnan(asd) else asd,
        network=network,
    )


def _several(masks) -> list[np.ndarray]:
    masks = [masks] if getattr(masks, "ndim", 0) == 3 else masks
    return [np.asarray(mask, bool) for mask in masks]


def _pooled_asd(before, after, grid: Grid) -> float:
    """One mean over the surfaces of all structures that both have; NaN if there is none."""
    found = [surface_distances(*pair, grid) for pair in zip(before, after)]
    distances = [d for one in found for d in (one.result_to_reference, one.reference_to_result) if len(d)]
    return float(np.concatenate(distances).mean()) if distances else math.nan


def write_record(record: CorrectionRecord, path) -> None:
    """Write a record as JSON; complete or absent."""
    value = {"format": _FORMAT, "version": _VERSION, **asdict(record)}
    write_whole_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_record(path) -> CorrectionRecord:
    """Read a record.

    Raises
    ------
    BadInputError
        A file that cannot be read, or is no such record.
    """
    path = Path(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInputError(f"'{path}' cannot be read ({error.strerror}); check its name.") from None
    except ValueError:
        raise BadInputError(f"'{path}' is no JSON file; choose a record of correction time.") from None
    if not isinstance(value, dict) or value.get("format") != _FORMAT:
        raise BadInputError(f"'{path}' is no record of correction time; choose a file that this program wrote.")
    if value.get("version") != _VERSION:
        raise BadInputError(
            f"'{path}' has version {value.get('version')} of the format; only {_VERSION} is known here."
        )
    names = [entry.name for entry in fields(CorrectionRecord)]
    missing = [name for name in names[:9] if name not in value]
    if missing:
        raise BadInputError(f"'{path}' lacks {', '.join(missing)}; write the record anew.")
    try:
        return CorrectionRecord(**{name: value[name] for name in names if name in value})
    except ValueError as error:
        raise BadInputError(f"'{path}' cannot be used: {error}; correct the record or leave it out.") from None


def read_records(folder) -> list[CorrectionRecord]:
    """All records of a folder, by name of the file; other JSON files in it are left alone.

    Raises
    ------
    BadInputError
        A folder without a record, or a record that is damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise BadInputError(f"The folder '{folder}' does not exist; choose one with records of correction time.")
    found = [read_record(path) for path in sorted(folder.glob("[!.]*.json")) if _FORMAT in _beginning(path)]
    if not found:
        raise BadInputError(f"'{folder}' holds no records of correction time; choose another folder.")
    return found


def _beginning(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(4096)
    except OSError:
        return ""


@dataclass(frozen=True)
class TimeComparison:
    """Correcting a draft against segmenting from nothing, in seconds at work.

    Parameters
    ----------
    correction, manual : Summary
        Of all records of a task; several of one reader on one subject count as their mean.
    paired : int
        Subject and reader pairs that have both.
    saved_s : float
        Mean time saved by the draft over the pairs, or, where there are none, the difference of the two means.
    saved_interval_s : tuple of float
        95 % confidence interval of the mean over the pairs; NaN without.
    saved_percent : float
        Of the manual time: 100 (1 - correction / manual), from means over the same cases as `saved_s`.
    p_value : float
        Wilcoxon's signed-rank test over the pairs; NaN without.
    """

    correction: Summary
    manual: Summary
    paired: int
    saved_s: float
    saved_interval_s: tuple[float, float]
    saved_percent: float
    p_value: float


def compare_times(records: Iterable[CorrectionRecord]) -> TimeComparison:
    """Compare the time of corrections with that of segmentations from nothing.

    Parameters
    ----------
    records : iterable of CorrectionRecord
        Of any readers and subjects; only those of the same reader on the same subject are paired.
    """
    times: dict[str, dict[tuple[str, str], list[float]]] = {task: {} for task in TASKS}
    for record in records:
        times[record.task].setdefault((record.subject, record.reader), []).append(record.active_s)
    means = {task: {case: float(np.mean(values)) for case, values in cases.items()} for task, cases in times.items()}
    shared = [case for case in means[MANUAL] if case in means[CORRECTION]]
    cases = {task: shared or list(means[task]) for task in TASKS}
    mean = {task: float(np.mean([means[task][c] for c in cases[task]])) if cases[task] else math.nan for task in TASKS}
    saved = np.array([means[MANUAL][case] - means[CORRECTION][case] for case in shared])
    return TimeComparison(
        correction=summarise(means[CORRECTION].values()),
        manual=summarise(means[MANUAL].values()),
        paired=len(shared),
        saved_s=mean[MANUAL] - mean[CORRECTION],
        saved_interval_s=bootstrap_interval(saved),
        saved_percent=100 * (1 - mean[CORRECTION] / mean[MANUAL]) if mean[MANUAL] else math.nan,
        p_value=signed_rank_p(saved),
    )


def minutes_and_seconds(seconds: float) -> str:
    """A time as readers say it.

    Examples
    --------
    >>> minutes_and_seconds(870)
    '14 min 30 s'
    """
    if not math.isfinite(seconds):
        return "undefined"
    sign = "-" if seconds < -0.5 else ""
    whole = timedelta(seconds=round(abs(seconds)))
    minutes, rest = divmod(int(whole.total_seconds()), 60)
    return f"{sign}{minutes} min {rest:02d} s" if minutes else f"{sign}{rest} s"


def now() -> datetime:
    """The time of a record's start, with its offset."""
    return datetime.now(timezone.utc).astimezone()
