"""The sections of the panel, from top to bottom in the order of the work; each looks after its own widgets."""

from .comparison import ComparisonSection
from .correction import CorrectionSection
from .display import DisplaySection
from .export import ExportSection
from .mask import MaskSection
from .measurements import MeasurementsSection
from .regions import RegionsSection
from .review import ReviewSection
from .run import RunSection

SECTIONS = (
    RunSection,
    MaskSection,
    CorrectionSection,
    MeasurementsSection,
    RegionsSection,
    ComparisonSection,
    ReviewSection,
    DisplaySection,
    ExportSection,
)

__all__ = ["SECTIONS"]
