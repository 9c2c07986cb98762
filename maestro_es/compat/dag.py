"""`DAG` and its base class by Maestro's names."""

from __future__ import annotations

from maestro_es.execution_graph.dag import DAG
from maestro_es.execution_graph.dag import NodeGraph as Graph

__all__ = ["DAG", "Graph"]
