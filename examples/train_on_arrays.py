"""Train on arrays that are already in memory, score samples with missing streams. It takes a few seconds."""

import numpy as np

from limssr import LimssrRegressor

random = np.random.default_rng(0)
scores = random.uniform(0, 10, size=80)
samples = [
    {
        # [T, D]: twelve segments, each with eight features that follow the score.
        "video": random.normal(score, 2, size=(12, 8)).astype(np.float32),
        # Every second recording has no sound: None, a missing key and an array full of NaN all mean the same.
        "audio": None if number % 2 else random.normal(score, 4, size=(12, 4)).astype(np.float32),
    }
    for number, score in enumerate(scores)
]

model = LimssrRegressor(backbone="tiny", epochs=12, random_state=0).fit(samples[:60], scores[:60])
for sample, score, predicted in zip(samples[60:64], scores[60:64], model.predict(samples[60:64]), strict=True):
    streams = " + ".join(name for name, stream in sample.items() if stream is not None)
    print(f"{streams:<15}  score {score:5.2f}  predicted {predicted:5.2f}")
