"""All scripts: the requests of the program, in the states that an engine may be in."""

from __future__ import annotations

from tests.simulation.script import Script
from tests.simulation.scripts_bodies import BODIES
from tests.simulation.scripts_documents import DOCUMENTS
from tests.simulation.scripts_fields import FIELDS
from tests.simulation.scripts_indices import INDICES
from tests.simulation.scripts_setup import SETUP

SCRIPTS: tuple[Script, ...] = (*DOCUMENTS, *BODIES, *FIELDS, *INDICES, *SETUP)
"""In the order in which they are recorded."""
