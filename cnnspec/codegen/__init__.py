"""A network as stand-alone source for PyTorch."""

from cnnspec.codegen.write import write_code

__all__ = ["write_code"]
