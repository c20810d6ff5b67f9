"""pysaliency's AUC, shuffled AUC, NSS and CC of invented fixations.

Makes tests/fixtures/pysaliency_library.json (`make oracles`). Images are of one size: the library's shuffled
AUC carries fixations of other images over by their share of width and height, ours by registering bodies.
"""

from __future__ import annotations

import numpy as np
from tests.oracles import fixture

SHAPE, IMAGES, FIXATIONS = (7, 9), 3, 12


def main() -> None:
    import pysaliency
    from pysaliency.metrics import CC

    random = np.random.default_rng(0)
    maps = random.normal(size=(IMAGES, *SHAPE)).round(3)
    maps[1] = maps[1].round(0)  # many ties
    density = random.gamma(1.0, size=(IMAGES, *SHAPE)).round(3)  # gaze, as a map
    image = np.sort(random.integers(0, IMAGES, FIXATIONS))
    y, x = (random.integers(0, side, FIXATIONS) for side in SHAPE)
    y[1], x[1] = y[0], x[0]  # a pixel that is looked at twice

    class Given(pysaliency.SaliencyMapModel):
        def _saliency_map(self, stimulus: np.ndarray) -> np.ndarray:
            return maps[stimulus[0, 0, 0]]  # an image's pixels are its number

    stimuli = pysaliency.Stimuli([np.full((*SHAPE, 3), number, dtype=np.uint8) for number in range(IMAGES)])
    fixations = pysaliency.Fixations.create_without_history(x, y, image)
    model = Given()
    found = {
        "auc": model.AUCs(stimuli, fixations),  # of each fixation
        "sauc": model.sAUCs(stimuli, fixations),
        "nss": model.NSSs(stimuli, fixations),
        "cc": [CC(one, other) for one, other in zip(maps, density)],
    }
    given = {"maps": maps, "density": density, "image": image, "y": y, "x": x}
    fixture.write("pysaliency_library", "pysaliency", given | found)


if __name__ == "__main__":
    main()
