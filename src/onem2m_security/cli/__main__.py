"""``python -m onem2m_security.cli``: the ``m2msec`` command where no script is installed."""

from . import main

main()
