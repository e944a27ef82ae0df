"""There and back between the scan's grid and the network's, at every orientation and tilt."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest
import torch

from liverseg.grid import Grid, is_sheared, network_grid, to_network_grid, to_scan_grid

SPACING_MM = (1.5, 1.0, 2.5)
SHAPE = (44, 60, 30)
ORIENTATIONS = ["RAS", "LAS", "LPS", "LPI", "SAR", "PIR", "IRA"]
NETWORK_MM = (2.0, 2.0, 2.0)


def scan_grid(codes: str = "RAS", tilt: float = 0.0, oblique: float = 0.0) -> Grid:
    """SHAPE voxels of SPACING_MM along R, A, S, stored in the order and direction of codes."""
    affine = np.diag([*SPACING_MM, 1.0])
    affine[1, 2] = tilt * SPACING_MM[2]  # the gantry's tilt moves each slice along A
    cosine, sine = np.cos(oblique), np.sin(oblique)
    turn = np.array([[cosine, -sine, 0, 0], [sine, cosine, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    affine = turn @ affine
    affine[:3, 3] = [11.0, -23.0, 37.0]
    orientation = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(codes)
    )
    stored = affine @ nib.orientations.inv_ornt_aff(orientation, SHAPE)
    shape = nib.orientations.apply_orientation(np.empty(SHAPE, bool), orientation).shape
    return Grid(shape, stored)


def positions(grid: Grid) -> npt.NDArray[np.float64]:
    """(X, Y, Z, 3) RAS mm of every voxel."""
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    return index @ grid.affine[:3, :3].T + grid.affine[:3, 3]


def ball(grid: Grid, centre: npt.NDArray[np.float64], radius_mm: float) -> npt.NDArray[np.float64]:
    """Positive inside a ball: the distance to its surface in mm."""
    return radius_mm - np.linalg.norm(positions(grid) - centre, axis=-1)


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_network_grid_is_ras_and_covers_the_same_field_of_view(codes: str) -> None:
    grid = network_grid(scan_grid(codes), NETWORK_MM)
    # 44 x 1.5 = 66 mm, 60 x 1 = 60 mm, 30 x 2.5 = 75 mm; 75 / 2 = 37.5 rounds to 38 voxels.
    assert grid.shape == (33, 30, 38)
    assert "".join(nib.aff2axcodes(grid.affine)) == "RAS"
    assert np.allclose(nib.affines.voxel_sizes(grid.affine), [2, 2, 75 / 38])
    corner = grid.affine @ [-0.5, -0.5, -0.5, 1]
    assert np.allclose(corner[:3], [11 - 0.75, -23 - 0.5, 37 - 1.25])


@pytest.mark.parametrize("tilt", [0.0, 0.4])
@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_ramp_comes_to_the_network_without_a_shift(codes: str, tilt: float) -> None:
    scan = scan_grid(codes, tilt)
    world = positions(scan)
    for axis in range(3):
        ramp = world[..., axis]
        window = (float(ramp.min()) - 1, float(ramp.max()) + 1)
        image, grid = to_network_grid(ramp, scan.affine, NETWORK_MM, window)
        wanted = positions(grid)
        got = image.numpy() * (window[1] - window[0]) + window[0]
        # Away from the rim, where averaging has neighbours on both sides.
        inside = np.linalg.inv(scan.affine)[:3, :3] @ wanted.reshape(-1, 3).T
        inside = (inside + np.linalg.inv(scan.affine)[:3, 3:]).T.reshape(wanted.shape)
        inner = ((inside > 3) & (inside < np.array(scan.shape) - 4)).all(axis=-1)
        error = (got - wanted[..., axis])[inner]
        assert inner.sum() > 10_000
        assert abs(error.mean()) < 1e-3  # mm
        assert np.abs(error).max() < 0.15  # mm, a seventh of the finest voxel


@pytest.mark.parametrize(("tilt", "oblique"), [(0.0, 0.0), (0.4, 0.0), (0.0, 0.3)])
@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_ball_comes_back_in_place_and_size(codes: str, tilt: float, oblique: float) -> None:
    scan = scan_grid(codes, tilt, oblique)
    centre = positions(scan).reshape(-1, 3).mean(axis=0) + [3.0, -2.0, 4.0]
    grid = network_grid(scan, NETWORK_MM)
    mask = to_scan_grid(torch.from_numpy(ball(grid, centre, 15.0)), grid, scan)
    expected = ball(scan, centre, 15.0) > 0
    assert mask.dtype == np.uint8
    assert mask.shape == scan.shape
    dice = 2 * (mask & expected).sum() / (mask.sum() + expected.sum())
    assert dice > 0.98
    assert np.allclose(positions(scan)[mask > 0].mean(axis=0), centre, atol=0.1)
    volume = mask.sum() * abs(np.linalg.det(scan.affine[:3, :3]))
    assert volume == pytest.approx(4 / 3 * np.pi * 15**3, rel=0.02)


@pytest.mark.parametrize("tilt", [0.0, 0.4])
def test_mask_reaches_the_rim_of_the_scan(tilt: float) -> None:
    scan = scan_grid("LPS", tilt)
    grid = network_grid(scan, NETWORK_MM)
    assert to_scan_grid(torch.ones(grid.shape), grid, scan).all()


def test_no_liver_gives_an_empty_mask() -> None:
    scan = scan_grid("LAS")
    grid = network_grid(scan, NETWORK_MM)
    assert not to_scan_grid(-torch.ones(grid.shape), grid, scan).any()


def test_box_gives_what_the_whole_scan_gives() -> None:
    """A few scattered voxels: outside their box nothing may be missed."""
    rng = np.random.default_rng(3)
    scan = scan_grid("LPS")
    grid = network_grid(scan, NETWORK_MM)
    logit = torch.full(grid.shape, -1.0)
    for x, y, z in rng.integers(0, grid.shape, size=(4, 3)):
        logit[x, y, z] = 5.0
    whole = to_scan_grid(logit, grid, scan)
    everything = logit.clone()
    everything[0, 0, 0] = everything[-1, -1, -1] = 1e-6  # stretches the box to the whole scan
    stretched = to_scan_grid(everything, grid, scan)
    different = whole != stretched
    corners = np.zeros(scan.shape, bool)
    corners[-2:, -2:, :1] = corners[:2, :2, -1:] = True
    assert whole.any()
    assert not (different & ~corners).any()


def test_values_are_clipped_before_they_are_mixed() -> None:
    """Half metal, half fat along x: a voxel between them is in the middle of the window."""
    image = np.full((40, 4, 4), -1000, np.int16)
    image[20:] = 30_000
    mixed, _ = to_network_grid(image, np.diag([1.0, 1, 1, 1]), (8.0, 1.0, 1.0), (-100.0, 300.0))
    assert mixed[:, 2, 2].tolist() == pytest.approx([0, 0, 0.5, 1, 1])


def test_thin_slices_are_averaged_not_skipped() -> None:
    """Slices of 1 mm that alternate between 0 and 200 become 100 at 4 mm."""
    image = np.zeros((6, 6, 40), np.int16)
    image[:, :, ::2] = 200
    averaged, grid = to_network_grid(image, np.eye(4), (1.0, 1.0, 4.0), (0.0, 200.0))
    assert grid.shape == (6, 6, 10)
    assert averaged[:, :, 2:-2].numpy() == pytest.approx(0.5, abs=0.01)


def test_tilt_is_told_from_an_oblique_scan() -> None:
    assert is_sheared(scan_grid(tilt=0.2).affine)
    assert not is_sheared(scan_grid(oblique=0.3).affine)


def test_wrong_arguments_are_named() -> None:
    scan = scan_grid()
    flat = scan.affine.copy()
    flat[:, 2] = 0
    with pytest.raises(ValueError, match="span no volume"):
        network_grid(Grid(scan.shape, flat), NETWORK_MM)
    with pytest.raises(ValueError, match="positive"):
        network_grid(scan, (2.0, 0.0, 2.0))
    with pytest.raises(ValueError, match=r"\(X, Y, Z\)"):
        to_network_grid(np.zeros((3, 3), np.int16), scan.affine, NETWORK_MM, (0, 1))
    with pytest.raises(ValueError, match="low < high"):
        to_network_grid(np.zeros(SHAPE, np.int16), scan.affine, NETWORK_MM, (1, 1))
    with pytest.raises(ValueError, match="shape"):
        to_scan_grid(torch.ones(2, 2, 2), network_grid(scan, NETWORK_MM), scan)
    grid = network_grid(scan, NETWORK_MM)
    with pytest.raises(ValueError, match="NaN"):
        to_scan_grid(torch.full(grid.shape, torch.nan), grid, scan)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("tilt", [0.0, 0.3])
def test_grid_on_a_gpu_is_that_of_the_cpu(tilt: float) -> None:
    scan = scan_grid("LPS", tilt)
    image = np.random.default_rng(0).integers(-200, 300, scan.shape).astype(np.int16)
    window = (-125.0, 275.0)
    wanted, grid = to_network_grid(image, scan.affine, NETWORK_MM, window)
    got, _ = to_network_grid(image, scan.affine, NETWORK_MM, window, device="cuda")
    assert got.device.type == "cuda"
    torch.testing.assert_close(got.cpu(), wanted, atol=1e-5, rtol=1e-5)
    on_gpu = to_scan_grid(got - 0.5, grid, scan)
    assert (on_gpu != to_scan_grid(wanted - 0.5, grid, scan)).mean() < 1e-4


def test_slices_beyond_the_liver_have_none_wherever_they_lie() -> None:
    logit = torch.full((20, 20, 20), -5.0)
    logit[8:12, 8:12, 8:12] = 5
    heights = np.array([0.0, 1.0, 2.5, 9.0, 10.0, 15.0, 19.0])
    step = (heights[-1] - heights[0]) / (len(heights) - 1)
    scan = Grid((20, 20, len(heights)), np.diag([1.0, 1.0, step, 1.0]))
    mask = to_scan_grid(logit, Grid((20, 20, 20), np.eye(4)), scan, positions=heights / step)
    assert (mask.sum(axis=(0, 1)) > 0).tolist() == [False, False, False, True, True, False, False]
    apart = Grid((20, 20, 3), np.diag([1.0, 1.0, 1.0, 1.0]))
    assert not to_scan_grid(logit, Grid((20, 20, 20), np.eye(4)), apart).any()
