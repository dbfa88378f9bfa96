"""The same masks through other libraries: random, shaped like a bone, and pathological ones.

Where definitions differ the test says how. Areas under curves stand with the curves, the area-weighted surface with the
mesh, and STAPLE, which is SimpleITK's own, with the readers.
"""

import numpy as np
import pytest
from scipy import ndimage

from ProximalFemurSegLib.evaluation.overlap import count_confusion
from ProximalFemurSegLib.evaluation.surface import surface_distances
from ProximalFemurSegLib.volume import Grid

SPACING = (0.5, 0.8, 1.7)  # i, j, k


def bone(waves):
    k, j, i = np.meshgrid(*[np.arange(n) for n in (12, 14, 16)], indexing="ij")
    head = np.hypot(np.hypot(k - 8, j - 7), i - 9) - 4 + waves * np.sin(i) * np.sin(j + 1)
    stem = np.maximum(np.hypot(j - 7, i - 5) - 2.5, k - 9)
    return np.minimum(head, stem) < 0


def masks():
    rng = np.random.default_rng(1)
    smooth = [ndimage.gaussian_filter(n, 1.2) for n in rng.random((2, 9, 10, 11))]
    half = np.tri(6, 7, dtype=bool)[None].repeat(3, 0)
    single, other = np.zeros((2, 6, 7, 8), bool)
    single[1, 2, 3] = other[4, 5, 6] = True
    return {
        "bone": (bone(0.9), bone(0.0)),
        "blobs that touch the border": tuple(s > np.median(s) for s in smooth),
        "speckles": tuple(rng.random((2, 7, 8, 9)) < 0.3),
        "single voxels": (single, other),
        "all and a part": (np.ones((5, 6, 7), bool), np.pad(np.ones((2, 3, 4), bool), ((1, 2), (2, 1), (1, 2)))),
        "the same": (bone(0.0), bone(0.0)),
        "nothing in common": (half, ~half),
    }


PAIRS = pytest.mark.parametrize("kind", list(masks()))


@PAIRS
def test_overlap_agrees_with_scikit_learn(kind):
    metrics = pytest.importorskip("sklearn.metrics")
    result, reference = masks()[kind]
    counted = count_confusion(result, reference)
    flat = reference.ravel(), result.ravel()
    assert counted.dice == pytest.approx(metrics.f1_score(*flat))
    assert counted.precision == pytest.approx(metrics.precision_score(*flat))
    assert counted.recall == pytest.approx(metrics.recall_score(*flat))
    assert counted.specificity == pytest.approx(metrics.recall_score(~flat[0], ~flat[1]))


@PAIRS
def test_overlap_agrees_with_simpleitk(kind):
    sitk = pytest.importorskip("SimpleITK")
    result, reference = masks()[kind]
    measures = sitk.LabelOverlapMeasuresImageFilter()
    measures.Execute(*[sitk.GetImageFromArray(m.astype(np.uint8)) for m in (reference, result)])
    counted = count_confusion(result, reference)
    assert counted.dice == pytest.approx(measures.GetDiceCoefficient())
    assert counted.dice / (2 - counted.dice) == pytest.approx(measures.GetJaccardCoefficient())


@PAIRS
def test_hausdorff_distance_agrees_with_simpleitk_on_contours(kind):
    """Its filter takes whole sets, so that it is given contours; it sees none at a border, so that masks are padded."""
    sitk = pytest.importorskip("SimpleITK")
    pair = [np.pad(m, 1) for m in masks()[kind]]
    images = []
    for mask in pair:
        image = sitk.LabelContour(sitk.GetImageFromArray(mask.astype(np.uint8)), fullyConnected=False)
        image.SetSpacing(SPACING)
        images.append(image)
    theirs = sitk.HausdorffDistanceImageFilter()
    theirs.Execute(*images)
    ours = surface_distances(*pair, Grid.from_parts(pair[0].shape, SPACING))
    assert ours.msd == pytest.approx(theirs.GetHausdorffDistance(), rel=1e-6)


@PAIRS
@pytest.mark.filterwarnings("ignore::FutureWarning")  # of MONAI about itself
def test_mean_of_means_and_pooled_mean_against_monai(kind):
    """MONAI's symmetric average is the pooled one; its two directed averages make the mean of means."""
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("monai.metrics")
    pair = [np.pad(m, 1) for m in masks()[kind]]
    tensors = [torch.from_numpy(m)[None, None].float() for m in pair]
    options = {"include_background": True, "spacing": SPACING[::-1]}
    ours = surface_distances(*pair, Grid.from_parts(pair[0].shape, SPACING))
    there, back = (metrics.compute_average_surface_distance(*t, **options).item() for t in (tensors, tensors[::-1]))
    assert ours.directed_means == pytest.approx((there, back), rel=1e-5)
    pooled = metrics.compute_average_surface_distance(*tensors, symmetric=True, **options).item()
    assert ours.asd == pytest.approx(pooled, rel=1e-5)
    assert ours.asd_mean_of_means == pytest.approx((there + back) / 2, rel=1e-5)


@PAIRS
def test_medpy_takes_the_mean_of_means_and_a_pooled_percentile(kind):
    """Its assd is the mean of the two directed means, its hd95 the percentile of both directions together."""
    binary = pytest.importorskip("medpy.metric.binary")
    result, reference = masks()[kind]
    ours = surface_distances(result, reference, Grid.from_parts(result.shape, SPACING))
    options = {"voxelspacing": SPACING[::-1]}
    assert ours.asd_mean_of_means == pytest.approx(binary.assd(result, reference, **options))
    assert ours.msd == pytest.approx(binary.hd(result, reference, **options))
    pooled = np.percentile(np.concatenate([ours.result_to_reference, ours.reference_to_result]), 95)
    assert pooled == pytest.approx(binary.hd95(result, reference, **options))
