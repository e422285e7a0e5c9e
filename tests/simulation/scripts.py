"""All scripts: what the program asks of an engine, and what an engine may be like."""

from __future__ import annotations

from tests.simulation.script import Script
from tests.simulation.scripts_bodies import BODIES
from tests.simulation.scripts_documents import DOCUMENTS
from tests.simulation.scripts_fields import FIELDS
from tests.simulation.scripts_indices import INDICES
from tests.simulation.scripts_setup import SETUP

SCRIPTS: tuple[Script, ...] = (*DOCUMENTS, *BODIES, *FIELDS, *INDICES, *SETUP)
"""By name in the order in which they are recorded."""
