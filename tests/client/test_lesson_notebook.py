"""The notebook of the classic lesson runs from its first cell to its last, and is kept clean."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.client.conftest import ROOT

NOTEBOOK = ROOT / "docs" / "lesson.ipynb"


def test_the_notebook_is_kept_without_outputs() -> None:
    """Outputs would make each run a change, and go stale."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in cells] == [[]] * len(cells)
    assert {cell.execution_count for cell in cells} == {None}


@pytest.mark.timeout(600)
# The kernel's client and its sockets are jupyter_client's to close.
@pytest.mark.filterwarnings("default")
def test_every_cell_of_the_notebook_runs(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENFOLD_URL", url)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    # One that fails raises with its traceback.
    NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(tmp_path)}}).execute()
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 4
