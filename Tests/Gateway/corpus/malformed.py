"""Everything that is refused."""

from .framing import FRAMING
from .heads import HEADS
from .routes import ROUTES

MALFORMED = FRAMING + HEADS + ROUTES
