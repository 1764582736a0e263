"""Networks of other makers as specs: read, folded, proved equal, written."""
