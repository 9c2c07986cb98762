"""Maestro's layouts of a status, by its names: the same text from Maestro's classes and from ours."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from maestro_es.compat.status import (
    BaseStatusRenderer,
    FlatStatusRenderer,
    StatusRendererFactory,
    status_renderer_factory,
)

STATUS = {
    "Step Name": ["hello_NAME.Pam", "bye"],
    "Job ID": ["4711", "--"],
    "Workspace": ["hello/NAME.Pam", "bye"],
    "State": ["FINISHED", "INITIALIZED"],
    "Run Time": ["0d:00h:00m:03s", "--:--:--"],
    "Elapsed Time": ["0d:00h:00m:03s", "--:--:--"],
    "Start Time": ["2026-01-31 12:00:00", "--"],
    "Submit Time": ["2026-01-31 12:00:00", "--"],
    "End Time": ["2026-01-31 12:00:03", "--"],
    "Number Restarts": ["0", "0"],
    "Params": ["NAME:Pam;GREETING:Hello;END:!", ""],
}

PROGRAM = """\
import json, sys
from maestrowf import status_renderer_factory
status, texts = json.load(open("status.json")), {}
for layout in sorted(status_renderer_factory.get_layouts()):
    renderer = status_renderer_factory.get_renderer(layout, disable_theme=False, disable_pager=True)
    renderer.layout(status_data=status, study_title="a study")
    texts[layout] = renderer.render_to_str()
json.dump(texts, sys.stdout)
"""


def test_each_layout_is_that_of_maestro(tmp_path: Path):
    pytest.importorskip("maestrowf")
    (tmp_path / "status.json").write_text(json.dumps(STATUS))
    (tmp_path / "program.py").write_text(PROGRAM)
    texts = [
        json.loads(subprocess.check_output([sys.executable, *words, "program.py"], cwd=tmp_path, text=True))
        for words in ([], ["-m", "maestro_es.compat"])
    ]

    assert texts[1] == texts[0]
    assert {*texts[0]} == {"flat", "legacy", "narrow"}


@pytest.mark.parametrize("layout", ["flat", "legacy", "narrow"])
def test_a_layout_is_printed(layout: str, capsys: pytest.CaptureFixture[str]):
    renderer = status_renderer_factory.get_renderer(layout, disable_theme=True, disable_pager=True)
    renderer.layout(status_data=STATUS, study_title="a study", filter_dict=None)  # as the command of Maestro does
    renderer.render({"State": "bold"})

    assert "hello" in capsys.readouterr().out
    with pytest.raises(ValueError, match="there is no status to lay out"):
        renderer.layout({})


def test_a_program_may_have_its_own_layouts():
    class Short(FlatStatusRenderer):
        def layout(self, status_data: Any, study_title: str | None = None, data_filters: Any = None) -> None:
            super().layout({"Step Name": status_data["Step Name"]}, study_title)

    factory = StatusRendererFactory()
    factory.register_layout("short", Short)
    renderer = factory.get_renderer("short", True, True)
    renderer.layout(STATUS)

    assert isinstance(renderer, BaseStatusRenderer)
    assert "bye" in renderer.render_to_str()
    assert "FINISHED" not in renderer.render_to_str()
    with pytest.raises(ValueError, match="there is no layout 'long'; the layouts are: flat, legacy, narrow, short"):
        factory.get_renderer("long", True, True)
