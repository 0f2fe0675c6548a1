"""How good is a score when streams are missing? Train on incomplete data, then ask for every subset of the streams."""

from limssr import LimssrRegressor
from limssr.data.missing import availability_mask
from limssr.data.simulate import simulate

modalities, criteria, performances = simulate(num_samples=120, seed=1, num_segments=(6, 12))
names = tuple(modality.name for modality in modalities)
train = [performance for performance in performances if performance.split != "test"]
test = [performance for performance in performances if performance.split == "test"]

# Each training stream is absent with probability 0.5, in every epoch; at least one is kept.
incomplete = [
    {name: performance.streams[name] for name in availability_mask(performance.id, names, rate=0.5, seed=0)}
    for performance in train
]
model = LimssrRegressor(
    backbone="tiny", epochs=6, modalities=names, criteria=[criterion.name for criterion in criteria]
)
model.fit(
    incomplete, [performance.scores for performance in train], groups=[performance.group for performance in train]
)

table = model.evaluate_subsets([performance.streams for performance in test], [p.scores for p in test], bootstrap=100)
for subset in table.subsets:
    low, high = subset.spearman_ci
    spearman = subset.metrics["spearman"].value
    print(f"{' + '.join(subset.streams):<22} Spearman {spearman:6.3f}  [{low:6.3f}, {high:6.3f}]")
