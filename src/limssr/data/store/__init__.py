"""A feature store on disk: `FeatureStore` opens one, `StoreWriter` makes one."""

from limssr.data.store.reader import FeatureStore, StoreInfo
from limssr.data.store.writer import StoreWriter

__all__ = ["FeatureStore", "StoreInfo", "StoreWriter"]
