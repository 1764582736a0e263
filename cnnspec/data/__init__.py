"""Data sets, and the batches made of them. Import the modules of this package; it imports nothing by itself."""
