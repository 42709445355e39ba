"""One file per security framework; base.py has the four steps they share. No I/O."""
