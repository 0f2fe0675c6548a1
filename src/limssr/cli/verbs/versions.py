"""`limssr data append | publish`: new versions of stores, and stores elsewhere."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro import conf

from limssr.cli.options import Common, Position
from limssr.cli.output import Answer


@dataclass(frozen=True)
class Append:
    """Make a new version of a store with more samples; its shards are linked, and the old version stays as it is."""

    store: Annotated[Position[Path], conf.arg(metavar="STORE")]
    """Folder of the store."""
    more: Annotated[Position[Path], conf.arg(metavar="MORE")]
    """A store with the same streams and criteria, of the new samples."""
    out: Annotated[Position[Path], conf.arg(metavar="OUT")]
    """Folder to make."""
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Append."""
        from limssr.data.store.append import append

        store = append(self.store, self.more, self.out)
        document = {"store": str(self.out), "num_samples": len(store), "fingerprint": store.fingerprint}
        return Answer(document, (f"{len(store)} samples: {self.out}",))


@dataclass(frozen=True)
class Publish:
    """Copy a store to a bucket or hub, where it can be used by its address; it appears when all of it has arrived."""

    store: Annotated[Position[Path], conf.arg(metavar="STORE")]
    """Folder of the store."""
    address: Annotated[Position[str], conf.arg(metavar="ADDRESS")]
    """s3://bucket/name, gs://bucket/name or hf://datasets/me/name; credentials as the service's own tools take them."""
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Publish."""
        from limssr.core.errors import InputError
        from limssr.core.progress import make_reporter
        from limssr.data.store.reader import FeatureStore
        from limssr.data.store.remote import address_of, is_address, publish

        if not is_address(self.address):
            raise InputError(f"Expected an address such as s3://bucket/name, found {self.address!r}.")
        store = FeatureStore.open(self.store)
        store.check()
        publish(store.path, self.address, make_reporter().note)
        document = {"address": address_of(self.address), "num_samples": len(store), "fingerprint": store.fingerprint}
        return Answer(document, (f"{len(store)} samples: {document['address']}",))
