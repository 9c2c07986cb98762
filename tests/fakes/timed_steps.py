"""Steps that note on which node they run, and when. So a test sees how many ran there at the same time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

#: The node is in the token of an attempt inside an allocation.
TIMED = """
- name: timed
  description: d
  run:
    cmd: |
      node=${MAESTRO_ES_TOKEN##*n}
      begin=$(date +%s.%N)
      sleep 2
      echo "$begin $(date +%s.%N) ${node%%k*} $(I)" >>../ledger
    procs: 1
    nodes: 1
global.parameters: {I: {values: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20], label: I.%%}}
"""


def assert_shared(roots: list[Path], *, slots: int) -> None:
    """Assert that the steps of two studies never used more slots than each node has, and each study half of them."""
    changes: list[tuple[float, int, str, Path]] = []
    for root in roots:
        for line in (root / "timed/ledger").read_text().splitlines():
            begin, end, node, _ = line.split()
            changes += [(float(begin), 1, node, root), (float(end), -1, node, root)]
    on_node, of_study = Counter[str](), Counter[Path]()
    shares = set()
    for _, change, node, root in sorted(changes):
        on_node[node] += change
        of_study[root] += change
        assert on_node[node] <= slots, sorted(changes)
        shares.add(tuple(of_study[root] for root in roots))
    assert (slots, slots) in shares, sorted(shares)
