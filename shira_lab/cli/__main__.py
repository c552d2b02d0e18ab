"""``python -m shira_lab.cli``, as torchrun needs it."""

import sys

from shira_lab.cli import main

sys.exit(main())
