"""A network as stand-alone source for PyTorch."""

from cnnspec.codegen.write import Written, write_code

__all__ = ["Written", "write_code"]
