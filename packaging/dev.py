"""Every habit of this project: `python3 packaging/dev.py --help`.

Needs Python 3.11 and nothing else; what the project needs is installed into `.venv` beside this folder. This file is kept
readable for old versions of Python, so that they can say what they lack.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit(
        "Minka needs Python 3.11 or newer, and this is Python %d.%d. Install a newer one, and start this with it: "
        "python3.11 packaging/dev.py" % sys.version_info[:2]
    )

from habits import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
