"""`python -m agents` runs the node agent; `python -m agents doctor` says what it would find."""

import sys

from agents.doctor import main as doctor
from agents.main import main
from agents.settings import hide_join_token

if __name__ == "__main__":
    if sys.argv[1:2] == ["doctor"]:
        sys.exit(doctor(sys.argv[2:]))
    hide_join_token(sys.argv[1:])
    sys.exit(main(sys.argv[1:]))
