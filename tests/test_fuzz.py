"""Damaged deliveries: a few hundred of the thousands that `make fuzz` reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz import CRASHED, ESCAPED, HUNG, READ, fuzz, write
from mutations import KINDS, mutated, write_seeds

from liverseg.batch import convert
from liverseg.errors import CODES

SEED = 20
COUNT = 20 * len(KINDS)


def test_damaged_files_are_read_or_refused_with_a_code() -> None:
    results = fuzz(range(COUNT), SEED)
    assert [result.number for result in results] == list(range(COUNT))
    assert [result for result in results if result.outcome in (CRASHED, HUNG, ESCAPED)] == []
    refused = {result.outcome for result in results} & set(CODES)
    assert {"TRUNCATED", "CORRUPT", "MISSING_SLICES"} <= refused
    assert READ in {result.outcome for result in results}


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("seeds")
    write_seeds(root)
    return root


def test_a_mutation_can_be_made_again(seeds: Path) -> None:
    assert mutated(seeds, SEED, 7) == mutated(seeds, SEED, 7)
    assert mutated(seeds, SEED, 7) != mutated(seeds, SEED, 7 + len(KINDS))


def test_a_batch_of_damaged_files_writes_what_it_has_read_and_nothing_else(
    seeds: Path, tmp_path: Path
) -> None:
    for number in range(3 * len(KINDS)):
        write(mutated(seeds, SEED, number), tmp_path / "in" / str(number))
    rows = convert([tmp_path / "in"], tmp_path / "out")
    assert {row.status for row in rows} == {"done", "rejected"}
    done = {f"{row.case_id}.nii.gz" for row in rows if row.status == "done"}
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written - {"manifest.csv", "linkage.csv"} == done
