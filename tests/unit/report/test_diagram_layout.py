from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from maestro_es.report.diagram_layout import lay_out

NAMES = [f"step-{letter}" for letter in "abcdefgh"]
edges = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=20)


@given(edges)
def test_boxes_do_not_overlap_and_lie_in_the_picture(pairs):
    layout = lay_out(NAMES, pairs)
    assert layout.boxes.keys() == set(NAMES)
    assert layout.paths.keys() == {pair for pair in pairs if pair[0] != pair[1]}
    for box in layout.boxes.values():
        assert box.x > 0 < box.y
        assert box.x + box.width < layout.width
        assert box.y + box.height < layout.height
    for one, other in itertools.combinations(layout.boxes.values(), 2):
        apart = one.x + one.width < other.x or other.x + other.width < one.x
        assert apart or one.y + one.height < other.y or other.y + other.height < one.y


@given(edges)
def test_without_a_circle_each_step_is_right_of_those_it_waits_for(pairs):
    acyclic = [pair for pair in pairs if pair[0] < pair[1]]
    boxes = lay_out(NAMES[::-1], acyclic).boxes
    assert all(boxes[parent].x + boxes[parent].width < boxes[child].x for parent, child in acyclic)


def test_an_edge_over_a_column_does_not_run_under_its_box():
    layout = lay_out(["a", "b", "c"], [("a", "b"), ("b", "c"), ("a", "c")])
    [row] = [part.split("H")[0].split()[-1] for part in layout.paths["a", "c"].split("C") if "H" in part]
    box = layout.boxes["b"]
    assert not box.y <= float(row) <= box.y + box.height


def test_nothing_is_an_empty_picture():
    assert lay_out([], []).boxes == {}
