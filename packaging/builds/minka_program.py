"""What the packaged `minka` starts with. As `minka-desktop`, which is for a click, it opens the window."""

import multiprocessing
import sys
from pathlib import Path

from backend.cli import main

if __name__ == "__main__":
    multiprocessing.freeze_support()
    clicked = Path(sys.executable).stem == "minka-desktop"
    sys.exit(main(["desktop", *sys.argv[1:]] if clicked else None))
