"""`python -m agents` runs the node agent; `python -m agents doctor` says what it would find."""

import sys

from agents.doctor import main as doctor
from agents.main import main

if __name__ == "__main__":
    if sys.argv[1:2] == ["doctor"]:
        sys.exit(doctor(sys.argv[2:]))
    sys.exit(main(sys.argv[1:]))
