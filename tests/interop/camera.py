"""A camera for Chromium: a film it loops, which the test can change while it runs.

Chromium maps the film (``--use-file-for-fake-video-capture``) and reads frame after frame from
it.  All frames are JPEG of one size in bytes with the same headers, so that a frame can be
overwritten in place at any moment: what Chromium reads meanwhile is a picture or a mixture of two.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

FPS = 25
WIDTH, HEIGHT = 1280, 720
SECONDS = 8
SLOT = 160_000
"Bytes a frame takes in the film."

Picture = NDArray[np.uint8]


class Film:
    """Frames ready to be put into the camera."""

    def __init__(self, pictures: Sequence[Picture]) -> None:
        slots = [_slot(picture) for picture in pictures]
        self.data = b"".join(slots[n % len(slots)] for n in range(SECONDS * FPS))

    @classmethod
    def of_video(cls, path: Path) -> "Film":
        """The first seconds of a video, letterboxed."""
        return cls(list(_video(path)))

    @classmethod
    def of_first_moment(cls, path: Path) -> "Film":
        """The person of a video, holding still."""
        return cls([next(_video(path))])

    @classmethod
    def of_picture(cls, path: Path) -> "Film":
        """A picture held still."""
        picture = cv2.imread(str(path))
        assert picture is not None, path
        return cls([_letterboxed(picture.astype(np.uint8, copy=False))])


class Camera:
    """The file Chromium takes for a camera."""

    def __init__(self, path: Path, film: Film) -> None:
        self.path = path
        path.write_bytes(film.data)

    def show(self, film: Film) -> None:
        """Show another film from now on; the running capture goes on."""
        with self.path.open("r+b") as file:
            file.write(film.data)


def _video(path: Path) -> Iterator[Picture]:
    shown = 0
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            while shown <= (frame.time or 0.0) * FPS:
                yield _letterboxed(frame.to_ndarray(format="bgr24").astype(np.uint8, copy=False))
                shown += 1
            if shown >= SECONDS * FPS:
                return


def _letterboxed(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    scale = min(WIDTH / width, HEIGHT / height)
    small = cv2.resize(picture, (round(width * scale), round(height * scale)))
    height, width = small.shape[:2]
    canvas: Picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    top, left = (HEIGHT - height) // 2, (WIDTH - width) // 2
    canvas[top : top + height, left : left + width] = small
    return canvas


def _slot(picture: Picture) -> bytes:
    """The picture as JPEG of exactly SLOT bytes: any marker may follow any number of fill bytes."""
    written, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 88])
    data = encoded.tobytes()
    assert written and len(data) <= SLOT, f"a frame of {len(data)} bytes does not fit its slot"
    return data[:-2] + b"\xff" * (SLOT - len(data)) + data[-2:]
