"""`python -m backend` is `minka`."""

import sys

from backend.cli import main

sys.exit(main())
