"""The same masks, maps and volumes through other libraries: random, shaped like a bone, and pathological ones.

Where definitions differ the test says how. What stands here is what the libraries agree on; closed forms and numbers
worked out by hand stand with each metric.
"""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.distance import cdist, directed_hausdorff, pdist, squareform

from mask_pairs import mask_pairs
from ProximalFemurSegLib.evaluation.agreement import dice_matrix, staple
from ProximalFemurSegLib.evaluation.curves import score_curve
from ProximalFemurSegLib.evaluation.overlap import Confusion, count_confusion
from ProximalFemurSegLib.evaluation.statistics import holm, signed_rank_p
from ProximalFemurSegLib.evaluation.surface import surface_distances
from ProximalFemurSegLib.evaluation.volumes import VolumeAgreement, VolumeErrors, volume_mm3
from ProximalFemurSegLib.thresholds import find_operating_points
from ProximalFemurSegLib.volume import Grid

PROPERTY = settings(max_examples=30, deadline=None)
NEAR = {"rel": 1e-5, "abs": 1e-6}  # MONAI's distances are in single precision


def measured(result, reference, spacing, definition="voxels"):
    return surface_distances(result, reference, Grid.from_parts(result.shape, spacing), definition)


def padded(*masks):
    """Some libraries see no surface where a mask touches the border of its array; with a border of air all do."""
    return [np.pad(mask, 1) for mask in masks]


def tensors(*masks):
    torch = pytest.importorskip("torch")
    return [torch.from_numpy(mask)[None, None].float() for mask in masks]


def images(*masks, spacing):
    sitk = pytest.importorskip("SimpleITK")
    made = [sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in masks]
    for image in made:
        image.SetSpacing(spacing)
    return made


# Overlap


@PROPERTY
@given(pair=mask_pairs(empty=True))
def test_overlap_against_scikit_learn(pair):
    """With masks that may be empty, for which its ``zero_division`` is set as this project defines it."""
    metrics = pytest.importorskip("sklearn.metrics")
    result, reference, _ = pair
    counted = count_confusion(result, reference)
    truth, found = reference.ravel(), result.ravel()
    nothing = 1.0 if not truth.any() and not found.any() else 0.0
    assert counted.dice == pytest.approx(metrics.f1_score(truth, found, zero_division=nothing))
    assert counted.precision == pytest.approx(metrics.precision_score(truth, found, zero_division=nothing))
    assert counted.recall == pytest.approx(metrics.recall_score(truth, found, zero_division=nothing))
    assert counted.specificity == pytest.approx(metrics.recall_score(~truth, ~found, zero_division=1.0))


@PROPERTY
@given(pair=mask_pairs())
def test_overlap_against_medpy(pair):
    """It calls a ratio without denominator 0, so that specificity without background is left out."""
    binary = pytest.importorskip("medpy.metric.binary")
    result, reference, _ = pair
    counted = count_confusion(result, reference)
    assert counted.dice == pytest.approx(binary.dc(result, reference))
    assert counted.dice / (2 - counted.dice) == pytest.approx(binary.jc(result, reference))
    assert counted.precision == pytest.approx(binary.precision(result, reference))
    assert counted.recall == pytest.approx(binary.recall(result, reference))
    if not reference.all():
        assert counted.specificity == pytest.approx(binary.specificity(result, reference))


@PROPERTY
@given(pair=mask_pairs())
def test_overlap_against_monai(pair):
    metrics = pytest.importorskip("monai.metrics")
    result, reference, _ = pair
    counted = count_confusion(result, reference)
    given_ = tensors(result, reference)
    assert counted.dice == pytest.approx(metrics.compute_dice(*given_).item(), **NEAR)
    tp, fp, tn, fn = metrics.get_confusion_matrix(*given_)[0, 0].tolist()
    assert counted == Confusion(tp, fp, fn, tn)


@PROPERTY
@given(pair=mask_pairs())
def test_overlap_against_simpleitk(pair):
    sitk = pytest.importorskip("SimpleITK")
    result, reference, spacing = pair
    measures = sitk.LabelOverlapMeasuresImageFilter()
    measures.Execute(*images(result, reference, spacing=spacing))  # source and target in its words
    counted = count_confusion(result, reference)
    assert counted.dice == pytest.approx(measures.GetDiceCoefficient())
    assert 1 - counted.recall == pytest.approx(measures.GetFalseNegativeError())
    assert 1 - counted.precision == pytest.approx(measures.GetFalseDiscoveryRate())


# Surfaces of voxels


@PROPERTY
@given(pair=mask_pairs())
def test_distances_against_scipy_s_distance_transform(pair):
    """Every distance, so that every mean and percentile; the root mean square through scikit-learn."""
    metrics = pytest.importorskip("sklearn.metrics")
    result, reference, spacing = pair
    ours = measured(result, reference, spacing)
    edges = [mask & ~ndimage.binary_erosion(mask) for mask in (result, reference)]
    far = [ndimage.distance_transform_edt(~edge, sampling=spacing[::-1]) for edge in edges]
    there, back = far[1][edges[0]], far[0][edges[1]]
    assert ours.result_to_reference == pytest.approx(there, abs=1e-9)
    assert ours.reference_to_result == pytest.approx(back, abs=1e-9)
    pooled = np.concatenate([there, back])
    assert ours.asd == pytest.approx(pooled.mean())
    assert ours.rms == pytest.approx(metrics.mean_squared_error(pooled, 0 * pooled) ** 0.5)
    for percent in (0, 37, 95, 100):
        assert ours.percentile(percent) == pytest.approx(max(np.percentile(d, percent) for d in (there, back)))


@PROPERTY
@given(pair=mask_pairs())
def test_distances_against_medpy(pair):
    """Its assd is the pooled mean, as the papers'; its hd95 is a percentile of both directions together, and not the
    larger of two."""
    binary = pytest.importorskip("medpy.metric.binary")
    result, reference, spacing = pair
    ours = measured(result, reference, spacing)
    options = {"voxelspacing": spacing[::-1]}
    assert ours.asd == pytest.approx(binary.assd(result, reference, **options))
    directed = binary.asd(result, reference, **options), binary.asd(reference, result, **options)
    assert ours.directed_means == pytest.approx(directed)
    assert ours.asd_mean_of_means == pytest.approx(sum(directed) / 2)
    assert ours.msd == pytest.approx(binary.hd(result, reference, **options))
    together = np.percentile(np.concatenate([ours.result_to_reference, ours.reference_to_result]), 95)
    assert together == pytest.approx(binary.hd95(result, reference, **options))


@PROPERTY
@pytest.mark.filterwarnings("ignore::FutureWarning")  # of MONAI about itself
@given(pair=mask_pairs())
def test_distances_against_monai(pair):
    """Its symmetric average is the pooled one; its percentile is the larger of the two directed ones, as here."""
    metrics = pytest.importorskip("monai.metrics")
    result, reference, spacing = pair
    result, reference = padded(result, reference)
    ours, given_ = measured(result, reference, spacing), tensors(result, reference)
    options = {"include_background": True, "spacing": spacing[::-1]}
    there, back = (metrics.compute_average_surface_distance(*t, **options).item() for t in (given_, given_[::-1]))
    assert ours.directed_means == pytest.approx((there, back), **NEAR)
    pooled = metrics.compute_average_surface_distance(*given_, symmetric=True, **options).item()
    assert ours.asd == pytest.approx(pooled, **NEAR)
    assert ours.msd == pytest.approx(metrics.compute_hausdorff_distance(*given_, **options).item(), **NEAR)
    hd95 = metrics.compute_hausdorff_distance(*given_, percentile=95, **options).item()
    # Its place between two distances, up to their number, is in single precision too, and they may be far apart.
    number = max(len(ours.result_to_reference), len(ours.reference_to_result))
    rounding = 2 * number * float(np.finfo(np.float32).eps) * ours.msd
    assert ours.hd95 == pytest.approx(hd95, rel=NEAR["rel"], abs=NEAR["abs"] + rounding)
    # Halfway between two distances that occur, so that single precision cannot decide.
    occurring = np.unique(np.round(np.concatenate([ours.result_to_reference, ours.reference_to_result]), 6))
    for tolerance in (occurring[:-1] + occurring[1:])[:3] / 2:
        dice = metrics.compute_surface_dice(*given_, class_thresholds=[float(tolerance)], **options).item()
        assert ours.surface_dice(tolerance) == pytest.approx(dice, **NEAR)


@PROPERTY
@given(pair=mask_pairs())
def test_largest_distance_against_simpleitk_and_scipy(pair):
    """SimpleITK's filter measures between whole sets, so that it is given the surfaces alone."""
    sitk = pytest.importorskip("SimpleITK")
    result, reference, spacing = pair
    result, reference = padded(result, reference)
    ours = measured(result, reference, spacing)
    contours = [sitk.LabelContour(image, fullyConnected=False) for image in images(result, reference, spacing=spacing)]
    theirs = sitk.HausdorffDistanceImageFilter()
    theirs.Execute(*contours)
    assert ours.msd == pytest.approx(theirs.GetHausdorffDistance(), rel=1e-6, abs=1e-6)
    points = [p * spacing[::-1] for p in (ours.result_points, ours.reference_points)]
    assert ours.msd == pytest.approx(max(directed_hausdorff(*points)[0], directed_hausdorff(*points[::-1])[0]))


# Surfaces of the mesh


@PROPERTY
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what surface-distance calls in scipy
@given(pair=mask_pairs())
def test_mesh_against_surface_distance(pair):
    theirs = pytest.importorskip("surface_distance")
    result, reference, spacing = pair
    found = theirs.compute_surface_distances(reference, result, spacing[::-1])
    ours = measured(result, reference, spacing, "mesh")
    back, there = theirs.compute_average_surface_distance(found)
    assert ours.directed_means == pytest.approx((there, back), abs=1e-12)
    assert ours.asd_mean_of_means == pytest.approx((there + back) / 2, abs=1e-12)
    assert ours.msd == pytest.approx(theirs.compute_robust_hausdorff(found, 100), abs=1e-12)
    # A share of the area that is met exactly falls to either side by its rounding.
    low, high = (max(ours.percentile(percent), 0) for percent in (95 - 1e-6, 95 + 1e-6))
    assert low - 1e-12 <= theirs.compute_robust_hausdorff(found, 95) <= high + 1e-12
    tolerances = np.unique(np.round(found["distances_gt_to_pred"], 6))[:3] + 1e-4
    for tolerance in tolerances:
        dice = theirs.compute_surface_dice_at_tolerance(found, tolerance)
        assert ours.surface_dice(tolerance) == pytest.approx(dice, abs=1e-12)
    # It has no pooled mean; it follows from the same distances and areas.
    names = ("distances_gt_to_pred", "distances_pred_to_gt"), ("surfel_areas_gt", "surfel_areas_pred")
    distances, areas = (np.concatenate([found[name] for name in pair]) for pair in names)
    assert ours.asd == pytest.approx(np.average(distances, weights=areas), abs=1e-12)
    assert ours.rms == pytest.approx(np.sqrt(np.average(distances**2, weights=areas)), abs=1e-12)


@settings(max_examples=15, deadline=None)
@given(pair=mask_pairs())
def test_distances_of_the_mesh_by_brute_force(pair):
    result, reference, spacing = pair
    ours = measured(result, reference, spacing, "mesh")
    between = cdist(ours.result_points * spacing[::-1], ours.reference_points * spacing[::-1])
    assert ours.result_to_reference == pytest.approx(between.min(axis=1), abs=1e-9)
    assert ours.reference_to_result == pytest.approx(between.min(axis=0), abs=1e-9)


# Curves and thresholds


@st.composite
def maps(draw):
    """(scores, truth): probabilities of a bone, with and without ties, good and useless."""
    _, truth, _ = draw(mask_pairs())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    gap, levels = draw(st.sampled_from([0.0, 0.2, 0.6])), draw(st.sampled_from([0, 1, 5, 200]))
    scores = np.clip(rng.normal(0.2 + gap * truth, 0.2), 0, 1)
    return (np.round(scores * levels) / levels if levels else scores).astype(np.float32), truth


@PROPERTY
@given(case=maps())
def test_areas_under_curves_against_scikit_learn_and_monai(case):
    metrics = pytest.importorskip("sklearn.metrics")
    monai = pytest.importorskip("monai.metrics")
    torch = pytest.importorskip("torch")
    scores, truth = (values.ravel() for values in case)
    curve = score_curve(scores, truth)
    assert curve.average_precision == pytest.approx(metrics.average_precision_score(truth, scores), abs=1e-12)
    if truth.all():
        assert np.isnan(curve.roc_auc)
        return
    assert curve.roc_auc == pytest.approx(metrics.roc_auc_score(truth, scores), abs=1e-12)
    theirs = monai.compute_roc_auc(torch.from_numpy(scores), torch.from_numpy(truth).float())
    assert curve.roc_auc == pytest.approx(theirs, **NEAR)


@PROPERTY
@given(case=maps())
def test_operating_points_against_scikit_learn_s_curves(case):
    metrics = pytest.importorskip("sklearn.metrics")
    scores, truth = (values.ravel() for values in case)
    if truth.all():
        return
    points = find_operating_points(score_curve(scores, truth))
    false, true, _ = metrics.roc_curve(truth, scores, drop_intermediate=False)
    at = points["youden"]
    # The first point of its curve calls nothing bone, which is no threshold here.
    assert at.recall + at.specificity - 1 == pytest.approx((true - false)[1:].max(), abs=1e-12)
    at = points["roc"]
    assert np.hypot(1 - at.recall, 1 - at.specificity) == pytest.approx(np.hypot(1 - true, false)[1:].min(), abs=1e-12)
    precision, recall, _ = metrics.precision_recall_curve(truth, scores)
    at = points["threshold"]
    nearest = np.hypot(1 - precision, 1 - recall)[:-1].min()
    assert np.hypot(1 - at.precision, 1 - at.recall) == pytest.approx(nearest, abs=1e-12)


# Volumes


@PROPERTY
@given(pair=mask_pairs(empty=True))
def test_volumes_against_simpleitk_and_medpy(pair):
    sitk = pytest.importorskip("SimpleITK")
    binary = pytest.importorskip("medpy.metric.binary")
    result, reference, spacing = pair
    grid = Grid.from_parts(result.shape, spacing)
    for mask in (result, reference):
        statistics = sitk.LabelShapeStatisticsImageFilter()
        statistics.Execute(*images(mask, spacing=spacing))
        theirs = statistics.GetPhysicalSize(1) if mask.any() else 0.0
        assert volume_mm3(mask, grid) == pytest.approx(theirs)
    if reference.any():
        errors = VolumeErrors(volume_mm3(result, grid), volume_mm3(reference, grid))
        signed = 100 * binary.ravd(result, reference)
        assert errors.relative_percent == pytest.approx(abs(signed))
        assert errors.difference_mm3 / errors.reference_mm3 * 100 == pytest.approx(signed)


@PROPERTY
@given(pairs=st.lists(mask_pairs(), min_size=3, max_size=6))
def test_volumes_of_a_cohort_against_scikit_learn_and_medpy(pairs):
    metrics = pytest.importorskip("sklearn.metrics")
    binary = pytest.importorskip("medpy.metric.binary")
    results, references = (np.array([float(pair[n].sum()) for pair in pairs]) for n in (0, 1))
    ours = VolumeAgreement(results, references)
    assert ours.mae_mm3 == pytest.approx(metrics.mean_absolute_error(references, results))
    assert ours.rmse_mm3 == pytest.approx(metrics.mean_squared_error(references, results) ** 0.5)
    relative = 100 * metrics.mean_absolute_percentage_error(references, results)
    assert ours.relative_percent.mean() == pytest.approx(relative)
    if np.ptp(results) and np.ptp(references):
        longest = max(pair[0].size for pair in pairs)
        flat = [[np.pad(pair[n].ravel(), (0, longest - pair[n].size)) for pair in pairs] for n in (0, 1)]
        assert ours.correlation == pytest.approx(binary.volume_correlation(*flat)[0])
    else:
        assert np.isnan(ours.correlation)


# Readers and tests


@PROPERTY
@given(pair=mask_pairs())
def test_matrix_of_readers_against_scipy(pair):
    result, reference, _ = pair
    masks = [result, reference, result & reference | (np.arange(result.size) == 0).reshape(result.shape)]
    expected = 1 - squareform(pdist(np.array([mask.ravel() for mask in masks]), "dice"))
    assert dice_matrix(masks) == pytest.approx(expected)


def expectation_maximisation(masks, rounds=100):
    """STAPLE as its paper has it: the prior is the mean share of bone, all readers begin almost perfect."""
    votes = np.array([mask.ravel() for mask in masks], float)
    prior = votes.mean()
    sensitivity = specificity = np.full(len(votes), 0.99999)
    for _ in range(rounds):
        p, q = sensitivity[:, None], specificity[:, None]
        bone = prior * np.where(votes, p, 1 - p).prod(axis=0)
        air = (1 - prior) * np.where(votes, 1 - q, q).prod(axis=0)
        weight = bone / (bone + air)
        sensitivity, specificity = votes @ weight / weight.sum(), (1 - votes) @ (1 - weight) / (1 - weight).sum()
    return weight, sensitivity, specificity


@pytest.mark.parametrize("seed", range(4))
def test_consensus_against_the_equations_of_its_paper(seed):
    """SimpleITK's STAPLE is what runs; written out in numpy it gives the same weights."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((6, 7, 8), bool)
    truth[1:5, 2:6, 1:6] = True
    masks = [np.where(rng.random(truth.shape) < rate, ~truth, truth) for rate in (0.05, 0.1, 0.2, 0.15)]
    found = staple(masks, Grid.from_parts(truth.shape))
    weight, sensitivity, specificity = expectation_maximisation(masks)
    assert found.probability.ravel() == pytest.approx(weight, abs=1e-3)
    assert found.sensitivity == pytest.approx(sensitivity, abs=1e-3)
    assert found.specificity == pytest.approx(specificity, abs=1e-3)


@PROPERTY
@given(p=st.lists(st.floats(1e-6, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_test_of_bonferroni(p):
    """A hypothesis falls if every set that holds it does; the corrected value is the largest of those sets'."""
    p = np.array(p)
    sets = [np.flatnonzero(choice) for choice in product((0, 1), repeat=len(p)) if any(choice)]
    expected = [max(min(1, len(s) * p[s].min()) for s in sets if n in s) for n in range(len(p))]
    assert holm(p) == pytest.approx(expected)


@PROPERTY
@given(ranks=st.lists(st.booleans(), min_size=2, max_size=9))
def test_signed_ranks_by_counting_all_signs(ranks):
    """Differences 1, 2, 3, ... with any signs: the share of all sign patterns whose smaller rank sum is as small."""
    size = len(ranks)
    patterns = np.array(list(product((0, 1), repeat=size)))
    sums = patterns @ np.arange(1, size + 1)
    smaller = np.minimum(sums, size * (size + 1) // 2 - sums)
    mine = smaller[(patterns == ranks).all(axis=1)][0]
    signs = np.where(ranks, 1, -1)
    assert signed_rank_p(signs * np.arange(1.0, size + 1)) == pytest.approx(np.mean(smaller <= mine))
