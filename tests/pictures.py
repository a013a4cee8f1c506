"""Small encoded pictures for tests; a comment makes the fake CLIP misbehave."""

import io

from PIL import Image, PngImagePlugin


def png(
    colour: str = "red", *, comment: str | None = None, size: tuple[int, int] = (64, 48)
) -> bytes:
    """A PNG of one colour."""
    info = PngImagePlugin.PngInfo()
    if comment is not None:
        info.add_text("comment", comment)
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def gradient(size: tuple[int, int], *, orientation: int = 1) -> bytes:
    """A JPEG from black at the left to white at the right, with an EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.linear_gradient("L").rotate(90).resize(size).convert("RGB").save(file, "JPEG", exif=exif)
    return file.getvalue()
