"""FS1000, Fis-V and RG in their published layouts."""
