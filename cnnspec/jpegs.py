"""What a JPEG says of itself before its pixels are worked out, and how only its upper rows are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, Final

__all__ = ["HEAD", "START", "JpegHead", "read_head", "read_start", "upper_rows"]

HEAD: Final = 2**16  # bytes of a file in which its head is looked for
_USUAL_HEAD: Final = 2**12  # bytes that it mostly has at most
START: Final = b"\xff\xd8"
_END: Final = b"\xff\xd9"
_FRAMES: Final = {0xC0: True, 0xC1: True, 0xC2: False}  # Huffman-coded kinds; whether rows follow from top to bottom
_OTHER_FRAMES: Final = frozenset(range(0xC3, 0xD0)) - {0xC4, 0xC8, 0xCC}  # lossless, hierarchical, arithmetic
_TABLES: Final = 0xDB  # of quantisation
_SCAN: Final = 0xDA
_DESCRIBED: Final = 0xE1  # Exif or XMP, which may say how it is to be turned
_MOST_OF_FLAT: Final = 4  # bytes that a block of one value takes: a code for it and one for its end, of 16 bits at most


@dataclass(frozen=True)
class JpegHead:
    """The head of a JPEG of the usual kinds: 8 bits, coded by Huffman."""

    width: int
    height: int
    blocks: int  # of 8x8 values, over all components
    height_at: int  # where in the file its two bytes stand
    scan_at: int  # where the coded values begin
    downwards: bool  # all components of a row stand together, and below them those of the next
    described: bool  # it may say that its pixels are to be turned

    def is_whole(self, size: int, end: bytes) -> bool:
        """Whether a file of this size and end can be taken for one that decodes and has more than one colour.

        A file that was cut off lacks the mark at its end, and one colour is coded in far fewer bytes than a photograph.
        """
        return end.endswith(_END) and size - self.scan_at > _MOST_OF_FLAT * self.blocks


def read_head(data: bytes) -> JpegHead | None:
    """The head of a JPEG that begins with these bytes; None where they are none, or of a rare kind."""
    if not data.startswith(START):
        return None
    at, tables, described = 2, False, False
    frame: tuple[int, int] | None = None  # its kind, and where its content begins
    try:
        while data[at] == 0xFF:
            kind = data[at + 1]
            if kind == 0xFF:  # may fill up the space before a mark
                at += 1
                continue
            size = int.from_bytes(data[at + 2 : at + 4], "big")
            if kind in _OTHER_FRAMES or (kind in _FRAMES and frame is not None):
                return None
            if kind in _FRAMES:
                frame = kind, at + 4
            tables, described = tables or kind == _TABLES, described or kind == _DESCRIBED
            if kind == _SCAN:
                return _of_frame(data, *frame, at, described) if frame is not None and tables else None
            at += 2 + size
    except IndexError:  # it is cut off
        pass
    return None


def read_start(file: BinaryIO) -> JpegHead | None:
    """The head of a JPEG in a file that is at its beginning, of which little more is read; None as `read_head`."""
    start = file.read(_USUAL_HEAD)
    head = read_head(start)
    if head is None and start.startswith(START) and len(start) == _USUAL_HEAD:
        head = read_head(start + file.read(HEAD - _USUAL_HEAD))
    return head


def _of_frame(data: bytes, kind: int, frame: int, scan: int, described: bool) -> JpegHead | None:
    """The head from where its frame and its first scan are declared. Raises IndexError where they are cut off."""
    precision, count = data[frame], data[frame + 5]
    height, width = (int.from_bytes(data[at : at + 2], "big") for at in (frame + 1, frame + 3))
    factors = [divmod(data[frame + 7 + 3 * component], 16) for component in range(count)]
    if precision != 8 or not height or not width or not all(across and down for across, down in factors):
        return None
    wide, tall = (8 * max(sizes) for sizes in zip(*factors, strict=True))
    scan_at = scan + 2 + int.from_bytes(data[scan + 2 : scan + 4], "big")
    if scan_at > len(data):
        return None
    together = sum(across * down for across, down in factors)
    return JpegHead(
        width=width,
        height=height,
        blocks=-(-width // wide) * -(-height // tall) * together,
        height_at=frame + 1,
        scan_at=scan_at,
        downwards=_FRAMES[kind] and data[scan + 4] == count,
        described=described,
    )


def upper_rows(data: bytes, head: JpegHead, rows: int) -> bytes:
    """The same JPEG, declared to have no more than its upper `rows`: what is below them is not worked out then.

    Those rows are as before, but for the last few: colours are smoothed into the row below.
    """
    if not head.downwards or rows >= head.height:
        return data
    view = memoryview(data)
    return b"".join((view[: head.height_at], rows.to_bytes(2, "big"), view[head.height_at + 2 :]))
